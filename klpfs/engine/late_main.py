"""The main program of a process that joined before it had made its functions (docs/DESIGN.md#6, Coming).

Not in the kernel, whose vmlinux is always there. When the definitions have come, their code may run already: a
program's body never ends, and earlier lines of it may have started threads. So they are patched by a transition of this
process alone, from the originals to what all patches in force make of them:

    Engine.arrive -> look_arrival ... -> finish_arrival       force_arrival in between

It cannot be reversed: the service has no older state that it could go back to. No other operation begins meanwhile
(EBUSY). An object that a patch cannot change is left unpatched by that patch, as with a plain import. Steps and moves:
steps.py.
"""
from __future__ import annotations

from klpfs.engine import callbacks
from klpfs.engine.coming_going import enter_module, leave_out, take_back
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import release
from klpfs.engine.log import pr_warn
from klpfs.engine.patch import patch_object, patch_of
from klpfs.engine.replace import find_object
from klpfs.engine.steps import FINISHING, STARTED, Machine
from klpfs.engine.target import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Func, Mod, Object, Patch
    from klpfs.engine.target import Blocker
    Before = dict[Hashable, Func | None]    # definition -> what was in force


class Arrival(Machine):
    """step: PREPARING (pre_patch callbacks run), STARTED, FINISHING (post_patch callbacks run). module: its name, None
    for the main program. objects: those of the patches in force that take part, oldest patch first. clean: every task
    was seen clean, or the rest was forced."""

    __slots__ = ("module", "objects", "changes", "forced", "due")

    def __init__(self, engine: Engine, module: str | None) -> None:
        Machine.__init__(self, engine, "arrival", "arrive")
        self.module = module
        self.objects: list[Object] = []
        self.due: list[Object] = []             # objects whose post_patch callback is still to be called
        self.changes: list[Change] = []
        self.forced = False
        engine.arrival = self

    def begin(self, mod: Mod) -> None:
        """Callbacks, functions on their stacks, and the start; or abandoned, when nothing is to be patched."""
        engine = self.engine
        before: Before = {}

        def put(engine: Engine, obj: Object) -> None:
            for func in obj.funcs:  # a patch that was loaded meanwhile may be in force already
                before.setdefault(func.definition, engine.stacks.top(func.definition))
            patch_object(engine, obj)
        for patch in list(engine.patches):
            obj = find_object(patch, self.module)
            if obj is None or obj.loaded:
                continue
            self.objects.append(obj)
            try:
                if not enter_module(engine, patch, obj, mod, put):
                    self.objects.remove(obj)
            except KlpError:
                self.objects.remove(obj)
                take_back(engine, obj)
                leave_out(engine, patch, obj)
        if self.objects:
            self._start(before)
        else:
            self.abandon()

    def _start(self, before: Before) -> None:
        self.after("start at once")
        stacks, found = self.engine.stacks, {}
        for obj in self.objects:
            for func in obj.funcs:
                if func.patched:
                    stack = stacks.table[func.definition]
                    found[func.definition] = Change(func.definition, before[func.definition], stack.top, stack.leftover)
        self.changes = list(found.values())
        try:
            self.in_target = self.engine.target.begin(self.changes)
        except KlpError as error:
            for obj in self.objects:
                pr_warn(self.engine.log, "failed to apply patch '%s' to module '%s' (%d)"
                        % (patch_of(obj).name, obj.shown, -error.errno))
            self.abandon(leave_out)
            return
        self.in_target.start(1)
        self.started()

    def started(self) -> None:
        """The store was done."""
        self.step = STARTED

    def look(self) -> list[Blocker]:
        """Looks once, in the target, for tasks that are not clean."""
        self.move("look")
        return [] if self.clean else self._target_transition.look()

    def abandon(self, then: Callable[[Engine, Patch, Object], None] | None = None) -> None:
        """Take back an arrival that was not started: as if the definitions had not come. then: called with engine,
        patch, object."""
        step = self.after("abandon")
        gone, self.objects, self.changes = self.objects, [], []
        for obj in gone:
            take_back(self.engine, obj)
            if then is not None:
                then(self.engine, patch_of(obj), obj)
        self.step = step
        self.engine.arrival = None

    def force(self) -> None:
        """Forces the arrival, as klp_force_transition does: tasks that still run the originals go on in them."""
        self.move("force")
        pr_warn(self.engine.log, "forcing remaining tasks to the patched state")
        self.forced = True
        self._target_transition.force()

    def complete(self) -> None:
        """Images, then the post_patch callbacks; goes on where a fork has cut it off."""
        step = self.after("finish")
        if self.step != FINISHING:
            self._target_transition.finish()
            self.in_target = None
            for change in self.changes:
                for func in self.engine.stacks.settle(change, 1, self.forced):
                    release(self.engine, func)
            self.step, self.due = step, list(self.objects)
        while self.due:
            callbacks.post_patch(self.engine, self.due.pop(0))
        self.move("end")
        self.engine.arrival = None
