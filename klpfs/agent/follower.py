"""The follower works towards the journal's record: the table of docs/PROTOCOL.md#5, in small steps.

`Follower.step` does the first of RULES that fits; its driver (agent_thread.py) calls it until it returns False: then
the process is where the record says, and `seen` is its seq. Nothing here waits, but for enable_patch(), which follows
further records inside a livepatch's init() until its operation is decided (load.py).

Threads, sockets, files and foreign code are the host's, so that a test can be the host (tests/agent/puppet.py). Of a
host (agent.py's Agent) is used:
    messages.content(entry) -> bytes    of a record's patch, module or change; KlpError when it can't be had
    messages.lost(change) -> bool       the connection of that change's coordinator has closed
    outbox.changed()                    tell the mirror what the engine and the modules look like now
    outbox.report()                     send Follower.report()
    outbox.say(text, priority)          a log line of the agent
    joining.journal() -> record or None     as it is now; None: unreadable
    joining.arrived()                   the main program's functions are patched, or will not be
    thread.wait()                       sleep until there may be a new goal, a lost coordinator or a look to take
"""
from __future__ import annotations

from errno import EBUSY, EDEADLK, EIO

from klpfs.agent import conditions
from klpfs.agent.conditions import AWAITED, NOT_AWAITED, THERE
from klpfs.agent.load import (
    JOINED,
    Load,
    Op,
    accepted_code,
    end_load,
    entry_of,
    restrict_to_known_code,
    run_load,
    take_back,
    unload_module,
)
from klpfs.agent.waiting import OwnedLock
from klpfs.engine.bounds import MAX_ENTRIES
from klpfs.engine.core import ARRIVAL_ABANDONED, ARRIVAL_FINISHED, CANCELED, FINISHED
from klpfs.engine.log import ERR
from klpfs.protocol.phases import FINISH, LOADING, NO_PHASE, PREPARED, STARTED, phase_of
from klpfs.protocol.record_text import forks, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from klpfs.agent.modules import Module, Modules
    from klpfs.engine.core import Engine
    from klpfs.engine.data import Patch
    from klpfs.engine.target import Blocker
    Record = dict[str, Any]


class Follower:
    """The part of an agent that follows the service's records. All calls under the lock of the agent's thread, but
    set_goal.

    goal: the newest record. stepped_record: the record that step() has looked at last. seen: the seq followed to its
    end. last_finished: n of the last operation finished here. refused: {'n', 'errno', 'text'} of a change. not_applied:
    load numbers of patches that this process goes without. left_modules: sha256 of ordinary modules that it could not
    load. op, load: what is under way. live: the program's own code may run. interrupted_by_fork: what was under way is
    to be resumed. main: as above."""

    __slots__ = ("engine", "modules", "host", "goal", "stepped_record", "seen", "last_finished", "refused",
                 "not_applied", "left_modules", "op", "load", "live", "interrupted_by_fork", "main", "_logged",
                 "_unreported", "_goal_lock")

    def __init__(self, engine: Engine, modules: Modules, host: Any) -> None:
        self.engine, self.modules, self.host = engine, modules, host
        self.goal: Record | None = None
        self.stepped_record: Record | None = None
        self.seen = -1
        self.last_finished = 0
        self.refused: dict[str, Any] | None = None
        self.not_applied: set[int] = set()
        self.left_modules: set[str | None] = set()
        self.op: Op | None = None
        self.load: Load | None = None
        self.live = self.interrupted_by_fork = False
        self.main = NOT_AWAITED
        self._logged: str | None = None         # the impossible that was logged last
        self._unreported = False                # a step was done since the process was where the record says
        self._goal_lock = OwnedLock()

    # -- records and reports

    def set_goal(self, record: Record) -> bool:
        """Work towards `record`, if it is newer than what is known. True when it is. Any thread."""
        with self._goal_lock:
            if record["seq"] <= (self.goal["seq"] if self.goal else self.seen):
                return False
            self.goal = record
            return True

    def phase(self) -> str:
        """Where this process's part in an operation is: the engine's step in the words of the protocol (phases.py)."""
        transition = self.engine.transition
        if self.op is not None and transition is not None:
            return phase_of(transition.name, transition.step)
        return self.load.phase if self.load is not None else NO_PHASE

    def clean(self) -> bool:
        """Whether every task of this process has switched, and a look of this very process has said so."""
        transition = self.engine.transition
        return self.op is not None and transition is not None and transition.clean and not self.op.look_again

    def undecided(self) -> bool:
        """Whether an operation is prepared: init() waits in enable_patch() for its decision."""
        return self.op is not None and self.phase() == PREPARED

    def report(self) -> dict[str, Any]:
        """The fields of a report message (wire.py) that are known here."""
        op, load, transition = self.op, self.load, self.engine.transition
        under_way = op or load
        prepared = None
        if op and load and self.undecided():
            prepared = dict(self.modules.describe_load(load.loaded), n=op.n, livepatch=True)
        elif load and load.phase == PREPARED:
            prepared = dict(self.modules.describe_load(load.loaded), n=load.n, livepatch=False, replace=False)
        return {"t": "report", "seen": self.seen, "n": under_way.n if under_way else 0, "phase": self.phase(),
                "dir": transition.dir if op and transition else 0, "turn": op.turn if op else 0, "clean": self.clean(),
                "over": self.last_finished, "refused": self.refused, "not_applied": self._told_not_applied(),
                "prepared": prepared}

    def _told_not_applied(self) -> list[int]:
        """The load numbers of the patches that this process goes without: when they are many, of those in the
        record."""
        if len(self.not_applied) <= MAX_ENTRIES or self.goal is None:
            return sorted(self.not_applied)[-MAX_ENTRIES:]
        return sorted(self.not_applied.intersection([patch["n"] for patch in self.goal["patches"]]))

    def mark_followed(self, record: Record | None = None) -> None:
        """No rule fits `record`, by default the record that step() has looked at last (a newer one may have come
        since): it is followed to its end.

        A record may be followed to its end twice: a process may come to that of `finish` before its first look (a
        child, one that began late). What is done once it is clean is reported as well: the coordinator waits for it."""
        record = record or self.stepped_record
        if record and (self.seen < record["seq"] or self._unreported) and self.engine.arrival is None:
            self.seen, self._unreported = max(self.seen, record["seq"]), False
            self.host.outbox.report()

    # -- looks

    def look_key(self) -> Hashable:
        """For what a look for dirty tasks is due, now or soon: a new key, a new hurry. None: for nothing."""
        if self.interrupted_by_fork:    # the engine may be in the middle of callbacks: it is to be resumed first
            return None
        if self.engine.arrival is not None:
            return "arrival"
        op = self.op
        return (op.n, op.turn) if op and self.phase() == STARTED and not self.clean() else None

    def look(self) -> list[Blocker]:
        """A look. Returns the Blockers; none: clean, and reported."""
        if self.engine.arrival is not None:
            blockers = self.engine.look_arrival()
            if not blockers:
                self._arrived()
            return blockers
        blockers = self.engine.look()
        if not blockers:
            assert self.op is not None      # the engine's transition is an operation's
            self.op.look_again = False
            self.host.outbox.report()
        return blockers

    # -- the main program of a joiner (docs/DESIGN.md#6, Coming)

    def wait_for_main(self) -> bool:
        """The program has not run yet: its functions are patched when their definitions are there. Whether patches
        wait."""
        self.main = AWAITED if self.main_names() is not None else NOT_AWAITED
        return bool(self.main)

    def main_names(self) -> set[str] | None:
        """Qualified names of the main program's functions that patches wait for; None: no patch does."""
        waiting = [obj for patch in self.engine.patches for obj in patch.objects if obj.name is None and not obj.loaded]
        return {func.old_name for obj in waiting for func in obj.funcs} if waiting else None

    def main_came(self) -> None:
        """The main program's definitions are there. Between two operations the functions begin their transition, which
        is this process's own: no other process's goes on with it, and no operation begins meanwhile. In an operation,
        that waits."""
        if self.main != AWAITED:
            return
        self.main = THERE
        if conditions.main_may_arrive(self, None):
            self._arrive(None, True)
            return
        for patch in self.engine.patches:       # loaded, and as long as it waits, not patched
            for obj in patch.objects:
                obj.left_out = obj.left_out or obj.name is None and not obj.loaded
        self.host.outbox.changed()

    def _arrived(self) -> None:
        if self.engine.arrival is not None:
            self.engine.finish_arrival()
        self.host.outbox.changed()
        self.host.joining.arrived()

    # -- a fork

    def after_fork(self, by_load: bool = False) -> None:
        """A child has whole steps, apart from foreign code that the parent's thread was in: what was only prepared is
        dropped, what was started goes on from its marks (docs/PROTOCOL.md#6). The callbacks owed run at the next step.
        by_load: the module being loaded has forked; the child does without it, or it would fork for ever."""
        load, op = self.load, self.op
        self._goal_lock = OwnedLock()
        self.seen = -1
        self.goal = self.stepped_record = None
        self.refused = None
        if by_load and load is not None:
            self.refused = {"n": load.n, "errno": EDEADLK, "text": forks(load.name)}
            self.not_applied.add(load.n)
        if self.undecided():
            self.op = None
        elif op is not None:
            op.look_again = True        # it has its parent's frames, so it is clean only when seen clean
        self.interrupted_by_fork = True
        self.load = None                # last: till then this may be done again

    # -- steps

    def step(self) -> bool:
        """Do the first of RULES that fits and can be done. False: none was.

        Called again from inside itself: a rule that loads a livepatch runs its init(), in which
        load._follow_until_decided calls step() until the operation is decided."""
        record = self.goal
        if not self.interrupted_by_fork:
            self.stepped_record = record
        for rule in RULES:
            found = rule.fits(self, record)
            if found:
                if rule.action is None:
                    return False
                if rule.action(self, record, found):
                    self._unreported = True
                    return True
        return False

    def recover(self, error: BaseException) -> bool:
        """Take back what an exception that is no KlpError has cut off, at whatever instruction: a load is refused with
        the exception's errno; what was started goes on. Whether it was said in the log. No step may be under way. It
        may be cut off itself, and is called again then."""
        if conditions.is_in_forked_callback(self, None):
            return False        # what it belongs to is cut off already, and is resumed when the callback is over
        load = self.load
        loading = load is not None and load.phase == LOADING
        if load is not None and loading:
            load.failed(error, self.host.outbox)
        self.engine.recover()
        self._resume()
        op = self.op
        if op is not None and self.engine.transition is None:       # else it goes on
            transition = self.goal["transition"] if self.goal is not None else None
            if transition and transition["n"] == op.n and transition["step"] == FINISH and (
                    bool(transition["dir"]) == any(patch is op.patch for patch in self.engine.patches)):
                self.last_finished = op.n       # the engine had finished
            self.op = None                      # else the rule that began it fits again
        if load is not None and loading:
            end_load(self, load)
        self.host.outbox.changed()
        self.host.outbox.report()
        return loading

    def refuse_stuck(self) -> dict[str, Any] | None:
        """Refuse the newest record's change, while recover() fails; nothing else of this follower or its engine is
        touched. Returns the refusal, or the last one."""
        change = self.goal["change"] if self.goal is not None else None
        if change and not (self.refused and self.refused["n"] == change["n"]):
            self.refused = {"n": change["n"], "errno": EIO, "text": "the process is stuck after a defect, see the log"}
        return self.refused

    def _refuse_in_callback(self, record: Record, change: Record) -> bool:
        """Refuse the change: what the callback belongs to comes first."""
        self.refused = {"n": change["n"], "errno": EBUSY, "text": "a callback that has forked the process still runs"}
        self.host.outbox.report()
        return True

    def _resume_after_fork(self, record: Record | None, found: Any) -> bool:
        """Let the engine go on with, or take back, what the fork has cut off; modules that were being loaded go."""
        self._resume()
        self.interrupted_by_fork = False
        for module in self.modules.all():
            if module.state == "Loading" and self.modules.patch_of(module.name) is None:
                unload_module(self, module, False)
        self.host.outbox.changed()
        return True

    def _resume(self) -> None:
        """The engine goes on with, or takes back, what was cut off."""
        for done in iter(self.engine.resume, None):
            if done == ARRIVAL_ABANDONED:
                if self.main != AWAITED:    # of a module that came late
                    self.main = THERE
            elif done == ARRIVAL_FINISHED:
                self._arrived()
            elif done == CANCELED:
                self.op = None
            elif done == FINISHED:
                assert self.op is not None      # the engine's transition is an operation's
                self.last_finished, self.op = self.op.n, None

    def _arrive(self, record: Record | None, found: Any) -> bool:
        """Begin the transition of the main program's functions."""
        self.main = NOT_AWAITED
        self.arrive(None)
        return True

    def arrive(self, module: str | None) -> None:
        """Begin a transition of this process alone, of the functions of a module that may run already. None: of the
        main program's."""
        if self.engine.arrive(module):
            self.host.outbox.changed()
            if not self.engine.look_arrival():
                self._arrived()
        else:
            self._arrived()

    def _force_arrival(self, record: Record, found: Any) -> bool:
        """Force the transition of the main program's functions, and end it."""
        self.engine.force_arrival()
        self._arrived()
        return True

    def _ftrace_on(self, record: Record, found: Any) -> bool:
        """Allow patches again, before what needs it."""
        self.engine.ftrace_enabled = True
        return True

    def _ftrace_off(self, record: Record, found: Any) -> bool:
        """Take no patches; decided while the service had none, so here are none either, by now."""
        try:
            self.engine.ftrace_enabled = False
        except OSError as error:
            return self._log_impossible(f"kernel.ftrace_enabled can't be 0 here: {error}")
        return True

    def _take_back(self, record: Record, found: Any) -> bool:
        """Take back: enable_patch() raises EINTR, post_unpatch runs where pre_patch succeeded; the module goes."""
        take_back(self)
        return True

    def _log_lost_operation(self, record: Record, op: Op) -> bool:
        """Can't be: log it once, leave all as it is."""
        return self._log_impossible(f"operation {op.n} of '{op.name}' is started here, the journal does not have it")

    def _start(self, record: Record, op: Op) -> bool:
        """Start: a single store, with the record's direction and turn; enable_patch() returns 0."""
        try:                        # ahead of the step, since others may come in between
            known = accepted_code(self, entry_of(record, op.name))
        except OSError:
            known = None            # said already; it was decided, and what is here this process has looked at itself
        restrict_to_known_code(op.patch, known)     # modules that come later are to be those that the others have
        op.turn = record["transition"]["turn"]
        self.engine.start(record["transition"]["dir"])
        self.host.outbox.changed()
        self.host.outbox.report()
        return True

    def _dir(self) -> int:
        """The side that the engine's transition leads to."""
        transition = self.engine.transition
        assert transition is not None       # the rules that come here need an operation that is started
        return transition.dir

    def _turn(self, record: Record, op: Op) -> bool:
        """Reverse to the record's direction and turn; every task is looked at anew."""
        transition = record["transition"]
        twice = self._dir() == transition["dir"]     # slept over two turns: clean once more
        if not twice:
            self.engine.reverse()
        op.turn, op.look_again = transition["turn"], twice
        self.host.outbox.changed()
        self.host.outbox.report()
        return True

    def _finish(self, record: Record, op: Op) -> bool:
        """Put the outcome in place: images, post_* callbacks, replaced patches dropped."""
        if record["transition"]["forced"] and not self.clean():
            self.engine.force()
        self.engine.finish(self._dir())
        self.op = None
        self.last_finished = op.n
        self.host.outbox.changed()
        return True

    def _module_is_in(self, record: Record, load: Load) -> bool:
        """The module is live."""
        self.load = None
        self.modules.mark_live(load.loaded)
        self.host.outbox.changed()
        return True

    def _module_is_refused(self, record: Record, load: Load) -> bool:
        """exit(), going, unload."""
        unload_module(self, load.loaded, True)
        self.load = None
        self.host.outbox.changed()
        return True

    def _join_module(self, record: Record, entry: Record) -> bool:
        """Load the module."""
        return run_load(self, Load(JOINED, entry["name"]), entry)

    def _join_patch(self, record: Record, entry: Record) -> bool:
        """Load the patch, and apply it at its place in the order, without a transition."""
        transition = record["transition"]
        if transition and entry["name"] == transition["patch"]:
            self.last_finished = transition["n"]    # with the first thing done, or the next step takes it for a disable
        order = [patch["name"] for patch in record["patches"]]
        before = order[:order.index(entry["name"])]
        place = sum(1 for patch in self.engine.patches if patch.name in before)
        return run_load(self, Load(entry["n"], entry["name"], place), dict(entry_of(record, entry["name"]), **entry))

    def _begin_late(self, record: Record, transition: Record) -> bool:
        """Load the patch, and start with the record's direction and turn."""
        return run_load(self, Load(transition["n"], transition["patch"]), entry_of(record, transition["patch"]))

    def _disable(self, record: Record, patch: Patch) -> bool:
        """pre_unpatch, dispatchers, start with the record's direction and turn."""
        transition = record["transition"]
        self.op = Op(transition["n"], transition["patch"], patch, transition["turn"])
        try:
            self.engine.disable(patch, transition["dir"])
        except OSError as error:
            self.op = None
            return self._log_impossible(f"'{transition['patch']}' can't be disabled here: {error}")
        self.host.outbox.changed()
        self.host.outbox.report()
        return True

    def _take_outcome(self, record: Record, found: Any) -> bool:
        """Drop what does not stand; what is missing a joiner's rule has applied."""
        self.last_finished = record["transition"]["n"]
        stay = [patch["name"] for patch in outcome(record)]
        for patch in list(self.engine.patches):
            if patch.name not in stay:
                self.engine.drop(patch, self.live)
        self.host.outbox.changed()
        return True

    def _load(self, record: Record, change: Record) -> bool:
        """Load the module: prepared, or refused."""
        self.refused = None
        return run_load(self, Load(change["n"], change["name"]), change)

    def _remove(self, record: Record, module: Module) -> bool:
        """exit(), going, unload."""
        unload_module(self, module, True)
        self.host.outbox.changed()
        return True

    def _log_impossible(self, text: str) -> bool:
        """Log once what the protocol says cannot be; nothing is done."""
        if self._logged != text:
            self._logged = text
            self.host.outbox.say(text, ERR)
        return False


class Rule:
    """A line of the table. fits(follower, record): what the rule is about, as its docstring says; a false value: it
    does not fit. action(follower, record, what fits found): a step, True; False: it could not be done, the next rule is
    tried. No action: wait, no rule below is tried."""

    __slots__ = ("name", "fits", "action")

    def __init__(self, name: str, fits: Callable[[Follower, Any], Any],
                 action: Callable[[Follower, Any, Any], bool] | None) -> None:
        self.name, self.fits, self.action = name, fits, action


RULES = [
    Rule("asked in a callback that forks", conditions.is_asked_in_forked_callback, Follower._refuse_in_callback),
    Rule("in a callback that forks", conditions.is_in_forked_callback, None),
    Rule("after a fork", conditions.is_interrupted, Follower._resume_after_fork),
    Rule("the main program arrives", conditions.main_may_arrive, Follower._arrive),
    Rule("no record", conditions.no_record, None),
    Rule("redirection on", conditions.ftrace_is_on, Follower._ftrace_on),
    Rule("a forced arrival", conditions.arrival_is_forced, Follower._force_arrival),
    Rule("an arrival under way", conditions.arrives, None),
    Rule("take back", conditions.is_given_up, Follower._take_back),
    Rule("cannot happen", conditions.is_unknown, Follower._log_lost_operation),
    Rule("start", conditions.is_decided, Follower._start),
    Rule("reverse", conditions.has_turned, Follower._turn),
    Rule("finish", conditions.may_finish, Follower._finish),
    Rule("an ordinary module is in", conditions.is_among_modules, Follower._module_is_in),
    Rule("an ordinary module is refused", conditions.is_not_among_modules, Follower._module_is_refused),
    Rule("a load under way", conditions.is_loading, None),
    Rule("a joiner's module", conditions.missing_module, Follower._join_module),
    Rule("a joiner's patch", conditions.missing_patch, Follower._join_patch),
    Rule("begin late", conditions.is_late, Follower._begin_late),
    Rule("disable", conditions.is_disabled, Follower._disable),
    Rule("take the outcome", conditions.is_over_without_us, Follower._take_outcome),
    Rule("load", conditions.is_asked_for, Follower._load),
    Rule("remove", conditions.surplus_module, Follower._remove),
    Rule("redirection off", conditions.ftrace_is_off, Follower._ftrace_off),
]
