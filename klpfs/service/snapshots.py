"""What the tree shows of a service: plain snapshots, replaced as a whole when something changed, never altered."""
from collections import deque
from concurrent.futures import Future
from typing import Callable, Deque, Dict, List, Optional, Tuple

from attrs import define, field, frozen

VMLINUX = "vmlinux"                            # the name that the tree shows for the main program (object name None)


@frozen
class Caller:
    """Who writes: process (or thread) id as this daemon sees it, 0 when it can't; user and group."""

    pid: int
    uid: int
    gid: int


@frozen
class ObjectView:
    """An object of a patch: `patched` when a process has it patched and none has it loaded unpatched."""

    name: str
    patched: bool
    funcs: Tuple[Tuple[str, int], ...]         # name and position (1 for position 0), in the patch's order


@frozen
class PatchView:
    """A patch's directory. `enabled`, `transition`, `replace` and its being there come from the journal."""

    name: str
    enabled: bool
    transition: bool
    replace: bool
    stack_order: int                           # 1: the oldest
    objects: Tuple[ObjectView, ...] = ()


@frozen
class ParamView:
    """A parameter: type 'bool', 'int', 'str', ...; its value as shown, without a newline; permission bits."""

    type: str
    text: str
    mode: int


@frozen
class ModuleView:
    """A loaded module: `state` as in /proc/modules ('Live', 'Loading', 'Unloading'); holders: who uses it."""

    name: str
    size: int = 0
    refcnt: int = 0
    state: str = "Live"
    livepatch: bool = False
    forced: bool = False
    holders: Tuple[str, ...] = ()
    params: Dict[str, ParamView] = field(factory=dict)


@frozen
class ProcessView:
    """A process of the service that has said who it is."""

    pid: int
    comm: str
    cmdline: Tuple[str, ...]


@frozen
class BlockerView:
    """Who keeps something pending. kind: 'thread' 'task' 'greenlet' 'generator' 'collection' 'frozen heap' 'working', of
    process `pid`; 'process': it does not answer; 'journal' (pid 0): it can't be written. task: thread or other id, or None;
    frames: 'file:line function', innermost first; since: CLOCK_MONOTONIC microseconds; patch: the one in transition."""

    pid: int
    kind: str
    task: Optional[int]
    name: str
    frames: Tuple[str, ...] = ()
    since: int = 0
    patch: str = ""


@frozen
class LogRecord:
    """A line of the service's log: own number, CLOCK_MONOTONIC microseconds, kernel priority (facility and level), text."""

    seq: int
    usec: int
    prio: int
    text: str


@define(eq=False)
class Late:
    """A record that came in this round: `usec` may still become lower, when another process has said the same earlier."""

    usec: int
    prio: int
    text: str


@define(eq=False)
class LogView:
    """A ring of the last `size` records. What lies before `first_seq` has been overrun: a reader that wants it
    gets EPIPE once and goes on at `first_seq`. `next_seq` is the number that the next record will get."""

    size: int = 8192
    next_seq: int = 0
    _ring: Deque[LogRecord] = field(init=False, factory=deque)
    _late: List[Late] = field(init=False, factory=list)
    on_added: Optional[Callable[[], None]] = None

    @property
    def first_seq(self) -> int:
        self._merge()
        return self.next_seq - len(self._ring)

    @property
    def records(self) -> Deque[LogRecord]:
        """Oldest first. Numbers are consecutive: record n is records[n - first_seq]."""
        self._merge()
        return self._ring

    def get(self, seq: int) -> Optional[LogRecord]:
        """The record of this number; None when there is none yet; IndexError when it has been overrun."""
        self._merge()
        at = seq - (self.next_seq - len(self._ring))
        if at < 0:
            raise IndexError("overrun")
        return self._ring[at] if at < len(self._ring) else None

    def add(self, usec: int, prio: int, text: str) -> Late:
        """Take in a record. What came in the same round, from several agents, is put in order of time."""
        late = Late(usec, prio, text)
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
            self._ring.append(LogRecord(self.next_seq, record.usec, record.prio, record.text))
            self.next_seq += 1
        while len(self._ring) > self.size:
            self._ring.popleft()


class Answer(Future):                          # type: ignore[type-arg]
    """The answer to a write or a question that takes time.

    `result()` is None for a write, data for a question; `exception()` is an OSError with the kernel's errno.
    `cancel()` says that the writer was interrupted: the answer still comes, by the usual callbacks: OSError(EINTR)
    once all is as before, or success when it was too late. So `cancelled()` is never true.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupt: Optional[Callable[[], None]] = None

    def cancel(self) -> bool:
        if self.done() or self.interrupt is None:
            return False
        self.interrupt()
        return True

    def succeed(self, data: object = None) -> None:
        """Answer with data, unless it has been answered."""
        if not self.done():
            self.interrupt = None
            self.set_result(data)

    def fail(self, errno: int, text: str = "") -> None:
        """Answer with OSError(errno, text), unless it has been answered."""
        if not self.done():
            self.interrupt = None
            self.set_exception(OSError(errno, text))
