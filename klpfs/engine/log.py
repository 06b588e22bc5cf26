"""The log: a ring of records, and the kernel's pr_* helpers that write the engine's lines into it.

Texts are an interface (docs/KERNEL.md#9): tests compare them with the lines of a real kernel. The engine has no
clock; whoever makes the Log gives it one.
"""
from _collections import deque
from itertools import count

ENGINE, MODULE, USER = "engine", "module", "user"
ERR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7


class Record:
    """One line: seq (from 0, no gaps), usec (CLOCK_MONOTONIC microseconds), priority (0..7), kind, text without newline.

    kind: ENGINE lines mean the whole service and are shown once; MODULE lines (modules, callbacks, pr_info) are shown
    once a process; USER lines were written to dev/kmsg.
    """

    __slots__ = ("seq", "usec", "priority", "kind", "text")

    def __init__(self, seq, usec, priority, kind, text):
        self.seq, self.usec, self.priority, self.kind, self.text = seq, usec, priority, kind, text

    def __repr__(self):
        return "Record(%d, %d, %d, %r, %r)" % (self.seq, self.usec, self.priority, self.kind, self.text)


class Log:
    """A ring of the last `size` records. clock_us() gives the time of a record, in microseconds.

    sink: called with each new record at once, or None. Any thread may add: one C call takes the number, another
    appends, so records are unique and none is lost; two that are added at one moment may stand in either order.
    """

    __slots__ = ("clock_us", "records", "sink", "_next")

    def __init__(self, clock_us, size=4096, sink=None):
        self.clock_us = clock_us
        self.records = deque(maxlen=size)
        self.sink = sink
        self._next = count()

    def add(self, text, priority=INFO, kind=ENGINE):
        """Adds a line (newlines in it make several) and returns the last Record."""
        for line in text.split("\n"):
            record = Record(next(self._next), self.clock_us(), priority, kind, line)
            self.records.append(record)
            sink = self.sink
            if sink is not None:
                sink(record)
        return record

    def texts(self):
        """The texts now in the ring, oldest first."""
        return [record.text for record in list(self.records)]


def pr_err(log, text):
    log.add("livepatch: " + text, ERR)
    return text


def pr_warn(log, text):
    log.add("livepatch: " + text, WARNING)
    return text


def pr_notice(log, text):
    log.add("livepatch: " + text, NOTICE)
    return text


def pr_info(log, text):
    log.add("livepatch: " + text, INFO)
    return text


def pr_debug(log, text):
    """The kernel shows these only when asked to (dyndbg); klpfs always does, as the recorded kernel did."""
    log.add("livepatch: " + text, DEBUG)
    return text
