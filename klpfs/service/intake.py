"""The intake of a connection: bytes of its socket become messages, as many in a round as the sender's budget allows.

Of root and the daemon's own user all that has come is taken in at once: before a request is answered, all that was said
before it is known. A foreign user's processes share a budget (budget.py): what it does not allow now stays in the
socket, or waits here as a message that nobody has looked at, and the loop forgets the socket till it may be read again.
"""
from __future__ import annotations

from collections import deque
from errno import EMSGSIZE
from typing import TYPE_CHECKING

from attrs import define, field

from klpfs.protocol.wire import Reader, WireError
from klpfs.service.budget import WAKE_BYTES, WAKE_SECONDS, Budget
from klpfs.service.loop import AGENTS, IN, OUT, Timer

if TYPE_CHECKING:
    from klpfs.service.peer import Peer

READ_BYTES = 1 << 18        # that are taken from a socket at once
MESSAGE_BYTES = 256         # what a message of a foreign user costs beside its bytes


@define(eq=False)
class Intake:
    """peer: whose connection it is; its `receive`, `understand`, `closed` and `misunderstood` are called. is_paused:
    the loop does not look at the socket."""

    peer: Peer
    reader: Reader = field(init=False, factory=Reader)
    is_paused: bool = field(init=False, default=False)
    _bodies: deque[bytes] = field(init=False, factory=deque)     # messages that were not looked at
    _pause: Timer | None = field(init=False, default=None)

    def end(self) -> None:
        """The connection is closed: nothing of it is taken in any more."""
        if self._pause is not None:
            self._pause.cancel()
        self._pause, self.is_paused = None, False
        self._bodies.clear()

    def take(self) -> None:
        """Take in what has come."""
        if not self.peer.is_foreign:
            while True:
                size = self._receive()
                if self.peer.is_foreign:       # its first word says so
                    break
                self._look_at_all()
                if size < READ_BYTES:
                    return
        self._take_share(self.peer.budget)

    def _look_at_all(self) -> None:
        while self._bodies and self.peer.intake is self:
            self.peer.understand(self._bodies.popleft())

    def _take_share(self, budget: Budget) -> None:
        """Take in what the budget allows now."""
        size = 0 if self._bodies or self._waits(budget) else READ_BYTES
        while size == READ_BYTES and self.peer.sock is not None and not self._waits(budget):
            begun = budget.cpu()
            size = self._receive()
            budget.pay(WAKE_BYTES + size, WAKE_SECONDS + budget.cpu() - begun)
            self._look_at_share(budget)
        self._look_at_share(budget)

    def _look_at_share(self, budget: Budget) -> None:
        while self._bodies and self.peer.intake is self and not self._waits(budget):
            begun = budget.cpu()
            self.peer.understand(self._bodies.popleft())
            budget.pay(MESSAGE_BYTES, budget.cpu() - begun)

    def _waits(self, budget: Budget) -> bool:
        """Whether nothing of this connection may be looked at now. Then the loop forgets it till it may."""
        peer, sock = self.peer, self.peer.sock
        wait = budget.wait(peer.peers.loop.rounds)
        if not wait or sock is None or peer.intake is not self:
            return False
        if not self.is_paused:
            self.is_paused = True
            peer.peers.loop.remove(sock.fileno())
            self._pause = peer.peers.loop.call_later(wait, self._go_on)
        if budget.is_spent and budget.may_be_named():
            peer.peers.log(f"klpfs: the processes of user {peer.user} say more than this daemon takes in, {peer.name} "
                           f"above all: they are not listened to for {wait:.1f} s", 4)
        return True

    def _go_on(self) -> None:
        """Read again, after a pause."""
        self.is_paused, self._pause = False, None
        if self.peer.sock is not None:
            events = IN | OUT if self.peer.has_queued else IN
            self.peer.peers.loop.add(self.peer.sock.fileno(), self.peer.ready, AGENTS, events)
            if self._bodies:
                self.peer.ready(0)

    def _receive(self) -> int:
        """Take bytes from the socket, and cut them into messages: how many bytes, 0 for none."""
        if self.peer.sock is None:
            return 0
        try:
            data = self.peer.receive(READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self.peer.closed()
            return 0
        try:
            self._bodies.extend(self.reader.bodies(data))
        except WireError as error:
            self.peer.misunderstood(str(error.strerror), error.errno == EMSGSIZE)
        return len(data)
