"""Alone: a process in which no thread is left but klpfs's.

A child that a thread has forked ends when that thread's function returns there: Python does so for a child without
klpfs, by the system's rule that a process goes with its last thread. klpfs's two threads are in the way of that rule
only, so they end, too. (A child that the main thread has forked ends by exit, which no thread holds up.)
"""
from __future__ import annotations

from posix import listdir

from klpfs.agent.c_functions import local, monotonic
from klpfs.protocol.process_identity import stat_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.agent import Agent

SOON_S = 2.0        # how long to look often, once a thread has ended


class _Mark:
    """A value local to a thread, and so gone when the thread ends."""

    __slots__ = ("alone",)

    def __init__(self, alone: Alone) -> None:
        self.alone = alone

    def __del__(self) -> None:
        self.alone.thread_ends()


class Alone:
    """agent: its threads are asked for. watches: this process ends with its last thread, since none of its threads is
    the one that began a program."""

    __slots__ = ("agent", "watches", "_until", "_local")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.watches = False
        self._until = 0.0
        self._local = local()

    def after_fork(self, by_main: bool) -> None:
        """In a forked child, in its one thread. by_main: that is its parent's main thread."""
        self.watches = self.watches or not by_main
        if self.watches:
            self._local.mark = _Mark(self)

    def thread_ends(self) -> None:
        """A thread that has forked this process ends. In that thread."""
        self._until = monotonic() + SOON_S
        self.agent.server.poke()

    def soon(self) -> bool:
        """Whether to look often, since a thread has just ended."""
        return self.watches and monotonic() < self._until

    def is_alone(self) -> bool:
        """Whether klpfs's threads are the only ones. The server's thread."""
        if not self.watches:
            return False
        agent = self.agent
        own = {agent.server.tid, agent.thread.tid if agent.thread.running.locked() else 0}
        try:
            return all(int(tid) in own or _has_ended(tid) for tid in listdir("/proc/self/task"))
        except OSError:             # no descriptors, no /proc
            return False


def _has_ended(tid: str) -> bool:
    """Whether a thread is a name only: a process's first thread stays until the last has ended."""
    try:
        return stat_words(f"self/task/{tid}")[0] in ("Z", "X")
    except FileNotFoundError:
        return True
