"""Writes under way: what a coordinator keeps of a write that waits for the lock, and of the load that it prepares."""
from __future__ import annotations

from typing import Any, Callable

from attrs import define, field

from klpfs.protocol.decisions import Record
from klpfs.service.answer import Answer
from klpfs.service.awaited import Awaited
from klpfs.service.limits import LIMITS

Decide = Callable[[Record], Record]
Foresee = Callable[[], "dict[str, Any] | None"]                # vote_by_text.py


@define(eq=False)
class Request:
    """A write that waits for the lock until `until` (loop time). decide(record) makes the next record, or raises
    OSError."""

    what: str
    decide: Decide
    answer: Answer
    until: float
    foresee: Foresee


@define(eq=False)
class Load:
    """The change n that this coordinator prepares; it holds the lock until `start` or the failure."""

    what: str
    n: int
    answer: Answer
    begun: float
    foresee: Foresee
    interrupted: bool = False
    named: set[str] = field(factory=set)                       # keys of the processes that the log has named
    awaited: Awaited = field(factory=lambda: Awaited([]))      # processes that have not prepared it yet

    @property
    def until(self) -> float:
        return self.begun + LIMITS.load
