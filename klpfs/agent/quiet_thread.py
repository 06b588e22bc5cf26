"""QuietThread: a thread of klpfs's own, in which no signal of the program arrives; started, stopped, and lost by forks.

Of each kind (agent_thread.py, server.py) at most one thread runs at a time. A stop may come too late for a fork that
can't wait: then the thread goes on as if it had not been asked, none is lost and none runs twice.

`start` and `stop` are called in hooks of a fork, where a signal handler may raise at any instruction: both go by what
is (Run), so that the caller says again what was cut off.
"""
from __future__ import annotations

from klpfs.agent.c_functions import allocate_lock, get_ident, get_native_id, monotonic, start_quiet_thread
from klpfs.agent.waiting import OwnedLock, pause
from klpfs.engine.error import Orphan

BEGIN_S = 0.5           # how long to wait for a thread that has just been started
AGAIN_S = 0.05          # a wait for a thread's end looks again so often: another may have taken the news of it


class Run:
    """A thread's run, from its start to its end. started: the system has given it a thread. begun: the thread is there,
    and has the run; of two threads, if a start was cut off behind the first, only one. ending: it was told to end, and
    will not look again. over: it has ended, or was never started."""

    __slots__ = ("started", "begun", "ending", "over", "_news")

    def __init__(self, over: bool = False) -> None:
        self.started = self.begun = False
        self.ending = self.over = over
        self._news = allocate_lock()
        self._news.acquire()

    def end(self) -> None:
        """It is over. Once, by its thread. Counterpart: wait."""
        self.over = True
        self._news.release()

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds for the end. Whether it is over. Nothing is left taken, wherever this is cut off."""
        end = monotonic() + timeout
        while not self.over:
            left = end - monotonic()
            if left <= 0:
                return False
            self._news.acquire(True, min(left, AGAIN_S))
        return True

    def begins(self, timeout: float) -> bool:
        """Wait so many seconds for the thread to be there. Whether it is."""
        end = monotonic() + timeout
        while not self.begun and monotonic() < end:
            pause(0.0002)
        return self.begun

    def locked(self) -> bool:
        """Whether it is not over: the thread runs, or is about to."""
        return not self.over


class QuietThread:
    """A thread of klpfs's own. A subclass has run(), which returns soon after `ends` says so, and poke(), which makes
    run() look at `ends`.

    running: the thread's Run. stopping: it was asked to end. ident, tid: the thread's, 0 before its
    first start. generation: how many forks this process is away from the one that made it. own_tids: where it adds its
    tid."""

    __slots__ = ("running", "stopping", "ident", "tid", "generation", "_own_tids", "_mark")

    def __init__(self, own_tids: set[int]) -> None:
        self._own_tids = own_tids
        self.generation = 0
        self._fresh_thread()

    def _fresh_thread(self) -> None:
        """Locks and marks as before the first start; also in a forked child, which has no such thread."""
        self.generation += 1
        self.running, self._mark = Run(over=True), OwnedLock()      # the mark: of a run's begun and ending
        self.stopping = False
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
        while True:
            with self._mark:                # two threads may start it at once
                self.stopping = False
                run = self.running
                if run.begun and not run.ending:
                    return
                if run.over:
                    self._prepare_start()
                    self.ident = self.tid = 0
                    run = self.running = Run()
                if not run.ending:
                    break
            run.wait(AGAIN_S)               # it lets go in a moment
        if run.started and run.begins(BEGIN_S):
            return
        try:
            start_quiet_thread(lambda: self._main(run))
            run.started = True
        except BaseException:               # the system has no thread left: the next start tries again
            with self._mark:
                if not run.begun:           # and it will not be, if its thread is there after all
                    self.running = Run(over=True)
            raise

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end, and wait so many seconds. True: it has ended. Counterpart: start."""
        self.stopping = True
        self.poke()
        return self.running.wait(timeout)

    def ends(self) -> bool:
        """Whether to end; decided once, so that `start` knows which thread goes on."""
        with self._mark:
            if self.stopping:
                self.running.ending = True
            return self.running.ending

    def _main(self, run: Run) -> None:
        self._own_tids.add(get_native_id())         # first: until it is begun it may have said its tid or not
        with self._mark:
            if run.begun or run is not self.running:    # its start was cut off behind it, and done again
                return
            run.begun = True
        self.ident, self.tid = get_ident(), get_native_id()
        try:
            self.run()
        except Orphan:
            self.poke()             # the child's thread may go on with what this one was in
        finally:
            run.end()
