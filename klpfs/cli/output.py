"""The file that a command writes: a regular file is replaced in one step, anything else is written through."""
from __future__ import annotations

import errno
import os
import stat
import sys

from klpfs.cli.tree import CommandError


def write_file(path: str, text: str) -> bool:
    """Write `text` as the whole of the file `path`; True when that is where this process's own output goes.

    A regular file is replaced when all is written: who reads it sees the old text or the new one. It keeps its mode,
    and links that lead to it stay. What is no regular file (a device, a fifo), or has no path of its own (an open file
    by its link under /proc, a deleted one), is written as `> path` in a shell does it: it may wait for a reader. Text
    for the place where standard output or error go (/dev/stdout) is written there. OSError, with `path` as its file:
    nothing has changed but what was written through, and nothing is left behind. CommandError: who read a fifo has
    left.
    """
    data = text.encode("utf-8", "surrogateescape")
    own = None
    try:
        try:
            found = os.stat(path)
        except FileNotFoundError:              # or a link to a file that does not exist yet
            _create(path, data)
            return False
        own = _own_output(found)
        real = os.path.realpath(path)
        if own is not None:
            sys.stdout.flush()
            _write(own, data)
        elif stat.S_ISREG(found.st_mode) and _is_file(real, found):
            _replace(real, data, stat.S_IMODE(found.st_mode))
        else:
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                _write(fd, data)
            finally:
                os.close(fd)
        return own is not None
    except OSError as e:
        if isinstance(e, BrokenPipeError) and own is None:  # main takes others for a pipe's reader that has seen enough
            raise CommandError(f"{path}: {e.strerror}") from None
        raise OSError(e.errno, e.strerror, path) from None


def _is_file(path: str, found: os.stat_result) -> bool:
    """Whether the file that was found is the one at `path`: what a link under /proc says need not be a path."""
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False


def _create(path: str, data: bytes) -> None:
    """Write a file that does not exist. OSError where open(2) can't make it, too: realpath() makes a name of what is
    none, such as '', `x.py/` and `nowhere/../x.py`."""
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    folder, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    os.stat(folder or ".")
    if path.endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    _replace(path, data, None)


def _own_output(found: os.stat_result) -> int | None:
    """The descriptor, of standard output and error, that is open on this file; None too for a device like /dev/null."""
    for fd in (1, 2):
        try:
            if os.path.samestat(found, os.fstat(fd)) and (os.isatty(fd) or not stat.S_ISCHR(found.st_mode)):
                return fd
        except OSError:                        # closed
            pass
    return None


def _replace(path: str, data: bytes, mode: int | None) -> None:
    """Put a new file with this data in the place of `path`. mode: of the file that it replaces.

    The draft's name is short, whatever the file's: that may be as long as names can be.
    """
    temporary = os.path.join(os.path.dirname(path), f".klpfs.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            _write(fd, data)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:                      # Ctrl-C, too
        os.unlink(temporary)
        raise


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]
