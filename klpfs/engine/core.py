"""The engine: one process's patches, enabled, disabled and followed by modules (kernel/livepatch/core.c).

No clock, threads or files: whoever owns an Engine drives it step by step, one call at a time, and calls with its own
lock held if threads are about. That lock is let go in Target.call, so while a callback runs (`busy`) others may look,
and modules may come and go; every other change is refused with EBUSY then.

    enable -> start -> look ... -> finish     or  enable -> cancel
    disable -> look ... -> finish             reverse and force in between
    arrive -> look_arrival ... -> finish_arrival    a late main program's functions; see late_main.py

The log lines, their words and their order are the kernel's (docs/KERNEL.md#9 and the recorded traces).
"""
from errno import EBUSY, EEXIST, EINVAL

from klpfs.engine import callbacks, coming_going, late_process, shadow
from klpfs.engine.late_main import Arrival, need
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import check_names, init_patch
from klpfs.engine.log import pr_err, pr_notice, pr_warn
from klpfs.engine.patch import Stacks, patch_object
from klpfs.engine.replace import position
from klpfs.engine.state import is_patch_compatible
from klpfs.engine.transition import PATCHED, FINISHING, PREPARED, PREPARING, STARTED, UNPATCHED, Transition


class Engine:
    """patches: list of Patch in force or in transition, oldest first. transition: None or a Transition (its .patch,
    .dir, .kind, .step, .clean are there to be read). arrival: None or an Arrival. All methods that change something raise
    KlpError."""

    __slots__ = ("target", "log", "patches", "transition", "arrival", "stacks", "foreign", "_ftrace_enabled")

    def __init__(self, target, log):
        self.target, self.log = target, log
        self.patches = []
        self.transition = self.arrival = None
        self.stacks = Stacks()
        self.foreign = 0  # callbacks that run now, one within another
        self._ftrace_enabled = True
        shadow.log = log  # a process has one engine

    @property
    def busy(self):
        """Foreign code runs for the engine: changes raise EBUSY (the caller turns it into EDEADLK where that fits)."""
        return self.foreign > 0

    @property
    def ftrace_enabled(self):
        """kernel.ftrace_enabled. Set to false: no patch can be enabled; EBUSY while one is."""
        return self._ftrace_enabled

    @ftrace_enabled.setter
    def ftrace_enabled(self, value):
        self._idle()
        if not value and self.patches:
            raise KlpError(EBUSY)
        self._ftrace_enabled = bool(value)

    def enable(self, patch, name):
        """Prepares a patch (klp_enable_patch up to the start): checks, nops, pre_patch callbacks, dispatchers.

        EBUSY: another transition is pending, or redirection is off. EINVAL: not compatible with the states of patches
        in force, names that the tree cannot show, or as Target.resolve says. EEXIST: a patch of that name, or
        something in it twice. A pre_patch callback's errno. Whatever fails, all is as it was.
        """
        self._free()
        self._check_new(patch, name)
        if not is_patch_compatible(patch, self.patches):
            text = "Livepatch patch (%s) is not compatible with the already installed livepatches." % name
            raise KlpError(EINVAL, pr_err(self.log, text))
        init_patch(self, patch, name, len(self.patches))
        pr_notice(self.log, "enabling patch '%s'" % name)
        transition = Transition(self, patch, PATCHED)
        try:
            for obj in list(patch.objects):
                self._enable_object(obj)
            self._prepare(transition)
        except Exception:       # the target may find no memory or descriptors: all is as it was then, too
            pr_warn(self.log, "failed to enable patch '%s'" % name)
            transition.cancel()
            raise
        transition.step = PREPARED

    def _enable_object(self, obj):
        if not obj.loaded or obj.patched:
            return
        callbacks.pre_patch(self, obj)
        if not obj.loaded or obj.patched:
            return  # its module went, or came again, while the callback ran
        try:
            patch_object(self, obj)
        except KlpError:
            pr_warn(self.log, "failed to patch object '%s'" % obj.shown)
            raise

    def _prepare(self, transition):
        try:
            transition.prepare()
        except KlpError as error:
            if error.func is not None and error.func.obj is not None:
                pr_warn(self.log, "failed to patch object '%s'" % error.func.obj.shown)
            raise

    def start(self, dir=PATCHED):
        """Starts what enable prepared. dir UNPATCHED: the service turned back before this process was ready."""
        self._idle()
        self._need(PREPARED)
        self.transition.start(dir)

    def cancel(self):
        """Takes back what enable prepared, as the kernel does when enabling fails; also what a fork cut off in it."""
        self._idle()
        transition = self._need(PREPARING, PREPARED, FINISHING)
        if transition.kind != PATCHED or transition.step == FINISHING and transition.dir == PATCHED:
            raise KlpError(EINVAL)
        if transition.step != FINISHING:
            pr_warn(self.log, "failed to enable patch '%s'" % transition.patch.name)
        transition.cancel()

    def disable(self, patch, dir=UNPATCHED):
        """Begins the way back (klp_disable_patch): pre_unpatch callbacks, then the transition is started.

        dir PATCHED: the service turned back to the patch before this process began. EINVAL: not enabled; EBUSY: a
        transition is pending. Called again after a fork in the middle of its callbacks, it goes on.
        """
        self._idle()
        transition = self.transition
        resumed = transition is not None and transition.patch is patch and (
            transition.kind == UNPATCHED and transition.step == PREPARING)
        if not resumed:
            if patch not in self.patches or not patch.enabled:
                raise KlpError(EINVAL)
            self._free()
            transition = Transition(self, patch, UNPATCHED)
            try:
                transition.prepare()
            except Exception:
                pr_warn(self.log, "failed to disable patch '%s'" % patch.name)
                transition.abandon()
                raise
        for obj in list(patch.objects):
            if obj.patched:
                callbacks.pre_unpatch(self, obj)
        transition.start(dir)

    def reverse(self):
        """Turns the pending transition around, also when it is clean already (klp_reverse_transition)."""
        self._idle()
        self._need(STARTED).reverse()

    def look(self):
        """One look for tasks that are not clean: list of Blocker; []: the transition is clean (and may be finished)."""
        transition = self._need(STARTED)
        return [] if transition.clean else transition.target.look()

    def signal(self):
        """The line that the kernel writes when tasks are still pending after 15 s (once a turn, says the caller)."""
        self._need(STARTED)
        pr_notice(self.log, "signaling remaining tasks")

    def force(self):
        """Switches all remaining tasks at once, giving up consistency (klp_force_transition); finish may follow."""
        self._idle()
        transition = self._need(STARTED)
        if not transition.clean:
            transition.force()

    def finish(self, dir=None):
        """The outcome in place: images, post_* callbacks, replaced patches dropped (klp_complete_transition).

        EINVAL: not clean, or not the direction that the transition has now. Called again after a fork in the middle of
        its callbacks, it goes on.
        """
        self._idle()
        transition = self._need(STARTED, FINISHING)
        if dir is not None and dir != transition.dir or transition.step == STARTED and not transition.clean:
            raise KlpError(EINVAL)
        transition.complete()

    def coming(self, name, refuse=True, mod=None):
        """A module (None: the main program) whose body ran and whose code nobody runs yet (klp_module_coming).

        refuse: a patch that fails refuses the module, with its errno, and the patches before it are taken back. Else,
        for a plain import, that patch leaves the object unpatched. mod: the Mod that callbacks shall see. May be called
        while busy.
        """
        coming_going.module_coming(self, name, refuse, mod)

    def going(self, name):
        """A module whose exit ran, or that was refused (klp_module_going). Never fails. May be called while busy."""
        coming_going.cleanup_module_patches_limited(self, name)

    def arrive(self, name=None):
        """The main program's definitions are there at last, in a process that joined before they were: its functions
        begin the transition to what all patches in force make of them. Whether there is one to wait for.

        EBUSY: in a transition or an arrival. What a patch cannot do leaves the object unpatched by it, with a line.
        """
        self._free()
        mod = self.target.loaded(name)
        if mod is None:
            return False    # this process runs another program
        self.arrival = arrival = Arrival(self, name)
        if not arrival.begin(mod):
            self.arrival = None
        return self.arrival is not None

    def look_arrival(self):
        """As look(), for the arrival."""
        arrival = need(self.arrival, STARTED)
        return [] if arrival.clean else arrival.target.look()

    def force_arrival(self):
        """As force(), for the arrival."""
        self._idle()
        arrival = need(self.arrival, STARTED)
        if not arrival.clean:
            arrival.force()

    def finish_arrival(self):
        """As finish(), for the arrival. EINVAL: not clean. Called again after a fork in its callbacks, it goes on."""
        self._idle()
        arrival = need(self.arrival, STARTED, FINISHING)
        if arrival.step == STARTED and not arrival.clean:
            raise KlpError(EINVAL)
        arrival.complete()

    def abandon_arrival(self):
        """Takes back one that a fork cut off before it was started; arrive() may be called again."""
        self._idle()
        need(self.arrival, PREPARING).abandon()
        self.arrival = None

    def join_apply(self, patch, name, place, running=False):
        """A joiner applies a patch in force at its place in the order, without a transition (docs/PROTOCOL.md#5).

        running: the program's code may run already. EBUSY in a transition; else as join.join_apply.
        """
        self._free()
        self._check_new(patch, name)
        late_process.join_apply(self, patch, name, place, running)

    def drop(self, patch, running=True):
        """Takes a patch out at once, as one that is replaced: no callbacks, no lines. EINVAL: not there; EBUSY."""
        self._free()
        if patch not in self.patches:
            raise KlpError(EINVAL)
        late_process.drop(self, patch, running)

    def take_outcome(self, patch, dir, name=None, running=True):
        """A process that had no part in a transition takes what came out of it (docs/PROTOCOL.md#5).

        dir PATCHED: `patch` is applied, on top, if it is not there yet, and if it replaces, the others are dropped.
        dir UNPATCHED: it is dropped if it is there. A failure to apply it raises KlpError; what it replaces is dropped
        all the same.
        """
        self._free()
        if dir == UNPATCHED:
            if patch in self.patches:
                self.drop(patch, running)
            return
        older = [other for other in self.patches if other is not patch] if patch.replace else []
        try:
            if patch not in self.patches:
                self.join_apply(patch, name, len(self.patches), running)
        finally:
            for other in older:
                self.drop(other, running)

    def after_fork(self, inside=0):
        """In a child: callbacks that other threads of the parent were in do not run here. inside: how many of them the
        surviving thread is in itself. Steps cut off are to be called again: cancel, disable, finish, finish_arrival; or
        taken back: abandon_arrival."""
        self.foreign = inside
        shadow.after_fork()

    def describe(self):
        """What the tree shows of this process, as plain data: a list of dicts, oldest patch first.

        {name, enabled, transition, replace, forced, objects: [{name ('vmlinux' for the main program), patched, loaded,
        dynamic, funcs: 'name,position' (from 1) of each, as the tree has it, in lines}]}; loaded is true also of an object
        that could not be patched.
        """
        pending = self.transition.patch if self.transition is not None else None
        return [{
            "name": patch.name, "enabled": patch.enabled, "transition": patch is pending, "replace": patch.replace,
            "forced": patch.forced,
            "objects": [{
                "name": obj.shown, "patched": obj.patched, "loaded": obj.loaded or obj.left_out,
                "dynamic": obj.dynamic, "funcs": _listed(obj),
            } for obj in patch.objects],
        } for patch in self.patches]

    def _idle(self):
        if self.foreign:
            raise KlpError(EBUSY)

    def _free(self):
        """EBUSY while foreign code runs, in a transition, and while the main program arrives."""
        if self.foreign or self.transition is not None or self.arrival is not None:
            raise KlpError(EBUSY)

    def _need(self, *steps):
        if self.transition is None or self.transition.step not in steps:
            raise KlpError(EINVAL)
        return self.transition

    def _check_new(self, patch, name):
        """A disabled patch cannot be enabled again while its code may still run; a name is there once."""
        if patch in self.patches or any(func.definition is not None for obj in patch.objects for func in obj.funcs):
            raise KlpError(EINVAL)
        if any(other.name == name for other in self.patches):
            raise KlpError(EEXIST)
        check_names(self.log, patch, name)


def _listed(obj):
    """The lines of obj's funcs; names have no control characters (init_patch.py). Made once: all of them are told at each step."""
    if list(obj.listed[0]) != obj.funcs:
        obj.listed = tuple(obj.funcs), "\n".join(["%s,%d" % (func.old_name, position(func)) for func in obj.funcs])
    return obj.listed[1]
