"""The engine: one process's patches, enabled, disabled and followed by modules (kernel/livepatch/core.c).

No clock, threads or files: the owner of an Engine drives it step by step, one call at a time, and holds a lock of its
own meanwhile if it has several threads. That lock is let go in Target.call, so while a callback runs
(`callbacks_running`) other threads may look, and modules may come and go; every other change is refused with EBUSY
then.

    enable -> start -> look ... -> finish     or  enable -> cancel
    disable -> look ... -> finish             reverse and force in between
    arrive -> look_arrival ... -> finish_arrival    a late main program's functions; see late_main.py

The log lines, their words and their order are the kernel's (docs/KERNEL.md#9 and the recorded traces).
"""
from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL

from klpfs.engine import callbacks, coming_going, late_process, shadow
from klpfs.engine.data import thaw
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import check_fields, check_names, check_states, free_patch, init_patch
from klpfs.engine.late_main import Arrival
from klpfs.engine.log import pr_notice, pr_warn
from klpfs.engine.patch import Stacks, patch_object
from klpfs.engine.replace import position
from klpfs.engine.steps import FINISHING, IDLE, PREPARED, PREPARING, STARTED
from klpfs.engine.transition import PATCHED, UNPATCHED, Transition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from klpfs.engine.data import Mod, Object, Patch
    from klpfs.engine.log import Log
    from klpfs.engine.target import Blocker, Target

# What resume() did.
CANCELED, DISABLED_ON, FINISHED = "canceled", "disabled on", "finished"
ARRIVAL_ABANDONED, ARRIVAL_FINISHED = "arrival abandoned", "arrival finished"

EXCHANGED = "was given other code by the program, the patch is not in force there"
AGAIN = "has the patch's code again"


class Engine:
    """patches: list of Patch in force or in transition, oldest first. transition: None or a Transition (its .patch,
    .dir, .kind, .step, .clean may be read). arrival: None or an Arrival. callbacks_running: how many callbacks run now,
    one within another. All methods that change something raise KlpError."""

    __slots__ = ("target", "log", "patches", "transition", "arrival", "stacks", "callbacks_running", "_ftrace_enabled")

    def __init__(self, target: Target, log: Log) -> None:
        self.target, self.log = target, log
        self.patches: list[Patch] = []
        self.transition: Transition | None = None
        self.arrival: Arrival | None = None
        self.stacks = Stacks()
        self.callbacks_running = 0
        self._ftrace_enabled = True
        shadow.log = log  # a process has one engine

    @property
    def ftrace_enabled(self) -> bool:
        """kernel.ftrace_enabled. Set to false: no patch can be enabled; EBUSY while one is."""
        return self._ftrace_enabled

    @ftrace_enabled.setter
    def ftrace_enabled(self, value: bool) -> None:
        self._idle()
        if not value and self.patches:
            raise KlpError(EBUSY)
        self._ftrace_enabled = bool(value)

    def enable(self, patch: Patch, name: str) -> None:
        """Prepares a patch (klp_enable_patch up to the start): checks, nops, pre_patch callbacks, dispatchers.

        EBUSY: another transition is pending, or redirection is off. EINVAL: not compatible with the states of patches
        in force, names that the tree cannot show, or as Target.resolve says. EEXIST: a patch of that name, or
        something in it twice. A pre_patch callback's errno. Whatever fails, all is as it was.
        """
        if self.transition is not None:
            self.refuse_beside_transition(patch, name)
        self._free()
        self._init(patch, name)
        pr_notice(self.log, "enabling patch '%s'" % name)
        transition = Transition(self, patch, PATCHED, PATCHED)
        try:
            for obj in list(patch.objects):
                self._enable_object(obj)
            self._prepare(transition)
        except Exception:       # the target may find no memory or descriptors: all is as it was then, too
            pr_warn(self.log, "failed to enable patch '%s'" % name)
            transition.cancel()
            raise
        transition.move("prepared")

    def refuse_beside_transition(self, patch: Patch, name: str) -> NoReturn:
        """What enable() says of a patch while a transition is pending: its own faults as ever, with their lines, else
        EBUSY. Nothing of it stays. Source: klp_enable_patch() makes a patch ready before it looks at the transition."""
        self._idle()
        self._init(patch, name)
        free_patch(self, patch)
        raise KlpError(EBUSY)

    def _init(self, patch: Patch, name: str) -> None:
        """The checks of a new patch, which is ready then."""
        self._check_new(patch, name)
        try:
            check_states(self.log, patch, name, self.patches)
        except KlpError:
            thaw(patch)
            raise
        init_patch(self, patch, name, len(self.patches))

    def recover(self) -> None:
        """Makes ready for resume() after an exception that is no KlpError (no memory, an interrupt, a defect) has cut
        off whatever was under way, at whatever instruction. No call of the engine may be under way. It may be cut off
        itself, and is called again then."""
        self.callbacks_running = 0
        transition, arrival = self.transition, self.arrival
        mine = (transition or arrival)
        self.target.recover(mine.in_target if mine is not None else None)
        if transition is not None and transition.step == IDLE:
            self.transition = transition = None
        if arrival is not None and arrival.step == IDLE:
            self.arrival = None
        if mine is not None and mine.step in (PREPARING, PREPARED) and mine.in_target is not None and (
                mine.in_target.running):
            mine.started()
        if transition is not None and transition.step == STARTED and transition.in_target is not None:
            transition.follow_target()
        if transition is not None and transition.step == PREPARING and (
                transition.kind == UNPATCHED and transition.in_target is None):
            transition.abandon()
        if transition is None or transition.step != FINISHING:
            for patch in list(self.patches):    # one that was being made ready, joined or freed
                if not patch.enabled and (transition is None or patch is not transition.patch):
                    late_process.take_back(self, patch)

    def _enable_object(self, obj: Object) -> None:
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

    def _prepare(self, transition: Transition) -> None:
        try:
            transition.prepare()
        except KlpError as error:
            if error.func is not None and error.func.obj is not None:
                pr_warn(self.log, "failed to patch object '%s'" % error.func.obj.shown)
            raise

    def start(self, dir: int = PATCHED) -> None:
        """Starts what enable prepared. dir UNPATCHED: the service turned back before this process was ready."""
        self._idle()
        self._need("start").start(dir)

    def cancel(self) -> None:
        """Takes back what enable prepared, as the kernel does when enabling fails; also what a fork cut off in it."""
        self._idle()
        transition = self._need("cancel")
        if transition.step == FINISHING and transition.dir == PATCHED:
            raise KlpError(EINVAL)
        if transition.step != FINISHING:
            pr_warn(self.log, "failed to enable patch '%s'" % transition.patch.name)
        transition.cancel()

    def disable(self, patch: Patch, dir: int = UNPATCHED) -> None:
        """Begins the way back (klp_disable_patch): pre_unpatch callbacks, then the transition is started.

        dir PATCHED: the service turned back to the patch before this process began. EINVAL: not enabled; EBUSY: a
        transition is pending.
        """
        self._idle()
        if patch not in self.patches or not patch.enabled:
            raise KlpError(EINVAL)
        self._free()
        transition = Transition(self, patch, UNPATCHED, dir)
        try:
            transition.prepare()
        except Exception:
            pr_warn(self.log, "failed to disable patch '%s'" % patch.name)
            transition.abandon()
            raise
        self._disable_prepared(transition)

    def _disable_prepared(self, transition: Transition) -> None:
        for obj in list(transition.patch.objects):
            if obj.patched:
                callbacks.pre_unpatch(self, obj)
        transition.start(transition.first_dir)

    def reverse(self) -> None:
        """Turns the pending transition around, also when it is clean already (klp_reverse_transition)."""
        self._idle()
        self._need("reverse").reverse()

    def look(self) -> list[Blocker]:
        """Looks once for tasks that are not clean: list of Blocker; []: the transition is clean (and may be
        finished)."""
        return self._need("look").look()

    def signal(self) -> None:
        """The line that the kernel writes when tasks are still pending after 15 s (once a turn, says the caller)."""
        self._need("look")
        pr_notice(self.log, "signaling remaining tasks")

    def force(self) -> None:
        """Switches all remaining tasks at once, giving up consistency (klp_force_transition); finish may follow."""
        self._idle()
        transition = self._need("force")
        if not transition.clean:
            transition.force()

    def finish(self, dir: int | None = None) -> None:
        """The outcome in place: images, post_* callbacks, replaced patches dropped (klp_complete_transition).

        EINVAL: not clean, or not the direction that the transition has now. Called again after a fork in the middle of
        its callbacks, it goes on.
        """
        self._idle()
        transition = self._need("finish")
        if dir is not None and dir != transition.dir or transition.step == STARTED and not transition.clean:
            raise KlpError(EINVAL)
        transition.complete()

    def coming(self, name: str | None, refuse: bool = True, mod: Mod | None = None) -> None:
        """A module (None: the main program) whose body ran and whose code nobody runs yet (klp_module_coming).

        refuse: a patch that fails refuses the module, with its errno, and the patches before it are taken back. Else,
        for a plain import, that patch leaves the object unpatched. mod: the Mod that callbacks shall see. May be called
        while a callback runs.
        """
        coming_going.module_coming(self, name, refuse, mod)

    def going(self, name: str | None) -> None:
        """A module whose exit ran, or that was refused (klp_module_going). No KlpError; where an exception has cut it
        off, it is called again. May be called while a callback runs."""
        coming_going.cleanup_module_patches_limited(self, name)

    def arrive(self, name: str | None = None) -> bool:
        """The main program's definitions are there at last, in a process that joined before they were: its functions
        begin the transition to what all patches in force make of them. Whether there is a transition to wait for.

        EBUSY: in a transition or an arrival. What a patch cannot do leaves the object unpatched by it, with a line.
        """
        self._free()
        mod = self.target.loaded(name)
        if mod is None:
            return False    # this process runs another program
        Arrival(self, name).begin(mod)
        return self.arrival is not None

    def look_arrival(self) -> list[Blocker]:
        """The arrival is looked at, as look() does."""
        return self._need_arrival("look").look()

    def force_arrival(self) -> None:
        """The arrival is forced, as force() does."""
        self._idle()
        arrival = self._need_arrival("force")
        if not arrival.clean:
            arrival.force()

    def finish_arrival(self) -> None:
        """The arrival is finished, as finish() does. EINVAL: not clean. Called again after a fork in its callbacks, it
        goes on."""
        self._idle()
        arrival = self._need_arrival("finish")
        if arrival.step == STARTED and not arrival.clean:
            raise KlpError(EINVAL)
        arrival.complete()

    def join_apply(self, patch: Patch, name: str, place: int, running: bool = False) -> None:
        """A joiner applies a patch in force at its place in the order, without a transition (docs/PROTOCOL.md#5).

        running: the program's code may run already. EBUSY in a transition; else as late_process.join_apply.
        """
        self._free()
        self._check_new(patch, name)
        late_process.join_apply(self, patch, name, place, running)

    def drop(self, patch: Patch, running: bool = True) -> None:
        """Takes a patch out at once, as a transition does with those that it replaces: no callbacks, no lines. EINVAL:
        it is not in force; EBUSY: in a transition."""
        self._free()
        if patch not in self.patches:
            raise KlpError(EINVAL)
        late_process.drop(self, patch, running)

    def after_fork(self, inside: int = 0) -> None:
        """In a child: callbacks that other threads of the parent were in do not run here. inside: how many of them the
        surviving thread is in itself. What was cut off waits for resume()."""
        self.callbacks_running = inside
        shadow.after_fork()

    def resume(self) -> str | None:
        """In a child, or behind recover(), when no callback runs any more: goes on with what was cut off, or takes it
        back, from the marks of the objects (callbacks.py). Answers with a word for what was done; None: there is
        nothing, or nothing more, to do.

        CANCELED: an enable that was not started, or its taking back. DISABLED_ON: a disable is started now. FINISHED:
        the outcome of a transition is in place, the rest of its callbacks has run. ARRIVAL_ABANDONED: arrive() may be
        called again. ARRIVAL_FINISHED: as FINISHED. What was started goes on by itself: look() and finish() are called
        as ever. It may be cut off by a fork again, and is called again then. EBUSY: a callback runs.
        """
        self._idle()
        arrival, transition = self.arrival, self.transition
        if arrival is not None and arrival.step == PREPARING:
            arrival.abandon()
            return ARRIVAL_ABANDONED
        if arrival is not None and arrival.step == FINISHING:
            arrival.complete()
            return ARRIVAL_FINISHED
        if transition is None or transition.step == STARTED:
            return None
        if transition.step in (PREPARING, PREPARED) and transition.kind == PATCHED or transition.canceled:
            self.cancel()
            return CANCELED
        if transition.step == PREPARING:
            self._disable_prepared(transition)
            return DISABLED_ON
        transition.complete()
        return FINISHED

    def look_for_exchanged(self) -> bool:
        """Notes functions in force that have got other code by the program: a line for each, and their object does not
        count as patched until they have the patch's again. Whether anything is different. Outside a transition."""
        found, differs = self.target.exchanged(), False
        for patch in self.patches:
            for obj in patch.objects:
                if not found and not obj.exchanged:
                    continue
                now = frozenset([func for func in obj.funcs
                                 if func.definition in found and self.stacks.top(func.definition) is func])
                for func in obj.funcs:
                    if (func in now) is not (func in obj.exchanged):
                        pr_warn(self.log, f"function '{func.old_name}' in object '{obj.shown}' "
                                          f"{EXCHANGED if func in now else AGAIN}")
                        differs = True
                obj.exchanged = now
        return differs

    def describe(self) -> list[dict[str, Any]]:
        """The patches of this process as the tree shows them: plain data: a list of dicts, oldest patch first.

        {name, enabled, transition, replace, forced, objects: [{name ('vmlinux' for the main program), patched, loaded,
        dynamic, funcs: 'name,position' (from 1) of each, as the tree has it, in lines}]}; loaded is true also of an
        object that could not be patched; patched is false also of an object of which the program has given a function
        other code (look_for_exchanged).
        """
        pending = self.transition.patch if self.transition is not None else None
        return [{
            "name": patch.name, "enabled": patch.enabled, "transition": patch is pending, "replace": patch.replace,
            "forced": patch.forced,
            "objects": [{
                "name": obj.shown, "patched": obj.patched and not obj.exchanged, "loaded": obj.loaded or obj.left_out,
                "dynamic": obj.dynamic, "funcs": _listed(obj),
            } for obj in patch.objects],
        } for patch in self.patches]

    def _idle(self) -> None:
        """EBUSY while a callback runs. (The caller makes EDEADLK of it where that fits.)"""
        if self.callbacks_running:
            raise KlpError(EBUSY)

    def _free(self) -> None:
        """EBUSY while a callback runs, in a transition, and while the main program arrives."""
        if self.callbacks_running or self.transition is not None or self.arrival is not None:
            raise KlpError(EBUSY)

    def _need(self, event: str) -> Transition:
        """The transition. EINVAL unless there is one, in a step from which `event` leads on (steps.py)."""
        if self.transition is None or not self.transition.can(event):
            raise KlpError(EINVAL)
        return self.transition

    def _need_arrival(self, event: str) -> Arrival:
        """The arrival. EINVAL unless there is one, in a step from which `event` leads on."""
        if self.arrival is None or not self.arrival.can(event):
            raise KlpError(EINVAL)
        return self.arrival

    def _check_new(self, patch: Patch, name: str) -> None:
        """A disabled patch cannot be enabled again while its code may still run; two patches can't have one name."""
        if any(other is patch for other in self.patches):
            raise KlpError(EINVAL)
        check_fields(self.log, patch, name)
        try:
            if any(func.definition is not None for obj in patch.objects for func in obj.funcs):
                raise KlpError(EINVAL)
            if any(other.name == name for other in self.patches):
                raise KlpError(EEXIST)
            check_names(self.log, patch, name)
        except KlpError:
            thaw(patch)
            raise


def _listed(obj: Object) -> str:
    """The lines of obj's funcs; names have no control characters (init_patch.py). Made once, since every step reports
    all."""
    if obj.listed[0] is not obj.funcs:
        obj.listed = obj.funcs, "\n".join(["%s,%d" % (func.old_name, position(func)) for func in obj.funcs])
    return obj.listed[1]
