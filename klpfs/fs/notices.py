"""Notices: the kernel is asked to forget what has gone; no answer waits for that, and nothing is wrong without it.

The kernel asks anew for each name that may go (nodes.py: lasting), so a name that has gone is not found, whatever the
kernel still keeps of it. What the kernel keeps costs memory, here and there: so it is asked to let go.
NOTIFY_PRUNE (Linux 6.18) takes no lock that a program could hold. Before that only INVAL_ENTRY is there, which waits
for the lock of a directory, and while it waits all others wait behind it: so it is sent late, when MANY nodes have
gathered, by a child process, and never where a program has the directory open. Source: fs/fuse/{dev,dir,inode}.c.
"""
from __future__ import annotations

import errno
import itertools
import os
import signal
import struct

from attrs import define, field

from klpfs.fs.fuse_messages import OUT, PRUNE, Notify
from klpfs.fs.nodes import Node, Table
from klpfs.service.loop import Loop, Timer

SOON = 0.05                                    # seconds from a removal to the notice: what goes together goes in one
BATCH = 4096                                   # nodes in one look at most
MANY = 2000                                    # nodes that may gather in a kernel without NOTIFY_PRUNE
AGAIN = 1.0                                    # seconds between two looks whether a child process has ended


@define(eq=False)
class Notices:
    """The nodes that are out of the tree and that the kernel still knows, and the messages by which it is asked to
    forget them, on the mount's descriptor `fd`."""

    fd: int
    table: Table
    loop: Loop
    _dead: dict[int, None] = field(init=False, factory=dict)      # their numbers, in the order of asking
    _prunes: bool = field(init=False, default=True)               # until the kernel says that it has no NOTIFY_PRUNE
    _timer: Timer | None = field(init=False, default=None)
    _reaper: Timer | None = field(init=False, default=None)
    _child: int = field(init=False, default=0)                    # the process that writes; 0: none

    def removed(self, node: Node) -> None:
        """Have the kernel asked to forget a node, soon."""
        self._dead[node.ino] = None
        self.again(SOON)

    def again(self, seconds: float = SOON) -> None:
        """Have it asked again: a program may have let go of a node that is out of the tree."""
        if self._timer is None and self._dead:
            self._timer = self.loop.call_later(seconds, self._look)

    def close(self) -> bool:
        """Ask nothing more. True: a child process is left, which has the descriptor until the kernel lets it go."""
        for timer in (self._timer, self._reaper):
            if timer is not None:
                timer.cancel()
        if not self._is_writing():
            return False
        os.kill(self._child, signal.SIGKILL)   # ours and not yet waited for, so the number is still its own
        return self._is_writing()

    def _look(self) -> None:
        self._timer = None
        for number in [number for number in self._dead if number not in self.table.by_id]:
            del self._dead[number]
        batch = list(itertools.islice(self._dead, BATCH))
        for number in batch:                   # those that stay (a program holds them) come last the next time
            del self._dead[number]
            self._dead[number] = None
        if batch and self._prunes and not self._prune(sorted(batch, reverse=True)):
            self._prunes = False
        if batch and not self._prunes:
            self._by_names(batch)
        if len(self._dead) > len(batch):
            self.again()

    def _prune(self, numbers: list[int]) -> bool:
        """Children first: an entry goes only when nothing is below it. False: the kernel has no NOTIFY_PRUNE."""
        try:
            body = PRUNE.pack(len(numbers), 0, 0) + struct.pack(f"={len(numbers)}Q", *numbers)
            os.write(self.fd, OUT.pack(16 + len(body), Notify.PRUNE, 0) + body)
        except OSError as e:
            return e.errno != errno.EINVAL     # ENODEV: unmounted
        return True

    def _by_names(self, batch: list[int]) -> None:
        if len(self._dead) < MANY:
            return
        if self._is_writing():
            self.again(AGAIN)
            return
        messages = []
        for node in map(self.table.by_id.__getitem__, batch):
            parent = node.parent
            if parent is not None and not parent.listers and parent.ino in self.table.by_id \
                    and node.raw not in parent.children:
                body = struct.pack("=QII", parent.ino, len(node.raw), 0) + node.raw + b"\0"
                messages.append(OUT.pack(16 + len(body), Notify.INVAL_ENTRY, 0) + body)
        if messages:
            try:
                self._child = os.fork()
            except OSError:                    # no processes left: another time
                self.again(AGAIN)
                return
            if not self._child:
                _write_all(self.fd, messages)
            self._reaper = self.loop.call_later(AGAIN, self._reap)

    def _reap(self) -> None:
        if self._is_writing():
            self._reaper = self.loop.call_later(AGAIN, self._reap)

    def _is_writing(self) -> bool:
        """Whether the child process still lives."""
        if self._child:
            try:
                if os.waitpid(self._child, os.WNOHANG)[0]:
                    self._child = 0
            except ChildProcessError:
                self._child = 0
        return bool(self._child)


def _write_all(fd: int, messages: list[bytes]) -> None:
    """The child process: never returns. It keeps nothing of the daemon's but the mount's descriptor: not its journals'
    locks, nor its connections."""
    try:
        for other in map(int, os.listdir("/proc/self/fd")):
            if other != fd:
                try:
                    os.close(other)
                except OSError:                # the listing's own
                    pass
        for message in messages:
            try:
                os.write(fd, message)
            except OSError:                    # ENOENT: the kernel has nothing of it
                pass
    except BaseException:                      # nothing of the daemon's may run here
        pass
    finally:
        os._exit(0)
