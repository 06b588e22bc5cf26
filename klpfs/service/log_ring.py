"""The service's log as readers see it: a ring of records with consecutive numbers, put in order of time round by
round. Its lines are cut, and their bytes counted, as in the rings of processes (klpfs/engine/log.py), whatever a
process sends."""
from __future__ import annotations

from collections import deque
from typing import Callable

from attrs import define, field, frozen

from klpfs.engine.log import RECORD_BYTES, line_of

ROUND = 4096               # records that a round has at most, if nobody reads
SIZE_BYTES = 4 << 20       # of a service's log, with RECORD_BYTES for each record


@frozen
class LogRecord:
    """A line of the service's log: own number, CLOCK_MONOTONIC microseconds, kernel priority (facility and level),
    text. pid: the process whose module or callback logged the line; 0: the line is the service's."""

    seq: int
    usec: int
    prio: int
    text: str
    pid: int = 0


@define(eq=False)
class Late:
    """A record that came in this round: `usec` may still change, when another process has said the same at another
    time."""

    usec: int
    prio: int
    text: str
    pid: int = 0


@define(eq=False)
class LogView:
    """A ring of the last `size` records, and of `size_bytes` at most. What lies before `first_seq` has been
    overrun: a reader that wants it gets EPIPE once and goes on at `first_seq`. `next_seq` is the number that the next
    record will get. `cleared`: what lies before was cleared, for readers like dmesg."""

    size: int = 8192
    next_seq: int = 0
    size_bytes: int = SIZE_BYTES
    cleared: int = field(init=False, default=0)
    _bytes: int = field(init=False, default=0)
    _ring: deque[LogRecord] = field(init=False, factory=deque)
    _late: list[Late] = field(init=False, factory=list)
    on_added: Callable[[], None] | None = None

    @property
    def first_seq(self) -> int:
        self._merge()
        return self.next_seq - len(self._ring)

    @property
    def records(self) -> deque[LogRecord]:
        """Oldest first. Numbers are consecutive: record n is records[n - first_seq]."""
        self._merge()
        return self._ring

    def get(self, seq: int) -> LogRecord | None:
        """The record of this number; None when there is none yet; IndexError when it has been overrun."""
        self._merge()
        at = seq - (self.next_seq - len(self._ring))
        if at < 0:
            raise IndexError("overrun")
        return self._ring[at] if at < len(self._ring) else None

    def add(self, usec: int, prio: int, text: str, pid: int = 0) -> Late:
        """Take in a record. What came in the same round, from several agents, is put in order of time."""
        late = Late(usec, prio, line_of(text), pid)
        if len(self._late) >= ROUND:
            self._merge()
        self._late.append(late)
        if len(self._late) == 1 and self.on_added is not None:
            self.on_added()
        return late

    def _merge(self) -> None:
        if not self._late:
            return
        late, self._late = self._late, []
        late.sort(key=lambda record: record.usec)        # stable: lines of one microsecond stay as they came
        for record in late:
            self._ring.append(LogRecord(self.next_seq, record.usec, record.prio, record.text, record.pid))
            self.next_seq += 1
            self._bytes += RECORD_BYTES + len(record.text)
        while len(self._ring) > self.size or self._bytes > self.size_bytes:
            self._bytes -= RECORD_BYTES + len(self._ring.popleft().text)
