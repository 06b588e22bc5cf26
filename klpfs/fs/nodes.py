"""Nodes of a file system by number, with the rules of the kernel's kernfs and sysfs; nothing of FUSE is here.

A node that was removed stays what it is for programs that still hold it: a held file answers ENODEV for ever, a held
directory is empty. Numbers are never used again. A node goes from the table when it is removed and the kernel has
forgotten it.
Source: fs/kernfs/{dir,file,inode}.c, fs/sysfs/file.c, fs/seq_file.c; docs/KERNEL.md#8.
"""
from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, Callable, Optional, Union

from attrs import define, field, frozen

PAGE = 4096                                    # an attribute's size; a write is cut there
FOREVER = 3600  # seconds that the kernel may believe a name or attributes; removal tells it
POLLED = 0x1 | 0x4 | 0x40 | 0x100              # DEFAULT_POLLMASK: IN OUT RDNORM WRNORM
_ACCMODE, _RDONLY, _WRONLY, _DIRECT = os.O_ACCMODE, os.O_RDONLY, os.O_WRONLY, os.O_DIRECT
POLL_NEWS = 0x2 | 0x8                          # PRI ERR: changed since the last read


def fail(number: int) -> OSError:
    """The OSError of this errno."""
    return OSError(number, os.strerror(number))


@frozen
class Later:
    """An answer that takes time: `finish(future's result)` is the answer, once the future is done."""

    future: Future[Any]
    finish: Callable[[Any], Any]


class Watcher:
    """The server of the nodes, as they see it: three calls, all ignored here."""

    def removed(self, node: Node) -> None:
        """Note that `node` is out of the tree and is kept for the kernel alone, which still has references to it."""

    def altered(self, node: Node) -> None:
        """Note that stat() would answer otherwise for `node` now."""

    def woken(self, file: Open) -> None:
        """poll() of this open file may answer otherwise now."""


@define(eq=False)
class Table:
    """All nodes by number, and their owner. The root is number 1."""

    uid: int = 0
    gid: int = 0
    watcher: Watcher = field(factory=Watcher)
    by_id: dict[int, Node] = field(init=False, factory=dict)
    root: Dir = field(init=False)
    _numbers: Iterator[int] = field(init=False, factory=lambda: itertools.count(1))

    def __attrs_post_init__(self) -> None:
        self.root = Dir(self, None, "", 0o755)
        self.root.lookups = 1                  # never looked up, always known

    def number(self) -> int:
        return next(self._numbers)

    def forget(self, number: int, lookups: int) -> None:
        """The kernel has dropped this many of its references to node `number`."""
        node = self.by_id.get(number)
        if node is not None:
            node.lookups -= lookups
            node.maybe_free()


@define(eq=False)
class Changed:
    """Attributes that a user has set on a node, in place of its own (struct kernfs_iattrs)."""

    uid: int
    gid: int
    atime: int                                 # nanoseconds since the epoch
    mtime: int
    ctime: int
    xattrs: dict[bytes, bytes] = field(factory=dict)


@define(eq=False)
class Node:
    """A directory, attribute or link. `mode`: type and permission bits; `raw`: the name in bytes.

    lasting: the name stays as long as its directory does, so the kernel may believe it (`cached`: it does). Other names
    are asked for each time: nothing that a program can hold up has to be told to the kernel when they go
    (docs/FACTS-fuse.md#6).
    """

    KIND = 0
    size = 0
    attr_valid = FOREVER

    table: Table
    parent: Dir | None
    name: str
    mode: int
    lasting: bool = field(default=False, kw_only=True)
    cached: bool = field(init=False, default=False)
    entry: bytes | None = field(init=False, default=None)      # what a lookup is answered with; None: to be made
    ino: int = field(init=False)
    raw: bytes = field(init=False)
    born: int = field(init=False)              # nanoseconds since the epoch
    removed: bool = field(init=False, default=False)
    lookups: int = field(init=False, default=0)      # the kernel's references
    changed: Changed | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.ino = self.table.number()
        self.raw = os.fsencode(self.name)
        self.mode |= self.KIND
        self.born = time.time_ns()
        self.table.by_id[self.ino] = self
        if self.parent is not None:
            self.parent.take(self)

    @property
    def nlink(self) -> int:
        return 1

    @property
    def path(self) -> str:
        """For messages: the path from the root."""
        return "/" if self.parent is None else self.parent.path.rstrip("/") + "/" + self.name

    def own(self) -> Changed:
        """The record of what was set on this node, made if need be."""
        if self.changed is None:
            self.changed = Changed(self.table.uid, self.table.gid, self.born, self.born, self.born)
        return self.changed

    def set(self, mode: int | None = None, uid: int | None = None, gid: int | None = None,
            atime: int | None = None, mtime: int | None = None, ctime: int | None = None) -> None:
        """chmod, chown, utime: they stick. A size is not among them: truncate succeeds and changes nothing."""
        own = self.own()
        self.entry = None
        if mode is not None:
            self.mode = stat.S_IFMT(self.mode) | stat.S_IMODE(mode)
        own.uid = own.uid if uid is None else uid
        own.gid = own.gid if gid is None else gid
        own.atime = own.atime if atime is None else atime
        own.mtime = own.mtime if mtime is None else mtime
        own.ctime = time.time_ns() if ctime is None else ctime

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        """trusted.* and security.* stick; others ENOTSUP. EEXIST, ENODATA as XATTR_CREATE, XATTR_REPLACE say."""
        self._keepable(name)
        xattrs = self.own().xattrs
        if flags & os.XATTR_CREATE and name in xattrs:
            raise fail(errno.EEXIST)
        if flags & os.XATTR_REPLACE and name not in xattrs:
            raise fail(errno.ENODATA)
        xattrs[name] = value

    def getxattr(self, name: bytes) -> bytes:
        """The value of an extended attribute; ENODATA when it is not set, whatever its name."""
        if self.changed is None or name not in self.changed.xattrs:
            raise fail(errno.ENODATA)
        return self.changed.xattrs[name]

    def listxattr(self, uid: int) -> bytes:
        """The names, each with a NUL; trusted.* for root only."""
        names = self.changed.xattrs if self.changed is not None else {}
        return b"".join(name + b"\0" for name in names if uid == 0 or not name.startswith(b"trusted."))

    def removexattr(self, name: bytes) -> None:
        self._keepable(name)
        if self.changed is None or self.changed.xattrs.pop(name, None) is None:
            raise fail(errno.ENODATA)

    @staticmethod
    def _keepable(name: bytes) -> None:
        if not name.startswith((b"trusted.", b"security.")):
            raise fail(errno.ENOTSUP)

    def remove(self) -> None:
        """Take this node, and all below it, out of the tree. A second time changes nothing."""
        if self.removed or self.parent is None:
            return
        self.parent.drop(self)
        self._die()
        self._settle()

    def _die(self) -> None:
        self.removed = True

    def _settle(self) -> None:
        self._left()

    def maybe_free(self) -> None:
        """Leave the table when nobody can ask for this node any more."""
        if self.removed and self.lookups <= 0:
            self.table.by_id.pop(self.ino, None)

    def _left(self) -> None:
        """The node is out of the tree: gone, or the kernel's."""
        self.maybe_free()
        if self.lookups > 0:
            self.table.watcher.removed(self)


@define(eq=False)
class Link(Node):
    """A symbolic link to `target`."""

    KIND = stat.S_IFLNK
    target: str = ""


def name_hash(raw: bytes) -> int:
    """Where kernfs puts a name among its siblings. Source: kernfs_name_hash(), partial_name_hash(), hash_64()."""
    value = 0
    for c in raw:
        value = (value + (c << 4) + (c >> 4)) * 11
    value = (value * 0x61C8864680B583EB & 0xFFFFFFFFFFFFFFFF) >> 32 & 0x7FFFFFFF
    return value + 2 if value < 2 else min(value, 0x7FFFFFFE)


_NO_CHILDREN: dict[bytes, Node] = {}          # of all that have none (nearly all: a function's folder); never changed


@define(eq=False)
class Dir(Node):
    """A directory. `refresh()`, where there is one, is called before each look: its children come and go unseen.
    listers: how many have it open and may hold its lock as long as they like (getdents(2) into pages that never come).
    `by_number`: names that are numbers are listed in their order after the others, as in /proc; else names
    are listed in the order of their hash, as in sysfs. A child's place never changes, so a listing that goes on after
    a change repeats and skips nothing that was there all the time. A name that begins with a dot (none of a service's
    does) can be looked up, and is neither listed nor counted."""

    KIND = stat.S_IFDIR
    by_number: bool = False
    refresh: Callable[[], Later | None] | None = None
    children: dict[bytes, Node] = field(init=False, default=_NO_CHILDREN)
    listers: int = field(init=False, default=0)
    _subdirs: int = field(init=False, default=0)
    _order: list[tuple[int, Node]] | None = field(init=False, default=None)
    _places: list[int] = field(init=False, factory=list)

    @property
    def nlink(self) -> int:
        return 2 + self._subdirs

    def take(self, node: Node) -> None:
        if node.raw in self.children:
            raise fail(errno.EEXIST)
        if self.children is _NO_CHILDREN:
            self.children = {}
        self.children[node.raw] = node
        self._order = None
        if node.KIND == stat.S_IFDIR and node.raw[:1] != b".":
            self._subdirs += 1
            self.entry = None
            if self.lookups:
                self.table.watcher.altered(self)

    def drop(self, node: Node) -> None:
        del self.children[node.raw]
        self._order = None
        if node.KIND == stat.S_IFDIR and node.raw[:1] != b".":
            self._subdirs -= 1
            self.entry = None
            if self.lookups:
                self.table.watcher.altered(self)

    def get(self, name: str) -> Node | None:
        return self.children.get(os.fsencode(name))

    def lookup(self, raw: bytes) -> Node:
        """The child of this name. ENOENT."""
        child = self.children.get(raw)
        if child is None:
            raise fail(errno.ENOENT)
        return child

    def listing(self, start: int) -> Iterator[tuple[int, Node]]:
        """The children whose place is `start` or later (2 is the first that there can be): (place, node), in order."""
        if not self.children:
            return iter(())
        if self._order is None:
            self._order = self._placed()
            self._places = [place for place, _ in self._order]
        if start <= 2:
            return iter(self._order)
        return itertools.islice(self._order, bisect_left(self._places, start), None)

    def _placed(self) -> list[tuple[int, Node]]:
        if self.by_number:
            places = [(0x1000000 + int(raw) if raw.isdigit() else node.ino & 0xFFFFFF, raw, node)
                      for raw, node in self.children.items()]
        else:
            places = [(name_hash(raw), raw, node) for raw, node in self.children.items()]
        order: list[tuple[int, Node]] = []
        last = 1
        for place, raw, node in sorted(places, key=lambda entry: entry[:2]):
            if raw[:1] == b".":
                continue
            last = max(place, last + 1)        # two names of one hash
            order.append((last, node))
        return order

    def _die(self) -> None:
        self.removed = True
        for child in self.children.values():
            child._die()

    def _settle(self) -> None:
        children, self.children, self._order, self._subdirs = self.children, _NO_CHILDREN, None, 0
        self.entry = None
        self.refresh = None
        for child in children.values():
            child._settle()
        self._left()


Show = Callable[[], Union[bytes, "Future[Any]"]]
Store = Callable[[bytes, Any], Optional["Future[Any]"]]


@define(eq=False)
class File(Node):
    """A regular file; what opening it gives is an Open."""

    KIND = stat.S_IFREG
    opened: set[Open] | frozenset[Open] = field(init=False, default=frozenset())

    def open(self, flags: int) -> Open:
        raise NotImplementedError

    def check(self, flags: int, readable: bool, writable: bool) -> None:
        """Whether the file may be opened so: EACCES when the bits lack the mode for everybody, for root too, or there
        is no show or store; EINVAL: O_DIRECT; ENODEV: removed. Source: kernfs_fop_open()."""
        if self.removed:
            raise fail(errno.ENODEV)
        mode = flags & _ACCMODE
        if mode != _RDONLY and not (writable and self.mode & 0o222):
            raise fail(errno.EACCES)
        if mode != _WRONLY and not (readable and self.mode & 0o444):
            raise fail(errno.EACCES)
        if flags & _DIRECT:
            raise fail(errno.EINVAL)

    def add(self, file: Open) -> None:
        """`file` is open now, until its close()."""
        if not self.opened:
            self.opened = set()
        self.opened.add(file)                  # type: ignore[union-attr]

    def notify(self) -> None:
        """Wake the callers that poll. Source: kernfs_notify()."""
        for file in self.opened:
            self.table.watcher.woken(file)

    def _die(self) -> None:
        self.removed = True
        if self.opened:
            self.table.watcher.altered(self)   # so that SEEK_END is asked for
            for file in tuple(self.opened):
                self.table.watcher.woken(file)


@define(eq=False)
class Open:
    """An open file description. An answer may be a Later."""

    node: File
    kh: int = field(init=False, default=0)     # the kernel's handle of the caller that polls; 0: none

    def close(self) -> None:
        self.node.opened.discard(self)         # type: ignore[union-attr]

    def alive(self) -> None:
        if self.node.removed:
            raise fail(errno.ENODEV)

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_DATA, SEEK_HOLE. ENXIO: at the end or later."""
        self.alive()
        if not 0 <= offset < self.node.size:
            raise fail(errno.ENXIO)
        return offset if whence == os.SEEK_DATA else self.node.size

    def seek_end(self) -> None:
        """SEEK_END; the size is the new place."""
        self.alive()

    def read(self, size: int, offset: int, flags: int) -> bytes | Later:
        raise NotImplementedError

    def write(self, data: bytes, caller: Any) -> int | Later:
        raise NotImplementedError

    def poll(self) -> int:
        return POLLED


@define(eq=False)
class Attr(File):
    """An attribute: `show()` gives its text in bytes, `store(data, caller)` takes a whole value; either may give a
    Future of it instead, or raise OSError. None: it can't be read, or written.

    `proc`: a file as those in /proc, with a text of any length, in which nobody can seek to the end: EINVAL. Its size
    is not 0 as there: sendfile(2) and splice(2), so busybox's cat and shutil.copy, are told nothing of a
    file of size 0, and get no more of a text than `size` bytes. `limit`: the most bytes that one write takes; more are
    cut off (the write is short), or with `whole`, refused: E2BIG.
    Source: filemap_splice_read() in mm/filemap.c, seq_lseek() in fs/seq_file.c.
    """

    show: Show | None = None
    store: Store | None = None
    proc: bool = False
    size: int = PAGE
    limit: int = PAGE
    whole: bool = False
    event: int = field(init=False, default=1)

    @property
    def attr_valid(self) -> int:               # type: ignore[override]
        return 0 if self.proc else FOREVER     # so that SEEK_END is asked for

    def open(self, flags: int) -> OpenAttr:
        self.check(flags, self.show is not None, self.store is not None)
        file = OpenAttr(self)
        self.add(file)
        return file

    def _settle(self) -> None:
        self.show = self.store = None  # they hold what made this node: nothing must be left to the garbage collection
        self._left()

    def notify(self) -> None:
        self.event += 1
        for file in self.opened:               # not super(): it is done for each change of a service
            self.table.watcher.woken(file)


@define(eq=False)
class Query(File):
    """A question and its answer on one open file, as selinuxfs's and nfsd's transaction files: what is written is the
    question, what is read then its answer, from its start to its end wherever the file position is.

    `ask(data, caller)` gives a Future of bytes, or raises OSError; the write returns when the answer is there. A
    question is one write of `limit` bytes at most: E2BIG. A read before any question: nothing. Source: fs/libfs.c,
    simple_transaction_*().
    """

    ask: Any = None
    limit: int = PAGE

    def open(self, flags: int) -> OpenQuery:
        self.check(flags, True, True)
        file = OpenQuery(self)
        self.add(file)
        return file

    def _settle(self) -> None:
        self.ask = None                        # as Attr's
        self._left()


@define(eq=False)
class OpenQuery(Open):
    """rest: what is still to be read of the last answer."""

    node: Query
    rest: bytes = field(init=False, default=b"")

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        self.alive()
        part, self.rest = self.rest[:size], self.rest[size:]
        return part

    def write(self, data: bytes, caller: Any) -> int | Later:
        self.alive()
        if len(data) > self.node.limit:
            raise fail(errno.E2BIG)
        self.rest = b""

        def answered(text: bytes) -> int:
            self.rest = text
            return len(data)
        return Later(self.node.ask(data, caller), answered)


@define(eq=False)
class OpenAttr(Open):
    """An open attribute, whose text is filled at offset 0 and wherever a read does not go on from the one before.
    Source: seq_read_iter()."""

    node: Attr
    event: int = field(init=False, default=0)
    data: bytes = field(init=False, default=b"")
    at: int = field(init=False, default=0)

    def read(self, size: int, offset: int, flags: int = 0) -> bytes | Later:
        node = self.node
        if node.removed:
            raise fail(errno.ENODEV)
        if offset and offset == self.at:
            return self._part(size, offset)
        if node.show is None:                  # read-ahead (posix_fadvise) asks for it; read(2) itself is EBADF
            raise fail(errno.EBADF)
        self.event = node.event
        data = node.show()
        if data.__class__ is not bytes:
            return Later(data, lambda data: self._fill(data, size, offset))     # type: ignore[arg-type]
        return self._fill(data, size, offset)

    def _fill(self, data: bytes, size: int, offset: int) -> bytes:
        self.data = data = data if len(data) < PAGE or self.node.proc else data[:PAGE - 1]
        if offset == 0 and len(data) <= size:
            self.at = len(data)
            return data
        return self._part(size, offset)

    def _part(self, size: int, offset: int) -> bytes:
        part = self.data[offset:offset + size]
        self.at = offset + len(part)
        return part

    def write(self, data: bytes, caller: Any) -> int | Later:
        node = self.node
        if node.removed:
            raise fail(errno.ENODEV)
        if len(data) > node.limit:
            if node.whole:
                raise fail(errno.E2BIG)
            data = data[:node.limit]
        if not data:
            return 0                           # sysfs calls no store for nothing
        length = len(data)
        if node.store is None:
            raise fail(errno.EBADF)
        future = node.store(data, caller)
        return length if future is None else Later(future, lambda _: length)

    def seek(self, offset: int, whence: int) -> int:
        if self.node.proc:
            raise fail(errno.EINVAL)
        return Open.seek(self, offset, whence)

    def seek_end(self) -> None:
        if self.node.proc:
            raise fail(errno.EINVAL)
        self.alive()

    def poll(self) -> int:
        if self.node.proc:
            return POLLED
        if self.node.removed or self.event != self.node.event:
            return POLLED | POLL_NEWS
        return POLLED
