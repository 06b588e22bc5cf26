"""The service's log out of its agents' rings: engine lines once a service, the others once a process, by time.

An engine line stands for the service. The first process's line is shown; the same line from other processes of the
operation is the same event. Of copies that arrive in one round the earliest time is kept, so that the line stays before
that process's next one; of 'starting ... transition', which ends a step that all processes wait for, the latest, so
that it stays behind all callbacks of the step. ('reverting patch' stands between two callbacks of each process: it has
no right place in one log.) 'patching complete' is what the service says itself, once, with the journal's write that
ends the transition (docs/PROTOCOL.md#7): an agent's own line means its process only. Lines of foreign users' processes
are foreign_lines.py's.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Callable

from attrs import define, field

from klpfs.engine.log import line_of
from klpfs.service.foreign_lines import ForeignLines, Stranger
from klpfs.service.log_ring import Late, LogView

TOGETHER = 2_000_000  # usec: lines of earlier operations are one event when no further apart (a daemon started again)
# occurrences of one text (a process that says a line again later makes a new one); agents that have gone
REMEMBERED = 64
_ENDS_A_STEP = re.compile(r"livepatch: '.*': starting (patching|unpatching) transition", re.S)
_COMPLETE = re.compile(r"livepatch: '(.*)': (patching|unpatching) complete", re.S)

FACILITIES = 0x3f8         # the bits of a priority that say who wrote a line

Row = tuple[int, int, int, str, str]


@define(eq=False)
class Shown:
    """An engine line that is in the log, and the agents that have said it."""

    epoch: int
    agents: set[str]
    line: Late


@define(eq=False)
class LogMerge:
    """Feeds `view`. clock(): CLOCK_MONOTONIC microseconds."""

    view: LogView
    clock: Callable[[], int]
    foreign: ForeignLines = field(init=False)
    _next: dict[str, int] = field(init=False, factory=dict)      # by agent: the number that its next record has
    _past: dict[str, int] = field(init=False, factory=dict)      # the same of agents that have gone, the latest ones
    _shown: dict[str, list[Shown]] = field(init=False, factory=dict)
    # by agent: lines of writers that stand here already, and that it may still say, oldest first
    _said: dict[str, list[str]] = field(init=False, factory=dict)
    _epoch: int = field(init=False, default=0)
    _transition: dict[str, Any] | None = field(init=False, default=None)
    _started: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.clock()
        self.foreign = ForeignLines(self.view, self.clock)

    def say(self, text: str, priority: int = 6) -> None:
        """A line of the service's own."""
        for line in text.split("\n"):
            self.view.add(self.clock(), priority, line)

    def say_for(self, agent: str, text: str, priority: int) -> None:
        """A line that a writer has given to an agent, which has not logged it in time. agent: '': none will."""
        self.say(text, priority)
        if agent:
            self._said.setdefault(agent, []).extend(line_of(line) for line in text.split("\n"))
            del self._said[agent][:-REMEMBERED]

    def _stands_already(self, agent: str, text: str) -> bool:
        """Whether an agent's line of a writer is one of say_for's. An agent logs in the order in which it was given the
        lines: what comes before this one will not come any more."""
        said = self._said.get(agent, [])
        if text not in said:
            return False
        del said[:said.index(text) + 1]
        return True

    def take(self, agent: str, rows: Iterable[Row], record: dict[str, Any], name: str = "",
             stranger: Stranger | None = None, pid: int = 0) -> None:
        """New records of an agent: (its own number, usec, priority, kind, text). Those that came before are skipped.
        What the agent itself says is about its process: `name` is put before it. stranger: the process, if it is of a
        foreign user: the name stands before all that it says. pid: the process's number."""
        if agent in self._past:
            self._next[agent] = self._past.pop(agent)
        for seq, usec, priority, kind, text in rows:
            if seq < self._next.get(agent, 0):
                continue
            text = line_of(text)
            self._next[agent] = seq + 1
            if stranger is not None:
                self._take_foreign(agent, stranger, (seq, usec, priority, kind, text), record)
                continue
            priority &= FACILITIES | 7 if kind == "user" else 7
            if kind == "user" and self._stands_already(agent, text):
                continue
            if kind == "module":
                self.view.add(usec, priority, text, pid)
            elif kind != "engine":     # a kind that this klpfs does not know is one of the agent's own
                self.view.add(usec, priority, f"{name}: {text}" if kind != "user" and name else text)
            elif not self._ends(text, record):
                self._engine(agent, usec, priority, text)

    def _take_foreign(self, agent: str, stranger: Stranger, row: Row, record: dict[str, Any]) -> None:
        _, usec, priority, kind, text = row
        if kind != "engine":
            self.foreign.add(stranger, usec, priority, text)
        elif not self._ends(text, record) and self._same(agent, usec, text) is None:
            self.foreign.add_engine(agent, stranger, usec, priority, text)

    def take_record(self, record: dict[str, Any]) -> None:
        """The journal's new record: an operation begins or ends. With its end: complete."""
        before, now = self._transition, record["transition"]
        change = record["change"]
        self._transition = dict(now) if now else None
        if before and not (now and now["n"] == before["n"]):
            loaded = any(p["name"] == before["patch"] for p in record["patches"])
            text = f"livepatch: '{before['patch']}': {'patching' if loaded else 'unpatching'} complete"
            line = self.view.add(self.clock(), 5, text)
            self._shown.setdefault(text, []).append(Shown(self._epoch, set(), line))
        begins = change["n"] if change else now["n"] if now else 0
        if begins > self._epoch:
            self.foreign.begin_operation()
            self._epoch = begins
            self._shown.clear()

    def forget(self, agent: str) -> None:
        """An agent is gone. It may come back on another socket, if its program has closed the one that it had."""
        self._said.pop(agent, None)
        known = self._next.pop(agent, None)
        if known is not None:
            self._past[agent] = known
            while len(self._past) > REMEMBERED:
                del self._past[next(iter(self._past))]

    def _ends(self, text: str, record: dict[str, Any]) -> bool:
        """Whether the line says that the service's transition has ended in one process."""
        match = _COMPLETE.fullmatch(text)
        transition = record["transition"]
        return bool(match and transition and transition["patch"] == match[1])

    def _engine(self, agent: str, usec: int, priority: int, text: str) -> None:
        known = self._same(agent, usec, text)
        if known is not None:
            known.line.usec = (max if _ENDS_A_STEP.fullmatch(text) else min)(known.line.usec, usec)
            return
        shown = self._shown.setdefault(text, [])
        agents = {agent} | self.foreign.service_says(text)
        shown.append(Shown(self._epoch, agents, self.view.add(usec, priority, text)))
        del shown[:-REMEMBERED]

    def _same(self, agent: str, usec: int, text: str) -> Shown | None:
        """The engine line of the log that is the same event in another process, which this agent has now said, too."""
        old = usec < self._started             # of a ring, from before this daemon
        for known in self._shown.get(text, ()):
            together = abs(usec - known.line.usec) < TOGETHER if old else known.epoch == self._epoch
            if agent not in known.agents and together:
                known.agents.add(agent)
                return known
        return None
