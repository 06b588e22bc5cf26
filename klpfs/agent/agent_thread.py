"""The agent's thread: drives the follower, takes looks, and runs foreign code with no lock of klpfs held
(foreign_code.py).

One short lock covers engine, target and follower. It is held for whole steps, and never while foreign code runs or
while the thread waits. A fork takes it too (fork.py, Forks.before), so a child has whole steps.

No exception ends the thread or leaves the lock: what a turn raises is kept as its mishap, and the next turn begins with
taking back what was cut off (Follower.recover), again and again until that has come to its end. While that fails the
process is stuck: said once in the log, named among the blockers, and what is asked of it is refused with EIO.
"""
from __future__ import annotations

from sys import getswitchinterval, setswitchinterval

from klpfs.agent.c_functions import clock_us, monotonic, thread_time
from klpfs.agent.look_pacing import NEVER_S, AskPacing, LookPacing
from klpfs.agent.quiet_thread import QuietThread
from klpfs.agent.waiting import OwnedLock, Signal
from klpfs.engine.error import Orphan, name_of, place_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent

HANDOVER_S = 0.0002     # how soon our thread lets the program's threads have the interpreter
NEWS_S = 1.0            # how long enable_patch() waits at most before it looks for news by itself
INTERPRETERS_S = 1.0    # between two questions for sub-interpreters of the program's
EXCHANGED_S = 0.25      # between two looks for functions that were given other code, at least
EXCHANGED_SHARE = 2000  # they take one part of processor time in so many at most
DEFECT_S = 1.0          # the pause after a defect, so that it does not fill the log


class AgentThread(QuietThread):
    """agent: its .follower, .engine, .tasks, .joining and .outbox are used. lock: see above. requests: functions that
    other threads want to be run here, under the lock. idle: the thread sleeps until there is news; moves: goes up with
    each turn and each end of foreign code, so that whoever watches sees a thread that does not move (waits.py). stuck:
    what keeps the thread from taking back what was cut off, as a blocker (tasks.py); None: nothing does."""

    __slots__ = ("agent", "lock", "requests", "idle", "moves", "stuck", "_news", "_interval", "_looks", "_asks",
                 "_exchanged_at", "_mishap", "_failures")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.requests: list[Callable[[], object]] = []
        self._interval: float | None = None     # the program's switch interval, while ours is set
        QuietThread.__init__(self, agent.own_tids)
        self._fresh()

    def _fresh(self) -> None:
        self.take_back_interval()
        self.lock = OwnedLock()
        self._mishap: BaseException | None = None       # what a turn has raised, until all is as before it
        self._failures = 0      # of its taking back, one after another
        self.stuck: dict[str, Any] | None = None
        self._news = Signal()
        self._looks, self._asks, self._exchanged_at = LookPacing(), AskPacing(), 0.0
        self.idle, self.moves = True, 0
        del self.requests[:]

    def after_fork(self) -> None:
        """In a child, which has no such thread yet, and the program's switch interval."""
        self._fresh_thread()
        self._fresh()

    def poke(self) -> None:
        """Something is to be done: a new record, a request, a lost coordinator. Any thread."""
        self._news.set()

    def request(self, function: Callable[[], object]) -> None:
        """Have the thread run function(), under its lock, soon. Any thread."""
        self.requests.append(function)
        self.poke()

    def have_done(self, function: Callable[[], object], seconds: float) -> bool:
        """Have the thread run function(), and wait for its end, in a program's thread. False: the thread had no time
        for it within so many seconds, and will not do it; or it has begun, and was not at its end in as many more."""
        done = Signal()

        def work() -> None:
            try:
                function()
            finally:
                done.set()
        self.request(work)
        if done.wait(seconds):
            return True
        try:
            self.requests.remove(work)
        except ValueError:
            return done.wait(seconds)       # it has just begun
        return False

    def was_cut_off(self) -> None:
        self._mishap = self._mishap or RuntimeError("the agent's thread was cut off")

    def run(self) -> None:
        generation, timeout = self.generation, 0.0
        while True:
            try:
                # The end of the turn before, which may have ended anywhere, by an exception: so this is not in a
                # `finally` of its own, that a second exception would cut off. To let go of what is not taken does
                # nothing (OwnedLock). A fork that waits for the end of a step waits for this (Forks._stop_thread).
                self.lock.release()
                if timeout and not self.stopping:
                    self._sleep(timeout)
                if self.ends():
                    return
                self.idle, self.moves = False, self.moves + 1
                timeout = DEFECT_S      # as long as a mishap lasts
                self.lock.acquire()
                self._set_interval()
                timeout = self._turn()
                self.take_back_interval()
            except Orphan:
                raise
            except BaseException as error:      # around the turn
                if self.generation != generation:
                    raise Orphan from None      # the child goes on by itself
                timeout = 0.0 if self._mishap is None else DEFECT_S     # else a signal that it has taken were lost
                self._mishap = self._mishap or error

    def _sleep(self, seconds: float) -> None:
        """Wait for news. Woken by `poke`, which is never lost: see Signal."""
        self.idle = True
        self._news.wait(seconds)
        self.idle, self.moves = False, self.moves + 1

    def _set_interval(self) -> None:
        """Lower the program's switch interval while we work. A program's thread that comes back from the system waits
        that long until ours is asked to let go, 5 ms by default; a server comes back several times a request, for many
        requests at once: it would all but stand still while we load a file."""
        interval = getswitchinterval()
        if interval > HANDOVER_S:
            self._interval = interval
            setswitchinterval(HANDOVER_S)

    def take_back_interval(self) -> None:
        """The program's interval again, unless the program has set another meanwhile."""
        interval = self._interval
        if interval is not None and abs(getswitchinterval() - HANDOVER_S) < 1e-6:       # kept in whole microseconds
            setswitchinterval(interval)
        self._interval = None

    def wait(self) -> None:
        """Called with the lock, from inside enable_patch() (load.py): let others in until there is news. Requests are
        served."""
        self._serve()
        self.lock.release()
        try:
            self._sleep(NEWS_S)
        finally:
            self.lock.acquire()
        self._serve()

    def _turn(self) -> float:
        """A small step, or a look. Returns how long to wait for news, in seconds (0: go on at once)."""
        generation, mishap = self.generation, self._mishap
        try:
            return self._work() if mishap is None else self._recover(mishap)
        except Orphan:
            raise
        except BaseException as error:      # ours, so a defect; or there is no memory
            if self.generation != generation:
                raise Orphan from None      # the child goes on by itself
            self._mishap = mishap or error
            if mishap is None:
                return 0
            self._not_taken_back(error)
            return DEFECT_S

    def _not_taken_back(self, error: BaseException) -> None:
        """The taking back was cut off: by what passes (no memory), or again and again."""
        self._failures += 1
        if self._failures < 2:
            return
        if self.stuck is None:
            self.stuck = {"kind": "defect", "task": self.ident or 0, "since": clock_us(), "frames": [],
                          "name": f"klpfs: defect at {place_of(error)}: {name_of(error)}"}
            self.agent.outbox.defect(error)
        self.agent.outbox.report_stuck(self.agent.follower.refuse_stuck())

    def _recover(self, mishap: BaseException) -> float:
        """All as it was before a turn that an exception has cut off. Returns how long to wait: it must not spin."""
        self.agent.foreign.recover()
        said = self.agent.follower.recover(mishap)
        self._mishap = self.stuck = None
        self._failures = 0
        if said:
            return 0
        self.agent.outbox.defect(mishap)
        return DEFECT_S

    def _work(self) -> float:
        self._serve()
        if self.agent.follower.step():
            self._looks.forget()
            return 0
        self.agent.follower.mark_followed()
        return min(self._look(), self._ask_for_main(), self._ask_for_interpreters(), self._look_for_exchanged())

    def _serve(self) -> None:
        while self.requests:
            self.requests.pop(0)()

    def _look(self) -> float:
        """Look for tasks that are not clean when it is time. Returns how long to wait, in seconds."""
        agent = self.agent
        wait = self._looks.wait(agent.follower.look_key(), monotonic())
        if wait > 0:
            return wait
        spent = thread_time()
        blockers = agent.follower.look()
        took = thread_time() - spent
        now = monotonic()
        agent.tasks.looked(blockers)
        if not blockers:
            self._looks.forget()
            return 0
        if self._looks.signals(now):
            agent.engine.signal()
        return self._looks.looked(took, now)

    def look_is_late(self, now: float) -> bool:
        """Whether a look was due before `now`."""
        return self._looks.is_due(now)

    def _ask_for_main(self) -> float:
        """Ask for the main program's definitions when it is time. Returns how long to wait, in seconds."""
        wait = self._asks.wait(monotonic())
        if wait > 0:
            return wait
        if self.agent.joining.main_is_there():
            self._asks.end()
            self.agent.follower.main_came()
            return 0
        return self._asks.asked(monotonic())

    def _ask_for_interpreters(self) -> float:
        """Ask for sub-interpreters of a patched program that makes some: nothing tells of new ones. Returns how long to
        wait, in seconds."""
        if not self.agent.engine.patches or not self.agent.modules.may_make_interpreters():
            return NEVER_S
        self.agent.modules.say_interpreters()
        return INTERPRETERS_S

    def _look_for_exchanged(self) -> float:
        """Look whether the program, or a tool in it, has given functions in force other code: nothing tells of that.
        Returns how long to wait, in seconds: it takes one part of processor time in EXCHANGED_SHARE at most."""
        engine = self.agent.engine
        if not engine.patches or engine.transition is not None or engine.arrival is not None:
            return NEVER_S
        wait = self._exchanged_at - monotonic()
        if wait > 0:
            return wait
        spent = thread_time()
        if engine.look_for_exchanged():
            self.agent.outbox.changed()
        wait = max(EXCHANGED_S, EXCHANGED_SHARE * (thread_time() - spent))
        self._exchanged_at = monotonic() + wait
        return wait

    def ask_for_main(self) -> None:
        """The main program is asked for its definitions from now on, until they are there. In the thread, or before it
        was started."""
        self._asks.begin(monotonic())
