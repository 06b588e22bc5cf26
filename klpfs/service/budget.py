"""The budget of a user: what the processes of a user who is neither root nor the daemon's own may cost the daemon.

The daemon serves all services in one loop, so nobody may occupy it. A budget holds bytes and processor time, fills up
with time (a token bucket), and pays for all that a user's processes of one service say. A user whose budget is spent is
not read until it has filled up again; and in one round of the loop a user gets no more than a small part, so that a
request of another service waits for that part at most. Then the user is not read for as long as that part took: who
asks one thing after the other, each when the last was answered, has half of the time. What is not read stays in the
sender's socket. docs/SECURITY.md.
"""
from __future__ import annotations

import time
from typing import Callable

from attrs import define, field

BYTES, BYTES_PER_SECOND = 64 << 20, 4 << 20
SECONDS, SECONDS_PER_SECOND = 4.0, 0.25     # of processor time
ROUND_BYTES, ROUND_SECONDS = 1 << 20, 0.002  # in one round of the loop; a message that was begun is ended
WAKE_BYTES, WAKE_SECONDS = 4096, 0.0005     # for each time that a process is read: what the coordinator does then
SHORTLY = 0.001             # seconds until the next round has surely begun, at least
LINE_SECONDS = 60.0         # between two lines about one user's budget


@define(eq=False)
class Budget:
    """now(): the loop's seconds; cpu(): seconds of processor time that this thread has used. Tests give others."""

    now: Callable[[], float]
    cpu: Callable[[], float] = time.thread_time
    size: float = field(init=False, default=BYTES)          # bytes that are left; below 0: more was taken than was left
    seconds: float = field(init=False, default=SECONDS)
    _at: float = field(init=False)
    _round: int = field(init=False, default=-1)
    _round_size: float = field(init=False, default=0)
    _round_seconds: float = field(init=False, default=0.0)
    _rests_until: float = field(init=False, default=float("-inf"))
    _said_at: float = field(init=False, default=float("-inf"))

    def __attrs_post_init__(self) -> None:
        self._at = self.now()

    def pay(self, size: int, seconds: float = 0.0) -> None:
        """Take what something has cost. More than is left can be taken once."""
        self._fill()
        self.size -= size
        self.seconds -= seconds
        self._round_size += size
        self._round_seconds += seconds

    def wait(self, round_number: int) -> float:
        """Seconds for which the user is not to be read; 0: now it may be. round_number: of the loop's present round."""
        self._fill()
        if self.size < 0 or self.seconds < 0:
            return max(-self.size / BYTES_PER_SECOND, -self.seconds / SECONDS_PER_SECOND, SHORTLY)
        if self._at < self._rests_until:
            return self._rests_until - self._at
        if round_number != self._round:
            self._round, self._round_size, self._round_seconds = round_number, 0, 0.0
        if self._round_size < ROUND_BYTES and self._round_seconds < ROUND_SECONDS:
            return 0.0
        rest = max(self._round_seconds, SHORTLY)
        self._rests_until = self._at + rest
        return rest

    @property
    def is_spent(self) -> bool:
        """Whether more was taken than there was."""
        self._fill()
        return self.size < 0 or self.seconds < 0

    def may_be_named(self) -> bool:
        """Whether the log may name the user for this now: once in LINE_SECONDS."""
        if self.now() < self._said_at + LINE_SECONDS:
            return False
        self._said_at = self.now()
        return True

    def _fill(self) -> None:
        now = self.now()
        passed, self._at = max(0.0, now - self._at), now
        self.size = min(BYTES, self.size + passed * BYTES_PER_SECOND)
        self.seconds = min(SECONDS, self.seconds + passed * SECONDS_PER_SECOND)
