"""Waiting, by locks of _thread alone: a signal between threads, and a pause. (threading and time may be what is
patched.)"""
from __future__ import annotations

from klpfs.agent.c_functions import allocate_lock


class Signal:
    """A flag that threads wait for. Setting it twice before anybody has waited is setting it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let a waiting thread go on, or the next that waits. Any thread, and any signal handler."""
        try:
            self._lock.release()
        except RuntimeError:
            pass            # it is set

    def clear(self) -> None:
        """Forget that the signal was set."""
        self._lock.acquire(False)

    def wait(self, seconds: float) -> bool:
        """Wait until the signal is set, and clear it. False: it was not set in so many seconds."""
        return self._lock.acquire(True, seconds)


def pause(seconds: float) -> None:
    """Let other threads run for so long."""
    Signal().wait(seconds)
