"""The worker thread: drives the follower, takes looks, and runs foreign code with no lock of klpfs held.

One short lock covers engine, target and follower. It is held for whole steps and never while foreign code runs or while
the thread waits; a fork takes it, so a child has whole steps. Foreign code is a livepatch's top level, init(), exit() and
callbacks: `foreign` lets go of the lock, marks what runs, and turns what it raises into an errno and one log line.
"""
from errno import EINTR, EINVAL
from sys import getswitchinterval, setswitchinterval

from klpfs.agent.c_functions import (allocate_lock, clock_us, get_ident, get_native_id, monotonic, start_quiet_thread,
                                     thread_time)
from klpfs.engine.error import KlpError

FIRST_LOOK, LONGEST_LOOK, SHARE = 0.0005, 0.1, 33    # seconds, seconds, 1 part of so many of the time is spent looking
FIRST_SHARE = 4                                      # and at first: what was found suspended mostly ends in a few milliseconds
BURST = 0.004                                        # seconds: pauses up to this one are not lengthened for short looks
FIRST_WAIT, LONGEST_WAIT = 0.002, 0.5       # seconds between two questions whether the main program's definitions are there
HANDOVER = 0.0002                                    # seconds: how soon our thread lets the program's have the interpreter
SIGNALS = 15                                         # seconds: the kernel's SIGNALS_TIMEOUT


class Stopped(BaseException):
    """Raised in hanging foreign code whose operation was given up. Never seen by the program's threads."""


_OURS = __file__.rpartition("/")[0].rpartition("/")[0] + "/"     # the folder of klpfs itself


def where(error):
    """'file:line' of the innermost frame of an exception that is not klpfs's own; '' if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return "%s:%s" % (error.filename, error.lineno)
    tb, found = error.__traceback__, ""
    while tb is not None:
        name = tb.tb_frame.f_code.co_filename
        if not name.startswith(_OURS) and not name.startswith("<frozen importlib"):
            found = "%s:%d" % (name, tb.tb_lineno)
        tb = tb.tb_next
    return found


class Orphan(BaseException):
    """Ends a thread that was the worker in the parent of this process."""


class Worker:
    """agent: agent.py's Agent, with .follower, .say, .looked(blockers), .report()."""

    __slots__ = ("agent", "lock", "wake", "ident", "tid", "working", "requests", "generation", "stopping", "running", "_alive", "_mark", "_interval", "_inside", "_asked",
                 "_look_at", "_pause", "_share", "_signals_at", "_main_at", "_main_pause")

    def __init__(self, agent):
        self.agent = agent
        self.requests = []          # functions that other threads want to be run here, under the lock
        self.generation = 0         # how many forks away from the process that made it
        self._interval = None       # (the program's switch interval, ours) while ours is set
        self.reset()

    def reset(self):
        """Fresh locks and marks: at the start, and in a forked child."""
        self.generation += 1
        self._take_back_interval()
        self.lock = allocate_lock()
        self.wake = allocate_lock()
        self.wake.acquire()
        self.ident = self.tid = 0
        self.working = None         # {'what', 'since', 'n'} while foreign code runs
        self.stopping = self._alive = False
        self.running = allocate_lock()
        self._mark = allocate_lock()
        self._inside = 0            # >0: the thread runs foreign code, so it may be interrupted
        self._asked = False
        self._look_at = self._pause = self._share = self._signals_at = None
        self._main_at = self._main_pause = None
        del self.requests[:]

    def start(self):
        """Start the thread; or, when it was told to stop and has not got to it yet, let it go on."""
        with self._mark:
            self.stopping = False
            if self._alive:
                return
            self._alive = True
        self.running.acquire()          # what ran before lets go in a moment
        self.ident = start_quiet_thread(self._run)

    def _ends(self):
        """Whether to end; decided once, so that `start` knows which thread goes on."""
        with self._mark:
            if self.stopping:
                self._alive = False
            return not self._alive

    def stop(self, timeout):
        """End the thread if it is not inside foreign code or an undecided init(). True: it has ended."""
        self.stopping = True
        self.poke()
        if self.running.acquire(True, timeout):
            self.running.release()
            return True
        return False

    def poke(self):
        """There is something to do: a new record, a request, a lost coordinator."""
        try:
            self.wake.release()
        except RuntimeError:
            pass                    # it has been told already

    def _run(self):
        self.ident, self.tid = get_ident(), get_native_id()
        self.agent.ours.add(self.tid)
        generation = self.generation
        try:
            while not self._ends():
                self.lock.acquire()
                self._set_interval()
                timeout = self._turn()
                self._take_back_interval()
                self.lock.release()
                if timeout and not self.stopping:
                    self.wake.acquire(True, timeout)
        except Orphan:
            return
        finally:
            if self.generation == generation:
                self.running.release()

    def _set_interval(self):
        """A program's thread that comes back from the system waits until ours is asked to let go, 5 ms by itself. A server
        does that several times a request, for many at once: it would all but stand still while we load a file."""
        was = getswitchinterval()
        if was > HANDOVER:
            setswitchinterval(HANDOVER)
            self._interval = was, getswitchinterval()

    def _take_back_interval(self):
        """Unless the program has set one of its own meanwhile."""
        interval, self._interval = self._interval, None
        if interval is not None and getswitchinterval() == interval[1]:
            setswitchinterval(interval[0])

    def wait(self):
        """Called with the lock, from inside enable_patch(): let others in until there is news. Requests are served."""
        self.serve()
        self.lock.release()
        try:
            self.wake.acquire(True, 1.0)
        finally:
            self.lock.acquire()
        self.serve()

    def _turn(self):
        """One small step, or a look. Returns how long to wait for news, in seconds (0: go on at once)."""
        try:
            self.serve()
            if self.agent.follower.step():
                self._look_at = None
                return 0
            self.agent.follower.in_step()
            return min(self._look(), self._main())
        except Exception as e:      # ours, so a defect: say it, and do not spin
            self.agent.defect(e)
            return 1.0

    def serve(self):
        while self.requests:
            self.requests.pop(0)()

    def _look(self):
        """Look for dirty tasks when it is time: at once, then at growing intervals, soon not more than a 33rd of the time. What
        counts is the processor's time: that is how long a look keeps the program from running, be the machine busy or not."""
        follower = self.agent.follower
        key = follower.look_key()
        if key is None:
            self._look_at = None
            return 3600.0
        now = monotonic()
        if self._look_at is None or self._look_at[0] != key:
            self._look_at, self._pause, self._share, self._signals_at = (key, now), FIRST_LOOK, FIRST_SHARE, now + SIGNALS
        if now < self._look_at[1]:
            return self._look_at[1] - now
        spent = thread_time()
        blockers = follower.look()
        took = thread_time() - spent
        end = monotonic()
        self.agent.looked(blockers)
        if not blockers:
            self._look_at = None
            return 0
        if self._signals_at is not None and end >= self._signals_at:
            self._signals_at = None
            self.agent.signaling()
        self._pause = min(self._pause * 1.5, LONGEST_LOOK)
        if self._pause > BURST or took >= BURST / 4:        # a few short ones may follow at once
            self._pause = max(self._pause, self._share * took)
            self._share = min(2 * self._share, SHARE)
        self._look_at = (key, end + self._pause)
        return self._pause

    def _main(self):
        """Ask for the main program's definitions when it is time. Returns how long to wait."""
        if self._main_at is None:
            return 3600.0
        now = monotonic()
        if now < self._main_at:
            return self._main_at - now
        if self.agent.main_is_there():
            self._main_at = None
            self.agent.follower.main_came()
            return 0
        self._main_pause = min(self._main_pause * 1.1, LONGEST_WAIT)     # a tenth of what has passed
        self._main_at = now + self._main_pause
        return self._main_pause

    def ask_for_main(self):
        """From now on, until its definitions are there. In the worker, or before it was started."""
        self._main_at, self._main_pause = monotonic(), FIRST_WAIT

    # -- foreign code

    def foreign(self, what, n, function, *args):
        """Run function(*args), foreign code. Called with the lock, by the worker; it is free meanwhile.

        Returns its result. What it raises is logged in one line, with its place, and becomes a KlpError: its own errno
        for an OSError, EINVAL for others, EINTR when it was stopped.
        """
        was, inside, generation = self.working, self._inside, self.generation
        self.working = {"what": what, "since": clock_us(), "n": n}
        result = error = None
        self.lock.release()
        try:
            try:
                with self._mark:
                    self._inside = inside + 1
                result = function(*args)
            except BaseException as e:
                error = e
            if self.generation != generation:
                raise Orphan            # it has forked, and this is the child, which has a worker of its own
            self._leave(inside)
        except Stopped as e:        # it came just behind the foreign code
            error = error or (e if result is None else None)    # what has been made is not lost: it is to be unmade
            self._leave(inside)
        finally:
            if self.generation == generation:
                self.lock.acquire()
                self.working = was
        if error is None:
            return result
        raise self._told(what, error)

    def _told(self, what, error):
        """The KlpError for what foreign code has raised, and its one log line."""
        if isinstance(error, KlpError) and error.strerror:
            return KlpError(error.errno, error.strerror)        # logged by whoever raised it
        if isinstance(error, Stopped):
            text = "%s was stopped%s" % (what, self._at(error))
            self.agent.say(text, 3)
            return KlpError(EINTR, text)
        try:
            words = str(error)
        except Exception:
            words = "(its text can't be had)"
        text = "%s failed%s: %s: %s" % (what, self._at(error), type(error).__name__, words)
        errno = error.errno if isinstance(error, OSError) and type(error.errno) is int and error.errno > 0 else EINVAL
        if not (isinstance(error, KlpError) and not error.strerror):
            self.agent.say(text.split("\n")[0], 3)
        return KlpError(errno, text)

    def _at(self, error):
        place = where(error)
        return " at " + place if place else ""

    def _leave(self, inside):
        """The foreign code has ended. May itself be cut off by a stop that comes late, and is called again then."""
        with self._mark:
            self._inside = inside
            asked = self._asked
        if asked:
            self._take_stop()

    def _take_stop(self):
        """A stop that was asked for and has not come yet comes now, where it does no harm. It must come: taken back by a NULL
        for PyThreadState_SetAsyncExc, it would leave the interpreter looking for it up to 3.12, which makes every call of the
        program slower, and on 3.11 lets a traced function wait for ever."""
        try:
            for _ in range(100):        # each turn lets an exception in that is due
                pass
        except Stopped:
            pass
        self._asked = False

    def own(self, function, *args):
        """A function of klpfs called by foreign code on the worker's thread: takes the lock, is not interrupted."""
        generation = self.generation
        with self._mark:
            inside, self._inside = self._inside, 0
            asked, self._asked = self._asked, False
        try:
            if asked:
                self._take_stop()
                raise KlpError(EINTR, None)
            was, self.working = self.working, None
            self.lock.acquire()
            try:
                return function(*args)
            finally:
                if self.generation == generation:
                    self.lock.release()
                    self.working = was
        finally:
            if self.generation == generation:
                with self._mark:
                    self._inside = inside

    def shield(self, function, *args):
        """As `own`, without the lock: short things that foreign code calls and that must not be cut in half."""
        if get_ident() != self.ident:
            return function(*args)
        with self._mark:
            inside, self._inside = self._inside, 0
        try:
            return function(*args)
        finally:
            with self._mark:
                self._inside = inside

    @property
    def inside(self):
        """Whether the thread runs foreign code just now."""
        return self._inside > 0

    def interrupt(self, n):
        """Ask the foreign code of operation n, if that is what runs, to stop: an exception in our own thread."""
        working = self.working
        if working is None or working["n"] != n:
            return
        with self._mark:
            if self._inside:
                self._asked = True
                _set_async(self.ident, Stopped)


def _set_async(ident, exception):
    """PyThreadState_SetAsyncExc; for the worker's own thread only. ctypes is imported now, by need."""
    import ctypes
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(exception))
