"""The current record of a service: as its journal has it, and written, under the lock, before anybody is told of it.

What the processes say is compared with it: a record that a process has followed was written once.
"""
from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Callable

from attrs import define, field

from klpfs.protocol import decisions
from klpfs.protocol.decisions import Record
from klpfs.service.journal import Journal
from klpfs.service.limits import LIMITS
from klpfs.service.rounds import Rounds

if TYPE_CHECKING:
    from klpfs.service.peer import Peer
    from klpfs.service.peers import Peers

REMOVED = "the journal was removed while the service runs"


@define(eq=False)
class CurrentRecord:
    """log(text, priority) writes to the service's log; on_record(record) is called with each new record of the journal,
    before anybody is told. now(): the loop's time.

    record: the journal's, as it was read or written last; newest: that of the highest number. trouble: why the journal
    can't be written, or read just now; None: it can. litter: contents may lie about that nobody needs. retry: nothing
    is written before this time, since the last try has failed."""

    journal: Journal
    peers: Peers
    rounds: Rounds
    now: Callable[[], float]
    log: Callable[[str, int], None]
    on_record: Callable[[Record], None]
    record: Record = field(init=False, factory=decisions.none)
    newest: Record = field(init=False, factory=decisions.none)
    trouble: str | None = field(init=False, default=None)
    litter: bool = field(init=False, default=True)
    retry: float = field(init=False, default=0.0)

    def take(self, record: Record) -> None:
        """Take in what the journal has, where it is new."""
        if record is not self.record:
            self.record = record
            if record["seq"] >= self.newest["seq"]:
                self.newest = record
            self.on_record(record)

    def read_locked(self) -> Record:
        """The journal's record, read with the lock. A change in it has lost its coordinator, since the lock was free:
        it is undone.
        EIO: processes have followed a newer one, so somebody has removed the journal. EPROTONOSUPPORT:
        not_understood()."""
        record = self.journal.read()
        for peer in self.peers.known():
            if decisions.seen(peer.report) > record["seq"]:
                if peer.is_of_service:
                    record = self._write_again(decisions.seen(peer.report))
                else:
                    self._disbelieve(peer, record["seq"])
        others = self.not_understood()
        if others:                                               # never told of it: half of a service would be patched
            raise OSError(errno.EPROTONOSUPPORT, others)
        if record["change"]:
            record = self.write(decisions.given_up(record))
            self.log("klpfs: coordinator lost: the load is undone", 4)
        return record

    def _write_again(self, seen: int) -> Record:
        """The journal was removed while the service runs: what was decided last is written once more, if nobody has
        followed a newer record (`seen`) than this daemon has read; else EIO."""
        if self.newest["seq"] < seen:
            raise OSError(errno.EIO, REMOVED)
        record = self.write({**self.newest, "seq": self.newest["seq"] + 1, "change": None})
        self.log(f"klpfs: {REMOVED}: it is written again", 3)
        return record

    def write(self, record: Record) -> Record:
        """Write; with the lock. Then nothing has been told yet: on_record comes first."""
        self.journal.write(record)
        self.trouble = None
        self.litter = True
        record = self.journal.read()
        self.take(record)
        return record

    def unlock(self) -> None:
        """Unlock; the sockets that the dead left are removed before."""
        self.peers.unlink_gone()
        self.journal.unlock()
        self.rounds.again()

    def write_failed(self, error: OSError) -> None:
        """A full disk: the old journal stands; tried again every second; a blocker meanwhile."""
        text = f"journal: {error.strerror or error}"
        if self.trouble != text:
            self.trouble = text
            self.log(f"klpfs: {text}", 3)
        self.retry = self.now() + LIMITS.retry_write
        self.rounds.wake_at(self.retry)

    def take_report(self, peer: Peer) -> None:
        """Look whether a report can be true: no process has followed a record that was never written. One of the
        service's own has seen a journal that somebody has removed since; any other is not believed."""
        if decisions.seen(peer.report) > self.record["seq"] and not peer.is_of_service:
            try:
                written = self.journal.read()["seq"]             # before anybody was told of it
            except OSError:
                return
            if decisions.seen(peer.report) > written:
                self._disbelieve(peer, written)

    def _disbelieve(self, peer: Peer, written: int) -> None:
        peer.disbelieve(f"says that it has followed record {decisions.seen(peer.report)}, the journal's last one is "
                        f"{written}")

    def not_understood(self) -> str:
        """The service's own processes whose klpfs this daemon can't talk to, and why, as text; '': none. If any:
        EPROTONOSUPPORT. (One of another user has no veto: it is silent, so pending and named.)"""
        return "; ".join(peer.trouble for peer in self.peers.known() if peer.trouble and peer.is_of_service)
