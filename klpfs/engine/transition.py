"""The transition (kernel/livepatch/transition.c): a state machine without clock, threads or files, driven step by step.

    preparing   pre_patch or pre_unpatch callbacks run; for a disable the dispatchers are there already
    prepared    dispatchers answer version 0 (patching only: a disable starts at once)
    started     tasks switch as they are seen clean; may be reversed, also when clean; may be forced
    finishing   the goal's images are in place; post_patch or post_unpatch callbacks run

Every state change of a transition is here; core.py decides whether one may happen and answers errors. A step that was
cut off by a fork goes on in the child from the marks of callbacks.py when it is called again.
"""
from klpfs.engine import callbacks
from klpfs.engine.init_patch import free_patch, release
from klpfs.engine.log import pr_debug, pr_notice, pr_warn
from klpfs.engine.patch import unpatch_object
from klpfs.engine.replace import discard_nops, replaced_by, unpatch_replaced

UNPATCHED, PATCHED = 0, 1
WORDS = ("unpatching", "patching")
PREPARING, PREPARED, STARTED, FINISHING = "preparing", "prepared", "started", "finishing"


class Transition:
    """klp_transition_patch and klp_target_state of one transition.

    patch: the Patch. kind: PATCHED (it began as an enable) or UNPATCHED (a disable). dir: where it leads now. step: as
    above. clean: every task was seen clean since the last turn, or the rest was forced.
    """

    __slots__ = ("engine", "patch", "kind", "dir", "step", "target", "changes", "forced", "due")

    def __init__(self, engine, patch, kind):
        """klp_init_transition."""
        self.engine, self.patch, self.kind, self.dir = engine, patch, kind, kind
        self.step = PREPARING
        self.target = None   # a TargetTransition, from prepare to the images of finish
        self.changes = {}    # definition -> Change
        self.forced = False  # tasks were switched without being seen clean, in this direction
        self.due = []        # objects whose post_* callback is still to be called
        engine.transition = self
        self._debug("initializing %s transition" % WORDS[kind])
        for obj in patch.objects:
            for func in obj.funcs:
                func.transition = True

    @property
    def clean(self):
        return self.target is not None and self.target.clean

    def goal_of(self, dir):
        """The target's goal for a direction; the one place that translates between them (see target.py)."""
        return dir if self.kind == PATCHED else 1 - dir

    def changes_of(self, obj):
        return [self.engine.stacks.change(func, self.kind == PATCHED) for func in obj.funcs if func.patched]

    def prepare(self):
        """Dispatchers in place for all that is patched; raises KlpError with nothing changed."""
        changes = [change for obj in self.patch.objects for change in self.changes_of(obj)]
        self.target = self.engine.target.begin(changes)
        self.changes = {change.definition: change for change in changes}

    def add(self, obj):
        """obj, just patched, belongs to a module that comes."""
        if self.target is not None:  # else prepare() finds it
            changes = self.changes_of(obj)
            self.target.add(changes)
            self.changes.update((change.definition, change) for change in changes)

    def drop(self, obj):
        """obj's module goes. Its functions leave with the goal's image; the caller puts what the stack says."""
        gone = [func.definition for func in obj.funcs if func.definition in self.changes]
        if gone:
            self.target.drop(gone)
        for definition in gone:
            del self.changes[definition]

    def start(self, dir):
        """klp_start_transition: one store sets it going. dir is not the kind in a process that begins after a turn."""
        self.dir = dir
        self._notice("starting %s transition" % WORDS[dir])
        self.target.start(self.goal_of(dir))
        self.step = STARTED
        self.patch.enabled = bool(dir)

    def reverse(self):
        """klp_reverse_transition."""
        self._debug("reversing transition from %s to %s" % (WORDS[self.dir], WORDS[1 - self.dir]))
        self.dir = 1 - self.dir
        self.forced = False
        self._notice("starting %s transition" % WORDS[self.dir])
        self.target.reverse()
        self.patch.enabled = bool(self.dir)

    def force(self):
        """klp_force_transition. The module of a patch whose code may still run is never unloaded."""
        pr_warn(self.engine.log, "forcing remaining tasks to the patched state")
        if self.dir == UNPATCHED:
            self.patch.forced = True
        else:
            for old_patch in replaced_by(self.engine, self.patch):
                old_patch.forced = True
        self.forced = True
        self.target.force()

    def cancel(self):
        """klp_cancel_transition: takes back what was not started; post_unpatch runs where pre_patch succeeded."""
        if self.step != FINISHING:
            self._debug("canceling patching transition, going to unpatch")
            self.dir = UNPATCHED
        self.complete()

    def abandon(self):
        """A disable that could not even be prepared: as if it had not been asked for."""
        for obj in self.patch.objects:
            for func in obj.funcs:
                func.transition = False
        self.engine.transition = None

    def complete(self):
        """klp_complete_transition, and the freeing of patches that follows it."""
        if self.step != FINISHING:
            self._debug("completing %s transition" % WORDS[self.dir])
            self._switch()
            self.step = FINISHING
        while self.due:
            obj = self.due.pop(0)
            if obj.loaded:
                (callbacks.post_patch if self.dir == PATCHED else callbacks.post_unpatch)(self.engine, obj)
        self._notice("%s complete" % WORDS[self.dir])
        self.engine.transition = None
        for patch in replaced_by(self.engine, self.patch) if self.dir == PATCHED else [self.patch]:
            free_patch(self.engine, patch)

    def _switch(self):
        """From here on the outcome is what everybody finds: images, function stacks, marks."""
        patch = self.patch
        started = self.step == STARTED
        if self.target is not None:
            if started:
                self.target.finish()
            else:
                self.target.cancel()
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
        self.target = None
        self.changes = {}

    def _settle(self, change):
        for func in self.engine.stacks.settle(change, self.goal_of(self.dir), self.forced):
            if func.obj is None or func.obj.patch not in self.engine.patches:
                release(self.engine, func)

    def _notice(self, text):
        pr_notice(self.engine.log, "'%s': %s" % (self.patch.name, text))

    def _debug(self, text):
        pr_debug(self.engine.log, "'%s': %s" % (self.patch.name, text))
