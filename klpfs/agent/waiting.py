"""Waiting, by locks of _thread alone: a signal between threads, a lock that knows its owner, and a pause. (threading
and time may be what is patched.)"""
from __future__ import annotations

from _functools import partial
from _operator import methodcaller

from klpfs.agent.c_functions import RLock, allocate_lock, get_ident

_call = methodcaller("__call__")


class Signal:
    """A flag that threads wait for. Setting it twice before anybody has waited is setting it once.

    Its lock is released once for each time that it is taken: a second release takes from a waiting thread what the
    first has just given it, which ends a debug build of 3.14 (Python/lock.c: _PyMutex_TryUnlock). The thread that takes
    the one item out of `_release` is the one that may release the lock.
    """

    __slots__ = ("_lock", "_release")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self._release = [self._lock.release]

    def set(self) -> None:
        """Let a waiting thread go on, or the next that waits. Any thread, and any signal handler. RecursionError: there
        is no room on the stack, nothing was done."""
        list(map(_call, map([get_ident].pop, (0,))))    # or there is no room for the same below
        try:
            list(map(_call, map(self._release.pop, (0,))))      # in one: no exception of a handler's comes in between
        except (IndexError, RuntimeError):
            pass            # it is set

    def _take(self, *how: float) -> bool:
        """Take the lock, as acquire(*how); if so, let the next `set` release it. In one, as `set`: else an exception of
        a handler's in between would make each `set` until the next `wait` do nothing."""
        acquired = iter(partial(self._lock.acquire, *how), False)       # asked once: map ends with the one lock
        return bool(list(map(self._release.append, map(getattr, (self._lock,), ("release",), acquired))))

    def clear(self) -> None:
        """Forget that the signal was set."""
        self._take(False)

    def wait(self, seconds: float) -> bool:
        """Wait until the signal is set, and clear it. False: it was not set in so many seconds."""
        return self._take(True, seconds)


class OwnedLock(RLock):
    """A lock that a thread has or has not: to take it twice is to take it once, to let go of what one has not does
    nothing. So whoever is cut off between the two puts it right by saying again what is to be."""

    def acquire(self) -> bool:
        """Have the lock. Counterpart: release."""
        return bool(self._is_owned() or RLock.acquire(self))

    def acquire_free(self) -> bool:
        """Have the lock if nobody has it, not even this thread."""
        return bool(not self._is_owned() and RLock.acquire(self, False))

    def release(self) -> None:
        """Have it no more."""
        if self._is_owned():
            RLock.release(self)

    def is_mine(self) -> bool:
        """Whether this thread has the lock."""
        return bool(self._is_owned())

    def locked(self) -> bool:
        """Whether any thread has the lock. Found out by taking it for a moment, so never from a loop."""
        if self._is_owned():
            return True
        if not RLock.acquire(self, False):
            return True
        RLock.release(self)
        return False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def pause(seconds: float) -> None:
    """Let other threads run for so long."""
    lock = allocate_lock()
    lock.acquire()
    lock.acquire(True, seconds)
