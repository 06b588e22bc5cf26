"""The main program of a process that joined before it had made its functions (docs/DESIGN.md#6, Coming).

Not in the kernel, whose vmlinux is always there. When the definitions have come, their code may run already: a program's
body never ends, and earlier lines of it may have started threads. So they are patched by a transition of this process
alone, from the originals to what all patches in force make of them:

    Engine.arrive -> look ... -> finish       force in between

It cannot be reversed: there is nothing to go back to that the service has. No other operation begins meanwhile (EBUSY).
What one patch cannot do with the object leaves the object unpatched by it, as a plain import does.
"""
from errno import EINVAL

from klpfs.engine import callbacks
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import release
from klpfs.engine.log import pr_warn
from klpfs.engine.coming_going import enter_module, leave_out, take_back
from klpfs.engine.patch import patch_object
from klpfs.engine.replace import find_object
from klpfs.engine.target import Change
from klpfs.engine.transition import FINISHING, PREPARING, STARTED


class Arrival:
    """step: PREPARING (pre_patch callbacks run), STARTED, FINISHING (post_patch callbacks run). objects: those of the
    patches in force that take part, oldest patch first. clean: every task was seen clean, or the rest was forced."""

    __slots__ = ("engine", "name", "step", "objects", "target", "changes", "forced", "due")

    def __init__(self, engine, name):
        self.engine, self.name = engine, name
        self.step = PREPARING
        self.objects, self.due = [], []
        self.target = None   # a TargetTransition, while it is STARTED
        self.changes = []
        self.forced = False

    @property
    def clean(self):
        return self.target is not None and self.target.clean

    def begin(self, mod):
        """Callbacks, functions on their stacks, and off. Whether there is anything to wait for."""
        engine, was = self.engine, {}

        def put(engine, obj):
            for func in obj.funcs:  # a patch that was loaded meanwhile may be in force already
                was.setdefault(func.definition, engine.stacks.top(func.definition))
            patch_object(engine, obj)
        for patch in list(engine.patches):
            obj = find_object(patch, self.name)
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
            self._start(was)
        return bool(self.objects)

    def _start(self, was):
        stacks, found = self.engine.stacks, {}
        for obj in self.objects:
            for func in obj.funcs:
                if func.patched:
                    stack = stacks.get(func.definition)
                    found[func.definition] = Change(func.definition, was[func.definition], stack.top, stack.leftover)
        self.changes = list(found.values())
        try:
            self.target = self.engine.target.begin(self.changes)
        except KlpError as error:
            for obj in self.objects:
                pr_warn(self.engine.log, "failed to apply patch '%s' to module '%s' (%d)"
                        % (obj.patch.name, obj.shown, -error.errno))
            self.abandon(leave_out)
            return
        self.target.start(1)
        self.step = STARTED

    def abandon(self, then=None):
        """Before it was started: as if the definitions had not come; then: called with engine, patch, object."""
        gone, self.objects, self.changes = self.objects, [], []
        for obj in gone:
            take_back(self.engine, obj)
            if then is not None:
                then(self.engine, obj.patch, obj)

    def force(self):
        """As klp_force_transition: who still runs the originals goes on in them."""
        pr_warn(self.engine.log, "forcing remaining tasks to the patched state")
        self.forced = True
        self.target.force()

    def complete(self):
        """Images, then the post_patch callbacks; goes on where a fork has cut it off."""
        if self.step != FINISHING:
            self.target.finish()
            self.target = None
            for change in self.changes:
                for func in self.engine.stacks.settle(change, 1, self.forced):
                    release(self.engine, func)
            self.step, self.due = FINISHING, list(self.objects)
        while self.due:
            callbacks.post_patch(self.engine, self.due.pop(0))
        self.engine.arrival = None


def need(arrival, *steps):
    """EINVAL unless there is an arrival in one of these steps."""
    if arrival is None or arrival.step not in steps:
        raise KlpError(EINVAL)
    return arrival
