"""The log: a ring of records, and the kernel's pr_* helpers that write the engine's lines into it.

Texts are an interface (docs/KERNEL.md#9): tests compare them with the lines of a real kernel. The engine has no
clock of its own: the maker of the Log gives it a clock.

Patches and programs make lines of any length and content: a line is cut where the kernel cuts it, what no reader could
be given is escaped, and the ring has a size in bytes. Source: kernel/printk/printk.c, PRINTKRB_RECORD_MAX, log_buf_len.
"""
from __future__ import annotations

from _collections import deque
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE, MODULE, USER = "engine", "module", "user"
ERR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7
LINE_BYTES = 1024       # of a line at most
RING_BYTES = 1 << 20    # of all lines of a ring at most, with RECORD_BYTES for each
RECORD_BYTES = 64


def line_of(text: str) -> str:
    r"""The text as a line of the log has it: cut after LINE_BYTES bytes, between two characters. A surrogate that
    stands for no byte (os.fsdecode) is escaped.

    >>> line_of("a\udcff"), line_of("a\ud800")
    ('a\udcff', 'a\\ud800')
    """
    if len(text) <= LINE_BYTES and text.isascii():
        return text
    text = text[:LINE_BYTES]
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    end = LINE_BYTES
    if len(data) > end:
        while end > LINE_BYTES - 4 and data[end] & 0xC0 == 0x80:       # within a character
            end -= 1
    return data[:end].decode("utf-8", "surrogateescape")


class Record:
    """A line of the log: seq (from 0, no gaps), usec (CLOCK_MONOTONIC microseconds), priority (0..7), kind, text
    without newline. end: the bytes of all lines that the log has had with this line, about.

    kind: ENGINE lines mean the whole service and are shown once; MODULE lines (modules, callbacks, pr_info) are shown
    once a process; USER lines were written to dev/kmsg.
    """

    __slots__ = ("seq", "usec", "priority", "kind", "text", "end")

    def __init__(self, seq: int, usec: int, priority: int, kind: str, text: str, end: int = 0) -> None:
        self.seq, self.usec, self.priority, self.kind, self.text, self.end = seq, usec, priority, kind, text, end

    def __repr__(self) -> str:
        return f"Record({self.seq}, {self.usec}, {self.priority}, {self.kind!r}, {self.text!r})"


class Log:
    """A ring of the last `size` records, and of RING_BYTES at most. clock_us() gives the time of a record, in
    microseconds.

    sink: called with each new record at once, or None. Any thread may add: one C call takes the number, a second C call
    appends, so records are unique and none is lost; two records that are added at one moment may stand in either order,
    and one of them may not be counted in `_end`: only differences of `end` are used, so that is forgotten with them.
    """

    __slots__ = ("clock_us", "records", "sink", "_next", "_end")

    def __init__(self, clock_us: Callable[[], int], size: int = 4096,
                 sink: Callable[[Record], object] | None = None) -> None:
        self.clock_us = clock_us
        self.records: deque[Record] = deque(maxlen=size)
        self.sink = sink
        self._next = count()
        self._end = 0

    def add(self, text: str, priority: int = INFO, kind: str = ENGINE) -> Record:
        """Adds a line (newlines in it make several) and returns the last Record."""
        for line in text.split("\n"):
            line = line_of(line)
            self._end = end = self._end + RECORD_BYTES + len(line)
            record = Record(next(self._next), self.clock_us(), priority, kind, line, end)
            self.records.append(record)
            try:
                while end - self.records[0].end > RING_BYTES - RECORD_BYTES - LINE_BYTES:    # the first has bytes, too
                    self.records.popleft()
            except IndexError:                 # other threads have taken them
                pass
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
