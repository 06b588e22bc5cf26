"""The journal on disk: read, written by replacement under a lock, and the contents that lie beside it.

The text is klpfs.protocol.record_text's, the fields are those of docs/PROTOCOL.md#2; the folder is
klpfs.protocol.folder's. Nothing here decides anything.
"""
from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable
from typing import Any

from attrs import define, field

from klpfs.protocol import life
from klpfs.protocol import record_text as text
from klpfs.protocol.folder import DRAFT, Folder, as_folder
from klpfs.protocol.folder_layout import JOURNAL, LOCK, MAX_CONTENT_BYTES, SUFFIX

Record = dict[str, Any]
# seconds after which a socket that still has its first name (klpfs.agent.server.bind) is of a process that died there
OLD = 60.0
_HASH = re.compile("[0-9a-f]{64}")
_ASIDE = JOURNAL + ".aside" + DRAFT     # the journal of a service that is being removed, till it is sure to be dead


def _is_draft(name: str) -> bool:
    return name.startswith(".") and name.endswith(SUFFIX)


@define(eq=False)
class Journal:
    """The journal of the service whose folder is `folder`."""

    folder: Folder = field(converter=as_folder)
    _lock: int = field(init=False, default=-1)
    _open_fd: int = field(init=False, default=-1)
    _inode: tuple[int, int] | None = field(init=False, default=None)
    _record: Record = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._record = text.idle(0, self.folder.service)

    def _none(self) -> Record:
        """The record of a service without a journal."""
        self._forget()
        if self._record["seq"]:
            self._record = text.idle(0, self.folder.service)
        return self._record

    def read(self) -> Record:
        """The present record; idle when there is no journal. It must not be altered: the same object comes again while
        the file is the same. OSError(EIO): damaged, neither the folder's owner's nor root's, or another service's."""
        try:
            found = self.folder.look_status(JOURNAL)
        except FileNotFoundError:
            return self._none()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._is_held_in_place():
                return self._record
            raise
        if (found.st_dev, found.st_ino) != self._inode:
            self._forget()
            try:
                fd = self.folder.open(JOURNAL, None)
            except FileNotFoundError:       # it has been removed since
                return self._none()
            try:
                self._record = text.check_service(text.read_record(fd), self.folder.service)
                opened = os.fstat(fd)
            except BaseException:
                os.close(fd)
                raise
            # held open, so that no later journal can have the same inode: files are only replaced, never altered
            self._open_fd, self._inode = fd, (opened.st_dev, opened.st_ino)
        return self._record

    def close(self) -> None:
        """Let go of everything; read() and try_lock() may be used again."""
        self.unlock()
        self._forget()

    def _is_held_in_place(self) -> bool:
        """Whether the file of the last record has a name still, as far as can be told without another descriptor: a
        journal is replaced by rename(2), which takes its name from the file that was there."""
        return self._open_fd >= 0 and os.fstat(self._open_fd).st_nlink > 0

    def _forget(self) -> None:
        fd, self._open_fd, self._inode = self._open_fd, -1, None
        if fd >= 0:
            os.close(fd)

    # -- the lock

    @property
    def locked(self) -> bool:
        """True while this object holds the lock."""
        return self._lock >= 0

    def try_lock(self) -> bool:
        """Take the lock if it is free; False when somebody else has it.

        A file of root's in another user's folder is put aside for one of that user, who could not open it: the folder
        was root's when the file was made. OSError: the folder is gone, no descriptors, or EIO: the lock's file is
        another user's.
        """
        if self._lock >= 0:
            raise RuntimeError("the journal's lock is held already")
        while True:
            fd = self.folder.open_lock()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self.folder.is_lock(fd):
                    continue
                if self.folder.is_misgiven(fd):
                    self.folder.remove(LOCK)        # who waits for it sees that it is the lock no more
                else:
                    self._lock, fd = fd, -1
                    self._put_back()
                    return True
            except BlockingIOError:
                return False
            finally:
                if fd >= 0:
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
        data = text.dump({**record, "service": self.folder.service})
        if len(data) > text.MAX_JOURNAL_BYTES:                     # nobody would read it
            raise OSError(errno.EFBIG, "the journal would be too large")
        fd = self._put(JOURNAL, data, not record["change"] and not record["transition"])
        self._forget()  # not read again: what is written is decided, whatever fails now
        found = os.fstat(fd)
        self._open_fd, self._inode, self._record = fd, (found.st_dev, found.st_ino), text.parse(data)

    def put(self, data: bytes) -> str:
        """Store a content; returns its sha256. OSError: nothing is stored."""
        name = hashlib.sha256(data).hexdigest()
        if self.get(name) is None:
            os.close(self._put(name, data))
        return name

    def get(self, sha256: str) -> bytes | None:
        """The content of this hash; None when it is not there, is not what its name says, or is not the service's."""
        if not _HASH.fullmatch(sha256):
            return None
        try:
            data = self.folder.read(sha256, MAX_CONTENT_BYTES)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def is_bare(self) -> bool:
        """Whether nothing is in the folder, no journal either. Needs no lock."""
        return not self.folder.names()

    def prune(self, record: Record) -> None:
        """Remove the contents that no module of `record` has, and what writers that died left behind."""
        wanted = {each["sha256"] for each in record["modules"] + record["patches"]}
        wanted.update(patch["fingerprints"] for patch in record["patches"])
        if record["change"]:
            wanted.add(record["change"]["sha256"])
        names = self.folder.names()
        life.forget_dead(self.folder, names)
        for name in names:
            if (
                name.endswith(DRAFT)
                or (_HASH.fullmatch(name) and name not in wanted)
                or _is_draft(name)
                and self._is_old(name)
            ):
                self.folder.remove(name)

    def remove(self, sockets: Iterable[str]) -> bool:
        """The service is dead: remove its folder. `sockets`: names of its dead agents' sockets. False when somebody
        lives in it, or is about to: then all is as before. With the lock."""
        if self._lock < 0:
            raise RuntimeError("the journal is removed without its lock")
        # of a process that died in between, or makes another
        drafts = [name for name in self.folder.names() if _is_draft(name)]
        for name in [*sockets, *drafts]:
            self.folder.remove(name)
        if self._is_lived_in():
            return False
        aside = True
        try:
            self.folder.move(JOURNAL, _ASIDE)
        except FileNotFoundError:
            aside = False
        comes = True                           # it has bound its socket, and may have read the journal
        try:
            comes = self._is_lived_in()
        finally:
            if comes and aside:
                self.folder.move(_ASIDE, JOURNAL)
        if comes:
            return False
        for name in self.folder.names():
            if not name.endswith(SUFFIX):
                self.folder.remove(name)
        try:
            self.folder.remove_folder()
        except OSError:
            return False
        return True

    def _put_back(self) -> None:
        """Put back the journal that somebody had put aside who was killed in `remove`. With the lock."""
        try:
            self.folder.look_status(JOURNAL)
        except FileNotFoundError:
            try:
                found = self.folder.look_status(_ASIDE)
                if stat.S_ISREG(found.st_mode) and self.folder.owns(found.st_uid):
                    self.folder.move(_ASIDE, JOURNAL)
            except OSError:
                pass
        except OSError:
            pass

    def _is_lived_in(self) -> bool:
        """Whether there is a socket, or a process that is not known to be dead, whatever became of its socket."""
        names = self.folder.names()
        return any(name.endswith(SUFFIX) for name in names) or life.anybody(self.folder, names)

    def _put(self, name: str, data: bytes, sync: bool = True) -> int:
        """Put a file of these bytes in the place of another; its descriptor. OSError: all is as before. sync: where the
        journal outlives the service, it outlives the machine too, as far as its file system does."""
        sync = sync and self.folder.keeps
        fd = self.folder.put(name, data, sync)
        if sync:
            try:
                self.folder.sync()
            except OSError:                    # it is in its place, whatever fails here
                pass
        return fd

    def _is_old(self, name: str) -> bool:
        try:
            return time.time() - self.folder.look_status(name).st_mtime > OLD
        except OSError:
            return False
