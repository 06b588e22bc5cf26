"""The agent's own process in /proc: its name, command line and tasks."""
from __future__ import annotations

from posix import O_CLOEXEC, O_RDONLY, close, getpid, listdir

from klpfs.cpython.looks.thread_names import thread_names
from klpfs.engine.bounds import MAX_ENTRIES, MAX_TASK_NAME, MAX_TASKS
from klpfs.protocol.descriptors import open_above as _open
from klpfs.protocol.reading import read_at_most

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any


MAX_PROC_BYTES = 1 << 16        # of a file of /proc; what is longer is cut


def _text(path: str) -> str:
    """The text of a file of /proc; '' where it can't be read."""
    try:
        fd = _open(path, O_RDONLY | O_CLOEXEC)
        try:
            return read_at_most(fd, MAX_PROC_BYTES).decode("utf-8", "surrogateescape")
        finally:
            close(fd)
    except OSError:
        return ""


def comm() -> str:
    """The process's name, as in /proc/<pid>/comm."""
    return _text("/proc/self/comm").rstrip("\n")


def cmdline() -> list[str]:
    """The process's command line."""
    words = _text("/proc/self/cmdline").split("\0")
    return words[:-1][:MAX_ENTRIES]


def describe() -> dict[str, Any]:
    """The 'process' section of an event (wire.py)."""
    return {"pid": getpid(), "comm": comm(), "cmdline": cmdline()}


def tasks(own_tids: Container[int] = ()) -> list[tuple[int, str]]:
    """[(tid, comm)], the main thread first, then by number. A thread's comm is its Python name, if it has one, else the
    kernel's. own_tids: those of klpfs's own threads, which are not the program's."""
    names = {native: name for native, name in thread_names().values() if native is not None and name != "MainThread"}
    pid, out = getpid(), []
    try:
        tids = sorted(int(tid) for tid in listdir("/proc/self/task"))
    except OSError:
        tids = [pid]
    for tid in tids:
        if tid in own_tids:
            continue
        name = names.get(tid)
        if name is None:
            name = _text(f"/proc/self/task/{tid}/comm").rstrip("\n")
        out.append((tid, name[:MAX_TASK_NAME]))
    out.sort(key=lambda task: (task[0] != pid, task[0]))
    return out[:MAX_TASKS]
