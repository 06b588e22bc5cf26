"""What an agent does in its service's folder besides its socket: contents, dead sockets, and a new service's journal."""
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM
from errno import EAGAIN
from fcntl import LOCK_EX, LOCK_NB, flock
from posix import O_CLOEXEC, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY, close, listdir, open as _open, rename, unlink, write

from klpfs.agent import journal
from klpfs.agent.capture import allocate_lock, socket
from klpfs.agent.places import JOURNAL, LOCK, SUFFIX, address
from klpfs.agent.process import slurp

try:
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

LARGEST = 32 << 20
TRIES, PAUSE = 20, 0.01


def content(folder, sha):
    """The bytes that lie under their hash `sha` (64 hex digits); None when they aren't there or aren't those."""
    if len(sha) != 64 or any(c not in "0123456789abcdef" for c in sha):
        return None
    try:
        data = slurp(folder + "/" + sha, LARGEST)
    except OSError:
        return None
    return data if sha256(data).hexdigest() == sha else None


def answers(folder, name):
    """Whether somebody listens on a socket. It was renamed when it listened, so one that refuses is dead for good."""
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
    path, fd = address(folder, name)
    try:
        sock.connect(path)
        return True
    except OSError as e:
        return e.errno == EAGAIN        # its queue is full
    finally:
        sock.close()
        if fd >= 0:
            close(fd)


def begin(folder, own, keep):
    """A process has bound its socket `own`: dead sockets go; and when nobody else lives, a journal that an earlier run of
    the service left is put back to idle, unless it is to be kept. Whoever coordinates now, lives: nothing is done then."""
    fd = _open(folder + "/" + LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    try:
        waiting = allocate_lock()
        waiting.acquire()
        for _ in range(TRIES):
            try:
                flock(fd, LOCK_EX | LOCK_NB)
                break
            except OSError:
                waiting.acquire(True, PAUSE)
        else:
            return
        others = False
        for name in listdir(folder):
            if name.endswith(SUFFIX) and name != own and name[0] != ".":
                if answers(folder, name):
                    others = True
                else:
                    _remove(folder + "/" + name)
        if others or keep:
            return
        record = journal.load(folder + "/" + JOURNAL)
        if record["patches"] or record["modules"] or record["change"] or record["transition"]:
            replace(folder, journal.idle(record["seq"] + 1))
    finally:
        close(fd)


def replace(folder, record):
    """Put `record` in the journal's place, at once. The lock is held."""
    draft = folder + "/." + JOURNAL
    fd = _open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try:
        data = journal.dump(record)
        while data:
            data = data[write(fd, data):]
    finally:
        close(fd)
    rename(draft, folder + "/" + JOURNAL)


def _remove(path):
    try:
        unlink(path)
    except OSError:
        pass
