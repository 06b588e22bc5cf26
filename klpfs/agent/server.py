"""The server thread: the agent's socket and its connections. It answers questions at once, also while foreign code hangs.

Any thread may send: what the socket does not take at once is queued and sent by this thread. Descriptors are checked to
be still ours (device and inode) before each use, since programs close and reuse descriptors that are not theirs; a lost
listening socket is bound anew. Peers other than this user and root are turned away.
"""
from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET
from errno import EACCES, EAGAIN, ECONNABORTED, ENOENT, EPERM
from posix import chmod, close, fstat, geteuid, pipe2, read, rename, stat, unlink, urandom, write, O_CLOEXEC, O_NONBLOCK
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT

from klpfs.agent.c_functions import allocate_lock, monotonic, poll, socket, start_quiet_thread
from klpfs.protocol.folder_layout import address, make_folder, SUFFIX
from klpfs.protocol.wire import encode, MESSAGE_SECONDS, Reader, WireError

BACKLOG = 64
MAX_QUEUED = 64 << 20       # bytes waiting for one peer; a peer that reads no more is cut off
TICK = 1000                 # ms: how soon closed descriptors, slow peers and hanging foreign code are noticed
SHORT = 50                  # ms: the same while there are no descriptors left


def identity(fd):
    """What tells a descriptor from another one of the same number."""
    found = fstat(fd)
    return found.st_dev, found.st_ino


def bind(folder):
    """A listening socket of a new random name in `folder`: (socket, name). OSError as bind says; ENOENT: the folder went, or
    the draft with a dead service's folder, just now. Nothing is left behind."""
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
    name = urandom(6).hex() + SUFFIX
    draft = "." + name          # renamed when it listens: a socket that refuses is dead
    path, fd = address(folder, draft)
    try:
        sock.bind(path)
        chmod(path, 0o600)      # whatever the umask is; root and its own user connect, nobody else
        sock.listen(BACKLOG)
        rename(folder + "/" + draft, folder + "/" + name)
    except OSError:
        sock.close()
        try:
            unlink(folder + "/" + draft)
        except OSError:
            pass
        raise
    finally:
        if fd >= 0:
            close(fd)
    return sock, name


def _root():
    found = stat("/")
    return found.st_dev, found.st_ino


class Connection:
    """One coordinator. change: n of the newest change that it told; pid: the peer's."""

    __slots__ = ("sock", "fd", "ident", "pid", "reader", "since", "queue", "queued", "lock", "open", "change")

    def __init__(self, sock, pid):
        self.sock, self.pid = sock, pid
        self.fd = sock.fileno()
        self.ident = identity(self.fd)
        self.reader = Reader()
        self.since = None           # when the frame under way began
        self.queue, self.queued = [], 0
        self.lock = allocate_lock()
        self.open = True
        self.change = 0

    def ours(self):
        try:
            return identity(self.fd) == self.ident
        except OSError:
            return False

    def send(self, frame):
        """Send now what the socket takes, queue the rest. True: something is queued (or the connection is to end)."""
        with self.lock:
            if not self.open:
                return False
            if self.queue:
                self.queue.append(frame)
                self.queued += len(frame)
                if self.queued > MAX_QUEUED:
                    self.open = False
                return True
            return self._push(frame)

    def flush(self):
        """Send what is queued. False: the connection is to end."""
        with self.lock:
            while self.queue and self.open:
                frame = self.queue.pop(0)
                self.queued -= len(frame)
                if self._push(frame):
                    break
            return self.open

    def _push(self, frame):
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

    def close(self):
        self.open = False
        if self.ours():
            self.sock.close()
        else:
            self.sock.detach()      # the number is somebody else's now


class Server:
    """agent: what is served (agent.py): greet(connection), received(connection, message), disconnected(), tick(),
    say(text, priority), defect(error)."""

    __slots__ = ("agent", "folder", "sock", "name", "ident", "connections", "stopping", "running", "_wake", "_wake_ident",
                 "_last_refusal", "_turn", "_alive", "_root", "_trouble", "_full", "_group", "_look_at")

    def __init__(self, agent, folder, group=None):
        self.agent, self.folder, self._group = agent, folder, group
        self.sock = self.name = self.ident = None
        self.connections = []
        self.stopping = False
        self.running = allocate_lock()      # held while the thread runs
        self._turn, self._alive = allocate_lock(), False
        self._wake = self._wake_ident = None
        self._last_refusal = -60.0
        self._root = _root()
        self._trouble = None        # why it does not listen, once it was said
        self._look_at = 0.0         # when to look whether the socket is still in its folder
        self._full = False          # no descriptor was left for a connection

    # -- life

    def listen(self, bound=None):
        """Listen on `bound` (socket, name), which another has made for us, or on a new socket."""
        try:
            self.sock, self.name = bound or bind(self.folder)
        except FileNotFoundError:       # removed just now, with the service's last process before us
            if _root() != self._root:
                raise OSError(ENOENT, "the program has changed its root, the service's folder is out of its reach") from None
            self.sock, self.name = bind(make_folder(self.folder, self._group))
        self.ident = identity(self.sock.fileno())
        self._trouble = None

    def no_socket(self, error, what="the agent can't listen"):
        """Say, once, that nobody can reach this process (or its child), and what may help."""
        text = "%s: %s" % (what, error.strerror)
        if error.errno in (EACCES, EPERM):
            text += "; a service whose processes change to another user wants `klpfs run --group`"
        if text != self._trouble:
            self._trouble = text
            self.agent.say(text, 3)

    def start(self):
        """Start the thread, the socket is listening; or, when it was told to stop and has not got to it yet, let it go on."""
        with self._turn:
            self.stopping = False
            if self._alive:
                return
            self._alive = True
        self.running.acquire()          # what ran before lets go in a moment
        self._new_wake()
        start_quiet_thread(self._run)

    def _ends(self):
        """Whether to end; decided once, so that `start` knows which thread goes on."""
        with self._turn:
            if self.stopping:
                self._alive = False
            return not self._alive

    def stop(self, timeout):
        """End the thread, leaving socket and connections. True: it has ended."""
        self.stopping = True
        self.wake()
        if self.running.acquire(True, timeout):
            self.running.release()
            return True
        return False

    def forget(self):
        """In a forked child: the parent's connections and socket are not ours."""
        for c in self.connections:
            c.close()
        self.connections = []
        self._close_listener()
        self.name = self._trouble = None
        self._close_wake()
        self.running = allocate_lock()
        self._turn, self._alive = allocate_lock(), False

    def remove(self):
        """At exit: nobody can connect any more."""
        if self.name:
            try:
                unlink(self.folder + "/" + self.name)
            except OSError:
                pass

    def _close_listener(self):
        if self.sock is not None:
            if self._listening():
                self.sock.close()
            else:
                self.sock.detach()
            self.sock = None

    def _close_wake(self):
        if self._wake:
            for fd, ident in zip(self._wake, self._wake_ident):
                try:
                    if identity(fd) == ident:
                        close(fd)
                except OSError:
                    pass
            self._wake = None

    def _new_wake(self):
        self._close_wake()
        try:
            wake = pipe2(O_CLOEXEC | O_NONBLOCK)
        except OSError:             # no descriptors left: the thread looks more often
            return
        self._wake_ident = tuple(map(identity, wake))
        self._wake = wake

    def _listening(self):
        try:
            return self.sock is not None and identity(self.sock.fileno()) == self.ident
        except OSError:
            return False

    def wake(self):
        """Let the thread look at its queues and flags."""
        wake = self._wake
        try:
            if wake and identity(wake[1]) == self._wake_ident[1]:
                write(wake[1], b"x")
        except OSError:
            pass

    # -- sending

    def post(self, message, connection=None):
        """Send `message` to `connection`, or to all of them."""
        targets = [connection] if connection is not None else list(self.connections)
        if targets:
            frame = encode(message)
            if any([c.send(frame) for c in targets]):
                self.wake()

    # -- the thread

    def _run(self):
        try:
            self.agent.tick()           # it learns which thread this is, before anybody asks for tasks
            while not self._ends():
                try:
                    self._round()
                except Exception as e:      # ours, so a defect: say it, go on
                    self.agent.defect(e)
        finally:
            self.running.release()

    def _round(self):
        self._check_own()
        p = poll()
        wake = self._wake
        if self.sock is not None and not self._full:
            p.register(self.sock.fileno(), POLLIN)
        if wake:
            p.register(wake[0], POLLIN)
        by_fd = {}
        for c in self.connections:
            by_fd[c.fd] = c
            p.register(c.fd, POLLIN | POLLOUT if c.queue else POLLIN)
        try:
            ready = p.poll(TICK if wake and not self._full else SHORT)
        except OSError:
            return
        self._full = False
        for fd, what in ready:
            c = by_fd.get(fd)
            if c is not None:
                self._serve(c, what)
            elif wake and fd == wake[0]:
                self._drain()
            elif what & POLLIN:
                self._accept()
        self._drop_dead()
        self.agent.tick()

    def _check_own(self):
        """Descriptors that the program has closed are made anew."""
        try:
            ours = self._wake is not None and tuple(map(identity, self._wake)) == self._wake_ident
        except OSError:
            ours = False
        if not ours:        # perhaps in the middle of a closerange: an end that is still ours may be the program's when we close it
            self._wake = None
            self._new_wake()
        for c in self.connections:
            if not c.ours():
                c.open = False
        self._drop_dead()
        if not self._listening() or self._removed():
            old, closed = self.name, not self._listening()
            self._close_listener()
            try:
                self.listen()
            except OSError as e:
                self.no_socket(e)
                return
            self.agent.say("the agent listens now" if not old else
                           "the program has closed the agent's socket; a new one is bound" if closed else
                           "the agent's socket was removed; a new one is bound", 5)
            if old:
                for c in self.connections:      # who is connected to the old one comes to the new one
                    c.open = False
                try:
                    unlink(self.folder + "/" + old)
                except OSError:
                    pass
                self._drop_dead()

    def _removed(self):
        """Somebody has taken the socket's name out of the folder. Looked for once in a while; a program that has changed its
        root can't see."""
        now = monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + TICK / 1000
        try:
            stat(self.folder + "/" + self.name)
            return False
        except OSError as e:
            return e.errno == ENOENT and _root() == self._root

    def _drain(self):
        try:
            if identity(self._wake[0]) == self._wake_ident[0]:
                read(self._wake[0], 512)
        except OSError:
            pass

    def _accept(self):
        if not self._listening():
            return
        try:
            fd, _ = self.sock._accept()
        except OSError as e:
            self._full = e.errno not in (EAGAIN, ECONNABORTED)      # no descriptors, no memory: not at once again
            return
        sock = socket(AF_UNIX, SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        cred = sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)
        pid, uid = int.from_bytes(cred[:4], "little", signed=True), int.from_bytes(cred[4:8], "little")
        if uid not in (0, geteuid()):
            sock.close()
            if monotonic() - self._last_refusal > 10:
                self._last_refusal = monotonic()
                self.agent.say("a connection of process %d of user %d was refused" % (pid, uid), 4)
            return
        self.agent.greet(Connection(sock, pid))     # puts it among the connections

    def _serve(self, c, what):
        if what & POLLNVAL:
            c.open = False
            return
        if what & POLLOUT and not c.flush():
            return
        if not what & (POLLIN | POLLHUP | POLLERR):
            return
        if not c.ours():
            c.open = False
            return
        try:
            data = c.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            c.open = False
            return
        try:
            for message in c.reader.feed(data):
                self.agent.received(c, message)
        except (WireError, KeyError, TypeError, ValueError) as e:
            self.agent.say("a bad message of process %d: %s" % (c.pid, e), 4)
            c.open = False
            return
        if not c.reader.pending:
            c.since = None
        elif c.since is None:
            c.since = monotonic()

    def _drop_dead(self):
        lost = False
        for c in list(self.connections):
            if c.since is not None and monotonic() - c.since > MESSAGE_SECONDS:
                self.agent.say("process %d does not end its message" % c.pid, 4)
                c.open = False
            if not c.open:
                self.connections.remove(c)
                c.close()
                lost = True
        if lost:
            self.agent.disconnected()
