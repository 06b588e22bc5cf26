"""The identity of a process, as /proc says it: whose it is, and whether it is still the program that it was."""
from __future__ import annotations

from posix import O_CLOEXEC, O_RDONLY, close, read
from posix import open as _open

MAX_BYTES = 1 << 14     # of a file of /proc; a process may be in very many groups


def stat_words(process: int | str, root: str = "/proc") -> list[str]:
    """The words of the `stat` of a process, by its number, or of what has that name in /proc ("self/task/7"), from the
    state on, which proc(5) counts as the third. root: where proc(5) is mounted. FileNotFoundError, ProcessLookupError:
    there is none; or as open(2)."""
    return _read(f"{root}/{process}/stat").rpartition(b")")[2].decode("ascii").split()


def status_word(pid: int, name: str) -> str:
    """The first word of a line of /proc/PID/status, by the line's name. Errors: as stat_words'."""
    return _read(f"/proc/{pid}/status").partition(b"\n" + name.encode() + b":")[2].split()[0].decode("ascii")


def address_space(pid: int) -> tuple[str, ...]:
    """A mark by which a process differs from the program that it becomes by exec: where its code and its stack begin;
    (): it is dead. OSError: it can't be seen just now."""
    try:
        return tuple(stat_words(pid)[26 - 3:29 - 3])
    except (FileNotFoundError, ProcessLookupError):
        return ()


def user_of(pid: int) -> int:
    """The user whose rights a process has. FileNotFoundError, ProcessLookupError: there is no such process; or as
    open(2). (The owner of /proc/PID is root for a process that can't be dumped, as one that has changed its user.)"""
    return int(_read(f"/proc/{pid}/status").partition(b"\nUid:")[2].split()[1])


def number_in_own_namespace(pidfd: int) -> int:
    """The number of a process in its own PID namespace, which it says itself; 0: it is dead, or can't be seen. (A pidfd
    shows it since Linux 5.5.)"""
    try:
        _, found, line = _read(f"/proc/self/fdinfo/{pidfd}").partition(b"NSpid:")
    except OSError:
        return 0
    return max(0, int(line.split(b"\n")[0].split()[-1])) if found else 0


def _read(path: str) -> bytes:
    fd = _open(path, O_RDONLY | O_CLOEXEC)
    try:
        return read(fd, MAX_BYTES)
    finally:
        close(fd)
