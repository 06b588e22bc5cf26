"""A service's folder: all that lies in it is looked at, opened, put, moved and removed here, and nowhere else.

Others may have made what lies there: the service's user where the daemon is root's, every user of the group in a folder
that is shared. So a name is first looked at (O_PATH: nothing is opened, a link is not followed), then what was looked
at is used, by its descriptor, whatever the name has come to mean meanwhile. A file is opened when it is a regular one
of the folder's owner or root's, and not too large; a socket is connected to by its descriptor. Nothing here waits: not
for the other end of a fifo, not for a lease (EWOULDBLOCK), not for a file system that a user has mounted over a name.

A coordinator, which may be root in another user's folder, holds the folder open (`hold`), so that all is in the very
folder that it has looked at. An agent comes by the path: make_folder has seen that nobody but its own user and root can
exchange what the path leads to, and a program closes descriptors that it does not know.
"""
from __future__ import annotations

from _stat import S_ISREG, S_ISSOCK
from errno import EDQUOT, EFBIG, EINVAL, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, ENOTSOCK, ESTALE, EXDEV
from posix import (
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    chmod,
    close,
    fchmod,
    fchown,
    fstat,
    fsync,
    geteuid,
    read,
    readlink,
    rename,
    rmdir,
    scandir,
    stat,
    strerror,
    symlink,
    unlink,
    urandom,
    write,
)

from klpfs.protocol.descriptors import open_above as _open
from klpfs.protocol.folder_layout import JOURNAL, KEEP, LOCK, MAX_ADDRESS_BYTES
from klpfs.protocol.reading import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from posix import stat_result

MOST_NAMES = 10_000         # in a folder: more are not listed, EDQUOT
DRAFT = ".tmp"              # how the name of a file ends that is not yet, or no longer, in its place
_SAFE = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
_LOOK = O_PATH | O_NOFOLLOW | O_CLOEXEC
_WORDS = {JOURNAL: "the journal", LOCK: "the journal's lock"}
NOT_JUST_NOW = (EMFILE, ENFILE, ENOMEM)     # errnos that say nothing about the file: it can't be opened just now


def mount_of(fd: int) -> int | None:
    """The number of the mount that a descriptor is on, without a question to its file system; None: /proc does not
    say."""
    try:
        info = _open(f"/proc/self/fdinfo/{fd}", O_RDONLY | O_CLOEXEC)
    except OSError as error:
        if error.errno in NOT_JUST_NOW:
            raise
        return None         # no /proc, or a process that has changed its user: Linux before 5.14 hides it
    try:
        words = read(info, 4096).split()
    finally:
        close(info)
    return int(words[words.index(b"mnt_id:") + 1]) if b"mnt_id:" in words else None


class Folder:
    """The folder of a service. path: where it lies; service: its name, which the path ends with."""

    __slots__ = ("path", "service", "_fd", "_mount")

    def __init__(self, path: str) -> None:
        self.path, self.service = path, path.rpartition("/")[2]
        self._fd = -1
        self._mount: int | None = None      # that the folder is on, once it was asked for

    # -- the folder itself

    def hold(self, path_fd: int) -> None:
        """Use the folder that the O_PATH descriptor `path_fd` stands for, until `release`, whatever becomes of its
        name."""
        fd = _open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, dir_fd=path_fd)
        try:
            self.release()
        except BaseException:
            close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Let go of the folder that is held. Counterpart: hold."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close(fd)

    def status(self) -> stat_result:
        """stat(2) of the folder."""
        return fstat(self._fd) if self._fd >= 0 else stat(self.path)

    def owns(self, user: int) -> bool:
        """Whether what belongs to `user` is the service's own here: root's or the folder's owner's. Only that is
        obeyed."""
        return user in (0, self.status().st_uid)

    def lets_in(self, user: int) -> bool:
        """Whether a process of `user` may have a socket here: it is the service's own, or the folder is a group's."""
        found = self.status()
        return user in (0, found.st_uid) or bool(found.st_mode & 0o020)

    def file_mode(self) -> int:
        """The mode of journal and contents: for the owner, and to be read by the group if the folder has one."""
        return 0o640 if self.status().st_mode & 0o040 else 0o600

    def names(self) -> list[str]:
        """The names of all that lies in the folder. EDQUOT: more than any service needs, so somebody has made them to
        hold others up."""
        found: list[str] = []
        with scandir(self._fd if self._fd >= 0 else self.path) as entries:
            for entry in entries:
                if len(found) >= MOST_NAMES:
                    raise OSError(EDQUOT, f"there are more than {MOST_NAMES} files in {self.path}")
                found.append(entry.name)
        return found

    def sync(self) -> None:
        """fsync(2) of the folder: what was put in its place stays there."""
        fd = self._fd if self._fd >= 0 else _open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        try:
            fsync(fd)
        finally:
            if fd != self._fd:
                close(fd)

    def remove_folder(self) -> None:
        """rmdir(2) of the folder. ESTALE: another folder has its name now."""
        if self._fd < 0:
            return rmdir(self.path)
        above = _open("..", O_PATH | O_DIRECTORY | O_CLOEXEC, dir_fd=self._fd)
        try:
            here, there = fstat(self._fd), stat(self.service, dir_fd=above, follow_symlinks=False)
            if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                raise OSError(ESTALE, strerror(ESTALE))
            rmdir(self.service, dir_fd=above)
        finally:
            close(above)

    # -- what lies in it

    def look(self, name: str) -> int:
        """An O_PATH descriptor of what `name` is now, which the caller closes. ENOENT: nothing; EXDEV: a file system of
        its own, which is not asked anything."""
        fd = self._open_at(name, _LOOK)
        try:
            if self._is_mount(fd):
                raise OSError(EXDEV, f"another file system is mounted on {name}")
        except BaseException:
            close(fd)
            raise
        return fd

    def look_status(self, name: str) -> stat_result:
        """lstat(2) of `name`. Errors: as look's."""
        fd = self.look(name)
        try:
            return fstat(fd)
        finally:
            close(fd)

    def open(self, name: str, most: int | None, flags: int = O_RDONLY) -> int:
        """A descriptor of the regular file `name`, of the folder's owner or root, with `most` bytes at most (None: any
        number). EIO: it is another user's, a hard link to root's in a user's folder, or no regular file; EFBIG;
        EWOULDBLOCK: somebody has a lease on it; or as look and open(2)."""
        path_fd = self.look(name)
        try:
            found, what = fstat(path_fd), _WORDS.get(name, name)
            if not S_ISREG(found.st_mode):
                raise OSError(EIO, f"{what} is not a regular file")
            if not self.owns(found.st_uid):
                raise OSError(EIO, f"{what} is not the service's, but user {found.st_uid}'s")
            if found.st_nlink > 1 and found.st_uid != self.status().st_uid:
                raise OSError(EIO, f"{what} is another name of a file of root's")       # fs.protected_hardlinks=0
            if most is not None and found.st_size > most:
                raise OSError(EFBIG, strerror(EFBIG))
            try:
                return _open(f"/proc/self/fd/{path_fd}", flags | _SAFE & ~O_NOFOLLOW)
            except FileNotFoundError:           # no /proc, as after a chroot
                return self._open_same(name, flags, found)
        finally:
            close(path_fd)

    def _open_same(self, name: str, flags: int, looked: stat_result) -> int:
        """A descriptor of the file that was looked at, by its name. ESTALE: the name is another file's meanwhile."""
        fd = self._open_at(name, flags | _SAFE)
        found = fstat(fd)
        if (found.st_dev, found.st_ino) != (looked.st_dev, looked.st_ino):
            close(fd)
            raise OSError(ESTALE, strerror(ESTALE))
        return fd

    def read(self, name: str, most: int) -> bytes:
        """The bytes of the file `name`. EFBIG: more than `most`, also when it grows meanwhile; or as open."""
        fd = self.open(name, most)
        try:
            return read_whole(fd, most)
        finally:
            close(fd)

    def open_lock(self) -> int:
        """A descriptor of the lock's file, which is made when there is none. Errors: as open."""
        while True:
            try:
                return self.open(LOCK, None, O_RDWR)
            except FileNotFoundError:
                pass
            try:
                return self._create(LOCK, O_RDWR, 0o600)
            except FileExistsError:
                pass

    def is_lock(self, fd: int) -> bool:
        """Whether the descriptor is still of the folder's lock, which nobody has put another file in the place of."""
        try:
            here, there = fstat(fd), self.look_status(LOCK)
        except FileNotFoundError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def is_misgiven(self, fd: int) -> bool:
        """Whether a file that root has open is not the folder's owner's. False for all other users, who can give
        nothing away."""
        return geteuid() == 0 and fstat(fd).st_uid != self.status().st_uid

    @property
    def keeps(self) -> bool:
        """Whether the journal is to outlive the service: `keep` is a file of the service's own."""
        try:
            found = self.look_status(KEEP)
        except OSError:
            return False
        return S_ISREG(found.st_mode) and self.owns(found.st_uid)

    def put(self, name: str, data: bytes, sync: bool = False) -> int:
        """Put a file of these bytes in the place of `name`; a descriptor of it, to be closed. OSError: all is as
        before. sync: it is on the disk before it is in its place."""
        draft = f"{name}.{urandom(6).hex()}{DRAFT}"
        fd = self._create(draft, O_WRONLY, self.file_mode())
        try:
            left = memoryview(data)
            while left:
                count = write(fd, left)
                if not count:
                    raise OSError(ENOSPC, strerror(ENOSPC))
                left = left[count:]
            if sync:
                fsync(fd)
            self.move(draft, name)
        except BaseException:
            close(fd)
            self.remove(draft)
            raise
        return fd

    def move(self, name: str, to: str) -> None:
        """rename(2) within the folder: nothing is followed, read or copied."""
        rename(self._at(name), self._at(to), src_dir_fd=self._dir(), dst_dir_fd=self._dir())

    def remove(self, name: str) -> None:
        """unlink(2), if it can be done: what is gone already, or not ours to remove, is left."""
        try:
            unlink(self._at(name), dir_fd=self._dir())
        except OSError:
            pass

    def put_link(self, name: str, text: str) -> None:
        """A symbolic link that leads nowhere, and says `text`: made, or put in another's place. It takes no descriptor.
        OSError: as symlink(2) and rename(2)."""
        draft = f"{name}.{urandom(6).hex()}{DRAFT}"
        symlink(text, self._at(draft), dir_fd=self._dir())
        try:
            self.move(draft, name)
        except OSError:
            self.remove(draft)
            raise

    def read_link(self, name: str) -> str:
        """What a symbolic link says; it is not followed. OSError: as readlink(2)."""
        return readlink(self._at(name), dir_fd=self._dir())

    def link_owner(self, name: str) -> int:
        """The user to whom a symbolic link belongs. OSError: as lstat(2)."""
        return stat(self._at(name), dir_fd=self._dir(), follow_symlinks=False).st_uid

    # -- sockets

    def look_socket(self, name: str) -> int:
        """An O_PATH descriptor of the socket `name`, for socket_address. ENOTSOCK: it is none, or not of a user whose
        processes may be here; or as look."""
        fd = self.look(name)
        try:
            found = fstat(fd)
            if not S_ISSOCK(found.st_mode) or not self.lets_in(found.st_uid):
                raise OSError(ENOTSOCK, strerror(ENOTSOCK))
        except BaseException:
            close(fd)
            raise
        return fd

    def bind_address(self, name: str) -> tuple[str, int]:
        """A path for bind() to a new socket `name`; and the descriptor to close afterwards, or -1. A path too long for
        a socket's address goes by way of /proc/self/fd."""
        path = self.path + "/" + name
        if len(path.encode("utf-8", "surrogateescape")) <= MAX_ADDRESS_BYTES:
            return path, -1
        fd = _open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        return f"/proc/self/fd/{fd}/{name}", fd

    def set_mode(self, name: str, mode: int) -> None:
        """chmod(2) of what this process has just made."""
        chmod(self._at(name), mode, dir_fd=self._dir())

    # --

    def _dir(self) -> int | None:
        return self._fd if self._fd >= 0 else None

    def _at(self, name: str) -> str:
        """What a system call takes for a name in the folder, together with _dir()."""
        if "/" in name or name in ("", ".", ".."):
            raise OSError(EINVAL, f"no name in a folder: {name!r}")
        return name if self._fd >= 0 else self.path + "/" + name

    def _open_at(self, name: str, flags: int, mode: int = 0) -> int:
        return _open(self._at(name), flags, mode, dir_fd=self._dir())

    def _create(self, name: str, flags: int, mode: int) -> int:
        """A descriptor of a file that is made now, the folder's owner's: what root makes in another user's service is
        given to that user, whose agents must read it. Only what was made just now is given: a name may be a link to
        anything."""
        fd = self._open_at(name, flags | O_CREAT | O_EXCL | _SAFE, 0o600)
        try:
            if geteuid() == 0:
                folder = self.status()
                if fstat(fd).st_uid != folder.st_uid:
                    fchown(fd, folder.st_uid, folder.st_gid)
            fchmod(fd, mode)                    # whatever the umask is
        except BaseException:
            close(fd)
            self.remove(name)
            raise
        return fd

    def _is_mount(self, fd: int) -> bool:
        mount = mount_of(fd)
        if mount is None or mount == self._mount:
            return False
        if self._fd >= 0:
            self._mount = mount_of(self._fd)
        else:
            own = _open(self.path, _LOOK | O_DIRECTORY)
            try:
                self._mount = mount_of(own)
            finally:
                close(own)
        return mount != self._mount


def as_folder(folder: Folder | str) -> Folder:
    """A Folder of a path, or of itself."""
    return folder if isinstance(folder, Folder) else Folder(folder)


def socket_address(path_fd: int) -> str:
    """A path for connect() to the very socket that a descriptor of Folder.look_socket stands for."""
    return f"/proc/self/fd/{path_fd}"
