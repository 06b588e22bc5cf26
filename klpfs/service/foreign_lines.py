"""Lines of a foreign user's processes in the service's log: each carries its process's name, so that it can't pass for
a line of the engine, of the service or of a person.

A foreign process is one whose user is neither root, nor the daemon's, nor the owner of the service's folder. What it
says has facility `user`, is never more urgent than a warning, has a time between its agent's start and now, and is cut.
An engine line of its own waits a moment for the same line of a process of the service, which stands for both: a worker
that has changed its user says the same as its master. The number of lines is limited: nobody can wash the others' out
of the ring.
"""
from __future__ import annotations

from typing import Callable

from attrs import define, field, frozen

from klpfs.service.log_ring import LogView

URGENT = 4                  # the most urgent level that such a line can have: warning
FACILITY = 1 << 3           # user
LONGEST = 1000              # characters of such a line
WAIT_SECONDS = 1.0          # that an engine line waits for the service to say the same
MOST_WAITING = 64           # lines that wait, and texts of an operation that are remembered
BURST, PER_SECOND = 2048, 20.0          # lines of a user; greetings bring whole rings
NAME_AGAIN_US = 60_000_000  # between two lines which say that a user's lines are left out


@frozen
class Stranger:
    """A foreign process: its name for people, its user, and when its agent began (CLOCK_MONOTONIC microseconds)."""

    name: str
    user: int
    started: int


@define(eq=False)
class WaitingLine:
    """An engine line of a foreign process, shown at `due` unless the service says the same before."""

    due: int
    stranger: Stranger
    usec: int
    level: int
    agents: set[str]


@define(eq=False)
class Allowance:
    """The lines that a user's processes may add: `left` of them at `at` (usec)."""

    left: float
    at: int
    named_at: int = -NAME_AGAIN_US


@define(eq=False)
class ForeignLines:
    """Feeds `view`. clock(): CLOCK_MONOTONIC microseconds. later(seconds, call): the loop's timer. waits(): whether the
    service has a process of its own, whose line may come."""

    view: LogView
    clock: Callable[[], int]
    later: Callable[[float, Callable[[], None]], object] = lambda seconds, call: None
    waits: Callable[[], bool] = lambda: False
    _waiting: dict[str, WaitingLine] = field(init=False, factory=dict)
    _shown: dict[str, set[str]] = field(init=False, factory=dict)       # engine lines of this operation: who said them
    _allowances: dict[int, Allowance] = field(init=False, factory=dict)

    def add(self, stranger: Stranger, usec: int, level: int, text: str) -> None:
        """Show a line with its process's name; a newline in it begins another such line."""
        now = self.clock()
        for part in text[:LONGEST].split("\n"):
            if self._may_add(stranger, now):
                self.view.add(min(max(usec, stranger.started), now), FACILITY | max(level & 7, URGENT),
                              f"{stranger.name}: {part}"[:LONGEST])

    def add_engine(self, agent: str, stranger: Stranger, usec: int, level: int, text: str) -> None:
        """Show an engine line once for all foreign processes, unless a process of the service says it soon."""
        line = self._waiting.get(text)
        if line is not None:
            line.agents.add(agent)
        elif agent not in self._shown.get(text, (agent,)):
            self._shown[text].add(agent)
        elif self.waits() and len(self._waiting) < MOST_WAITING:
            self._waiting[text] = WaitingLine(self.clock() + int(WAIT_SECONDS * 1e6), stranger, usec, level, {agent})
            self.later(WAIT_SECONDS, self.release)
        else:
            self._show(text, WaitingLine(0, stranger, usec, level, {agent}))

    def service_says(self, text: str) -> set[str]:
        """A process of the service has said this engine line: the agents for whom it stands, too."""
        line = self._waiting.pop(text, None)
        return line.agents if line is not None else set()

    def release(self, before: int | None = None) -> None:
        """Show the engine lines that have waited long enough. before: those due up to this time."""
        before = self.clock() if before is None else before
        for text in [text for text, line in self._waiting.items() if line.due <= before]:
            self._show(text, self._waiting.pop(text))

    def begin_operation(self) -> None:
        """What was said so far belongs to earlier operations."""
        self.release(self.clock() + int(WAIT_SECONDS * 1e6))
        self._shown.clear()

    def _show(self, text: str, line: WaitingLine) -> None:
        self.add(line.stranger, line.usec, line.level, text)
        if len(self._shown) < MOST_WAITING:
            self._shown[text] = line.agents

    def _may_add(self, stranger: Stranger, now: int) -> bool:
        known = self._allowances.setdefault(stranger.user, Allowance(BURST, now))
        known.left = min(BURST, known.left + (now - known.at) * PER_SECOND / 1e6)
        known.at = now
        if known.left >= 1:
            known.left -= 1
            return True
        if now >= known.named_at + NAME_AGAIN_US:
            known.named_at = now
            self.view.add(now, URGENT, f"klpfs: lines of processes of user {stranger.user} are left out: there are too "
                                       "many")
        return False
