"""Foreign users: what the daemon has to do with the processes of each, together, whatever their number."""
from __future__ import annotations

from typing import Callable

from attrs import define, field

from klpfs.service.budget import Budget

MOST_LINES, LINES_SECONDS = 16, 60.0    # lines about the peers of a user, in so many seconds


@define(eq=False)
class ForeignUsers:
    """The foreign users of one service. now(): the loop's seconds; log(text, priority): the service's."""

    now: Callable[[], float]
    log: Callable[[str, int], None]
    _budgets: dict[int, Budget] = field(init=False, factory=dict)
    _lines: dict[int, tuple[float, int]] = field(init=False, factory=dict)     # by user: since when, how many lines

    def budget_of(self, user: int) -> Budget:
        """What a user may cost: all processes of that user in this service have one budget."""
        budget = self._budgets.get(user)
        if budget is None:
            budget = self._budgets[user] = Budget(self.now)
        return budget

    def may_be_named(self, user: int) -> bool:
        """Whether the log may have a line more about a process of this user; the last one says that."""
        since, count = self._lines.get(user, (0.0, 0))
        if not count or self.now() >= since + LINES_SECONDS:
            since, count = self.now(), 0
        self._lines[user] = since, count + 1
        if count == MOST_LINES:
            self.log(f"klpfs: further lines about processes of user {user} are left out for a minute", 4)
        return count < MOST_LINES
