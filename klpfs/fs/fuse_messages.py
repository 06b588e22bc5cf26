"""The kernel's FUSE messages as numbers and layouts. Source: include/uapi/linux/fuse.h (7.23 to 7.45).

fuse.py speaks with them; nothing here does anything.
"""
from __future__ import annotations

import enum
import struct


class Op(enum.IntEnum):
    """The kind of a request (enum fuse_opcode). Not answered, so that the kernel does what it does without it: FLUSH
    (25), locks (31 to 33), ACCESS (34), BMAP (37), TMPFILE (51), STATX (52)."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47


class Notify(enum.IntEnum):
    """The kind of a message that the kernel did not ask for (enum fuse_notify_code)."""

    POLL = 1
    INVAL_INODE = 2
    INVAL_ENTRY = 3
    PRUNE = 9                                  # 7.45


class Init(enum.IntFlag):
    """An ability that both sides must have (FUSE_INIT's flags)."""

    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DO_READDIRPLUS = 1 << 13
    PARALLEL_DIROPS = 1 << 18
    CACHE_SYMLINKS = 1 << 23


class Opened(enum.IntFlag):
    """How a file was opened (FOPEN_ flags)."""

    DIRECT_IO = 1 << 0
    NOFLUSH = 1 << 5
    PARALLEL_DIRECT_WRITES = 1 << 6


GETATTR_FH = 1                                # a flag of GETATTR: the request says by which open file it comes

IN = struct.Struct("=IIQQIII")                # len opcode unique nodeid uid gid pid
OUT = struct.Struct("=IiQ")                   # len error unique
# ino size blocks atime mtime ctime nsec*3 mode nlink uid gid rdev blksize flags
ATTR = struct.Struct("=QQQQQQIIIIIIIIII")
ATTR_OUT = struct.Struct("=QII")              # valid valid_nsec dummy
ENTRY = struct.Struct("=QQQQII")              # nodeid generation entry_valid attr_valid and their nsec
DIRENT = struct.Struct("=QQII")               # ino off namelen type
RW = struct.Struct("=QQIIQI")                 # fh offset size read/write_flags lock_owner flags
SETATTR = struct.Struct("=IIQQQQQQIIIIIIII")  # valid pad fh size lock_owner *time(3) *nsec(3) mode unused uid gid
OPEN_OUT = struct.Struct("=QIi")
POLL = struct.Struct("=QQII")                 # fh kh flags events
LSEEK = struct.Struct("=QQI")                 # fh offset whence
INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")
INVAL_INODE = struct.Struct("=Qqq")           # nodeid, the data's place (-1: none) and length
PRUNE = struct.Struct("=IIQ")                 # count padding spare; then so many numbers of nodes
STATFS = struct.Struct("=QQQQQIIII24x")
TWO, LONG = struct.Struct("=II"), struct.Struct("=Q")
HEAD = IN.size + 4                            # bytes of a request before its own part; 4 are padding
