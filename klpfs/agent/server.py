"""The server thread: the agent's socket and its connections. It answers questions at once, also while foreign code
hangs.

Any thread may send: what the socket does not take at once is queued and sent by this thread. Descriptors are checked to
be still ours (device and inode) before each use, since programs close and reuse descriptors that are not theirs; a lost
listening socket is bound anew. Peers other than this user and root are turned away. What messages mean is
messages.py's.
"""
from __future__ import annotations

from _socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET
from errno import EACCES, EAGAIN, ECONNABORTED, EMSGSIZE, ENOENT, EPERM
from posix import close, fstat, geteuid, getuid, read, stat, urandom, write
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT

from klpfs.agent.c_functions import monotonic, own_socket, poll, socket
from klpfs.agent.quiet_thread import QuietThread
from klpfs.agent.waiting import OwnedLock, pause
from klpfs.engine.log import ERR, NOTICE, WARNING
from klpfs.protocol import life
from klpfs.protocol.descriptors import above_streams, pipe_above
from klpfs.protocol.folder import Folder
from klpfs.protocol.folder_layout import SUFFIX, make_folder
from klpfs.protocol.wire import FOREIGN_MESSAGE, MAX_MESSAGE, Reader, WireError, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.agent import Agent
    Socket = Any                    # a _socket.socket
    Bound = tuple[Socket, str]      # that listens, and its name in the folder
    Identity = tuple[int, int]      # device, inode

BACKLOG = 64
MAX_QUEUED_BYTES = 64 << 20         # waiting for one peer; a peer that reads no more is cut off
TICK_MS = 1000                      # how soon closed descriptors, slow peers and hanging foreign code are noticed
SHORT_MS = 50                       # the same while there are no descriptors left
REFUSAL_S = 10                      # between two lines about peers that are turned away


def identity(fd: int) -> Identity:
    """The device and inode of a descriptor, which tell it from another descriptor of the same number."""
    found = fstat(fd)
    return found.st_dev, found.st_ino


def bind(folder: str) -> Bound:
    """A listening socket of a new random name in `folder`: (socket, name). OSError as bind says; ENOENT: the folder
    went, or the draft with a dead service's folder, just now. Nothing is left behind then."""
    sock = own_socket()
    name = urandom(6).hex() + SUFFIX
    draft = "." + name          # renamed when it listens: a socket that refuses is dead
    here, fd = Folder(folder), -1
    try:
        path, fd = here.bind_address(draft)
        sock.bind(path)
        here.set_mode(draft, 0o600)     # whatever the umask is; root and its own user connect, nobody else
        sock.listen(BACKLOG)
        here.move(draft, name)
    except BaseException:       # a signal handler of the program's may raise, where it is bound for a child (fork.py)
        sock.close()
        here.remove(draft)
        raise
    finally:
        if fd >= 0:
            close(fd)
    return sock, name


def _root() -> Identity:
    found = stat("/")
    return found.st_dev, found.st_ino


def _instead_of(message: dict[str, Any]) -> dict[str, Any]:
    """The answer that is sent where the right one is too large: who has asked gets one."""
    data = message.get("data")
    if type(data) is dict and "found" in data:
        data = {"errno": EMSGSIZE, "text": "there is more to be said than a message holds", "found": None}
    else:
        data = [] if type(data) is list else {} if type(data) is dict else None
    return {"t": "answer", "id": message.get("id", 0), "data": data}


class Connection:
    """A coordinator. change: n of the newest change that it told; pid: the peer's. limit: bytes of a message that
    it takes in. since: when the frame under way
    began."""

    __slots__ = ("sock", "fd", "ident", "pid", "limit", "reader", "since", "queue", "queued", "lock", "open", "change")

    def __init__(self, sock: Socket, pid: int, limit: int = MAX_MESSAGE) -> None:
        self.sock, self.pid, self.limit = sock, pid, limit
        self.fd = sock.fileno()
        self.ident = identity(self.fd)
        self.reader = Reader()
        self.since: float | None = None
        self.queue: list[bytes] = []
        self.queued = 0             # bytes in it
        self.lock = OwnedLock()
        self.open = True
        self.change = 0

    def ours(self) -> bool:
        try:
            return identity(self.fd) == self.ident
        except OSError:
            return False

    def send(self, frame: bytes) -> bool:
        """Send now what the socket takes, queue the rest. True: something is queued (or the connection is to end)."""
        with self.lock:
            if not self.open:
                return False
            if self.queue:
                self.queue.append(frame)
                self.queued += len(frame)
                if self.queued > MAX_QUEUED_BYTES:
                    self.open = False
                return True
            return self._push(frame)

    def flush(self) -> bool:
        """Send what is queued. False: the connection is to end."""
        with self.lock:
            while self.queue and self.open:
                frame = self.queue.pop(0)
                self.queued -= len(frame)
                if self._push(frame):
                    break
            return self.open

    def _push(self, frame: bytes) -> bool:
        if not self.ours():
            self.open = False
            return True
        try:
            sent = self.sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.open = False
            return True
        if sent < len(frame):
            self.queue.insert(0, frame[sent:])
            self.queued += len(frame) - sent
            return True
        return False

    def close(self) -> None:
        self.open = False
        if self.ours():
            self.sock.close()
        else:
            self.sock.detach()      # the number is somebody else's now


class Server(QuietThread):
    """agent: its messages (greet, received, disconnected, tick) and its outbox (say, defect) are called. folder: the
    service's; group: whose users it may belong to, or None. sock, name: of the listening socket. connections: list of
    Connection."""

    __slots__ = ("agent", "folder", "sock", "name", "connections", "_identity", "_wake", "_wake_identity",
                 "_last_refusal", "_too_large", "_bad_message", "_root", "_trouble", "_full", "_group",
                 "_look_at", "_fresh")

    def __init__(self, agent: Agent, folder: str, group: int | None = None) -> None:
        self.agent, self.folder, self._group = agent, folder, group
        self.sock: Socket = None
        self.name = ""              # of its socket in the folder, "" while it has none
        self.connections: list[Connection] = []
        self._identity: Identity | None = None      # of sock
        self._wake: tuple[int, int] | None = None   # a pipe that wakes the thread
        self._wake_identity: tuple[Identity, ...] = ()
        self._last_refusal = -60.0
        self._too_large: set[str] = set()       # kinds of messages, once it was said
        self._bad_message: tuple[int, str] | None = None        # whose, and why, as it was said last
        self._root = _root()
        self._trouble: str | None = None        # why it does not listen, once it was said
        self._look_at = 0.0         # when to look whether the socket is still in its folder
        self._full = False          # no descriptor was left for a connection
        self._fresh = False         # the thread has just started: its first round does not wait
        QuietThread.__init__(self, agent.own_tids)

    # -- life

    def listen(self, bound: Bound | None = None) -> None:
        """Listen on `bound`, which another process has made for us (fork.py), or on a new socket."""
        try:
            sock, name = bound or bind(self.folder)
        except FileNotFoundError:       # removed just now, with the service's last process before us
            if _root() != self._root:
                text = "the program has changed its root, the service's folder is out of its reach"
                raise OSError(ENOENT, text) from None
            sock, name = bind(make_folder(self.folder, self._group))
        self.sock, self._identity = sock, identity(sock.fileno())
        self._trouble = None
        life.note(Folder(self.folder), name)
        self.name = name            # last: a child that was cut off before listens again (Agent.begin_child)

    def no_socket(self, error: OSError, what: str = "the agent can't listen") -> None:
        """Say, once, that nobody can reach this process (or its child), and what may help."""
        text = f"{what}: {error.strerror}"
        if error.errno in (EACCES, EPERM):
            text += "; a service whose processes change to another user wants `klpfs run --group`"
        if text != self._trouble:
            self._trouble = text
            self.agent.outbox.say(text, ERR)

    def _prepare_start(self) -> None:
        """The wake-up pipe, before the thread starts."""
        self._new_wake()

    def after_fork(self, bound: Bound | None = None) -> None:
        """In a forked child: the parent's connections and socket are not ours. (No thread either.) bound: what `listen`
        will be given, kept if this is done again."""
        for connection in self.connections:
            connection.close()
        self.connections = []
        if bound is None or self.sock is not bound[0]:
            self._close_listener()
        self.name, self._trouble = "", None
        self._close_wake()
        self._fresh_thread()

    def remove(self) -> None:
        """At exit: nobody can connect any more, and the thread binds no socket anew. Counterpart: listen."""
        self.stopping = True
        if self.name:
            life.forget(Folder(self.folder), self.name)

    def _close_listener(self) -> None:
        if self.sock is not None:
            if self._listening():
                self.sock.close()
            else:
                self.sock.detach()
            self.sock = None

    def _close_wake(self) -> None:
        if self._wake:
            for fd, known in zip(self._wake, self._wake_identity):
                try:
                    if identity(fd) == known:
                        close(fd)
                except OSError:
                    pass
            self._wake = None

    def _new_wake(self) -> None:
        self._close_wake()
        try:
            wake = pipe_above()
        except OSError:             # no descriptors left: the thread looks more often
            return
        self._wake_identity = tuple(map(identity, wake))
        self._wake = wake

    def _listening(self) -> bool:
        try:
            return self.sock is not None and identity(self.sock.fileno()) == self._identity
        except OSError:
            return False

    def poke(self) -> None:
        """Let the thread look at its queues and flags."""
        wake = self._wake
        try:
            if wake and identity(wake[1]) == self._wake_identity[1]:
                write(wake[1], b"x")
        except OSError:
            pass

    # -- sending

    def post(self, message: dict[str, Any], connection: Connection | None = None) -> None:
        """Send `message` to `connection`, or to all of them."""
        targets = [connection] if connection is not None else list(self.connections)
        if targets:
            try:
                frame = encode(message)
            except WireError as error:
                self._say_too_large(message, str(error.strerror))
                frame, targets = encode(_instead_of(message)), [] if message["t"] != "answer" else targets
            for target in targets:
                if len(frame) > target.limit:
                    self._say_too_large(message, f"message of {len(frame)} bytes")
            small = [target for target in targets if len(frame) <= target.limit]
            queued = [target.send(frame) for target in small]
            if len(small) < len(targets) and message["t"] == "answer":
                queued += [target.send(encode(_instead_of(message))) for target in targets if target not in small]
            if any(queued):
                self.poke()

    def _say_too_large(self, message: dict[str, Any], what: str) -> None:
        """Say, once for each kind of message, that it is too large to be sent: no daemon would take it."""
        kind = message["t"]
        if kind not in self._too_large:
            self._too_large.add(kind)
            self.agent.outbox.say(f"klpfs: '{kind}', a {what}, is more than a daemon takes in, and is not sent", ERR)

    # -- the thread

    def run(self) -> None:
        self._fresh = True
        while not self.ends():
            try:
                self._round()
                if self.agent.alone.is_alone():
                    self.remove()
                    self.agent.thread.stop(0)
                    return
            except BaseException as error:      # ours, so a defect: say it, go on
                self._defect(error)

    def _defect(self, error: BaseException) -> None:
        """Say it, and do not spin. Where even that fails, for want of memory maybe, later rounds do."""
        try:
            self.agent.outbox.defect(error)
        except Exception:
            pass
        pause(SHORT_MS / 1000)

    def _round(self) -> None:
        self._check_own()
        p = poll()
        wake = self._wake
        if self.sock is not None and not self._full:
            p.register(self.sock.fileno(), POLLIN)
        if wake:
            p.register(wake[0], POLLIN)
        by_fd = {}
        for connection in self.connections:
            by_fd[connection.fd] = connection
            p.register(connection.fd, POLLIN | POLLOUT if connection.queue else POLLIN)
        often = not wake or self._full or self.agent.alone.soon()
        try:
            ready = p.poll(0 if self._fresh else SHORT_MS if often else TICK_MS)
        except OSError:             # EINVAL: a program that allows itself fewer descriptors than we have to look at
            pause(SHORT_MS / 1000)
            ready = [(fd, POLLIN | POLLOUT) for fd in by_fd]
        # a program that forks again and again would let no other round come to its end
        self._full = self._fresh = False
        for fd, what in ready:
            found = by_fd.get(fd)
            if found is not None:
                self._serve(found, what)
            elif wake and fd == wake[0]:
                self._drain()
            elif what & POLLIN:
                self._accept()
        self._drop_dead()
        self.agent.messages.tick()

    def _check_own(self) -> None:
        """Descriptors that the program has closed are made anew."""
        try:
            ours = self._wake is not None and tuple(map(identity, self._wake)) == self._wake_identity
        except OSError:
            ours = False
        if not ours:
            # Maybe in the middle of a closerange: an end that is ours still may be the program's when we close it.
            self._wake = None
            self._new_wake()
        for connection in self.connections:
            if not connection.ours():
                connection.open = False
        self._drop_dead()
        if not self._listening() or self._removed():
            old, closed = self.name, not self._listening()
            self._close_listener()
            try:
                self.listen()
            except OSError as error:
                self.no_socket(error)
                return
            self.agent.outbox.say("the agent listens now" if not old else
                                  "the program has closed the agent's socket; a new one is bound" if closed else
                                  "the agent's socket was removed; a new one is bound", NOTICE)
            if old:
                for connection in self.connections:     # their peers connect to the new socket
                    connection.open = False
                life.forget(Folder(self.folder), old)
                self._drop_dead()

    def _removed(self) -> bool:
        """Whether the socket's name was taken out of the folder. Looked for once in a while; a program that has
        changed its root can't see."""
        now = monotonic()
        if self.stopping or now < self._look_at:        # stopping: by `remove`, maybe
            return False
        self._look_at = now + TICK_MS / 1000
        try:
            Folder(self.folder).look_status(self.name)
            return False
        except OSError as error:
            return error.errno == ENOENT and _root() == self._root

    def _drain(self) -> None:
        wake = self._wake
        try:
            if wake and identity(wake[0]) == self._wake_identity[0]:
                read(wake[0], 512)
        except OSError:
            pass

    def _accept(self) -> None:
        if not self._listening():
            return
        try:
            fd, _ = self.sock._accept()
        except OSError as error:
            self._full = error.errno not in (EAGAIN, ECONNABORTED)      # no descriptors, no memory: not at once again
            return
        try:
            sock = socket(AF_UNIX, SOCK_STREAM, 0, above_streams(fd))
            sock.setblocking(False)
            cred = sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        except OSError:         # the program has closed all its descriptors just now; the peer connects again
            return
        pid, uid = int.from_bytes(cred[:4], "little", signed=True), int.from_bytes(cred[4:8], "little")
        if uid not in (0, geteuid()):
            sock.close()
            return self.say_refusal(f"a connection of process {pid} of user {uid} was refused")
        limit = MAX_MESSAGE if {getuid(), geteuid()} <= {0, uid} else FOREIGN_MESSAGE
        self.agent.messages.greet(Connection(sock, pid, limit))     # puts it among the connections

    def say_refusal(self, text: str) -> None:
        """Say whom this process has turned away, not too often."""
        if monotonic() - self._last_refusal > REFUSAL_S:
            self._last_refusal = monotonic()
            self.agent.outbox.say(text, WARNING)

    def _serve(self, connection: Connection, what: int) -> None:
        if what & POLLNVAL:
            connection.open = False
            return
        if what & POLLOUT and not connection.flush():
            return
        if not what & (POLLIN | POLLHUP | POLLERR):
            return
        if not connection.ours():
            connection.open = False
            return
        try:
            data = connection.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            connection.open = False
            return
        try:
            for message in connection.reader.feed(data):
                self.agent.messages.received(connection, message)
        except (WireError, KeyError, TypeError, ValueError) as error:
            connection.open = False
            if (connection.pid, str(error)) != self._bad_message:      # else the same daemon has only connected again
                self._bad_message = connection.pid, str(error)
                self.agent.outbox.say(f"a bad message of process {connection.pid}: {error}; its klpfs may be another",
                                      WARNING)
            return
        if not connection.reader.pending:
            connection.since = None
        elif connection.since is None:
            connection.since = monotonic()

    def _drop_dead(self) -> None:
        lost = False
        for connection in list(self.connections):
            if connection.since is not None and monotonic() - connection.since > self.agent.limits.message:
                self.agent.outbox.say(f"process {connection.pid} does not end its message", WARNING)
                connection.open = False
            if not connection.open:
                self.connections.remove(connection)
                connection.close()
                lost = True
        if lost:
            self.agent.messages.disconnected()
