"""The service's folder, as an agent uses it besides its socket: contents, dead sockets, and a new service's journal."""
from __future__ import annotations

from errno import ECONNREFUSED, ENOENT, ENOTSOCK
from fcntl import LOCK_EX, LOCK_NB, flock
from posix import close, geteuid

from klpfs.agent.c_functions import own_socket
from klpfs.agent.waiting import pause
from klpfs.cpython.resolve.fingerprint import sha256  # type: ignore[attr-defined, unused-ignore]
from klpfs.protocol import life, record_text
from klpfs.protocol.folder import NOT_JUST_NOW, Folder, socket_address
from klpfs.protocol.folder_layout import JOURNAL, KEEP, MAX_CONTENT_BYTES, SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRIES, PAUSE_S = 20, 0.01       # for the lock of the journal


def content(folder: str, sha: str) -> bytes | None:
    """The bytes that lie under their hash `sha` (64 hex digits); None when they aren't there or aren't those."""
    if len(sha) != 64 or any(c not in "0123456789abcdef" for c in sha):
        return None
    try:
        data = Folder(folder).read(sha, MAX_CONTENT_BYTES)
    except OSError:
        return None
    return data if sha256(data).hexdigest() == sha else None


def answers(folder: str, name: str) -> bool:
    """Whether a process lives whose socket this is: somebody listens on it, or it may not be asked (another user's), or
    it refuses and its process is not known to be dead (life.py). It was renamed when it listened. What is no socket, a
    link to one included, is nobody's. OSError: there are no descriptors to see it with."""
    path_fd = -1
    sock = own_socket()
    try:
        path_fd = Folder(folder).look_socket(name)
        sock.connect(socket_address(path_fd))
        return True
    except OSError as error:
        if error.errno in NOT_JUST_NOW:
            raise
        if error.errno in (ENOENT, ENOTSOCK):
            return False
        return error.errno != ECONNREFUSED or life.lives(Folder(folder), name)
    finally:
        sock.close()
        if path_fd >= 0:
            close(path_fd)


def begin(folder: str, own: str, keep: bool) -> None:
    """A process has bound its socket `own`: dead sockets go; and when nobody else lives, what an earlier run of the
    service left in its journal is ended (keep: what was started counts as finished, as nobody runs what is not) or put
    back to idle. Whoever coordinates now, lives: nothing is done then; nor in a service of another user, whose
    processes do it."""
    here = Folder(folder)
    if here.status().st_uid != geteuid():
        return
    fd = here.open_lock()
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
        if keep and not here.keeps:
            close(here.put(KEEP, b""))
        if others:
            return
        if not keep:
            here.remove(KEEP)
        record = record_text.load(folder + "/" + JOURNAL)
        left = record_text.ended(record) if keep else record_text.idle(record["seq"])
        if any(record[key] != left[key] for key in left if key not in ("seq", "service")):
            left["seq"] += 1
            replace(folder, left)
        elif not record["seq"] and here.status().st_mode & 0o020:
            replace(folder, left)           # ours from the beginning, or another user could put one there
    finally:
        close(fd)


def sweep(folder: str, own: str) -> bool:
    """Remove the sockets of the dead. True: somebody lives here besides the owner of the socket `own`."""
    here = Folder(folder)
    names = here.names()
    others = life.anybody(here, [name for name in names if name != life.life_name(own)])    # also without a socket
    for name in names:
        if name.endswith(SUFFIX) and name != own and name[0] != ".":
            if answers(folder, name):
                others = True
            else:
                life.forget(here, name)
    life.forget_dead(here, names)
    return others


def living(folder: str, names: list[str]) -> list[str]:
    """The sockets of `names` on which a process listens; the rest are removed. (Without a daemon nobody else
    does it for a server whose workers are killed, or end by os._exit.) Where they can't be looked at, all of them."""
    here = Folder(folder)
    try:
        there = set(here.names())
        found = []
        for name in names:
            if name in there:
                if answers(folder, name):
                    found.append(name)
                else:
                    life.forget(here, name)
        return found
    except OSError:
        return names


def replace(folder: str, record: dict[str, Any]) -> None:
    """Put `record` in the journal's place, at once. The lock is held."""
    here = Folder(folder)
    close(here.put(JOURNAL, record_text.dump({**record, "service": here.service})))
