"""The service's folder, as an agent uses it besides its socket: contents, dead sockets, and a new service's journal."""
from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM
from errno import EAGAIN
from fcntl import LOCK_EX, LOCK_NB, flock
from posix import (
    O_CLOEXEC,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    close,
    fchmod,
    geteuid,
    listdir,
    rename,
    stat,
    unlink,
    write,
)
from posix import open as _open

from klpfs.agent.c_functions import socket
from klpfs.agent.waiting import pause
from klpfs.cpython.resolve.fingerprint import sha256  # type: ignore[attr-defined, unused-ignore]
from klpfs.protocol import record_text
from klpfs.protocol.folder_layout import JOURNAL, KEEP, LOCK, SUFFIX, address, file_mode
from klpfs.protocol.reading import read_at_most

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CONTENT_BYTES = 32 << 20
TRIES, PAUSE_S = 20, 0.01       # for the lock of the journal


def content(folder: str, sha: str) -> bytes | None:
    """The bytes that lie under their hash `sha` (64 hex digits); None when they aren't there or aren't those."""
    if len(sha) != 64 or any(c not in "0123456789abcdef" for c in sha):
        return None
    fd = -1
    try:
        # O_NONBLOCK: another user may have made a fifo of it
        fd = _open(folder + "/" + sha, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        data = read_at_most(fd, MAX_CONTENT_BYTES)
    except OSError:
        return None
    finally:
        if fd >= 0:
            close(fd)
    return data if sha256(data).hexdigest() == sha else None


def answers(folder: str, name: str) -> bool:
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


def begin(folder: str, own: str, keep: bool) -> None:
    """A process has bound its socket `own`: dead sockets go; and when nobody else lives, what an earlier run of the
    service left in its journal is ended (keep: what was started counts as finished, as nobody runs what is not) or put
    back to idle. Whoever coordinates now, lives: nothing is done then; nor in a service of another user, whose
    processes do it."""
    if stat(folder).st_uid != geteuid():
        return
    try:
        fd = _open(folder + "/" + LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    except FileNotFoundError:
        fd = _open(folder + "/" + LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        fchmod(fd, 0o600)                   # whatever the umask is
    try:
        for _ in range(TRIES):
            try:
                flock(fd, LOCK_EX | LOCK_NB)
                break
            except OSError:
                pause(PAUSE_S)
        else:
            return
        others = sweep(folder, own)
        if keep:
            close(_open(folder + "/" + KEEP, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600))
        if others:
            return
        if not keep:
            _remove(folder + "/" + KEEP)
        record = record_text.load(folder + "/" + JOURNAL)
        left = record_text.ended(record) if keep else record_text.idle(record["seq"])
        if any(record[key] != left[key] for key in left if key != "seq"):
            left["seq"] += 1
            replace(folder, left)
        elif not record["seq"] and stat(folder).st_mode & 0o020:
            replace(folder, left)           # ours from the beginning, or another user could put one there
    finally:
        close(fd)


def sweep(folder: str, own: str) -> bool:
    """Remove the sockets of the dead. True: somebody lives here besides the owner of the socket `own`."""
    others = False
    for name in listdir(folder):
        if name.endswith(SUFFIX) and name != own and name[0] != ".":
            if answers(folder, name):
                others = True
            else:
                _remove(folder + "/" + name)
    return others


def living(folder: str, names: list[str]) -> list[str]:
    """The sockets of `names` on which a process listens; the rest are removed. (Without a daemon nobody else
    does it for a server whose workers are killed, or end by os._exit.)"""
    there = set(listdir(folder))
    found = []
    for name in names:
        if name in there:
            if answers(folder, name):
                found.append(name)
            else:
                _remove(folder + "/" + name)
    return found


def replace(folder: str, record: dict[str, Any]) -> None:
    """Put `record` in the journal's place, at once. The lock is held."""
    draft = folder + "/." + JOURNAL
    _remove(draft)
    fd = _open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    try:
        fchmod(fd, file_mode(folder))
        data = record_text.dump(record)
        while data:
            data = data[write(fd, data):]
    finally:
        close(fd)
    rename(draft, folder + "/" + JOURNAL)


def _remove(path: str) -> None:
    try:
        unlink(path)
    except OSError:
        pass
