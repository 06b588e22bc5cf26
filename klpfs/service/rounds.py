"""Rounds: a coordinator's work is done in rounds, until a round asks for no other; and again at a time that was asked
for. No round begins inside another."""
from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from attrs import define, field

if TYPE_CHECKING:
    from klpfs.service.loop import Loop, Timer

TICK = 1e-6                # seconds that a timer comes later than asked for: never, by rounding, a little too early


@define(eq=False)
class Rounds:
    """run(): one round."""

    loop: Loop
    run: Callable[[], None]
    _again: bool = field(init=False, default=False)
    _busy: bool = field(init=False, default=False)
    _wake: float | None = field(init=False, default=None)
    _timer: Timer | None = field(init=False, default=None)

    def step(self) -> None:
        """Do all that can be done now; from within a round: once it is over."""
        self._again = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._again:
                self._again = False
                self._wake = None
                self.run()
        finally:
            self._busy = False
        self.close()
        if self._wake is not None:
            self._timer = self.loop.call_later(max(0.0, self._wake - self.loop.now()) + TICK, self.step)

    def again(self) -> None:
        """Have another round follow this one."""
        self._again = True

    def wake_at(self, when: float) -> None:
        """Have a round at that time, at the latest."""
        if self._wake is None or when < self._wake:
            self._wake = when

    def close(self) -> None:
        """Forget the time at which a round was wanted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
