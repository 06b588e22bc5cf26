"""The log: a ring of records, and the kernel's pr_* helpers that write the engine's lines into it.

Texts are an interface (docs/KERNEL.md#9): tests compare them with the lines of a real kernel. The engine has no
clock of its own: the maker of the Log gives it a clock.
"""
from __future__ import annotations

from _collections import deque
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE, MODULE, USER = "engine", "module", "user"
ERR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7


class Record:
    """A line of the log: seq (from 0, no gaps), usec (CLOCK_MONOTONIC microseconds), priority (0..7), kind, text
    without newline.

    kind: ENGINE lines mean the whole service and are shown once; MODULE lines (modules, callbacks, pr_info) are shown
    once a process; USER lines were written to dev/kmsg.
    """

    __slots__ = ("seq", "usec", "priority", "kind", "text")

    def __init__(self, seq: int, usec: int, priority: int, kind: str, text: str) -> None:
        self.seq, self.usec, self.priority, self.kind, self.text = seq, usec, priority, kind, text

    def __repr__(self) -> str:
        return f"Record({self.seq}, {self.usec}, {self.priority}, {self.kind!r}, {self.text!r})"


class Log:
    """A ring of the last `size` records. clock_us() gives the time of a record, in microseconds.

    sink: called with each new record at once, or None. Any thread may add: one C call takes the number, a second C call
    appends, so records are unique and none is lost; two records that are added at one moment may stand in either order.
    """

    __slots__ = ("clock_us", "records", "sink", "_next")

    def __init__(self, clock_us: Callable[[], int], size: int = 4096,
                 sink: Callable[[Record], object] | None = None) -> None:
        self.clock_us = clock_us
        self.records: deque[Record] = deque(maxlen=size)
        self.sink = sink
        self._next = count()

    def add(self, text: str, priority: int = INFO, kind: str = ENGINE) -> Record:
        """Adds a line (newlines in it make several) and returns the last Record."""
        for line in text.split("\n"):
            record = Record(next(self._next), self.clock_us(), priority, kind, line)
            self.records.append(record)
            sink = self.sink
            if sink is not None:
                sink(record)
        return record

    def after_fork(self) -> None:
        """In a child, which begins an empty log: its parent's lines are its parent's."""
        self.records.clear()

    def texts(self) -> list[str]:
        """The texts now in the ring, oldest first."""
        return [record.text for record in list(self.records)]


def pr_err(log: Log, text: str) -> str:
    log.add("livepatch: " + text, ERR)
    return text


def pr_warn(log: Log, text: str) -> str:
    log.add("livepatch: " + text, WARNING)
    return text


def pr_notice(log: Log, text: str) -> str:
    log.add("livepatch: " + text, NOTICE)
    return text


def pr_info(log: Log, text: str) -> str:
    log.add("livepatch: " + text, INFO)
    return text


def pr_debug(log: Log, text: str) -> str:
    """The kernel shows these only when asked to (dyndbg); klpfs always does, as the recorded kernel did."""
    log.add("livepatch: " + text, DEBUG)
    return text
