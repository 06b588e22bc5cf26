"""Descriptors of klpfs's own: none is 0, 1 or 2, also in a program that was started without some of these.

Whatever writes to standard output or error would write there: a print of a C library would wake the agent's thread, or
be a part of a file.
"""
from __future__ import annotations

from fcntl import F_DUPFD_CLOEXEC, fcntl
from posix import O_CLOEXEC, O_NONBLOCK, close, pipe2
from posix import open as _open

FIRST = 3               # the first number that is no standard stream's


def above_streams(fd: int) -> int:
    """A descriptor that is no standard stream's in the place of `fd`, which is closed then, also when there is none
    left (OSError); mostly `fd` itself."""
    if fd >= FIRST:
        return fd
    try:
        return fcntl(fd, F_DUPFD_CLOEXEC, FIRST)
    finally:
        close(fd)


def open_above(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """open(2), and no standard stream's descriptor."""
    fd = _open(path, flags, mode, dir_fd=dir_fd)
    if fd >= FIRST:         # no call behind the one that has opened it: a RecursionError would lose the descriptor
        return fd
    return above_streams(fd)


def pipe_above() -> tuple[int, int]:
    """A pipe that does not block, and no standard stream's descriptors."""
    reads, writes = pipe2(O_CLOEXEC | O_NONBLOCK)
    try:
        reads = above_streams(reads)
    except OSError:
        close(writes)
        raise
    try:
        return reads, above_streams(writes)
    except OSError:
        close(reads)
        raise
