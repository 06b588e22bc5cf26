"""What the model of docs/PROTOCOL.md knows of a service: its journal, processes and coordinators, as values that can be
hashed.

A step makes a new World of an old one. RULES_OFF holds the names of the protocol's rules that are not followed: a test
puts one in and must find a violation, so each rule is known to be needed.
"""

from typing import Any, NamedTuple, Optional

RULES_OFF: set[str] = set()

UNBORN, ALIVE, DEAD, BOUND = range(4)  # BOUND: its parent has bound its socket, and forks next
LOADING, PREPARED, STARTED, FINISHING = "loading", "prepared", "started", "finishing"
START, FINISH = "start", "finish"
IDLE, PREPARE, DRIVE, ABORT, GONE = "idle", "prepare", "drive", "abort", "gone"  # what a coordinator is at
FAULTS = ("kill", "stall", "fork", "join", "crash", "refuse", "giveup", "cut")


class Violation(Exception):
    """An invariant does not hold (invariants.py names them)."""


def need(condition: Any, text: str) -> None:
    if not condition:
        raise Violation(text)


class Change(NamedTuple):
    """A load being prepared."""

    n: int
    patch: str
    replace: bool


class Transition(NamedTuple):
    """A transition of the journal. dir 1: towards the patch. turn: one higher with each reversal."""

    n: int
    patch: str
    dir: int
    turn: int
    step: str
    replace: bool
    forced: bool


class Journal(NamedTuple):
    """The record. patches: those in force, oldest first; modules: all that are loaded."""

    seq: int
    patches: tuple[str, ...]
    modules: frozenset[str]
    change: Optional[Change]
    transition: Optional[Transition]

    def outcome(self) -> tuple[str, ...]:
        """The patches once the transition is over."""
        transition = self.transition
        if transition.dir:
            return (transition.patch,) if transition.replace else self.patches
        return tuple(patch for patch in self.patches if patch != transition.patch)

    def __str__(self) -> str:
        transition, change = self.transition, self.change
        what = (
            f"prepare {change.n} {change.patch}"
            if change
            else f"{transition.step} {transition.n} {transition.patch} dir {transition.dir} turn {transition.turn}"
            if transition
            else "idle"
        )
        return f"[{self.seq}: {','.join(self.patches) or '-'}; {what}]"


class Op(NamedTuple):
    """The operation that a process is in. orphan: the thread that waits in init() stayed in the parent."""

    n: int
    patch: str
    phase: str
    dir: int = 0
    turn: int = 0
    clean: bool = False
    orphan: bool = False


class Process(NamedTuple):
    """A process with its agent. runs: its program has begun; socket: it can be found in the folder; goal: the record
    that it works towards; callbacks: (patch, the last one that ran); left_out: patches that it goes without; over: n of
    the last operation finished."""

    state: int = UNBORN
    runs: bool = False
    socket: bool = False
    silent: bool = False
    seen: int = -1
    goal: Optional[Journal] = None
    patches: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    op: Optional[Op] = None
    callbacks: tuple[tuple[str, str], ...] = ()
    left_out: frozenset[str] = frozenset()
    over: int = 0
    refused: int = 0
    parent: Optional[int] = None

    @property
    def fresh(self) -> bool:
        """No line of its program has run, and it has no parent's frames: nobody has to be waited for."""
        return not self.runs and self.parent is None

    def report(self) -> tuple[Any, ...]:
        """What it tells a coordinator: (seen, its operation without the patch, over, refused, left_out)."""
        op = self.op
        return self.seen, op and (op.n, op.phase, op.dir, op.turn, op.clean), self.over, self.refused, self.left_out

    def after(self, what: str, patch: str) -> "Process":
        """With a callback of `patch` marked as run. I4: pre_patch -> post_patch or post_unpatch; pre_unpatch ->
        post_unpatch, or post_patch after a reversal."""
        ran = dict(self.callbacks)
        last = ran.pop(patch, None)
        allowed = {
            "pre_patch": (None,),
            "post_patch": ("pre_patch", "pre_unpatch"),
            "pre_unpatch": ("post_patch",),
            "post_unpatch": ("pre_patch", "pre_unpatch"),
        }[what]
        need(last in allowed, f"I4 {what} of {patch} after {last}")
        if what != "post_unpatch":
            ran[patch] = what
        return self._replace(callbacks=tuple(sorted(ran.items())))

    def with_patches(self, patches: tuple[str, ...]) -> "Process":
        """With these patches alone in force, and the callbacks of the others forgotten."""
        return self._replace(patches=patches, callbacks=tuple(row for row in self.callbacks if row[0] in patches))


class Coordinator(NamedTuple):
    """A coordinator. In PREPARE it holds the lock. n: its operation; known: the processes that it has listed, a bit
    each; reports: the last of each; passed_over: the silent ones, a bit each; sure: what it decided before it listed
    again; draft: a record that it has not written; listed_at: the seq of the journal that it listed under."""

    alive: bool = True
    role: str = IDLE
    n: int = 0
    known: int = 0
    reports: tuple[Any, ...] = ()
    passed_over: int = 0
    sure: Optional[str] = None
    draft: Optional[Journal] = None
    listed_at: int = 0


class World(NamedTuple):
    """Everything. inboxes: records on their way to each process, in any order; requests: writes that users are going to
    make; faults: how many of each may still happen; results: what writers were told; begun: operations that the journal
    has started; compete: a second coordinator is at work from the beginning."""

    journal: Journal
    processes: tuple[Process, ...]
    inboxes: tuple[frozenset[Journal], ...]
    coordinators: tuple[Coordinator, ...]
    requests: tuple[tuple[str, ...], ...]
    faults: tuple[int, ...]
    results: tuple[tuple[str, str], ...] = ()
    begun: frozenset[int] = frozenset()
    compete: bool = False

    def may(self, fault: str) -> bool:
        return self.faults[FAULTS.index(fault)] > 0

    def using(self, fault: str) -> "World":
        """With one fault of this kind less to come."""
        at = FAULTS.index(fault)
        return self._replace(faults=put(self.faults, at, self.faults[at] - 1))

    def with_process(self, index: int, process: Process) -> "World":
        return self._replace(processes=put(self.processes, index, process))

    def with_coordinator(self, k: int, coordinator: Coordinator) -> "World":
        return self._replace(coordinators=put(self.coordinators, k, coordinator))

    def registered(self) -> int:
        """The processes whose sockets are in the folder, a bit each."""
        return sum(
            1 << at for at, process in enumerate(self.processes) if process.socket and process.state in (ALIVE, BOUND)
        )


def put(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    """`items` with another one at a place."""
    return items[:at] + (item,) + items[at + 1 :]


def first_world(processes: int, requests: Any, patches: str = "", compete: bool = False, **faults: int) -> World:
    """A service at rest with these patches in force, and what is going to happen to it."""
    in_force = tuple(patches)
    old = Process(
        ALIVE,
        True,
        True,
        seen=0,
        patches=in_force,
        modules=frozenset(in_force),
        callbacks=tuple((patch, "post_patch") for patch in in_force),
    )
    extra = int(bool(faults.get("fork") or faults.get("join")))
    counts: dict[str, int] = {name: faults.pop(name, 0) for name in FAULTS}
    assert not faults, faults
    return World(
        Journal(0, in_force, frozenset(in_force), None, None),
        (old,) * processes + (Process(),) * extra,
        (frozenset(),) * (processes + extra),
        (Coordinator(),) * (1 + (int(compete) or counts["crash"])),
        tuple(requests),
        tuple(counts.values()),
        compete=compete,
    )
