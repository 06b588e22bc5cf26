"""The kernel's FUSE protocol, spoken on the descriptor of a mount. Source: include/uapi/linux/fuse.h (7.23 to 7.45).

One request is taken from the descriptor each time it is ready (so that all that has arrived elsewhere has been taken
in) and answered by the nodes. An answer that takes time is sent when it is there; the others go on; INTERRUPT cancels
it.

No answer waits for the kernel to take in what it is told. It caches attributes, and the names that stay as long as
their directory does; it asks for other names each time, so that a program that has read that a patch is gone finds no
trace of its directory (docs/FACTS-fuse.md#6). Messages that it did not ask for are such that no program can hold them
up (INVAL_INODE, POLL), or the business of notices.py.
"""
from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time
from concurrent.futures import CancelledError, Future
from typing import Any, Callable, Union

from attrs import define, field

from klpfs.engine.error import errno_from, place_of
from klpfs.fs.fuse_messages import (
    ATTR,
    ATTR_OUT,
    DIRENT,
    ENTRY,
    GETATTR_FH,
    HEAD,
    IN,
    INIT_OUT,
    INVAL_INODE,
    LONG,
    LSEEK,
    OPEN_OUT,
    OUT,
    POLL,
    RW,
    SETATTR,
    STATFS,
    TWO,
    Init,
    Notify,
    Op,
    Opened,
)
from klpfs.fs.nodes import FOREVER, Dir, Later, Link, Node, Open, Table, Watcher, fail
from klpfs.fs.notices import Notices
from klpfs.service.loop import LAST, Loop
from klpfs.service.snapshots import Caller

MAX_WRITE = 16384

_unpack_two, _unpack_long, _pack_open = TWO.unpack_from, LONG.unpack_from, OPEN_OUT.pack
_unpack_in, _unpack_rw, _pack_out, _read, _write = IN.unpack_from, RW.unpack_from, OUT.pack, os.read, os.write

# a cached read would shrink the size, so DIRECT_IO
_OPEN_FLAGS = int(Opened.DIRECT_IO | Opened.NOFLUSH | Opened.PARALLEL_DIRECT_WRITES)
# Not READDIRPLUS_AUTO: with it the kernel asks for the later parts of a long listing without attributes, and then for
# each name in them alone.
_INIT_FLAGS = int(Init.ATOMIC_O_TRUNC | Init.EXPORT_SUPPORT | Init.BIG_WRITES | Init.DO_READDIRPLUS
                  | Init.PARALLEL_DIROPS
                  | Init.CACHE_SYMLINKS)
# plain numbers, for every request is looked up in these
_ENDING = frozenset(map(int, (Op.FORGET, Op.BATCH_FORGET, Op.RELEASE, Op.RELEASEDIR)))  # nobody waits for their answers
_QUIET = _ENDING | frozenset(map(int, (Op.OPEN, Op.OPENDIR, Op.INTERRUPT)))                 # say nothing of a service

_UNMOUNTED = (errno.ENODEV, errno.ECONNABORTED)     # the second where the connection was aborted (fs/fuse/dev.c)

Header = tuple[int, ...]
Reply = Union[bytes, Later, None]


def attributes(node: Node) -> bytes:
    """A node's struct fuse_attr."""
    own = node.changed
    if own is None:
        seconds, rest = divmod(node.born, 10 ** 9)
        return ATTR.pack(node.ino, node.size, 0, seconds, seconds, seconds, rest, rest, rest, node.mode, node.nlink,
                          node.table.uid, node.table.gid, 0, 4096, 0)
    (a, a_rest), (m, m_rest), (c, c_rest) = (divmod(t, 10 ** 9) for t in (own.atime, own.mtime, own.ctime))
    return ATTR.pack(node.ino, node.size, 0, a & _U64, m & _U64, c & _U64, a_rest, m_rest, c_rest, node.mode,
                      node.nlink, own.uid, own.gid, 0, 4096, 0)


_U64 = 0xFFFFFFFFFFFFFFFF


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


@define(eq=False)
class Session(Watcher):
    """A mount: serves `table` on `fd` (non-blocking), in `loop`. `on_end()` is called when the mount is gone;
    `on_ready()` once the kernel has shaken hands; `log(text)` takes a line for whoever runs the daemon."""

    fd: int
    table: Table
    loop: Loop
    on_end: Callable[[], None] = lambda: None
    on_ready: Callable[[], None] = lambda: None
    log: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    _opened: dict[int, Open] = field(init=False, factory=dict)
    _last: int = field(init=False, default=0)
    _inside: bool = field(init=False, default=False)
    _waiting: dict[int, tuple[int, Future[Any]]] = field(init=False, factory=dict)
    _granted: list[Node] = field(init=False, factory=list)  # lookups that the answer being sent gives to the kernel
    _notices: Notices = field(init=False)
    _stale: dict[int, int] = field(init=False, factory=dict)  # by task: the removed file that it was sent back for
    _closed: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._notices = Notices(self.fd, self.table, self.loop)
        self.table.watcher = self
        self.loop.add(self.fd, self.serve, LAST)

    def close(self) -> bool:
        """Leave the loop. What waits is left: the kernel tells its callers when the descriptor is closed. True: a
        process that only the kernel can let go of has the descriptor too."""
        if self._closed:
            return False
        self._closed = True
        self.table.watcher = Watcher()
        self.loop.remove(self.fd)
        return self._notices.close()

    def waiting_writes(self) -> list[int]:
        """The numbers of the WRITEs that are not answered yet."""
        return [unique for unique, (operation, _) in self._waiting.items() if operation == Op.WRITE]

    # -- requests

    def serve(self, events: int = 0) -> None:
        """Take one request and answer it; and another after one that asks nothing (RELEASE, FORGET)."""
        if self._inside:
            return
        more = 0
        while True:
            try:
                message = _read(self.fd, MAX_WRITE + 4096)
            except OSError as e:
                if e.errno in _UNMOUNTED:
                    self._end()
                elif e.errno not in (errno.EAGAIN, errno.EINTR, errno.ENOENT):    # ENOENT: its caller was killed
                    raise
                return
            if not message:                    # (a test's socket)
                self._end()
                return
            header = _unpack_in(message)
            operation = header[1]
            if more and operation not in _QUIET:
                self._take_in()
            try:
                reply = _OPERATIONS.get(operation, _unknown)(self, header, message)
                if reply.__class__ is bytes:
                    self._reply(header, reply)
                elif reply is not None:
                    self._later(header, reply)       # type: ignore[arg-type]
            except OSError as e:
                self._refused(header, e)
            except Exception:
                self._broken(header)
            if operation not in _ENDING or more == 16:
                return
            more += 1

    def _take_in(self) -> None:
        """Have the loop take in what has arrived elsewhere, before a request is answered that it has not polled for."""
        self._inside = True
        try:
            self.loop.run_once(0)
        except Exception as e:
            self.log(f"klpfs: {type(e).__name__}: {e}")
        finally:
            self._inside = False

    def _reply(self, header: Header, body: bytes) -> None:
        """The short way through _send()."""
        reply = _pack_out(16 + len(body), 0, header[2]) + body
        try:
            _write(self.fd, reply)
        except OSError:                        # again, to be told what to do about it
            self._send(header, 0, body)

    def _end(self) -> None:
        self.close()
        self.on_end()

    def _broken(self, header: Header) -> None:
        """Answer EIO after a mistake of ours, with a line in the log; the mount lives on."""
        kind, value, _ = sys.exc_info()
        where = value and place_of(value) or "?"
        self.log(
            f"klpfs: operation {header[1]} on node {header[3]}: {kind.__name__ if kind else ''}: {value} ({where})"
        )
        self._send(header, errno.EIO)

    def _later(self, header: Header, later: Later) -> None:
        self._waiting[header[2]] = header[1], later.future
        later.future.add_done_callback(lambda future: self._arrived(header, later))

    def _arrived(self, header: Header, later: Later) -> None:
        if self._waiting.pop(header[2], None) is None or self._closed:
            return                             # interrupted, or unmounted
        try:
            reply = later.finish(later.future.result())
            if isinstance(reply, Later):
                self._later(header, reply)
            else:
                self._send(header, 0, reply)
        except OSError as e:
            self._refused(header, e)
        except CancelledError:
            self._send(header, errno.EINTR)
        except BaseException:                  # whatever it is: a future that it reaches only prints it
            self._broken(header)

    def _refused(self, header: Header, error: OSError) -> None:
        """Answer with an error's errno. What the kernel would not take for an errno becomes EIO: it would refuse the
        answer, and the caller would wait for ever."""
        self._send(header, errno_from(error.errno, errno.EIO))

    def _interrupt(self, header: Header, message: bytes) -> None:
        """The caller of a request was interrupted.

        A write is asked to end, and answers; others are answered at once.
        """
        unique = LONG.unpack_from(message, HEAD)[0]
        operation, future = self._waiting.get(unique, (0, None))
        if future is None:
            return
        try:
            if future.cancel() or operation == Op.WRITE:
                return
        except Exception:
            if self._waiting.pop(unique, None) is not None:
                self._broken((0, operation, unique, header[3]))
            return
        del self._waiting[unique]
        self._send((0, operation, unique, 0), errno.EINTR)

    def _send(self, header: Header, error: int, body: bytes = b"") -> None:
        reply = OUT.pack(16 + len(body), -error, header[2]) + body
        if not self._write(reply) and not error:
            self._not_taken(header, body)

    def _write(self, reply: bytes) -> bool:
        try:
            os.write(self.fd, reply)
            return True
        except OSError as e:
            if e.errno != errno.ENOENT and e.errno not in _UNMOUNTED:       # ENOENT: the caller was killed
                self.log(f"klpfs: the kernel refused an answer: {e.strerror}")
            return False

    def _not_taken(self, header: Header, body: bytes) -> None:
        """The kernel has not got this answer, so it will not give back what was in it."""
        if header[1] == Op.OPEN:
            self._opened.pop(LONG.unpack_from(body)[0]).close()
        elif header[1] == Op.OPENDIR:
            self._listed_by(header, -1)
        elif header[1] in (Op.LOOKUP, Op.READDIRPLUS):
            for node in self._granted:
                self.table.forget(node.ino, 1)

    # -- what the nodes tell

    def removed(self, node: Node) -> None:
        self._notices.removed(node)

    def altered(self, node: Node) -> None:
        if node.lookups:                       # takes no lock that a caller could hold
            self._write(OUT.pack(40, Notify.INVAL_INODE, 0) + INVAL_INODE.pack(node.ino, -1, 0))

    def woken(self, file: Open) -> None:
        if file.kh:                            # takes no lock that a caller could hold
            self._write(OUT.pack(24, Notify.POLL, 0) + LONG.pack(file.kh))

    # -- operations: each returns the body of its answer, a Later of it, or raises OSError

    def _node(self, number: int) -> Node:
        node = self.table.by_id.get(number)
        if node is None:
            raise fail(errno.ESTALE)
        return node

    def _open_file(self, number: int) -> Open:
        file = self._opened.get(number)
        if file is None:
            raise fail(errno.EBADF)
        return file

    def _entry(self, node: Node) -> bytes:
        node.lookups += 1
        self._granted = [node]
        entry = node.entry
        if entry is None:
            node.cached = node.cached or node.lasting
            entry = node.entry = (ENTRY.pack(node.ino, 0, FOREVER if node.lasting else 0, node.attr_valid, 0, 0)
                                  + attributes(node))
        return entry

    def _lookup(self, header: Header, message: bytes) -> Reply:
        node, name = self.table.by_id.get(header[3]) or self._node(header[3]), message[HEAD:-1]
        if node.KIND == stat.S_IFDIR and node.refresh is None and name[:1] != b".":    # type: ignore[attr-defined]
            return self._entry(node.lookup(name))                                      # type: ignore[attr-defined]
        if name in (b".", b".."):              # by number, for an exported mount
            if node.removed:
                raise fail(errno.ESTALE)
            return self._entry(node if name == b"." else node.parent or node)
        if not isinstance(node, Dir):
            raise fail(errno.ENOTDIR)
        later = node.refresh() if node.refresh is not None and not node.removed else None
        if later is not None:
            return Later(later.future, lambda result: (later.finish(result), self._entry(node.lookup(name)))[1])
        return self._entry(node.lookup(name))

    def _getattr(self, header: Header, message: bytes) -> Reply:
        flags, _, handle = struct.unpack_from("=IIQ", message, HEAD)
        node = self._node(header[3])
        if flags & GETATTR_FH and handle in self._opened:
            self._opened[handle].seek_end()    # only lseek(fd, 0, SEEK_END) asks so; fstat() gives no handle
        return ATTR_OUT.pack(0 if node.removed else node.attr_valid, 0, 0) + attributes(node)

    def _setattr(self, header: Header, message: bytes) -> Reply:
        node = self._node(header[3])
        (valid, _, _, _, _, atime, mtime, ctime, a_rest, m_rest, c_rest, mode, _, uid, gid, _
         ) = SETATTR.unpack_from(message, HEAD)
        now = time.time_ns()
        node.set(mode=mode if valid & 1 else None, uid=uid if valid & 2 else None, gid=gid if valid & 4 else None,
                 atime=now if valid & 128 else _signed(atime) * 10 ** 9 + a_rest if valid & 16 else None,
                 mtime=now if valid & 256 else _signed(mtime) * 10 ** 9 + m_rest if valid & 32 else None,
                 ctime=_signed(ctime) * 10 ** 9 + c_rest if valid & 1024 else now)
        return ATTR_OUT.pack(node.attr_valid, 0, 0) + attributes(node)

    def _readlink(self, header: Header, message: bytes) -> Reply:
        node = self._node(header[3])
        if not isinstance(node, Link):
            raise fail(errno.EINVAL)
        return os.fsencode(node.target)

    def _open(self, header: Header, message: bytes) -> Reply:
        node = self.table.by_id.get(header[3]) or self._node(header[3])
        if node.KIND != stat.S_IFREG:
            raise fail(errno.EISDIR)
        if node.removed and self._by_stale_name(header):
            raise fail(errno.ESTALE)
        self._last = handle = self._last + 1
        self._opened[handle] = node.open(_unpack_two(message, HEAD)[0])     # type: ignore[attr-defined]
        return _pack_open(handle, _OPEN_FLAGS, 0)

    def _by_stale_name(self, header: Header) -> bool:
        """Whether a removed file may be opened by its name in a folder that has gone with it and is still held. After
        an ESTALE the kernel looks for the name again, and is told that there is none; what comes again without a
        lookup comes by a held descriptor (/proc/self/fd/N), and gets what sysfs says."""
        task, number = header[6], header[3]
        if self._stale.pop(task, 0) == number:
            return False
        if len(self._stale) >= 64:
            self._stale.clear()
        self._stale[task] = number
        return True

    def _read(self, header: Header, message: bytes) -> Reply:
        handle, offset, size, _, _, flags = _unpack_rw(message, HEAD)
        file = self._opened.get(handle)
        return (file or self._open_file(handle)).read(size, offset, flags)

    def _write_op(self, header: Header, message: bytes) -> Reply:
        handle, _, size, _, _, _ = RW.unpack_from(message, HEAD)
        written = self._open_file(handle).write(message[HEAD + 40:HEAD + 40 + size],
                                                Caller(header[6], header[4], header[5]))
        if isinstance(written, Later):
            finish = written.finish
            return Later(written.future, lambda result: TWO.pack(finish(result), 0))
        return TWO.pack(written, 0)

    def _release(self, header: Header, message: bytes) -> Reply:
        file = self._opened.pop(_unpack_long(message, HEAD)[0], None)
        if file is not None:
            file.close()
            if file.node.removed:
                self._notices.again()
        return b""

    def _opendir(self, header: Header, message: bytes) -> Reply:
        self._listed_by(header, 1)
        return OPEN_OUT.pack(0, 0, 0)         # a place in a listing needs no handle

    def _releasedir(self, header: Header, message: bytes) -> Reply:
        self._listed_by(header, -1)
        return b""

    def _listed_by(self, header: Header, more: int) -> None:
        node = self.table.by_id.get(header[3])
        if isinstance(node, Dir):
            node.listers += more
            if more < 0 and node.removed:
                self._notices.again()

    def _readdir(self, header: Header, message: bytes) -> Reply:
        return self._listed(header, message, False)

    def _readdirplus(self, header: Header, message: bytes) -> Reply:
        return self._listed(header, message, True)

    def _listed(self, header: Header, message: bytes, plus: bool) -> Reply:
        node = self._node(header[3])
        _, offset, size, _, _, _ = RW.unpack_from(message, HEAD)
        if not isinstance(node, Dir):
            raise fail(errno.ENOTDIR)
        if node.refresh is not None and not node.removed and offset == 0:
            later = node.refresh()
            if later is not None:
                return Later(later.future,
                             lambda result: (later.finish(result), self._list(node, offset, size, plus))[1])
        return self._list(node, offset, size, plus)

    def _list(self, node: Dir, offset: int, size: int, plus: bool) -> bytes:
        """Entries from place `offset` on: `.` is at 0, `..` at 1; what is listed also counts as looked up with
        `plus`."""
        parts: list[bytes] = []
        granted: list[Node] = []
        self._granted = granted
        used, head = 0, 152 if plus else 24
        if node.removed or (offset >= 2 and not node.children):
            return b""
        dots = ((b".", node), (b"..", node.parent or node))
        for place in range(offset, 2):
            name, dot = dots[place]
            entry = bytes(head - 24) + DIRENT.pack(dot.ino, place + 1, len(name), dot.mode >> 12) + name.ljust(8, b"\0")
            used += len(entry)
            if used > size:
                return b"".join(parts)
            parts.append(entry)
        for place, child in node.listing(offset):
            raw = child.raw
            length = len(raw)
            used += head + (length + 7 & -8)
            if used > size:
                break
            if plus and child.lasting:
                child.lookups += 1
                child.cached = True
                granted.append(child)
                parts.append(ENTRY.pack(child.ino, 0, FOREVER, child.attr_valid, 0, 0))
                parts.append(attributes(child))
            elif plus:                         # it will be looked up in any case
                parts.append(_NO_ENTRY)
            parts.append(DIRENT.pack(child.ino, place + 1, length, child.mode >> 12))
            parts.append(raw + _PADDING[length & 7])
        return b"".join(parts)

    def _poll(self, header: Header, message: bytes) -> Reply:
        handle, kh, flags, _ = POLL.unpack_from(message, HEAD)
        file = self._open_file(handle)
        if flags & 1:                          # SCHEDULE_NOTIFY
            file.kh = kh
        return TWO.pack(file.poll(), 0)

    def _lseek(self, header: Header, message: bytes) -> Reply:
        handle, offset, whence = LSEEK.unpack_from(message, HEAD)
        if handle not in self._opened:         # a directory's
            raise fail(errno.EINVAL)
        return LONG.pack(self._opened[handle].seek(_signed(offset), whence))

    def _statfs(self, header: Header, message: bytes) -> Reply:
        return STATFS.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)

    def _mknod(self, header: Header, message: bytes) -> Reply:
        raise fail(errno.EACCES if stat.S_ISREG(TWO.unpack_from(message, HEAD)[0]) else errno.EPERM)

    def _setxattr(self, header: Header, message: bytes) -> Reply:
        size, flags = TWO.unpack_from(message, HEAD)
        name, _, value = message[HEAD + 8:].partition(b"\0")
        self._node(header[3]).setxattr(name, value[:size], flags)
        return b""

    def _sized(self, message: bytes, value: bytes) -> bytes:
        """The answer of getxattr and listxattr: the size when asked with none, else the value, or ERANGE."""
        size = TWO.unpack_from(message, HEAD)[0]
        if size == 0:
            return TWO.pack(len(value), 0)
        if len(value) > size:
            raise fail(errno.ERANGE)
        return value

    def _getxattr(self, header: Header, message: bytes) -> Reply:
        return self._sized(message, self._node(header[3]).getxattr(message[HEAD + 8:-1]))

    def _listxattr(self, header: Header, message: bytes) -> Reply:
        return self._sized(message, self._node(header[3]).listxattr(header[4]))

    def _removexattr(self, header: Header, message: bytes) -> Reply:
        self._node(header[3]).removexattr(message[HEAD:-1])
        return b""

    def _forget(self, header: Header, message: bytes) -> Reply:
        self.table.forget(header[3], LONG.unpack_from(message, HEAD)[0])
        return None

    def _batch_forget(self, header: Header, message: bytes) -> Reply:
        count = TWO.unpack_from(message, HEAD)[0]
        for i in range(count):
            number, lookups = struct.unpack_from("=QQ", message, HEAD + 8 + 16 * i)
            self.table.forget(number, lookups)
        return None

    def _init(self, header: Header, message: bytes) -> Reply:
        major, minor, _, flags = struct.unpack_from("=IIII", message, HEAD)
        if major != 7 or minor < 23:
            self.log(f"klpfs: this kernel speaks FUSE {major}.{minor}; 7.23 or later is needed")
            raise fail(errno.EPROTO)
        self.loop.call_soon(self.on_ready)
        return INIT_OUT.pack(7, min(minor, 38), 0, flags & _INIT_FLAGS, 16, 12, MAX_WRITE, 1, 4, 0, 0)

    def _ok(self, header: Header, message: bytes) -> Reply:
        return b""


_NO_ENTRY = bytes(ENTRY.size + ATTR.size)
_PADDING = [b"\0" * (-n & 7) for n in range(8)]


def _unknown(session: Session, header: Header, message: bytes) -> Reply:
    raise fail(errno.ENOSYS)                   # the kernel does what it does without it, and does not ask again


def _refuse(number: int) -> Callable[[Session, Header, bytes], Reply]:
    def refuse(session: Session, header: Header, message: bytes) -> Reply:
        raise fail(number)
    return refuse


_OPERATIONS: dict[int, Callable[[Session, Header, bytes], Reply]] = {int(op): answer for op, answer in {
    Op.LOOKUP: Session._lookup, Op.FORGET: Session._forget, Op.GETATTR: Session._getattr, Op.SETATTR: Session._setattr,
    Op.READLINK: Session._readlink, Op.SYMLINK: _refuse(errno.EPERM), Op.MKNOD: Session._mknod,
    Op.MKDIR: _refuse(errno.EPERM), Op.UNLINK: _refuse(errno.EPERM), Op.RMDIR: _refuse(errno.EPERM),
    Op.RENAME: _refuse(errno.EPERM), Op.LINK: _refuse(errno.EPERM), Op.OPEN: Session._open, Op.READ: Session._read,
    Op.WRITE: Session._write_op, Op.STATFS: Session._statfs, Op.RELEASE: Session._release, Op.FSYNC: Session._ok,
    Op.SETXATTR: Session._setxattr, Op.GETXATTR: Session._getxattr, Op.LISTXATTR: Session._listxattr,
    Op.REMOVEXATTR: Session._removexattr, Op.INIT: Session._init, Op.OPENDIR: Session._opendir,
    Op.READDIR: Session._readdir, Op.RELEASEDIR: Session._releasedir, Op.FSYNCDIR: _refuse(errno.EINVAL),
    Op.CREATE: _refuse(errno.EACCES), Op.INTERRUPT: Session._interrupt, Op.DESTROY: Session._ok,
    Op.IOCTL: _refuse(errno.ENOTTY), Op.POLL: Session._poll, Op.BATCH_FORGET: Session._batch_forget,
    Op.FALLOCATE: _refuse(errno.EOPNOTSUPP), Op.READDIRPLUS: Session._readdirplus, Op.RENAME2: _refuse(errno.EPERM),
    Op.LSEEK: Session._lseek, Op.COPY_FILE_RANGE: _refuse(errno.EXDEV)}.items()}
