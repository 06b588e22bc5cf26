"""/proc/self/mountinfo: which mounts this process sees.

The table is read, the mounts themselves are not touched: looking at a mount may hang, or hit the kernel's cache. The
commands read it at their start, so nothing but the standard library is imported, and little of that. Source:
proc_pid_mountinfo(5).
"""
from __future__ import annotations

from typing import NamedTuple

KLPFS = "fuse.klpfs"        # the type of klpfs's own mounts
# types of file systems of this machine, which answer by themselves
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "f2fs", "zfs", "bcachefs", "overlay"}


# without annotations, for which typing imports Python's parser from 3.14 on
class Mount(NamedTuple("Mount", [("id", int), ("device", str), ("root", str), ("point", str), ("type", str)])):
    """A line of mountinfo. device: major:minor; no other mount has it at the same time, unless it shows the same file
    system. root: the folder of the file system that is mounted; "/": all of it."""

    __slots__ = ()

    @classmethod
    def parse(cls, line: str) -> Mount:
        """A mount of its line: `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw`."""
        before, _, behind = line.partition(" - ")
        number, _, device, root, point = before.split(" ")[:5]
        return cls(int(number), device, _plain(root), _plain(point), behind.partition(" ")[0])


def mounts(table: str = "/proc/self/mountinfo") -> list[Mount]:
    """All mounts, oldest first. Names that are not UTF-8 have surrogates, as os.fsdecode gives them."""
    with open(table, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return [Mount.parse(line) for line in file]


def is_local(number: int | None) -> bool:
    """Whether the mount of this number (None: not known) is of a file system of this machine, which answers by itself.
    Only /proc is asked."""
    try:
        return any(mount.id == number and mount.type in LOCAL for mount in mounts())
    except OSError:
        return False


def klpfs_mounts(table: str = "/proc/self/mountinfo") -> list[str]:
    """The mount points of klpfs, oldest first; not those that show a part of it, which `klpfs exec` makes."""
    return [mount.point for mount in mounts(table) if mount.type == KLPFS and mount.root == "/"]


def _plain(text: str) -> str:
    """A path without the kernel's octal escapes (of space, tab, newline and backslash)."""
    first, *rest = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
