"""QuietThread: a thread of klpfs's own, in which no signal of the program arrives; started, stopped, and lost by forks.

Of each kind (agent_thread.py, server.py) at most one thread runs at a time. A stop may come too late for a fork that
can't wait: then the thread goes on as if it had not been asked, none is lost and none runs twice.

`start` and `stop` are called in hooks of a fork, where a signal handler may raise at any instruction: both go by what
is (Run), so that the caller says again what was cut off.

No exception ends such a thread: what a tool's trace function or monitoring callback raises in it cuts off all Python
code of it, each handler of ours included, and a thread that has ended would never come back. So its bottom is C
(c_functions.until_it_returns), and run() begins anew, after a pause, as often as need be.
"""
from __future__ import annotations

from klpfs.agent.c_functions import (
    allocate_lock,
    get_ident,
    get_native_id,
    monotonic,
    start_quiet_thread,
    until_it_returns,
)
from klpfs.agent.waiting import OwnedLock, pause
from klpfs.engine.error import Orphan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN_S = 0.5           # how long to wait for a thread that has just been started
CUT_OFF_S = 1.0         # the pause before a thread goes on that was cut off at its bottom
AGAIN_S = 0.05          # a wait for a thread's end looks again so often: another may have taken the news of it


class Run:
    """A thread's run, from its start to its end. started: the system has given it a thread. begun: the thread is there,
    and has the run; of two threads, if a start was cut off behind the first, only one. ident: that thread's, 0 before.
    ending: it was told to end, and will not look again. over: it has ended, or was never started."""

    __slots__ = ("started", "begun", "ident", "ending", "over", "_news")

    def __init__(self, over: bool = False) -> None:
        self.started = self.begun = False
        self.ident = 0
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

    def was_cut_off(self) -> None:
        """run() begins anew, since an exception has left it: it may have been anywhere."""

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
            done = allocate_lock()
            done.acquire()
            start_quiet_thread(until_it_returns(lambda _: self._main(run, done), done, CUT_OFF_S))
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

    def _main(self, run: Run, done: Any) -> None:
        """The thread's life; called again where an exception has left it. done: see until_it_returns."""
        if not run.over:
            self._live(run)
        done.release()

    def _live(self, run: Run) -> None:
        self._own_tids.add(get_native_id())         # first: until it is begun it may have said its tid or not
        with self._mark:
            if run.begun and run.ident != get_ident() or run is not self.running:
                return                              # its start was cut off behind it, and done again
            again, run.ident, run.begun = run.begun, get_ident(), True
        self.ident, self.tid = get_ident(), get_native_id()
        try:
            if again:
                self.was_cut_off()
            self.run()
        except Orphan:
            self.poke()             # the child's thread may go on with what this one was in
        run.end()
