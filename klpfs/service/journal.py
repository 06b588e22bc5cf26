"""The journal on disk: read, written by replacement under a lock, and the contents that lie beside it.

The text is klpfs.protocol.record_text's, the fields are those of docs/PROTOCOL.md#2. Nothing here decides anything.
"""
from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable
from typing import Any

from attrs import define, field

from klpfs.protocol import record_text as text
from klpfs.protocol.folder_layout import JOURNAL, KEEP, LOCK, SUFFIX, file_mode

Record = dict[str, Any]
SAFE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # in a folder where others may make links and fifos
# seconds after which a socket that still has its first name (klpfs.agent.server.bind) is of a process that died there
DRAFT = 60.0
_HASH = re.compile("[0-9a-f]{64}")


def _is_draft(name: str) -> bool:
    return name.startswith(".") and name.endswith(SUFFIX)


@define(eq=False)
class Journal:
    """The journal of the service whose folder is `folder`."""

    folder: str
    _lock: int = field(init=False, default=-1)
    _held: int = field(init=False, default=-1)
    _inode: tuple[int, int] | None = field(init=False, default=None)
    _record: Record = field(init=False, factory=text.idle)

    @property
    def path(self) -> str:
        return os.path.join(self.folder, JOURNAL)

    def read(self) -> Record:
        """The present record; idle when there is no journal. It must not be altered: the same object comes again while
        the file is the same. OSError(EIO): damaged, or neither the folder's owner's nor root's."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            self._forget()
            if self._record["seq"]:
                self._record = text.idle()
            return self._record
        if (found.st_dev, found.st_ino) != self._inode:
            self._forget()
            fd = os.open(self.path, SAFE)
            try:
                self._check_owner(fd, "the journal")
                self._record = text.read_record(fd)
                opened = os.fstat(fd)
            except BaseException:
                os.close(fd)
                raise
            # held open, so that no later journal can have the same inode: files are only replaced, never altered
            self._held, self._inode = fd, (opened.st_dev, opened.st_ino)
        return self._record

    def close(self) -> None:
        """Let go of everything; read() and try_lock() may be used again."""
        self.unlock()
        self._forget()

    def _forget(self) -> None:
        fd, self._held, self._inode = self._held, -1, None
        if fd >= 0:
            os.close(fd)

    # -- the lock

    @property
    def locked(self) -> bool:
        """True while this object holds the lock."""
        return self._lock >= 0

    def try_lock(self) -> bool:
        """Take the lock if it is free; False when somebody else has it.

        OSError: the folder is gone, or no descriptors.
        """
        if self._lock >= 0:
            raise RuntimeError("the journal's lock is held already")
        path = os.path.join(self.folder, LOCK)
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                try:
                    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                except FileExistsError:
                    continue
                self._give(fd)
            try:
                self._check_owner(fd, "the journal's lock")
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                here = os.fstat(fd)
                there = os.stat(path, follow_symlinks=False)
            except BlockingIOError:
                os.close(fd)
                return False
            except FileNotFoundError:                    # unlinked with the folder: there is a new one
                os.close(fd)
                continue
            except BaseException:
                os.close(fd)
                raise
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                self._lock = fd
                return True
            os.close(fd)

    def unlock(self) -> None:
        """Let go of the lock, if it is held."""
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    # -- writing, with the lock

    def write(self, record: Record) -> None:
        """Replace the journal.

        OSError: the old one stands (ENOSPC, EDQUOT, EIO, EFBIG ...). ValueError: seq did not go up.
        """
        if self._lock < 0:
            raise RuntimeError("the journal is written without its lock")
        if record["seq"] <= self.read()["seq"]:
            raise ValueError(f"seq {record['seq']} after {self.read()['seq']}")
        data = text.dump(record)
        if len(data) > text.MAX_JOURNAL_BYTES:                     # nobody would read it
            raise OSError(errno.EFBIG, "the journal would be too large")
        fd = self._replace(self.path, data, not record["change"] and not record["transition"])
        self._forget()  # not read again: what is written is decided, whatever fails now
        found = os.fstat(fd)
        self._held, self._inode, self._record = fd, (found.st_dev, found.st_ino), text.parse(data)

    def put(self, data: bytes) -> str:
        """Store a content; returns its sha256. OSError: nothing is stored."""
        name = hashlib.sha256(data).hexdigest()
        path = os.path.join(self.folder, name)
        if self.get(name) is None:
            os.close(self._replace(path, data))
        return name

    def get(self, sha256: str) -> bytes | None:
        """The content of this hash; None when it is not there, or is not what its name says."""
        if not _HASH.fullmatch(sha256):
            return None
        try:
            with open(os.open(os.path.join(self.folder, sha256), SAFE), "rb") as file:
                data = file.read() or b""      # None: a fifo that somebody holds open
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def prune(self, record: Record) -> None:
        """Remove the contents that no module of `record` has, and what writers that died left behind."""
        wanted = {each["sha256"] for each in record["modules"] + record["patches"]}
        wanted.update(patch["fingerprints"] for patch in record["patches"])
        if record["change"]:
            wanted.add(record["change"]["sha256"])
        for name in os.listdir(self.folder):
            if (
                name.endswith(".tmp")
                or (_HASH.fullmatch(name) and name not in wanted)
                or _is_draft(name)
                and self._is_old(name)
            ):
                self._unlink(name)

    def remove(self, sockets: Iterable[str]) -> bool:
        """The service is dead: remove its folder. `sockets`: names of its dead agents' sockets. False when somebody is
        about to live in it: then all is as before. With the lock."""
        if self._lock < 0:
            raise RuntimeError("the journal is removed without its lock")
        # of a process that died in between, or makes another
        drafts = [name for name in os.listdir(self.folder) if _is_draft(name)]
        for name in [*sockets, *drafts]:
            self._unlink(name)
        if any(name.endswith(".sock") for name in os.listdir(self.folder)):
            return False
        try:
            with open(self.path, "rb") as file:
                data: bytes | None = file.read()
        except FileNotFoundError:
            data = None
        self._unlink(JOURNAL)
        if any(name.endswith(".sock") for name in os.listdir(self.folder)):
            if data is not None:                         # it has bound its socket, and may have read the journal
                os.close(self._replace(self.path, data))
            return False
        for name in os.listdir(self.folder):
            if not name.endswith(".sock"):
                self._unlink(name)
        try:
            os.rmdir(self.folder)
        except OSError:
            return False
        return True

    def _replace(self, path: str, data: bytes, sync: bool = True) -> int:
        """Put a file of these bytes in the place of another; its descriptor. OSError: all is as before. sync: where the
        journal outlives the service, it outlives the machine too, as far as its file system does."""
        sync = sync and os.path.exists(os.path.join(self.folder, KEEP))
        temporary = f"{path}.{os.urandom(6).hex()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._give(fd)
            os.fchmod(fd, file_mode(self.folder))
            left = memoryview(data)
            while left:
                count = os.write(fd, left)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                left = left[count:]
            if sync:
                os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.close(fd)
            self._unlink(os.path.basename(temporary))
            raise
        if sync:
            self._sync_folder()
        return fd

    def _give(self, fd: int) -> None:
        """Give what root makes in another user's service to that user, whose agents must be able to read it. Only what
        was made just now: a name in the folder may be a link to anything."""
        if os.geteuid() == 0:
            folder, file = os.stat(self.folder), os.fstat(fd)
            if file.st_uid != folder.st_uid:
                os.fchown(fd, folder.st_uid, folder.st_gid)

    def _check_owner(self, fd: int, what: str) -> None:
        """Refuse a journal that another user may have put into a folder which a group shares: all would obey it."""
        owner = os.fstat(fd).st_uid
        if owner not in (0, os.stat(self.folder).st_uid):
            raise OSError(errno.EIO, f"{what} is not the service's, but user {owner}'s")

    def _sync_folder(self) -> None:
        """After a file was put in its place: that is done, whatever fails here."""
        try:
            fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            pass

    def _is_old(self, name: str) -> bool:
        try:
            return time.time() - os.lstat(os.path.join(self.folder, name)).st_mtime > DRAFT
        except OSError:
            return False

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self.folder, name))
        except OSError:                                  # gone already, or left for the next try
            pass
