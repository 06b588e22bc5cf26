"""The transition (kernel/livepatch/transition.c): a state machine without clock, threads or files, driven step by step.

Its steps and moves are the tables of steps.py. All that a move does is here; core.py decides whether a move may happen,
and answers errors. A step that was cut off by a fork goes on in the child, from the marks of callbacks.py, when its
function is called again.
"""
from __future__ import annotations

from klpfs.engine import callbacks
from klpfs.engine.init_patch import free_patch, release
from klpfs.engine.log import pr_debug, pr_notice, pr_warn
from klpfs.engine.patch import unpatch_object
from klpfs.engine.replace import discard_nops, replaced_by, unpatch_replaced
from klpfs.engine.steps import FINISHING, STARTED, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Object, Patch
    from klpfs.engine.target import Blocker, Change

UNPATCHED, PATCHED = 0, 1
WORDS = ("unpatching", "patching")


class Transition(Machine):
    """klp_transition_patch and klp_target_state of one transition.

    patch: the Patch. kind: PATCHED (it began as an enable) or UNPATCHED (a disable). dir: where it leads now.
    first_dir: where it leads when it starts. step: as in steps.py. clean: every task was seen clean since the last
    turn, or the rest was forced. canceled: taken back before it was started.
    """

    __slots__ = ("patch", "kind", "dir", "first_dir", "changes", "forced", "canceled", "due")

    def __init__(self, engine: Engine, patch: Patch, kind: int, first_dir: int) -> None:
        """klp_init_transition."""
        Machine.__init__(self, engine, WORDS[kind], "enable" if kind == PATCHED else "disable")
        self.patch, self.kind, self.dir, self.first_dir = patch, kind, kind, first_dir
        self.changes: dict[Hashable, Change] = {}           # by definition
        self.forced = False     # tasks were switched without being seen clean, in this direction
        self.canceled = False
        self.due: list[Object] = []             # objects whose post_* callback is still to be called
        engine.transition = self
        self._debug("initializing %s transition" % WORDS[kind])
        for obj in patch.objects:
            for func in obj.funcs:
                func.transition = True

    def goal_of(self, dir: int) -> int:
        """The target's goal for a direction; the one place that translates between them (see target.py)."""
        return dir if self.kind == PATCHED else 1 - dir

    def changes_of(self, obj: Object) -> list[Change]:
        return [self.engine.stacks.change(func, self.kind == PATCHED) for func in obj.funcs if func.patched]

    def prepare(self) -> None:
        """Dispatchers in place for all that is patched; raises KlpError with nothing changed."""
        changes = [change for obj in self.patch.objects for change in self.changes_of(obj)]
        self.in_target = self.engine.target.begin(changes)
        self.changes = {change.definition: change for change in changes}

    def add(self, obj: Object) -> None:
        """obj, just patched, belongs to a module that comes."""
        if self.in_target is not None:  # else prepare() finds it
            changes = self.changes_of(obj)
            self.in_target.add(changes)
            self.changes.update((change.definition, change) for change in changes)

    def drop(self, obj: Object) -> None:
        """obj's module goes. Its functions leave with the goal's image; the caller puts what the stack says."""
        gone = [func.definition for func in obj.funcs if func.definition in self.changes]
        if gone:
            self._target_transition.drop(gone)
        for definition in gone:
            del self.changes[definition]

    def start(self, dir: int) -> None:
        """klp_start_transition: one store sets it going. dir is not the kind in a process that begins after a turn."""
        self.after("start" if self.kind == PATCHED else "start at once")
        self.dir = dir
        self._notice("starting %s transition" % WORDS[dir])
        self._target_transition.start(self.goal_of(dir))
        self.started()

    def started(self) -> None:
        """The store was done: what follows from it; also for a start that an exception has cut off behind the store."""
        self.patch.enabled = bool(self.dir)
        self.step = STARTED

    def reverse(self) -> None:
        """klp_reverse_transition."""
        self.move("reverse")
        self._debug("reversing transition from %s to %s" % (WORDS[self.dir], WORDS[1 - self.dir]))
        self.dir = 1 - self.dir
        self.forced = False
        self._notice("starting %s transition" % WORDS[self.dir])
        self._target_transition.reverse()
        self.patch.enabled = bool(self.dir)

    def follow_target(self) -> None:
        """The direction is what the target's goal says: an exception may have cut off a reversal on either side of its
        store."""
        self.dir = self.goal_of(self._target_transition.goal)
        self.patch.enabled = bool(self.dir)

    def look(self) -> list[Blocker]:
        """klp_try_complete_transition without its end: one look, in the target, for tasks that are not clean."""
        self.move("look")
        if self.clean:
            return []
        return self._beside_the_target() or self._target_transition.look()

    def _beside_the_target(self) -> list[Blocker]:
        """What callbacks find in the way; asked first, for a look without a blocker ends the transition."""
        found: list[Blocker] = []
        for obj in self.patch.objects if self.dir == PATCHED else ():
            find = obj.callbacks.in_the_way if obj.callbacks is not None else None
            if find is not None and obj.loaded and obj.stage is not None:
                found += find(obj)
        return found

    def force(self) -> None:
        """klp_force_transition. The module of a patch whose code may still run is never unloaded."""
        self.move("force")
        pr_warn(self.engine.log, "forcing remaining tasks to the patched state")
        if self.dir == UNPATCHED:
            self.patch.forced = True
        else:
            for old_patch in replaced_by(self.engine, self.patch):
                old_patch.forced = True
        self.forced = True
        self._target_transition.force()

    def cancel(self) -> None:
        """klp_cancel_transition: takes back what was not started; post_unpatch runs where pre_patch succeeded."""
        self.after("cancel")
        if self.step != FINISHING:
            self._debug("canceling patching transition, going to unpatch")
            self.dir, self.canceled = UNPATCHED, True
        self.complete("cancel")

    def abandon(self) -> None:
        """A disable that could not even be prepared: as if it had not been asked for."""
        self.move("abandon")
        for obj in self.patch.objects:
            for func in obj.funcs:
                func.transition = False
        self.engine.transition = None

    def complete(self, event: str = "finish") -> None:
        """klp_complete_transition, and the freeing of patches that follows it. event: "finish" or "cancel"."""
        step = self.after(event)
        if self.step != FINISHING:
            self._debug("completing %s transition" % WORDS[self.dir])
            self._switch()
            self.step = step
        # Behind the step: where an exception comes between them a second finish follows, and no look, which wants it.
        self.in_target = None
        self.changes = {}
        while self.due:
            obj = self.due.pop(0)
            if obj.loaded:
                (callbacks.post_patch if self.dir == PATCHED else callbacks.post_unpatch)(self.engine, obj)
        self._notice("%s complete" % WORDS[self.dir])
        self.move("end")
        self.engine.transition = None
        for patch in replaced_by(self.engine, self.patch) if self.dir == PATCHED else [self.patch]:
            free_patch(self.engine, patch)

    def _switch(self) -> None:
        """The outcome is put in place for everybody: images, function stacks, marks."""
        patch = self.patch
        started = self.step == STARTED
        if self.in_target is not None:
            if started:
                self.in_target.finish()
            else:
                self.in_target.cancel()
        for obj in patch.objects:
            for func in obj.funcs:
                func.transition = False
        if started:
            for change in self.changes.values():
                self._settle(change)
        self.due = [obj for obj in patch.objects if obj.loaded]
        if self.dir == PATCHED:
            if patch.replace:
                unpatch_replaced(self.engine, patch)
                discard_nops(self.engine, patch)
        else:
            for obj in patch.objects:
                unpatch_object(self.engine, obj)
            patch.enabled = False

    def _settle(self, change: Change) -> None:
        for func in self.engine.stacks.settle(change, self.goal_of(self.dir), self.forced):
            if func.obj is None or func.obj.patch not in self.engine.patches:
                release(self.engine, func)

    def _notice(self, text: str) -> None:
        pr_notice(self.engine.log, "'%s': %s" % (self.patch.name, text))

    def _debug(self, text: str) -> None:
        pr_debug(self.engine.log, "'%s': %s" % (self.patch.name, text))
