"""What is written to insmod and rmmod: their text, the module's name, and the file, opened once as the writer would.

Errors are OSErrors with what finit_module(2), open(2) or kmod would say.
"""
import contextlib
import ctypes
import errno
import os
import stat
from typing import Dict, Iterator, List, Tuple

from klpfs.service.view import Caller

LARGEST = 16 << 20         # bytes of a module's file
_OPENAT2, _RESOLVE_IN_ROOT = 437, 0x10
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def words(text: bytes) -> List[str]:
    """The words of a written line. Blanks separate; quotes, '..' or "..", group, wherever they begin, as a shell and the
    kernel's next_arg() have it, and are taken away; there is no other escape. EINVAL: none, a NUL, a quote left open."""
    out: List[bytearray] = []
    quote, inside = 0, False
    if b"\0" in text:
        raise OSError(errno.EINVAL, "a NUL in the text")
    for byte in text:
        if quote:
            if byte == quote:
                quote = 0
            else:
                out[-1].append(byte)
        elif byte in b" \t\r\n\v\f":
            inside = False
        else:
            if not inside:
                out.append(bytearray())
                inside = True
            if byte in b"'\"":
                quote = byte
            else:
                out[-1].append(byte)
    if quote:
        raise OSError(errno.EINVAL, "a quote is left open")
    if not out or not out[0]:
        raise OSError(errno.EINVAL, "no name")
    return [os.fsdecode(bytes(word)) for word in out]


def insmod_text(text: bytes) -> Tuple[str, Dict[str, str]]:
    """PATH [param=value ...]: the path, the parameters. A parameter without a value is 'Y', as a bool's is for the kernel."""
    path, *rest = words(text)
    params = {}
    for word in rest:
        name, equals, value = word.partition("=")
        if not name:
            raise OSError(errno.EINVAL, f"bad parameter {word!r}")
        params[name] = value if equals else "Y"
    return path, params


def module_name(path: str) -> str:
    """A file's module name, as kmod's path_to_modname(): the base name up to its first dot, '-' as '_'. EINVAL: none, a
    control character, over 255 bytes."""
    name = path.rpartition("/")[2].partition(".")[0].replace("-", "_")
    if not name or any(ord(c) < 32 or ord(c) == 127 for c in name) or len(os.fsencode(name)) > 255:
        raise OSError(errno.EINVAL, f"no name for a module: {name!r}")
    return name


def rmmod_text(text: bytes) -> str:
    """NAME, or a path as rmmod(8) takes it."""
    found = words(text)
    if len(found) != 1:
        raise OSError(errno.EINVAL, "one name is expected")
    return module_name(found[0])


def read(path: str, caller: Caller, owner: int) -> bytes:
    """The bytes of the file `path`, opened with the caller's rights, root and working directory, and read once.

    owner: the user whose service this is. ENOENT, EACCES ... as open(2); EISDIR; EINVAL: not a regular file; EACCES: it can
    be written by strangers (others, or a group or owner that is neither the caller, the service's user nor root); EFBIG.
    """
    with _as(caller):
        fd = _open(path, caller)
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if (found.st_mode & stat.S_IWOTH or found.st_uid not in (0, caller.uid, owner)
                or found.st_mode & stat.S_IWGRP and found.st_gid not in (0, caller.gid)):
            raise OSError(errno.EACCES, "strangers can write to this file")
        if found.st_size > LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        data = b""
        while len(data) <= LARGEST:
            part = os.read(fd, 1 << 20)
            if not part:
                return data
            data += part
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    finally:
        os.close(fd)


def _open(path: str, caller: Caller) -> int:
    me = f"/proc/{caller.pid}"
    if caller.pid and _root(me) != _root("/proc/self"):
        return _open_in_root(path, me)
    if path.startswith("/"):
        return os.open(path, _FLAGS)
    if not caller.pid:
        raise OSError(errno.ENOENT, "the writer's working directory can't be seen from here")
    there = os.open(f"{me}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return os.open(path, _FLAGS, dir_fd=there)
    finally:
        os.close(there)


def _root(process: str) -> Tuple[int, int, str]:
    found = os.stat(f"{process}/root/")
    return found.st_dev, found.st_ino, os.readlink(f"{process}/ns/mnt")


def _open_in_root(path: str, me: str) -> int:
    """In another root or mount namespace: symbolic links and '..' stay inside it."""
    if not path.startswith("/"):
        root, cwd = os.readlink(f"{me}/root"), os.readlink(f"{me}/cwd")
        if root != "/" and (cwd + "/").startswith(root + "/"):
            cwd = cwd[len(root):]
        path = f"{cwd}/{path}"
    root_fd = os.open(f"{me}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = (ctypes.c_uint64 * 3)(_FLAGS, 0, _RESOLVE_IN_ROOT)
        fd = ctypes.CDLL(None, use_errno=True).syscall(_OPENAT2, root_fd, os.fsencode(path), how, ctypes.sizeof(how))
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(fd)
    finally:
        os.close(root_fd)


@contextlib.contextmanager
def _as(caller: Caller) -> Iterator[None]:
    """Open files as the caller: a daemon of root's takes the caller's file system ids (and loses root's capabilities over
    files with them); a user's own daemon has no more rights than that user, and needs none."""
    if os.geteuid() != 0 or caller.uid == 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    groups = os.getgroups()
    theirs = [caller.gid]
    try:
        with open(f"/proc/{caller.pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("Groups:"):
                    theirs += [int(word) for word in line.split()[1:]]
    except OSError:
        pass
    os.setgroups(theirs)
    libc.setfsgid(caller.gid)
    libc.setfsuid(caller.uid)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(os.getegid())
        os.setgroups(groups)
