"""The file that a writer names, opened once as that writer would: with the writer's rights, root and working directory.

Errors are OSErrors with what open(2) or finit_module(2) would say.
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator

from klpfs.protocol.folder import mount_of
from klpfs.protocol.reading import read_whole
from klpfs.service import mountinfo
from klpfs.service.snapshots import Caller

MAX_MODULE_BYTES = 16 << 20
_OPENAT2, _RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT, _RESOLVE_CACHED = 437, 0x02, 0x10, 0x20
_PATH = os.O_PATH | os.O_CLOEXEC
_ACL, _ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP = "system.posix_acl_access", 2, 4, 8
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read(path: str, caller: Caller, owner: int) -> bytes:
    """The bytes of the file `path`, opened with the caller's rights, root and working directory, and read once.

    owner: the user whose service this is. ENOENT, EACCES ... as open(2); ELOOP: by way of /proc/self/fd and the like,
    which are not the writer's here; EISDIR; EINVAL: not a regular file; EACCES: it can be written by strangers (others,
    or a group, owner or entry of its ACL that is neither the caller, the service's user nor root), or where the writer
    is can't be seen from here; EFBIG. It may wait, for ever perhaps: see child_work.py.
    """
    with _as(caller):
        fd = _open(path, caller, 0)
        try:
            return _read(fd, caller, owner)
        finally:
            os.close(fd)


def read_at_once(path: str, caller: Caller, owner: int) -> bytes | None:
    """`read`, if it can be done without waiting for anybody: each part of the path is in the kernel's cache, and it
    ends on a file system of this machine (not on a mount of our own, above all). None: it can't."""
    with _as(caller):
        try:
            fd = _open(path, caller, _RESOLVE_CACHED)
        except OSError:                        # not cached, no such call, or an error that `read` will meet again
            return None
        try:
            return _read(fd, caller, owner) if _is_local(fd) else None
        finally:
            os.close(fd)


def _read(path_fd: int, caller: Caller, owner: int) -> bytes:
    """Read what an O_PATH descriptor stands for: a device or a fifo is not even opened."""
    mode = os.fstat(path_fd).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")
    fd = os.open(f"/proc/self/fd/{path_fd}", _FLAGS)
    try:
        return _take(fd, caller, owner)
    finally:
        os.close(fd)


def _strangers_write(fd: int, status: os.stat_result, caller: Caller, owner: int) -> bool:
    """Whether a user but root, the caller and the service's user can write to a file. Source: acl(5), and the
    layout of include/uapi/linux/posix_acl_xattr.h."""
    users, groups = (0, caller.uid, owner), (0, caller.gid)
    if status.st_mode & stat.S_IWOTH or status.st_uid not in users:
        return True
    if not status.st_mode & stat.S_IWGRP:       # with an ACL these are its mask
        return False
    try:
        entries = list(struct.iter_unpack("<HHI", os.getxattr(fd, _ACL)[4:]))
    except OSError:                            # it has none
        return status.st_gid not in groups
    by_acl = [(tag, who) for tag, permissions, who in entries if permissions & 2]
    return (any(tag == _ACL_USER and who not in users or tag == _ACL_GROUP and who not in groups for tag, who in by_acl)
            or status.st_gid not in groups and any(tag == _ACL_GROUP_OBJ for tag, _ in by_acl))


def _take(fd: int, caller: Caller, owner: int) -> bytes:
    status = os.fstat(fd)
    if _strangers_write(fd, status, caller, owner):
        raise OSError(errno.EACCES, "strangers can write to this file")
    if status.st_size > MAX_MODULE_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return read_whole(fd, MAX_MODULE_BYTES)


def _is_local(fd: int) -> bool:
    """Whether an O_PATH descriptor is on a file system that answers by itself."""
    return mountinfo.is_local(mount_of(fd))


def _open(path: str, caller: Caller, cached: int) -> int:
    """An O_PATH descriptor of what the caller means by `path`; cached: _RESOLVE_CACHED, EAGAIN when it would have to
    wait."""
    if not caller.pid:
        raise OSError(errno.EACCES, "where the writer is can't be seen from here")
    me, how = f"/proc/{caller.pid}", cached | _RESOLVE_NO_MAGICLINKS
    if _root(me) != _root("/proc/self"):       # symbolic links and '..' stay inside its root
        if not path.startswith("/"):
            root, cwd = os.readlink(f"{me}/root"), os.readlink(f"{me}/cwd")
            if root != "/" and (cwd + "/").startswith(root + "/"):
                cwd = cwd[len(root):]
            path = f"{cwd}/{path}"
        return _openat2(f"{me}/root", path, how | _RESOLVE_IN_ROOT)
    return _openat2("/" if path.startswith("/") else f"{me}/cwd", path, how)


def _root(process: str) -> tuple[str, str]:
    return os.readlink(f"{process}/root"), os.readlink(f"{process}/ns/mnt")


def _openat2(folder: str, path: str, resolve: int) -> int:
    folder_fd = os.open(folder, _PATH | os.O_DIRECTORY)
    try:
        how = (ctypes.c_uint64 * 3)(_PATH, 0, resolve)
        fd = ctypes.CDLL(None, use_errno=True).syscall(_OPENAT2, folder_fd, os.fsencode(path), how, ctypes.sizeof(how))
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code == errno.EPERM:                 # of a seccomp profile that does not know the call: O_PATH gives none
            code = errno.ENOSYS
        if code == errno.ENOSYS and resolve == _RESOLVE_NO_MAGICLINKS:      # Linux before 5.6
            return os.open(path, _PATH, dir_fd=folder_fd)
        raise OSError(code, os.strerror(code))
    finally:
        os.close(folder_fd)


@contextlib.contextmanager
def _as(caller: Caller) -> Iterator[None]:
    """Open files as the caller: a daemon of root's takes the caller's file system ids (and loses root's capabilities
    over files with them); a user's own daemon has no more rights than that user, and needs none."""
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
