"""The stack of each function (kernel/livepatch/patch.c): what enabled patches make of it, the newest on top.

Stacks is bookkeeping only: which Func is in force, what a transition changes, whose code may still run after a force.
patch_object and unpatch_object keep it right; they touch no code, that is left to whoever calls the target.
"""
from __future__ import annotations

from errno import EBUSY

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.engine.target import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Func, Object, Patch


class FuncStack:
    """struct klp_ops. object: the name of its module. funcs: oldest patch first. leftover: Funcs, or None for the
    original, whose code may still run although it is not in force, because a transition was forced over them."""

    __slots__ = ("definition", "object", "funcs", "leftover")

    def __init__(self, definition: Hashable, object: str | None) -> None:
        self.definition, self.object = definition, object
        self.funcs: list[Func] = []
        self.leftover: list[Func | None] = []

    @property
    def top(self) -> Func | None:
        return self.funcs[-1] if self.funcs else None

    def without(self, func: Func) -> Func | None:
        """The Func that is in force when func is not on the stack."""
        for other in reversed(self.funcs):
            if other is not func:
                return other
        return None


class Stacks:
    """All function stacks of a process, by definition (klp_ops)."""

    __slots__ = ("table",)

    def __init__(self) -> None:
        self.table: dict[Hashable, FuncStack] = {}

    def get(self, definition: Hashable) -> FuncStack | None:
        return self.table.get(definition)

    def top(self, definition: Hashable) -> Func | None:
        stack = self.table.get(definition)
        return stack.top if stack else None

    def put(self, func: Func, patches: list[Patch]) -> None:
        """Puts func on its stack, at the place that its patch has among `patches`: on top, but for a joiner."""
        func.patched = True     # first: whatever is cut off here, `take` takes back
        stack = self.table.get(func.definition)
        obj = func.obj
        assert obj is not None          # as in patch_of
        if stack is None:
            stack = self.table[func.definition] = FuncStack(func.definition, obj.name)
        place = patches.index(patch_of(obj))
        below = [other for other in stack.funcs if patches.index(patch_of(other.obj)) < place]
        stack.funcs.insert(len(below), func)

    def take(self, func: Func) -> None:
        stack = self.table.get(func.definition)
        if stack is not None:
            stack.funcs[:] = [other for other in stack.funcs if other is not func]
            self.tidy(stack)
        func.patched = False

    def tidy(self, stack: FuncStack) -> None:
        if not stack.funcs and not stack.leftover:
            self.table.pop(stack.definition, None)

    def forget(self, definition: Hashable) -> list[Func | None]:
        """The definition is gone, with its module; returns the leftovers, which go with it."""
        stack = self.table.pop(definition, None)
        return stack.leftover if stack else []

    def change(self, func: Func, patching: bool) -> Change:
        """The Change that a transition of func, which is on its stack, makes: towards func (patching) or away from
        it."""
        stack = self.table[func.definition]
        with_it, without = stack.top, stack.without(func)
        before, after = (without, with_it) if patching else (with_it, without)
        older = list(stack.leftover)
        if func is not with_it:
            older.append(func)  # in the middle of its stack: nothing to switch, but its code may run (after a force)
        return Change(func.definition, before, after,
                      [code for code in older if code is not original(before) and code is not original(after)])

    def settle(self, change: Change, goal: int, forced: bool) -> list[Func]:
        """The transition of `change` is over; keeps account of code that may still run. Returns Funcs that no longer
        do.

        Seen clean with goal 1, none of the older codes runs; with goal 0, those of before the transition still may.
        """
        stack = self.table.get(change.definition)
        if stack is None:
            return []
        leftover = stack.leftover
        if forced:
            left = [original(code) for code in (change.before, change.after)] + list(change.older) + leftover
        else:
            left = [] if goal else leftover
        in_force = original(change.after if goal else change.before)
        stack.leftover = []
        for code in left:
            if code is not in_force and code not in stack.leftover:
                stack.leftover.append(code)
        self.tidy(stack)
        return [code for code in leftover if code is not None and code not in stack.leftover]

    def may_run(self, definition: Hashable, code: Func | None) -> None:
        """code (a Func, or None: the original) was taken out of force, but nobody looked whether it still runs."""
        stack = self.table.get(definition)
        code = original(code)
        if stack is not None and code is not original(stack.top) and code not in stack.leftover:
            stack.leftover.append(code)

    def runs(self, func: Func) -> bool:
        """Whether func's code may still run because of a force."""
        stack = self.table.get(func.definition)
        return stack is not None and func in stack.leftover


def original(func: Func | None) -> Func | None:
    """None for a nop, whose code is the original's; func else."""
    return None if func is not None and func.nop else func


def patch_of(obj: Object | None) -> Patch:
    """The patch of an object that the engine works on, or that a Func on a stack is of."""
    assert obj is not None and obj.patch is not None    # set when the patch is enabled, before anything else is done
    return obj.patch


def patch_object(engine: Engine, obj: Object) -> None:
    """Puts all functions of the loaded obj on their stacks (klp_patch_object); KlpError when redirection is off."""
    obj.patched = True
    for func in obj.funcs:
        if func.definition is None:
            continue  # optional and not there, or a nop for a function that its older patch could not find either
        if not engine.ftrace_enabled:
            unpatch_object(engine, obj)
            text = "failed to register ftrace handler for function '%s' (%d)" % (func.old_name, -EBUSY)
            raise KlpError(EBUSY, pr_err(engine.log, text), func)
        engine.stacks.put(func, engine.patches)


def unpatch_object(engine: Engine, obj: Object, nops_only: bool = False) -> None:
    """Takes obj's functions off their stacks (klp_unpatch_object, __klp_unpatch_object)."""
    for func in obj.funcs:
        if func.patched and (func.nop or not nops_only):
            engine.stacks.take(func)
    if obj.dynamic or not nops_only:
        obj.patched = False
