"""Mounting and unmounting: by fusepy's libfuse, by mount(2), or by the fusermount3 helper; whichever can.

What is mounted where is read from /proc/self/mountinfo: looking at a mount itself may hang, or hit the kernel's cache.
"""
from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from typing import Any, Callable

from attrs import define, field

from klpfs.service import mountinfo

OPTIONS = "default_permissions,fsname=klpfs,subtype=klpfs"
ROOT_OPTIONS = ",allow_other,nosuid,nodev,noexec"
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_FORCE, _MNT_DETACH = 1, 2
ANSWERS = 2.0                                  # seconds after which a mount that does not answer counts as hung


def mounted(point: str) -> mountinfo.Mount | None:
    """The topmost mount on this path; None: there is no mount."""
    return next((entry for entry in reversed(mountinfo.mounts()) if entry.point == point), None)


def answers(point: str) -> int | None:
    """Ask a mount for something that the kernel never caches: 0, an errno, or None when it does not answer in time."""
    pid = os.fork()
    if pid == 0:
        code = errno.EIO
        try:
            os.statvfs(point)
            code = 0
        except OSError as e:
            code = e.errno or errno.EIO
        finally:
            os._exit(code)
    end = time.monotonic() + ANSWERS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status)
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.001)


@define(eq=False)
class Mount:
    """A mount of ours: `fd` speaks FUSE. `close()` unmounts, lazily, and only what is ours."""

    point: str
    fd: int
    device: str | None
    _close: Callable[[], None]
    _open: bool = field(init=False, default=True)

    def close(self, is_shared: bool = False) -> None:
        """Unmount, and close the descriptor. A second time changes nothing. is_shared: another process has the
        descriptor, so that closing it here would not end the connection: it is ended by force, as far as root can."""
        if not self._open:
            return
        self._open = False
        now = mounted(self.point)
        if now is not None and now.device == self.device:
            if is_shared and os.geteuid() == 0:
                _umount2(self.point, _MNT_FORCE | _MNT_DETACH)
            self._close()
        try:
            os.close(self.fd)                  # what is still held open gets ENOTCONN
        except OSError:                        # libfuse has closed it
            pass


def mount(point: str) -> Mount:
    """Mount klpfs on a directory. A dead mount of klpfs there is unmounted first.

    OSError: ENOENT, ENOTDIR, EBUSY (a living klpfs is mounted there), ENODEV (no FUSE in this kernel), EPERM and others
    as the ways to mount gave them; the text says what to do.
    """
    point = _absolute(point)
    _clear(point)
    point = os.path.realpath(point)            # the last part may be a link: not before it is known not to be dead
    _clear(point)
    if not stat.S_ISDIR(os.stat(point).st_mode):
        raise OSError(errno.ENOTDIR, f"not a directory: {point}")
    if not os.path.exists("/dev/fuse"):
        raise OSError(errno.ENODEV, "no /dev/fuse: load the kernel's fuse module (modprobe fuse)")
    root = os.geteuid() == 0
    ways = [_by_libfuse, _by_mount, _by_fusermount] if root else [_by_libfuse, _by_fusermount]
    failed: list[OSError] = []
    for way in ways:
        try:
            fd, close = way(point, OPTIONS + (ROOT_OPTIONS if root else ""))
        except OSError as e:
            failed.append(e)
            continue
        os.set_blocking(fd, False)
        os.set_inheritable(fd, False)
        entry = mounted(point)
        return Mount(point, fd, entry.device if entry else None, close)
    telling = next((e for e in failed if e.errno not in (errno.ENOSYS, errno.EIO)), failed[0])
    hint = ""
    if telling.errno in (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EIO):
        hint = ". In a container: let it have CAP_SYS_ADMIN" if root else ""
        hint += ". Or where user namespaces are allowed: unshare -Urm, and mount in there"
    said = "; ".join(dict.fromkeys(e.strerror or str(e) for e in failed))
    raise OSError(telling.errno, f"can't mount on {point}: {said}{hint}")


def _clear(point: str) -> None:
    while True:
        entry = mounted(point)
        if entry is None or entry.type != mountinfo.KLPFS:
            return
        code = answers(point)
        if code == 0:
            raise OSError(errno.EBUSY, f"klpfs is mounted on {point} already")
        if code != errno.ENOTCONN:
            raise OSError(errno.EBUSY, f"the klpfs mounted on {point} does not answer"
                                       + (f": {os.strerror(code)}" if code else "; is its daemon stopped?"))
        umount(point, lazy=True)


# -- the three ways: each gives (descriptor, how to unmount), or raises OSError; ENOSYS: not here

class _Args(ctypes.Structure):
    _fields_ = [("argc", ctypes.c_int), ("argv", ctypes.POINTER(ctypes.c_char_p)), ("allocated", ctypes.c_int)]


def _by_libfuse(point: str, options: str) -> tuple[int, Callable[[], None]]:
    try:
        from fuse import _libfuse as lib  # fusepy; looks for libfuse 2
        mount, descriptor, unmount = lib.fuse_mount, lib.fuse_chan_fd, lib.fuse_unmount
    except (ImportError, OSError, AttributeError) as e:
        raise OSError(errno.ENOSYS, f"no libfuse 2 for fusepy ({e})") from None
    mount.restype, mount.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.POINTER(_Args)]
    descriptor.restype, descriptor.argtypes = ctypes.c_int, [ctypes.c_void_p]
    unmount.restype, unmount.argtypes = None, [ctypes.c_char_p, ctypes.c_void_p]
    words = [b"klpfs", b"-o", (options + ",nonempty").encode()]
    arguments = _Args(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None), 0)
    channel, said = _quietly(lambda: mount(os.fsencode(point), ctypes.byref(arguments)))
    if not channel:
        raise OSError(errno.EPERM if "ermi" in said else errno.EIO, said or "libfuse can't mount")
    return descriptor(channel), lambda: unmount(os.fsencode(point), channel)


def _quietly(call: Callable[[], Any]) -> tuple[Any, str]:
    """The call's result, and what it wrote to the standard error (libfuse says there why it failed)."""
    try:
        kept = os.dup(2)
    except OSError:                            # there is none
        return call(), ""
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            result = call()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        return result, " ".join(file.read().decode(errors="replace").split())


def _by_mount(point: str, options: str) -> tuple[int, Callable[[], None]]:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fd},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},allow_other,default_permissions"
    if libc.mount(b"klpfs", os.fsencode(point), mountinfo.KLPFS.encode(), _MS_NOSUID | _MS_NODEV | _MS_NOEXEC,
                  data.encode()):
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, f"mount(2): {os.strerror(number)}")
    return fd, lambda: _umount2(point, _MNT_DETACH)


def _umount2(point: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), flags):
        number = ctypes.get_errno()
        raise OSError(number, f"can't unmount {point}: {os.strerror(number)}")


def _helper() -> str | None:
    return shutil.which("fusermount3") or shutil.which("fusermount")


def _by_fusermount(point: str, options: str) -> tuple[int, Callable[[], None]]:
    helper = _helper()
    if helper is None:
        raise OSError(errno.ENOSYS, "no fusermount3 here (install fuse3)")
    ours, its = socket.socketpair()
    with ours:
        with its:
            done = subprocess.run([helper, "-o", options, "--", point],
                                  env={**os.environ, "_FUSE_COMMFD": str(its.fileno())}, pass_fds=[its.fileno()],
                                  stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace",
                                  check=False)
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise OSError(errno.EPERM if "ermi" in said else errno.EINVAL, said or f"{helper} failed")
        _, control, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    if not control:
        raise OSError(errno.EPROTO, f"{helper} sent no descriptor")
    fd = int.from_bytes(control[0][2][:4], "little" if memoryview(b"\1\0").cast("H")[0] == 1 else "big")
    return fd, lambda: umount(point, lazy=True)


def umount(point: str, lazy: bool = False) -> None:
    """Unmount a klpfs.

    `lazy`: also when it is in use or dead. OSError: EINVAL (no klpfs is mounted there), EBUSY, EPERM.
    """
    point = _absolute(point)
    entry = mounted(point)
    if entry is None or entry.type != mountinfo.KLPFS:
        raise OSError(errno.EINVAL, f"no klpfs is mounted on {point}")
    if os.geteuid() == 0:
        _umount2(point, _MNT_DETACH if lazy else 0)
        return
    helper = _helper()
    if helper is None:
        raise OSError(errno.ENOSYS, "no fusermount3 here (install fuse3)")
    done = subprocess.run([helper, "-u", *(["-z"] if lazy else []), "--", point], stdin=subprocess.DEVNULL,
                          capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise OSError(errno.EBUSY if "usy" in said else errno.EPERM, said or f"{helper} failed")


def _absolute(point: str) -> str:
    """The path without links, not looking at the mount itself (it may be dead). ENOENT: the empty path is none."""
    if not point:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    point = os.path.abspath(point)
    return os.path.join(os.path.realpath(os.path.dirname(point)), os.path.basename(point)) if point != "/" else point
