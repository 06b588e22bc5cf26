"""Foreign code: a livepatch's top level, init(), exit() and callbacks. How it is run, what its errors become, how it is
stopped.

It runs in the agent's thread, with no lock of klpfs held: `run` lets go of the thread's lock, marks what runs, and
turns what it raises into an errno and a line in the log. When it hangs and its operation was given up, `interrupt`
raises Stopped in it.
"""
from __future__ import annotations

from errno import EINTR, EINVAL

from klpfs.agent.c_functions import allocate_lock, clock_us, get_ident
from klpfs.agent.quiet_thread import Orphan
from klpfs.engine.error import KlpError
from klpfs.engine.error import place_of as innermost_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from klpfs.agent.agent_thread import AgentThread
    Result = TypeVar("Result")
    Working = dict[str, Any]        # what: str, since: usec, n: the operation's number

_OURS = __file__.rpartition("/")[0].rpartition("/")[0] + "/"     # the folder of klpfs itself


class Stopped(BaseException):
    """Raised in hanging foreign code whose operation was given up. Never seen by the program's threads."""


def place_of(error: BaseException) -> str:
    """'file:line' of the innermost frame of an exception that is not klpfs's own; '' if every frame is klpfs's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    return innermost_place(error, lambda path: not path.startswith((_OURS, "<frozen importlib")))


class ForeignCode:
    """The foreign code of one agent. thread: the agent's thread, whose lock is let go. say(text, priority): writes a
    line of the log. working: None, or what runs now; a new dict for each run."""

    __slots__ = ("thread", "say", "working", "_inside", "_asked", "_mark")

    def __init__(self, thread: AgentThread, say: Callable[[str, int], object]) -> None:
        self.thread, self.say = thread, say
        self.after_fork()

    def after_fork(self) -> None:
        """In a child nothing runs (also at the start)."""
        self.working: Working | None = None
        self._mark = allocate_lock()
        self._inside = 0            # > 0: the thread runs foreign code, so it may be interrupted
        self._asked = False         # it was, and the exception has not come yet

    @property
    def inside(self) -> bool:
        """Whether the thread runs foreign code just now."""
        return self._inside > 0

    def run(self, what: str, n: int, function: Callable[..., Result], *args: Any) -> Result:
        """function(*args), foreign code. Called with the thread's lock, in the thread; the lock is free meanwhile.

        what: its name for people; n: the operation that it belongs to. Returns its result. What it raises is logged in
        one line, with its place, and becomes a KlpError: its own errno for an OSError, EINVAL for others, EINTR when it
        was stopped.
        """
        thread = self.thread
        working, inside, generation = self.working, self._inside, thread.generation
        self.working = {"what": what, "since": clock_us(), "n": n}
        result: Any = None
        error: BaseException | None = None
        thread.lock.release()
        try:
            try:
                with self._mark:
                    self._inside = inside + 1
                result = function(*args)
            except BaseException as raised:
                error = raised
            if thread.generation != generation:
                raise Orphan            # it has forked, and this is the child, which has a thread of its own
            self._leave(inside)
        except Stopped as stopped:      # it came just behind the foreign code
            error = error or (stopped if result is None else None)  # what has been made is not lost: it is to be unmade
            self._leave(inside)
        finally:
            if thread.generation == generation:
                thread.lock.acquire()
                thread.moves += 1
                self.working = working
        if error is None:
            return result
        raise self._logged(what, error)

    def _logged(self, what: str, error: BaseException) -> KlpError:
        """The KlpError for what foreign code has raised, after its line in the log."""
        if isinstance(error, KlpError) and error.strerror:
            return KlpError(error.errno, error.strerror)        # logged by the code that raised it
        place = place_of(error)
        at = " at " + place if place else ""
        if isinstance(error, Stopped):
            text = f"{what} was stopped{at}"
            self.say(text, 3)
            return KlpError(EINTR, text)
        try:
            words = str(error)
        except Exception:
            words = "(its text can't be had)"
        text = f"{what} failed{at}: {type(error).__name__}: {words}"
        errno = error.errno if isinstance(error, OSError) and type(error.errno) is int and error.errno > 0 else EINVAL
        if not (isinstance(error, KlpError) and not error.strerror):
            self.say(text.split("\n")[0], 3)
        return KlpError(errno, text)

    def _leave(self, inside: int) -> None:
        """The foreign code has ended. May itself be cut off by a stop that comes late, and is called again then."""
        with self._mark:
            self._inside = inside
            asked = self._asked
        if asked:
            self._take_stop()

    def _take_stop(self) -> None:
        """Take a stop that was asked for and has not arrived, here where it does no harm. A stop must arrive: taken
        back by a NULL for PyThreadState_SetAsyncExc, it would leave the interpreter looking for it up to 3.12, which
        makes every call of the program slower, and on 3.11 lets a traced function wait for ever."""
        try:
            for _ in range(100):        # each turn lets an exception in that is due
                pass
        except Stopped:
            pass
        self._asked = False

    def own(self, function: Callable[..., Result], *args: Any) -> Result:
        """A function of klpfs called by foreign code in the agent's thread: it has the lock, and is not interrupted."""
        thread, generation = self.thread, self.thread.generation
        with self._mark:
            inside, self._inside = self._inside, 0
            asked, self._asked = self._asked, False
        try:
            if asked:
                self._take_stop()
                raise KlpError(EINTR, None)
            working, self.working = self.working, None
            thread.lock.acquire()
            try:
                return function(*args)
            finally:
                if thread.generation == generation:
                    thread.lock.release()
                    self.working = working
        finally:
            if thread.generation == generation:
                with self._mark:
                    self._inside = inside

    def shield(self, function: Callable[..., Result], *args: Any) -> Result:
        """A short function that foreign code calls and that must not be cut in half. Without the lock, else as
        `own`."""
        if get_ident() != self.thread.ident:
            return function(*args)
        with self._mark:
            inside, self._inside = self._inside, 0
        try:
            return function(*args)
        finally:
            with self._mark:
                self._inside = inside

    def interrupt(self, n: int) -> None:
        """Ask the foreign code of operation n, if that is what runs, to stop: an exception in the agent's own
        thread."""
        working = self.working
        if working is None or working["n"] != n:
            return
        with self._mark:
            if self._inside:
                self._asked = True
                _set_async(self.thread.ident, Stopped)


def _set_async(ident: int, exception: type[BaseException]) -> None:
    """PyThreadState_SetAsyncExc; for the agent's own thread only. ctypes is imported now, by need."""
    import ctypes
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(exception))
