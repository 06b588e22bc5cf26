"""The target: what the engine needs of the program that it patches. The only seam between them (the kernel's: arch/,
ftrace).

The engine knows tasks and functions through this alone. klpfs/cpython implements it for CPython, klpfs/testing.py
for tests. All methods are called by the engine's owner, one at a time; only `call` runs foreign code, and while
it does no lock of klpfs may be held, so coming and going may be called by other threads then.

Versions, goals and directions
    A transition is made of Changes. Of each changed function, version 0 is Change.before, what was in force when the
    transition began, and every older code of the function that may still run (Change.older). Version 1 is
    Change.after, what is in force once the transition has completed. Both are absolute: a reversal exchanges the goal
    only, never the numbers. `before is after` (the func of a disabled patch lies in the middle of its stack): nothing
    is switched; frames of `older` are version 0, those of the function's code in force have no version, as they fit
    both.

    goal 1 leads to `after`, goal 0 back to `before`. So for a patching transition goal 1 is "patched", and for an
    unpatching one goal 1 is "unpatched". The engine's direction (1 patching, 0 unpatching; klp_target_state) is
    translated to a goal in one place, engine/transition.py: Transition.goal_of.

    A Func with .nop set, and None, both mean the function's original code.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
    from typing import Any

    from klpfs.engine.data import Func, Mod, Object

PREPARE, RUN, CLEAN, OVER = "PREPARE", "RUN", "CLEAN", "OVER"

MODES = {
    PREPARE: "The dispatchers are in place and answer version 0.",
    RUN: "The dispatchers answer by the task that calls; looks find the tasks that are not clean.",
    CLEAN: "Every task was seen clean, or the rest was forced: the dispatchers answer the goal.",
    OVER: "The functions hold their images, the dispatchers are gone.",
}

# mode -> the method of TargetTransition that is called -> the next mode
MODE_MOVES = {
    PREPARE: {"add": PREPARE, "drop": PREPARE, "start": RUN, "cancel": OVER},
    RUN: {"add": RUN, "drop": RUN, "look": RUN, "look without a blocker": CLEAN, "force": CLEAN, "reverse": RUN},
    CLEAN: {"add": CLEAN, "drop": CLEAN, "reverse": RUN, "finish": OVER},
    OVER: {},
}


class Change:
    """A function under transition.

    definition: as in Func.definition. before, after: the Func in force before and after, None for the original code.
    older: tuple of other Funcs of that function (None: the original) whose code may still run, left by a force.
    """

    __slots__ = ("definition", "before", "after", "older")

    def __init__(self, definition: Hashable, before: Func | None, after: Func | None,
                 older: Iterable[Func | None] = ()) -> None:
        self.definition, self.before, self.after, self.older = definition, before, after, tuple(older)

    def __repr__(self) -> str:
        older = f", older {self.older!r}" if self.older else ""
        return f"Change({self.definition!r}, {self.before!r} -> {self.after!r}{older})"


class Blocker:
    """A task, or a state of the process, that keeps a transition pending.

    kind: 'thread', 'task' (asyncio), 'greenlet', 'generator', 'collection' (garbage collection under way), 'frozen
    heap' and so on. task: thread id or id() of the object, int. name: str. frames: list of 'file:line function',
    innermost first. Since when it is in the way: whoever keeps Blockers over looks knows (agent/tasks.py).
    """

    __slots__ = ("kind", "task", "name", "frames")

    def __init__(self, kind: str, task: int | None, name: str, frames: Iterable[str] = ()) -> None:
        self.kind, self.task, self.name, self.frames = kind, task, name, list(frames)

    def __repr__(self) -> str:
        return f"<Blocker {self.kind} {self.name} {self.frames[:1]}>"


class TargetTransition:
    """A transition in the target, as Target.begin returns it. Its modes and moves are MODES and MODE_MOVES above."""

    goal = 1       # 0 or 1; means nothing before start
    running = False     # in RUN: start() has done its one store, whether or not its caller knows
    clean = False  # every task was seen clean; all dispatchers answer the goal; still reversible

    def add(self, changes: Sequence[Change]) -> None:
        """A module came, whose code does not run yet: its functions, in which `before` is in force, join as
        dispatchers at once, which answer what the dispatchers of the transition's other functions do.

        In any mode but OVER. Raises KlpError with nothing changed.
        """
        raise NotImplementedError

    def drop(self, definitions: Sequence[Hashable]) -> None:
        """A module goes: its functions leave. They get their image of the goal (of `before` in PREPARE). Never
        fails."""
        raise NotImplementedError

    def start(self, goal: int) -> None:
        """PREPARE -> RUN, one store. goal is 1, or 0 for a process that begins late in a reversed transition."""
        raise NotImplementedError

    def reverse(self) -> None:
        """RUN or CLEAN -> RUN with goal 1 - goal, one store."""
        raise NotImplementedError

    def look(self) -> list[Blocker]:
        """Looks once for tasks that are not clean, in RUN. Returns list of Blocker; []: now CLEAN."""
        raise NotImplementedError

    def force(self) -> None:
        """RUN -> CLEAN without looking."""
        raise NotImplementedError

    def finish(self) -> None:
        """CLEAN -> OVER: the goal's images in place, one by one. Never fails."""
        raise NotImplementedError

    def cancel(self) -> None:
        """PREPARE -> OVER: everything as before. Never fails."""
        raise NotImplementedError


class Target:
    """The program that is patched. Abstract."""

    def loaded(self, name: str | None) -> Mod | None:
        """The Mod of the module called `name`, None if it is not loaded (a half imported module counts as not loaded).

        name None: the main program; None if this process runs another program.
        """
        raise NotImplementedError

    def imports_now(self, name: str) -> bool:
        """Whether the module called `name` is half imported: its body runs."""
        return False

    def resolve(self, obj: Object, func: Func) -> None:
        """Finds what func replaces, in the loaded object obj: fills func.definition and func.new_code; leaves them None
        for an optional func whose name the object has not.

        Logs one line and raises KlpError: EINVAL (not found, ambiguous, no such position, cannot be replaced), ENOEXEC
        (the fingerprint disagrees), ENOENT (an unresolved symbol in the new code).
        """
        raise NotImplementedError

    def resolve_nop(self, obj: Object, func: Func, like: Func) -> None:
        """Does what resolve does for the nop func, which stands for the definition of Func `like`: its code is the
        original."""
        raise NotImplementedError

    def release(self, func: Func) -> None:
        """Drops what resolve made. func's code runs nowhere any more, or goes with its module."""
        raise NotImplementedError

    def begin(self, changes: Sequence[Change]) -> TargetTransition:
        """PREPARE: dispatchers in place, all answer version 0. Returns a TargetTransition.

        Raises KlpError with nothing changed; its `func` names the Func at fault, if a Func is.
        """
        raise NotImplementedError

    def apply(self, changes: Sequence[Change]) -> None:
        """Outside a transition, a module that comes (or a process that joins): `after` images at once.

        Raises KlpError with nothing changed.
        """
        raise NotImplementedError

    def revert(self, changes: Sequence[Change]) -> None:
        """Outside a transition, a module that goes or a patch that is dropped: `before` images at once. No
        KlpError; where an exception has cut it off, it is called again."""
        raise NotImplementedError

    def recover(self, known: TargetTransition | None) -> None:
        """Takes back what `begin` was doing when an exception that is no KlpError has cut it, or its taking back, off;
        also what was begun, and is not the engine's. known: the engine's. What an `apply` or `revert` that was cut off
        could not take back gets what is in force, or this is cut off itself."""

    def exchanged(self) -> Collection[Hashable]:
        """The definitions in force to which the program has given other code than the target has. Outside a
        transition."""
        return ()

    def call(self, callback: Callable[[Object], Any], obj: Object) -> int:
        """Calls callback(obj), foreign code; returns 0 or a negative errno.

        An exception of it is logged by the target's owner, and becomes -EINVAL; an OSError, its own -errno. A result
        that is not a negative int counts as 0.
        """
        raise NotImplementedError
