"""The life of a process, noted beside its socket: by it others see that it lives, when its socket says nothing.

A socket that refuses is no death: a program closes descriptors that it does not know, and where none are left the agent
can bind no other. So an agent notes which process it is in a symbolic link named after its socket (`<random>.life`; it
leads nowhere, is never followed, and takes no descriptor to make or to read). A process counts as dead when there is no
process of that number, another one that began at another time, or another program in it (exec).

In a folder that is shared by a group, a note of another user than the service's is believed of that user's processes
alone: who lives in the folder can say so by a socket, too, and nobody can speak for the kernel's first process.

The number means something in its own PID namespace only. In another one a process is not known to be dead, and so
nothing of it is removed: that is left to those who can see it. A beginning is shown as the reader's time namespace has
it, so only in the first of those is it noted, and compared; elsewhere the address space tells processes apart.
"""
from __future__ import annotations

from posix import getpid, kill, stat

from klpfs.protocol.folder_layout import SUFFIX
from klpfs.protocol.process_identity import stat_words, user_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.protocol.folder import Folder

LIFE = ".life"
FIRST_TIME = "4026531834"       # the kernel's number of the first time namespace (PROC_TIME_INIT_INO)


def life_name(socket_name: str) -> str:
    """The name of the note of the process whose socket has that name."""
    return socket_name[:-len(SUFFIX)] + LIFE


def own_life() -> str:
    """What notes this process: its number, its beginning, its PID namespace, its address space. What can't be had, as
    where no descriptors are left, is '-'."""
    pid = getpid()
    found = _stat_of(pid)
    return " ".join([str(pid), found[1] if found else "-", _namespace("pid"), found[2] if found else "-"])


def note(folder: Folder, socket_name: str) -> None:
    """Note this process beside its socket. Where it can't be done, its socket alone speaks for it. Counterpart:
    forget."""
    try:
        folder.put_link(life_name(socket_name), own_life())
    except OSError:
        pass


def forget(folder: Folder, socket_name: str) -> None:
    """Remove a socket, and the note of its process."""
    folder.remove(socket_name)
    folder.remove(life_name(socket_name))


def pid_of(folder: Folder, socket_name: str) -> int:
    """The process that is noted beside a socket; 0: none is, or it can't be seen from here."""
    words = _noted(folder, life_name(socket_name))
    return int(words[0]) if words and words[2] == _namespace("pid") else 0


def lives(folder: Folder, socket_name: str) -> bool:
    """Whether the process that is noted beside a socket is not known to be dead. False: it is, or none is noted."""
    return _lives(_noted(folder, life_name(socket_name)))


def forget_dead(folder: Folder, names: list[str]) -> None:
    """Remove the notes of the dead whose socket is gone. names: of what is in the folder."""
    there = set(names)
    for name in names:
        if name.endswith(LIFE) and name[:-len(LIFE)] + SUFFIX not in there and not _lives(_noted(folder, name)):
            folder.remove(name)


def anybody(folder: Folder, names: list[str]) -> bool:
    """Whether one of the processes that are noted in a folder of these names is not known to be dead."""
    return any(_lives(_noted(folder, name)) for name in names if name.endswith(LIFE))


def _noted(folder: Folder, name: str) -> list[str]:
    """The four words of a note; none: there is no such note, or it is not believed."""
    try:
        words = folder.read_link(name).split(" ")
        if len(words) != 4 or not (words[0].isascii() and words[0].isdigit()) or len(words[0]) > 9 or not int(words[0]):
            return []
        owner = folder.link_owner(name)
        believed = folder.owns(owner) or words[2] == _namespace("pid") and user_of(int(words[0])) == owner
    except OSError:
        return []
    return words if believed else []


def _lives(words: list[str]) -> bool:
    if not words:
        return False
    pid, began, namespace, space = words
    if namespace != _namespace("pid"):
        return True
    try:
        kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass                    # another user's
    found = _stat_of(int(pid))
    if found is None:
        return True             # it is there, and can't be looked at
    return (found[0] != "dead" and (began == "-" or found[1] == "-" or began == found[1])
            and (space == "-" or found[2] == "-" or space == found[2]))


def _stat_of(pid: int) -> tuple[str, str, str] | None:
    """'dead' or '', beginning and address space of a process: '-' is a beginning in another time namespace than the
    first, and the last for who must not see it. None: it can't be looked at."""
    try:
        words = stat_words(pid)
    except OSError:
        return None
    dead = words[0] in ("Z", "X") and words[20 - 3] in ("0", "1")        # else other threads of it run on
    space = words[26 - 3:29 - 3]
    began = words[22 - 3] if _namespace("time") in ("-", FIRST_TIME) else "-"
    return "dead" if dead else "", began, "-" if "0" in space or "1" in space else "/".join(space)


def _namespace(kind: str) -> str:
    """The number of this process's namespace of a kind, 'pid' or 'time'; '-': /proc does not say."""
    try:
        return str(stat(f"/proc/self/ns/{kind}").st_ino)
    except OSError:
        return "-"
