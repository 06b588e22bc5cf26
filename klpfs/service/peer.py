"""A peer: an agent as the daemon sees it, by its socket: the connection to it, and what it said.

A peer is gone when its process is dead (pidfd, taken when it says who it is), when the process has become another
program (exec), or has bound a new socket. A closed connection alone is no death: connect again, after pauses that grow.
Nor is a socket that refuses and on which nobody ever answered, while the process that is noted beside it is not known
to be dead (life.py). All that an agent says is checked here for its shape, before anybody looks at it, and a peer whose
words have no shape that this daemon knows is named (`trouble`). What peers of foreign users cost is paid from their
budgets (budget.py).

A connection is to the very socket that was looked at (folder.py), and who sends what comes is what the kernel says, in
numbers of this daemon's PID namespace. A process that answers for another service, or as another process, is refused.
On a socket of the service's own it is named (`trouble`), since its process may run the service's code: nothing is
written while it lives. A foreign user's socket is left alone, after one line in the log.
"""
from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, Callable, Protocol

from attrs import define, field

from klpfs.protocol import life
from klpfs.protocol.folder import Folder, socket_address
from klpfs.protocol.process_identity import address_space, number_in_own_namespace, user_of
from klpfs.protocol.shapes import FROM_AGENT, MAX_COMM, MOST_BYTES, fits, natural, settled
from klpfs.protocol.wire import (
    FOREIGN_MESSAGE,
    FOREIGN_OBJECTS,
    MAX_MESSAGE,
    MESSAGE_SECONDS,
    VERSION,
    WireError,
    decode,
    encode,
)
from klpfs.service.budget import Budget
from klpfs.service.foreign_users import ForeignUsers
from klpfs.service.intake import READ_BYTES, Intake
from klpfs.service.loop import AGENTS, IN, OUT, Loop, Timer
from klpfs.service.shown_text import printable

RETRY = 0.2                # seconds until a peer whose connection has ended is connected to again; then twice as long
RETRY_MOST = 30.0          # the longest of these pauses
RETRY_REFUSED = 1.0        # until one that lives and refuses is: its agent binds another socket when it can
STEADY = 10.0              # seconds: after a connection that lasted so long the pauses begin anew
MOST_SAID = 8              # lines about one peer
NOBODY = (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTSOCK)    # what connect() says where nobody listens
MAX_QUEUED = 64 << 20      # bytes that wait for a peer that doesn't read; for all peers of a foreign user together
MAX_KEPT = 128 << 20       # bytes that a foreign user's peers have said and that are remembered
REFUSED = -1               # the version of a peer that is refused: nothing else that it says is looked at

Message = dict[str, Any]


class PeerSet(Protocol):
    """The set that a peer belongs to (peers.py), as its peers see it. received(peer, kind, message): a message that was
    understood. dropped(peer): its connection is closed. left(peer): it is gone. changed(): after any of these.
    refuse(peer, inode): the socket of this inode is left alone. log(text, priority): the service's log."""

    folder: Folder
    loop: Loop
    users: ForeignUsers
    received: Callable[[Peer, str, Message], None]
    dropped: Callable[[Peer], None]
    changed: Callable[[], None]
    log: Callable[[str, int], None]

    def known(self) -> list[Peer]: ...
    def restarted(self, peer: Peer) -> None: ...
    def has_said(self, peer: Peer) -> bool: ...
    def left(self, peer: Peer) -> None: ...
    def refuse(self, peer: Peer, inode: tuple[int, int]) -> None: ...


@define(eq=False)
class Peer:
    """An agent. `key`: its socket's name; `pid`: 0 until it has said who it is; `report`: its last one, or None;
    acked, sent_seq: numbers of the last record that it has acknowledged, and that was sent over this connection; -1
    none."""

    key: str
    peers: PeerSet
    pid: int = 0
    comm: str = ""
    version: int = 0                           # of the wire, as it says; 0: not yet; REFUSED. Of others nothing is read
    hello: Message | None = None
    report: Message | None = None
    acked: int = -1
    sent_seq: int = -1
    heard: float = 0.0                         # when it last said anything, by the loop's clock
    gone: bool = False
    trouble: str = ""                          # why what it says is of no use, while that is so; names the process
    connected: bool = False                    # a connection is there; perhaps nobody has accepted it
    sock: socket.socket | None = None
    _pidfd: int = -1
    _space: tuple[str, ...] = ()
    intake: Intake = field(init=False)
    _out: bytearray = field(factory=bytearray)
    _timer: Timer | None = None                # connects again
    _connected_at: float = 0.0
    _failures: int = 0                         # connections that ended soon, one after another
    _kept: dict[str, int] = field(factory=dict)        # bytes of what it said last, by kind
    _said: set[str] = field(factory=set)       # what the log says of it already
    _slow: Timer | None = None
    # the user and the process who have sent what comes, as the kernel says; -1: nothing has come yet; process 0: it
    # can't be seen from this PID namespace
    _sender: int = -1
    _sender_pid: int = -1
    _speaker: int = -1                         # the same user, also while a next connection has not brought a word
    _owner: int = 0                            # of the socket that is connected to
    inode: tuple[int, int] = (0, 0)            # the same socket's

    @property
    def name(self) -> str:
        return f"process {self.pid} ({self.comm})" if self.pid else f"an unknown process ({self.key})"

    @property
    def user(self) -> int:
        """The user who speaks; before the first word the user who made the socket."""
        return self._speaker if self._speaker >= 0 else self._owner

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to a user whom this daemon has no reason to trust: neither root nor its own."""
        return self.user not in (0, os.geteuid())

    @property
    def budget(self) -> Budget:
        """What the processes of its user may cost; of a foreign one."""
        return self.peers.users.budget_of(self.user)

    @property
    def has_queued(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def __attrs_post_init__(self) -> None:
        self.intake = Intake(self)

    @property
    def agent(self) -> str:
        """A name by which the agent differs from all others, whatever its socket."""
        return f"{self.pid} {self.hello['started']}" if self.hello else self.key

    # -- connecting

    @property
    def is_of_service(self) -> bool:
        """Whether what it says is said by root or the service's user, not by another user of the folder's group."""
        return self._speaker >= 0 and self.peers.folder.owns(self._speaker)

    def connect(self) -> None:
        if self.gone or self.sock is not None:
            return
        sock, path_fd = None, -1
        try:
            path_fd = self.peers.folder.look_socket(self.key)
            found = os.fstat(path_fd)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            sock.connect(socket_address(path_fd))
        except OSError as error:  # EAGAIN: its queue of connections is full; EMFILE: we have no descriptors
            if sock is not None:
                sock.close()
            if error.errno == errno.ENOENT or error.errno in NOBODY and self._ended():    # unlinked: as in Peers.list
                return self.leave()
            return self._again(RETRY if self.pid or error.errno != errno.ECONNREFUSED else RETRY_REFUSED)
        finally:
            if path_fd >= 0:
                os.close(path_fd)
        self.sock, self.connected = sock, True
        self._owner, self.inode = found.st_uid, (found.st_dev, found.st_ino)
        self.intake, self.sent_seq, self._sender, self._sender_pid, self.version = Intake(self), -1, -1, -1, 0
        self._connected_at = self.peers.loop.now()
        self._out.clear()
        self.peers.loop.add(sock.fileno(), self.ready, AGENTS)

    def _again(self, seconds: float = RETRY) -> None:
        if self._timer is None and not self.gone:
            pause = min(RETRY_MOST, seconds * 2 ** min(max(0, self._failures - 1), 16))
            self._timer = self.peers.loop.call_later(pause, self._retry)

    def _failed(self) -> None:
        """Count a connection that has ended: in a row of short ones each pause is longer than the one before."""
        lasted = self.peers.loop.now() - self._connected_at
        self._failures = 1 if lasted >= STEADY else self._failures + 1

    def _retry(self) -> None:
        self._timer = None
        self.connect()
        self.peers.changed()

    def _ended(self) -> bool:
        """Whether the socket will never be answered: the process is another program now, or dead, as far as anybody
        knows which it is; or it answers on another socket."""
        try:
            if self.pid:
                return address_space(self.pid) != self._space
            return not life.lives(self.peers.folder, self.key) or self.peers.has_said(self)
        except OSError:
            return False

    def leave(self) -> None:
        """Note that the process is gone."""
        if not self.gone:
            self.release()
            self.peers.left(self)

    def release(self) -> None:
        """Let go of the process, which is told nothing: no connection, no timer, no pidfd."""
        self.gone = True
        self.cut()
        if self._timer is not None:
            self._timer.cancel()
        if self._pidfd >= 0:
            self.peers.loop.remove(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def cut(self) -> None:
        """Close the connection."""
        sock, self.sock, self.connected = self.sock, None, False
        if sock is not None:
            self.peers.loop.remove(sock.fileno())
            sock.close()
        self.intake.end()
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def drop(self, why: str = "") -> None:
        """The connection is of no more use; connect again, later. The log says each `why` of a peer once."""
        if self.sock is None:
            return
        if why:
            self._say(": " + why, 4)
        self._failed()
        self.cut()
        self.peers.dropped(self)
        self._again()

    def refuse(self, why: str, advice: str = "end it") -> None:
        """Whoever answers is no process of this service, or not the one that it claims to be: said once. On a socket of
        the service's own it is named from now on, with advice; a foreign user's socket is left alone."""
        self._say(": " + why, 4)
        self.peers.dropped(self)
        if self.peers.folder.owns(self._owner):
            self.trouble = f"{self.name}: {why}: {advice}"
            self.hello, self.report, self.version = None, None, REFUSED
            return
        self.cut()
        self.peers.refuse(self, self.inode)
        self.leave()

    def _say(self, text: str, priority: int) -> None:
        """A line about this peer, once; about those of a foreign user, of whom there may be many, some."""
        line = f"klpfs: {self.name}{text}"
        if line in self._said or len(self._said) >= MOST_SAID:
            return
        self._said.add(line)
        if not self.is_foreign or self.peers.users.may_be_named(self.user):
            self.peers.log(line, priority)

    def misunderstood(self, why: str, too_large: bool = False) -> None:
        """Drop a peer that speaks another language than this daemon: its klpfs is another, or it is hostile. It is
        named from now on, until what it says is good."""
        if self.pid or self._sender_pid > 0 and self._watch():
            self.trouble = (f"{self.name} says what this daemon does not understand ({why}): its klpfs may be another; "
                            "end it, or mount with its klpfs") if not too_large else (
                f"{self.name} says more at once than this daemon takes in from user {self.user} ({why}): end it, or "
                "mount as that user")
        self.report = None
        self.drop(why)

    def disbelieve(self, why: str) -> None:
        """Note that the peer's report says that it has followed what can't be: it counts as one that has followed
        nothing, so that it can hold up a transition, and is named, but no other write."""
        if self.report is not None:
            self.report["seen"] = -1
        self._say(": " + why, 4)

    def keep(self, kind: str, size: int) -> None:
        """Note how much of what it said last is remembered; a foreign user who makes this too much is cut off."""
        self._kept[kind] = size
        if self.is_foreign and size > 1 << 16 and self._kept_of_user() > MAX_KEPT:
            self._kept[kind] = 0
            self.report = None
            self.drop(f"user {self.user} says more than {MAX_KEPT >> 20} MB that would have to be remembered")

    def _kept_of_user(self) -> int:
        """Bytes that all peers of its user have said last and that are remembered."""
        return sum(sum(peer._kept.values()) for peer in self.peers.known() if peer.user == self.user)

    # -- sending

    def send(self, message: Message) -> bool:
        """Send, or queue. False: there is no connection, or it would not be understood."""
        if self.sock is None or self.version not in (0, VERSION):
            return False
        before = len(self._out)
        self._out += encode(message)
        if self.is_foreign:
            self.budget.pay(len(self._out) - before)
        if self._queued() > MAX_QUEUED:
            self.drop("does not read what it is sent")
            return False
        self._flush()
        return True

    def _queued(self) -> int:
        """Bytes that wait for this peer; of a foreign user's, for all of them."""
        if not self.is_foreign:
            return len(self._out)
        return sum(len(peer._out) for peer in self.peers.known() if peer.user == self.user)

    def tell(self, record: Message) -> None:
        """Send the journal's record; when there is no connection, it is told again once there is."""
        if self.hello is not None and self.send({"t": "record", "r": record}):
            self.sent_seq = record["seq"]

    def ping(self) -> bool:
        """Ask the process for a sign of life: an agent's server thread answers at once, whatever else its process does.
        False: there is no connection."""
        return self.send({"t": "ask", "id": 0, "what": "status", "tid": None})

    def _flush(self) -> None:
        sock = self.sock
        if sock is None:
            return
        try:
            while self._out:
                del self._out[:sock.send(self._out)]
        except BlockingIOError:
            self._wait_for(IN | OUT)
            return
        except OSError:                        # the read that follows tells
            return
        self._wait_for(IN)

    def _wait_for(self, events: int) -> None:
        if self.sock is not None and not self.intake.is_paused:
            self.peers.loop.modify(self.sock.fileno(), events)

    # -- receiving

    def ready(self, events: int) -> None:
        if events & OUT:
            self._flush()
        self.intake.take()
        if self.intake.reader.pending and self.sock is not None and not self.intake.is_paused:
            if self._slow is None:
                self._slow = self.peers.loop.call_later(MESSAGE_SECONDS, lambda: self.drop("does not end its message"))
        elif self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self.peers.changed()

    def closed(self) -> None:
        """The other side has closed the connection."""
        self._failed()
        self.cut()
        self.peers.dropped(self)
        if self._failures > 1:
            return self._again()
        self.connect()                         # at once: a refusal tells whether it is gone

    def understand(self, body: bytes) -> None:
        """Look at a message. It is answered for in linear time whatever it is (wire.check, shapes)."""
        try:
            message = decode(body, self.intake.reader.objects)
        except WireError as error:
            return self.misunderstood(str(error.strerror), error.errno == errno.EMSGSIZE)
        kind = message["t"]
        if self.version not in (0, VERSION) or kind == "hello" and self._speaks_other_version(message):
            return None
        if (len(body) > MOST_BYTES.get(kind, MAX_MESSAGE) or not fits(FROM_AGENT, message)
                or self.hello is None and kind != "hello"):
            return self.misunderstood(f"bad message {kind[:20]!r}")
        self._received(kind, settled(message))
        if kind in ("hello", "report"):
            self.keep(kind, len(body))

    def _received(self, kind: str, message: Message) -> None:
        self.heard = self.peers.loop.now()
        if kind == "hello":
            if not self._take_hello(message):
                return
        elif kind == "ack":
            self.acked = max(self.acked, message["seq"])
        elif kind == "report":
            self.report, self.trouble = message, ""
        self.peers.received(self, kind, message)

    def receive(self, size: int) -> bytes:
        """Bytes that have come, b'' at the connection's end. OSError as recv(2) says."""
        assert self.sock is not None
        return self.sock.recv(size) if self._sender >= 0 else self._first(self.sock)

    def _first(self, sock: socket.socket) -> bytes:
        """Take the first bytes, and the user who sends them: a listening socket only tells who made it, which may be a
        parent."""
        data, ancillary, _, _ = sock.recvmsg(READ_BYTES, socket.CMSG_SPACE(12))
        for level, kind, credentials in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self._is_heard_from(*struct.unpack("3i", credentials[:12])[:2])
        return data

    def _is_heard_from(self, pid: int, user: int) -> None:
        self._sender_pid, self._sender = pid, user
        self._speaker = user
        if self.is_foreign:
            self.intake.reader.limit, self.intake.reader.objects = FOREIGN_MESSAGE, FOREIGN_OBJECTS

    def _speaks_other_version(self, message: Message) -> bool:
        """An agent of another klpfs: `t`, `version`, `pid` and `comm` of its hello are as in all versions, or are not
        there; the rest is not looked at. It is told nothing and counts as silent; the coordinator refuses all writes
        while it lives."""
        version: Any = message.get("version")
        pid: Any = message.get("pid")
        comm: Any = message.get("comm")
        if not natural(version) or version in (0, VERSION):
            return False
        if not natural(pid) or type(comm) is not str:
            pid, comm = 0, ""
        if not self._identify(pid) or not self._serves(message.get("service", self.peers.folder.service)):
            return True
        self.hello, self.report, self.comm, self.version = None, None, printable(comm[:MAX_COMM]), version
        text = f" speaks version {version} of the wire, this daemon version {VERSION}"
        self.trouble = self.name + text + "; end it, or mount with its klpfs"
        self._say(text + ": nothing can be written while it runs", 3)
        return True

    def _take_hello(self, message: Message) -> bool:
        """Note who the peer is. False: it is refused, or gone."""
        if not self._identify(message["pid"]) or not self._serves(message.get("service")):
            return False
        self.hello, self.comm, self.version = message, printable(message["comm"]), VERSION
        self.report = None
        self.acked = -1
        self.peers.restarted(self)
        return True

    def _serves(self, service: object) -> bool:
        """Whether the peer's service is this one. False: it is refused."""
        if service == self.peers.folder.service:
            return True
        self.refuse(f"says that it is of service {service!r:.80}, this is {self.peers.folder.service!r}")
        return False

    def _identify(self, says: int) -> bool:
        """Whether the process that sends can be watched, and has the number that it says (0: none) in its own PID
        namespace, which may be another than this daemon's. False: nothing else that it says is looked at."""
        if self._sender not in (0, self._owner) and not self.peers.folder.owns(self._owner):
            self.refuse(f"user {self._sender} answers on a socket of user {self._owner}")
            return False
        if not self._sender_pid:
            self.refuse(f"says that it is process {says}, but is of another PID namespace",
                        f"mount where it can be seen, end it, or remove {self.key} if it is dead")
            return False
        if not self._watch():
            return False
        number = number_in_own_namespace(self._pidfd)
        if number in (0, says) or not says:
            return True
        try:
            whose = ", of another user" if user_of(says) != self._sender else ""
        except OSError:
            whose = ""
        self.refuse(f"says that it is process {says}{whose}, but is process {number}")
        return False

    def _watch(self) -> bool:
        """Whether the process that sends is the one that is watched, or is from now on. False: the connection is
        closed."""
        pid = self._sender_pid
        if self.pid:
            if self.pid != pid:
                self.drop(f"process {pid} answers on its socket")
            return self.pid == pid
        try:
            space, self._pidfd = address_space(pid), os.pidfd_open(pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                self.leave()
            else:
                self.drop(f"can't be watched: {error.strerror}")
            return False
        self.pid, self._space = pid, space
        self.peers.loop.add(self._pidfd, lambda events: self._died(), AGENTS)
        return True

    def _died(self) -> None:
        self.leave()
        self.peers.changed()
