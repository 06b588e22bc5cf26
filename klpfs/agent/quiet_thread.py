"""QuietThread: a thread of klpfs's own, in which no signal of the program arrives; started, stopped, and lost by forks.

Of each kind (agent_thread.py, server.py) at most one thread runs at a time. A stop may come too late for a fork that
can't wait: then the thread goes on as if it had not been asked, none is lost and none runs twice.
"""
from __future__ import annotations

from klpfs.agent.c_functions import allocate_lock, get_ident, get_native_id, start_quiet_thread
from klpfs.agent.waiting import OwnedLock
from klpfs.engine.error import Orphan


class QuietThread:
    """A thread of klpfs's own. A subclass has run(), which returns soon after `ends` says so, and poke(), which makes
    run() look at `ends`.

    running: a lock, held while the thread runs. stopping: it was asked to end. ident, tid: the thread's, 0 before its
    first start. generation: how many forks this process is away from the one that made it. own_tids: where it adds its
    tid."""

    __slots__ = ("running", "stopping", "ident", "tid", "generation", "_own_tids", "_mark", "_alive")

    def __init__(self, own_tids: set[int]) -> None:
        self._own_tids = own_tids
        self.generation = 0
        self._fresh_thread()

    def _fresh_thread(self) -> None:
        """Locks and marks as before the first start; also in a forked child, which has no such thread."""
        self.generation += 1
        self.running, self._mark = allocate_lock(), OwnedLock()
        self.stopping = self._alive = False
        self.ident = self.tid = 0

    def run(self) -> None:
        """The thread's work, until self.ends()."""
        raise NotImplementedError

    def poke(self) -> None:
        """Let the thread see that it has something to do, or is to stop. Any thread."""
        raise NotImplementedError

    def _prepare_start(self) -> None:
        """Make what the thread needs before it starts."""

    def start(self) -> None:
        """Start the thread; or, when it was asked to stop and has not got to it yet, let it go on. RuntimeError: the
        system has no thread left. Counterpart: stop."""
        with self._mark:
            self.stopping = False
            if self._alive:
                return
            self._alive = True
        self.running.acquire()          # the thread before it lets go in a moment
        try:
            self._prepare_start()
            self.ident = start_quiet_thread(self._main)
        except BaseException:           # the system has no thread left: the next start tries again
            self._alive = False
            self.running.release()
            raise

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end, and wait so many seconds. True: it has ended. Counterpart: start."""
        self.stopping = True
        self.poke()
        if self.running.acquire(True, timeout):
            self.running.release()
            return True
        return False

    def ends(self) -> bool:
        """Whether to end; decided once, so that `start` knows which thread goes on."""
        with self._mark:
            if self.stopping:
                self._alive = False
            return not self._alive

    def _main(self) -> None:
        self.ident, self.tid = get_ident(), get_native_id()
        self._own_tids.add(self.tid)
        generation = self.generation
        try:
            self.run()
        except Orphan:
            self.poke()             # the child's thread may go on with what this one was in
            return
        finally:
            if self.generation == generation:
                self.running.release()
