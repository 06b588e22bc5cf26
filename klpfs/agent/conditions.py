"""The conditions of the follower's rules: when each of them fits (docs/PROTOCOL.md#5).

A condition is given the follower and its goal, the newest record, which is None only for the rules of the table down to
"no record". It returns what the rule is about, as its docstring says; a false value: the rule does not fit.
"""
from __future__ import annotations

from klpfs.agent.load import knows
from klpfs.protocol.phases import FINISH, PREPARED, START, STARTED
from klpfs.protocol.record_text import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.follower import Follower
    from klpfs.agent.load import Load, Op
    from klpfs.agent.modules import Module
    from klpfs.engine.data import Patch
    Record = dict[str, Any]

# Where the main program of a joiner is: no patch waits for its definitions, patches wait, or the definitions have come.
NOT_AWAITED, AWAITED, THERE = "", "awaited", "there"


def is_in_forked_callback(follower: Follower, record: Record | None) -> bool:
    """a callback that has forked this process still runs"""
    return follower.interrupted_by_fork and follower.engine.callbacks_running > 0


def is_asked_in_forked_callback(follower: Follower, record: Record | None) -> Record | None:
    """a callback that has forked this process still runs; c, whose n is not refused"""
    if record is None or not is_in_forked_callback(follower, record):
        return None
    change, refused = record["change"], follower.refused
    return None if not change or refused and refused["n"] == change["n"] else change


def is_interrupted(follower: Follower, record: Record | None) -> bool:
    """a fork has cut off what was under way"""
    return follower.interrupted_by_fork


def main_may_arrive(follower: Follower, record: Record | None) -> bool:
    """the main program's definitions have come, nothing is under way"""
    return (follower.main == THERE and follower.op is None and follower.load is None
            and follower.engine.transition is None and not follower.interrupted_by_fork)


def no_record(follower: Follower, record: Record | None) -> bool:
    """no record is known yet"""
    return record is None


def ftrace_is_on(follower: Follower, record: Record) -> bool:
    """`ftrace`, and this process takes no patches"""
    return record["ftrace"] and not follower.engine.ftrace_enabled


def arrival_is_forced(follower: Follower, record: Record) -> bool:
    """the main program arrives; t at finish, forced"""
    transition = record["transition"]
    return follower.engine.arrival is not None and bool(transition) and (
        transition["step"] == FINISH and transition["forced"])


def arrives(follower: Follower, record: Record) -> bool:
    """the main program arrives"""
    return follower.engine.arrival is not None


def is_given_up(follower: Follower, record: Record) -> bool:
    """op prepared; neither t nor c has its n"""
    op = follower.op
    return op is not None and follower.undecided() and not knows(record, op.n)


def is_unknown(follower: Follower, record: Record) -> Op | None:
    """op started or finishing; neither t nor c has its n"""
    op = follower.op
    return op if op and not follower.undecided() and not knows(record, op.n) else None


def its_transition(follower: Follower, record: Record) -> Record | None:
    """The record's transition if it is what is under way here."""
    transition = record["transition"]
    return transition if follower.op and transition and transition["n"] == follower.op.n else None


def is_decided(follower: Follower, record: Record) -> Op | None:
    """op prepared; t has its n"""
    return follower.op if its_transition(follower, record) and follower.undecided() else None


def has_turned(follower: Follower, record: Record) -> Op | None:
    """op started; t has its n, and another turn"""
    op, transition = follower.op, its_transition(follower, record)
    return op if op and transition and (
        follower.phase() == STARTED and op.turn != transition["turn"]) else None


def may_finish(follower: Follower, record: Record) -> Op | None:
    """op started; t has its n, at finish; clean, or forced (else a look makes it clean: nobody else can have decided
    it)"""
    transition = its_transition(follower, record)
    return follower.op if transition and follower.phase() == STARTED and transition["step"] == FINISH and (
        transition["forced"] or follower.clean()) else None


def decided_load(follower: Follower, record: Record) -> Load | None:
    """An ordinary module that is prepared, and whose change is over."""
    load, change = follower.load, record["change"]
    return load if load and load.phase == PREPARED and not (change and change["n"] == load.n) else None


def is_among_modules(follower: Follower, record: Record) -> Load | None:
    """an ordinary module is prepared; c has not its n, `modules` has it"""
    load = decided_load(follower, record)
    return load if load and any(module["name"] == load.name for module in record["modules"]) else None


def is_not_among_modules(follower: Follower, record: Record) -> Load | None:
    """an ordinary module is prepared; c has not its n, nor has `modules`"""
    return decided_load(follower, record)


def is_loading(follower: Follower, record: Record) -> bool:
    """a load is under way"""
    return follower.load is not None


def missing_module(follower: Follower, record: Record) -> Record | None:
    """no op; an ordinary module of `modules` is missing"""
    if follower.op is None:
        for module in record["modules"]:
            if (not module["livepatch"] and module["name"] not in follower.modules
                    and module["sha256"] not in follower.left_modules):
                return module
    return None


def missing_patch(follower: Follower, record: Record) -> Record | None:
    """no op; a patch of `patches` (t at finish: of the outcome) is missing, not t's at start, not in `not_applied`"""
    if follower.op is None:
        transition = record["transition"]
        finishing = transition and transition["step"] == FINISH
        for patch in outcome(record) if finishing else record["patches"]:
            if patch["n"] in follower.not_applied or follower.modules.patch_of(patch["name"]) is not None:
                continue
            if transition and patch["name"] == transition["patch"] and (
                    not finishing or follower.last_finished >= transition["n"]):
                continue
            return patch
    return None


def is_late(follower: Follower, record: Record) -> Record | None:
    """no op; t at start; its patch is missing, not in `not_applied`"""
    transition = record["transition"]
    if follower.op is not None or not transition or transition["step"] != START or (
            follower.modules.patch_of(transition["patch"]) is not None):
        return None
    # a load number: of a disable the transition's own is another
    loads = [patch["n"] for patch in record["patches"] if patch["name"] == transition["patch"]]
    return None if follower.not_applied.intersection([transition["n"], *loads]) else transition


def is_disabled(follower: Follower, record: Record) -> Patch | None:
    """no op; t's patch is here, over < t.n (dir 0, or reversed since)"""
    transition = record["transition"]
    return follower.modules.patch_of(transition["patch"]) if follower.op is None and transition and (
        follower.last_finished < transition["n"]) else None


def is_over_without_us(follower: Follower, record: Record) -> bool:
    """no op; t at finish; its patch is missing or in `not_applied`, over < t.n"""
    transition = record["transition"]
    return follower.op is None and bool(transition) and transition["step"] == FINISH and (
        follower.last_finished < transition["n"] and follower.modules.patch_of(transition["patch"]) is None)


def is_asked_for(follower: Follower, record: Record) -> Record | None:
    """c, whose n is neither op's nor refused"""
    change, refused, op = record["change"], follower.refused, follower.op
    if not change or refused and refused["n"] == change["n"] or op and op.n == change["n"]:
        return None
    return change


def surplus_module(follower: Follower, record: Record) -> Module | None:
    """no op, or op started; a module is here that is not in `modules`"""
    if follower.op is None or follower.phase() == STARTED:
        names = [module["name"] for module in record["modules"]]
        for module in follower.modules.all():
            if module.name not in names and follower.modules.patch_of(module.name) is None:
                return module
    return None


def ftrace_is_off(follower: Follower, record: Record) -> bool:
    """no op; not `ftrace`, and this process takes patches"""
    return follower.op is None and not record["ftrace"] and follower.engine.ftrace_enabled
