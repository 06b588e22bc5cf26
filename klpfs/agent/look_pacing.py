"""Pacing: when to look for tasks that are not clean, and when to ask whether the main program's definitions are there.

Looks begin at once, then come at growing intervals, and soon take at most one part in SHARE of processor time. What
counts is processor time: that is how long a look keeps the program from running, be the machine busy or not.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

FIRST_LOOK_S, LONGEST_LOOK_S = 0.0005, 0.1      # pauses between looks
SHARE = 33              # at most 1/33 of processor time goes to looks
FIRST_SHARE = 4         # and at first 1/4: what was found suspended mostly ends in a few milliseconds
BURST_S = 0.004         # pauses up to this one are not lengthened for short looks
FIRST_ASK_S, LONGEST_ASK_S = 0.002, 0.5         # pauses between two questions for the main program's definitions
SIGNALS_S = 15          # the kernel's SIGNALS_TIMEOUT
NEVER_S = 3600.0        # a thread with nothing to wait for


class LookPacing:
    """The time of the next look. key: what is looked at (Follower.look_key); a new key begins anew."""

    __slots__ = ("_key", "_at", "_pause", "_share", "_signals_at")

    def __init__(self) -> None:
        self._key: Hashable = None
        self._at = self._pause = 0.0
        self._share = FIRST_SHARE
        self._signals_at: float | None = None

    def forget(self) -> None:
        """Nothing is looked at, or all is clean."""
        self._key = None

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until the next look for `key`; 0 or less: now. key None: nothing is to be looked at."""
        if key is None:
            self._key = None
            return NEVER_S
        if self._key != key:
            self._key, self._at, self._signals_at = key, now, now + SIGNALS_S
            self._pause, self._share = FIRST_LOOK_S, FIRST_SHARE
        return self._at - now

    def is_due(self, now: float) -> bool:
        """Whether the next look's time has come."""
        return self._at <= now

    def looked(self, took: float, now: float) -> float:
        """A look for the present key has ended, not clean. took: its processor time. The pause until the next look, in
        seconds."""
        self._pause = min(self._pause * 1.5, LONGEST_LOOK_S)
        if self._pause > BURST_S or took >= BURST_S / 4:        # a few short looks may follow at once
            self._pause = max(self._pause, self._share * took)
            self._share = min(2 * self._share, SHARE)
        self._at = now + self._pause
        return self._pause

    def signals(self, now: float) -> bool:
        """Whether the kernel's line for tasks that are pending for long is due; once for each key."""
        due = self._signals_at is not None and now >= self._signals_at
        if due:
            self._signals_at = None
        return due


class AskPacing:
    """The time of the next question for the main program's definitions."""

    __slots__ = ("_at", "_pause")

    def __init__(self) -> None:
        self._at: float | None = None
        self._pause = FIRST_ASK_S

    def begin(self, now: float) -> None:
        """Ask from now on."""
        self._at, self._pause = now, FIRST_ASK_S

    def end(self) -> None:
        """Ask no more."""
        self._at = None

    def wait(self, now: float) -> float:
        """Seconds until the next question; 0 or less: now."""
        return NEVER_S if self._at is None else self._at - now

    def asked(self, now: float) -> float:
        """The answer was no. The pause until the next question, in seconds."""
        self._pause = min(self._pause * 1.1, LONGEST_ASK_S)     # a tenth of what has passed
        self._at = now + self._pause
        return self._pause
