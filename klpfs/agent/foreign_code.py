"""Foreign code: a livepatch's top level, init(), exit() and callbacks. How it is run, what its errors become, how it is
stopped.

It runs in the agent's thread, with no lock of klpfs held: `run` lets go of the thread's lock, marks what runs, and
turns what it raises into an errno and a line in the log. When it hangs and its operation was given up, `interrupt`
raises Stopped in it.

Stopped comes between any two instructions, so klpfs's own code that foreign code reaches shuts the door first (`own`,
`shield`, `shut`): a stop that is asked for meanwhile is raised when the door opens again. The door is `_inside`. To ask
takes the mark, and so does to shut; a shutting that is itself cut off is done again (`_shut`). A stop is asked for
where the thread is in no code of the standard library, if that can be had soon (`interrupt`); locks that were left
taken all the same are let go before anything else is done (`_give_back`).
"""
from __future__ import annotations

from _functools import partial
from errno import EINTR
from posix import getpid

from klpfs.agent.c_functions import RLock, clock_us, get_ident
from klpfs.agent.waiting import OwnedLock, pause
from klpfs.cpython.load import cut_off
from klpfs.engine.error import OURS, KlpError, Orphan, errno_of, is_ours, name_of, words_of
from klpfs.engine.error import place_of as innermost_place
from klpfs.engine.plain import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from klpfs.agent.agent_thread import AgentThread
    Result = TypeVar("Result")
    Working = dict[str, Any]        # what: str, since: usec, n: the operation's number

ASK_AGAIN_US = 800_000      # not sooner: two stops in a row could not be taken
TRIES = 10                  # how often a better place for a stop is waited for, each time that it is to be asked for
TRY_S = 0.001
PATIENCE_US = 300_000       # then a stop is asked for wherever the thread is


class Stopped(BaseException):
    """Raised in hanging foreign code whose operation was given up. Never seen by the program's threads."""


class CutOff(KlpError):
    """What foreign code that was asked to stop has ended with: it says nothing about what the code does by itself."""


def place_of(error: BaseException) -> str:
    """'file:line' of the innermost frame of an exception that is not klpfs's own; '' if every frame is klpfs's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{plain_text(error.filename)}:{plain_text(error.lineno)}"
    return innermost_place(error, lambda path: not path.startswith((OURS, "<frozen importlib")))


class _Ended:
    """How foreign code has ended: with its result, or with a KlpError and the line that is still to be written for it
    ("": none). raised: what it has raised, for a short time. left: words for what it had left taken."""

    __slots__ = ("result", "error", "line", "raised", "left")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: KlpError | None = None
        self.line = self.left = ""
        self.raised: BaseException | None = None


class ForeignCode:
    """The foreign code of one agent. thread: the agent's thread, whose lock is let go. say(text, priority): writes a
    line of the log. working: None, or what runs now; a new dict for each run."""

    __slots__ = ("thread", "say", "working", "_inside", "_depth", "_asked", "_late", "_mark")

    def __init__(self, thread: AgentThread, say: Callable[[str, int], object]) -> None:
        self.thread, self.say = thread, say
        self.after_fork()

    def after_fork(self) -> None:
        """In a child nothing runs (also at the start)."""
        self.working: Working | None = None
        self._mark = OwnedLock()
        self._inside = 0            # > 0: the thread runs foreign code, so it may be interrupted
        self._depth = 0             # of foreign code that klpfs's own code within foreign code runs
        self._asked = False         # it was, and the exception has not come yet
        self._late = False          # it is to be, when the door opens again

    def recover(self) -> None:
        """Nothing runs, whatever an exception has cut off. The agent's thread, outside of foreign code."""
        self._inside, self._late, self.working = 0, False, None
        self._depth = 0
        if not self._mark.is_mine():        # who asks for a stop has it for a moment; else it was never let go
            RLock.acquire(self._mark, True, 1)
        self._mark.release()
        if self._asked:
            self._take_stop()
        cut_off.give_back({}, None, False)

    @property
    def inside(self) -> bool:
        """Whether the thread runs foreign code just now."""
        return self._inside > 0

    def run(self, what: str, n: int, function: Callable[..., Result], *args: Any) -> Result:
        """function(*args), foreign code. Called with the thread's lock, in the thread; the lock is free meanwhile.

        what: its name for people; n: the operation that it belongs to. Returns its result. What it raises is logged in
        one line, with its place, and becomes a KlpError: its own errno for an OSError, ENOMEM for a MemoryError, EINTR
        when it was stopped, EINVAL for others; a CutOff when it was asked to stop.
        """
        thread = self.thread
        working, inside, generation, late = self.working, self._inside, thread.generation, self._late
        ended, pid, depth = _Ended(), getpid(), self._depth
        taken = cut_off.taken() if depth else {}        # by an import of the foreign code around
        mine: Working = {"what": what, "since": clock_us(), "n": n}
        try:
            self.working, self._late, self._depth = mine, False, depth + 1
            thread.lock.release()
            self._let_in(ended, what, inside, function, args)
            if thread.generation == generation:
                self._give_back(ended, taken, "asked" in mine, depth)
        finally:
            if thread.generation == generation:
                thread.lock.acquire()
                thread.moves += 1
                self._inside, self.working, self._late, self._depth = inside, working, late, depth
        if thread.generation != generation or getpid() != pid:
            raise Orphan            # it has forked, maybe in C, and this is the child
        if ended.left:
            self.say(f"{what} was cut off, and let go: {ended.left}", 4)
        if ended.error is None:
            return ended.result
        if ended.line:
            self.say(ended.line, 3)
        if "asked" in mine:
            raise CutOff(errno_of(ended.error), ended.error.strerror)
        raise ended.error

    def _let_in(self, ended: _Ended, what: str, inside: int, function: Callable[..., Any], args: Any) -> None:
        """Open the door, call foreign code, and shut the door again."""
        generation, over = self.thread.generation, False
        try:
            try:
                self._inside = inside + 1
                ended.result = function(*args)
                over = True
            except BaseException as error:
                self._note(ended, what, error)      # its text and its type's name are foreign code, too
            if self.thread.generation == generation:
                self._shut(inside)
        except BaseException as error:              # stopped just behind the foreign code, or while it was asked for
            if self.thread.generation != generation:        # its words
                return
            self._shut(inside)
            if ended.error is None and not (over and ended.result is not None):
                self._note(ended, what, error)      # what has been made is not lost: it is to be unmade

    def _give_back(self, ended: _Ended, taken: cut_off.Taken, asked: bool, depth: int) -> None:
        """Let go of what foreign code has left taken, where an exception may have cut it off. The door is shut."""
        raised, ended.raised = ended.raised, None
        stopped = asked or isinstance(raised, Stopped)
        if stopped or raised is not None:
            ended.left = cut_off.give_back(taken, raised if stopped else None, stopped and not depth)

    def _note(self, ended: _Ended, what: str, error: BaseException) -> None:
        """What foreign code has raised, as a KlpError, and the line for it."""
        ended.raised = error
        if isinstance(error, KlpError) and is_ours(error):
            words = error.strerror
            if words:
                ended.error = KlpError(errno_of(error), words)      # logged by the code that raised it
                return
        place = place_of(error)
        at = " at " + place if place else ""
        if isinstance(error, Stopped):
            text, errno = f"{what} was stopped{at}", EINTR
        else:
            words = words_of(error)
            text, errno = f"{what} failed{at}: {name_of(error)}{words and ': ' + words}", errno_of(error)
        ended.line = "" if isinstance(error, KlpError) and is_ours(error) else text.split("\n")[0]
        ended.error = KlpError(errno, text)

    def _shut(self, inside: int) -> bool:
        """Shut the door: from its end on no stop comes. Whether a stop was asked for, and has not been raised before.

        A stop that comes in the middle of it is taken, and the shutting is done again: `interrupt` does not ask twice
        within a second, so a second exception can't come as well."""
        stopped = False
        try:
            self._inside = inside
            self._wait_for_asker()
        except Stopped:
            stopped = True
            self._inside = inside
            self._wait_for_asker()
        if self._asked:
            stopped = self._take_stop() or stopped
        return stopped

    def _wait_for_asker(self) -> None:
        """Whoever asks just now, has asked. A stop that comes between the two leaves the mark this thread's, and to say
        it again lets go of it. (From 3.14 on a `with` does not let go of a lock there.)"""
        self._mark.acquire()
        self._mark.release()

    def _take_stop(self) -> bool:
        """Take a stop that was asked for and has not arrived, here where it does no harm; whether it came. A stop must
        arrive: taken back by a NULL for PyThreadState_SetAsyncExc, it would leave the interpreter looking for it up to
        3.12, which makes every call of the program slower, and on 3.11 lets a traced function wait for ever."""
        came = False
        try:
            for _ in range(100):        # each turn lets an exception in that is due
                pass
        except Stopped:
            came = True
        self._asked = False
        return came

    def own(self, function: Callable[..., Result], *args: Any) -> Result:
        """A function of klpfs called by foreign code in the agent's thread: it has the lock, and is not interrupted.
        KlpError(EINTR), and it is not called: a stop was asked for."""
        thread, generation, inside = self.thread, self.thread.generation, self._inside
        working = self.working
        stopped = self._shut(0)
        try:
            if stopped or self._late:
                raise KlpError(EINTR, None)
            try:
                thread.lock.acquire()
                self.working = None
                return function(*args)
            finally:
                if thread.generation == generation:
                    thread.lock.release()
                    self.working = working
        finally:
            if thread.generation == generation:
                self._late = False
                self._inside = inside

    def shield(self, function: Callable[..., Result], *args: Any) -> Result:
        """A short function that foreign code calls and that must not be cut in half. Without the lock, else as `own`,
        but that it is called in any case, and that a stop which was asked for is raised behind it."""
        if get_ident() != self.thread.ident:
            return function(*args)
        inside = self._inside
        stopped = self._shut(0)
        try:
            result = function(*args)
        finally:
            late = self.open(inside)
        if inside and (stopped or late):
            raise Stopped
        return result

    def shut(self) -> int:
        """Shut the door, in the agent's thread, for a while that ends in another function (fork.py). What `open` is to
        be given. A stop that was asked for is asked for again."""
        inside = self._inside
        if self._shut(0) and inside:
            self._late = True
        return inside

    def open(self, inside: int) -> bool:
        """Open the door again. Whether a stop was asked for meanwhile: it is the caller's to raise. Counterpart:
        shut."""
        with self._mark:
            late, self._late = self._late, False
            self._inside = inside
        return late

    def open_behind(self, inside: int, library: bool) -> Callable[[], object]:
        """A function of C that opens the door, for a caller in which nothing may be raised (fork.py): it is to be
        called last. A stop that was asked for meanwhile is raised behind that call: by then the server's thread, which
        has asked, may have been stopped by the next fork, again and again. library: what goes on there is code of the
        standard library (`interrupt`). Counterpart: shut."""
        working = self.working
        if not self._late or working is None:
            return partial(setattr, self, "_inside", inside)
        now = clock_us()
        if library and now - working.setdefault("tried", now) < PATIENCE_US:
            return partial(setattr, self, "_inside", inside)        # the stop stays put off
        stop = _async_setter(self.thread.ident, Stopped)            # without the mark: it may import
        with self._mark:
            self._late, self._asked, self._inside = False, True, inside     # nobody asks in between
            working["asked"] = now
        return stop

    def put_off(self) -> None:
        """A stop has come where it can't be taken, just before the door was shut: it is to come when the door opens."""
        self._late = True

    def interrupt(self, n: int) -> None:
        """Ask the foreign code of operation n, if that is what runs, to stop: an exception in the agent's own
        thread. Asked anew each second as long as it does not stop. At first it is asked for only where the thread is in
        no code of the standard library, so that it cuts off no import and no taking of a lock; code that is always
        there is stopped at the next call."""
        for _ in range(TRIES):
            working = self.working
            if working is None or working["n"] != n or self._ask(working):
                return
            pause(TRY_S)

    def _ask(self, working: Working) -> bool:
        """Ask for a stop, where one is to be asked for. False: this is not the place for it yet."""
        now = clock_us()
        early = now - working.setdefault("tried", now) < PATIENCE_US
        early = early and cut_off.is_in_library(self.thread.ident)      # without the mark: an audit hook may hear it
        with self._mark:
            if not self._inside:
                self._late = True
            elif not self._asked or now - working.get("asked", 0) > ASK_AGAIN_US:
                if early:
                    return False
                working["asked"] = now
                self._asked = True
                _async_setter(self.thread.ident, Stopped)()
        return True


def _async_setter(ident: int, exception: type[BaseException]) -> Callable[[], object]:
    """PyThreadState_SetAsyncExc for the agent's own thread, as a function of C. ctypes is imported now, by need."""
    import ctypes
    return partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(ident), ctypes.py_object(exception))
