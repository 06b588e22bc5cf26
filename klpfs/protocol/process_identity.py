"""The identity of a process, as the kernel says it: whose it is, and whether it is still the program that it was."""
from __future__ import annotations

import errno


def address_space(pid: int) -> tuple[str, ...]:
    """A mark by which a process differs from the program that it becomes by exec: where its code and its stack begin;
    (): it is dead.
    OSError: it can't be seen just now."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return tuple(file.read().rpartition(b")")[2].decode().split()[23:26])
    except (FileNotFoundError, ProcessLookupError):
        return ()


def user_of(pid: int) -> int:
    """The user whose rights a process has. FileNotFoundError or ProcessLookupError: there is no such process.
    (The owner of /proc/PID is root for a process that can't be dumped, as one that has changed its user.)"""
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Uid:"):
                return int(line.split()[2])
    raise ProcessLookupError(errno.ESRCH, "no such process")
