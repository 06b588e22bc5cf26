"""The agent of the model: the table of docs/PROTOCOL.md#5, one small step towards the record at a time.

Each function below is some lines of the table; `steps` does the first that fits. A step looks at what is there, so it
can be done again after anything.
"""

from typing import Optional

from tests.protocol.model.invariants import may_finish
from tests.protocol.model.state import (
    FINISH,
    FINISHING,
    LOADING,
    PREPARED,
    RULES_OFF,
    START,
    STARTED,
    Journal,
    Op,
    Process,
    World,
    need,
)

Steps = list[tuple[str, Process]]  # (what it is called, the process after it); more than one: any of them may happen
IN_STEP = "in step"


def steps(world: World, index: int, process: Process, record: Journal) -> Steps:
    """What process `index` does next towards `record`; IN_STEP: nothing is left to do."""
    for rule in (_take_back, _end_load, _join, _take_part, _begin_load, _remove):
        found = rule(world, index, process, record)
        if found:
            return found
    return [(IN_STEP, process._replace(seen=record.seq, goal=None))]


def _take_back(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    """Presumed abort: the journal does not know the operation any more."""
    op, transition, change = process.op, record.transition, record.change
    if not op or transition and transition.n == op.n or change and change.n == op.n:
        return None
    need(op.phase in (LOADING, PREPARED), f"I5 process {index} finds its started operation {op.n} gone")
    if op.phase == PREPARED:
        process = process.after("post_unpatch", op.patch)
    return [("takes back", process._replace(op=None, modules=process.modules - {op.patch}))]


def _end_load(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    """Foreign code (init, pre_patch) runs to its end: well, or the process refuses."""
    op = process.op
    if not op or op.phase != LOADING:
        return None
    prepared = process.after("pre_patch", op.patch)._replace(
        op=op._replace(phase=PREPARED), modules=process.modules | {op.patch}
    )
    found = [("prepared", prepared)]
    if world.may("refuse"):
        without = process._replace(op=None)
        found.append(
            (
                "refuses",
                without._replace(left_out=process.left_out | {op.patch})
                if record.transition
                else without._replace(refused=op.n),
            )
        )
    return found


def _takes_outcome(process: Process, record: Journal) -> bool:
    """The transition was decided without this process: it takes what comes out of it."""
    transition = record.transition
    if not transition:
        return False
    if "joinfinish" in RULES_OFF and not process.runs:
        return True
    return (
        transition.step == FINISH
        and not process.op
        and (transition.patch not in process.patches or process.over == transition.n)
    )


def _placed(process: Process, record: Journal, patch: str) -> tuple[str, ...]:
    """`patch` among the process's patches, where the journal has it, not on top."""
    if "joinorder" in RULES_OFF:
        kept = tuple(other for other in process.patches if other != patch or process.runs)
        return kept if patch in process.patches and process.runs else kept + (patch,)
    return tuple(other for other in record.patches if other in process.patches or other == patch)


def _join(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    """A patch in force is missing: it is applied without a transition, at its place in the order."""
    transition, outcome = record.transition, _takes_outcome(process, record)
    for patch in record.outcome() if outcome else record.patches:
        mine = transition and patch == transition.patch
        if patch in process.patches or patch in process.left_out or mine and (not outcome or process.op):
            continue
        joined = process.after("pre_patch", patch).after("post_patch", patch)
        joined = joined._replace(
            patches=_placed(process, record, patch),
            modules=process.modules | {patch},
            over=transition.n if mine else process.over,
        )
        found = [(f"applies {patch}", joined)]
        if world.may("refuse"):
            found.append((f"refuses {patch}", process._replace(left_out=process.left_out | {patch})))
        return found
    return None


def _take_part(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    """The record's transition: begin late, start, reverse, finish, or take its outcome."""
    transition, op, outcome = record.transition, process.op, _takes_outcome(process, record)
    if (
        not transition
        or process.over == transition.n
        and not (outcome and set(process.patches) - set(record.outcome()))
    ):
        return None
    patch = transition.patch
    if outcome or patch in process.left_out:
        if transition.step == START and not outcome:
            return None
        kept = tuple(other for other in process.patches if other in record.outcome())
        return [("takes the outcome", process._replace(over=transition.n).with_patches(kept))]
    if not op and patch not in process.patches:
        return [("begins late", process._replace(op=Op(transition.n, patch, LOADING)))]
    if not op or op.phase == PREPARED:
        return [("starts", _started(world, index, process, record))]
    if op.phase == STARTED and op.turn != transition.turn:
        return [
            (
                "reverses",
                process._replace(op=op._replace(dir=transition.dir, turn=transition.turn, clean=process.fresh)),
            )
        ]
    if op.phase == STARTED and (transition.step == FINISH or "perproc" in RULES_OFF and op.clean):
        may_finish(world, index, process, transition)
        marked = process.after("post_patch" if op.dir else "post_unpatch", patch)  # marked first, called after
        return [("finishing", marked._replace(op=op._replace(phase=FINISHING)))]
    if op.phase == FINISHING:
        kept = tuple(other for other in process.patches if other in record.outcome())
        return [("finished", process._replace(op=None, over=transition.n).with_patches(kept))]
    return None


def _started(world: World, index: int, process: Process, record: Journal) -> Process:
    op, transition = process.op, record.transition
    if not op:
        process = process.after("pre_unpatch", transition.patch)
    else:
        need(not op.orphan, f"I9 init() in child {index} never returns: its thread stayed behind in the parent")
        need(op.n in world.begun, f"I9 enable_patch returned 0 in process {index}, the journal never started {op.n}")
        need(op.patch == transition.patch, f"I5 process {index} starts {op.patch}, the journal says {transition.patch}")
    started = Op(transition.n, transition.patch, STARTED, transition.dir, transition.turn, process.fresh)
    return process._replace(patches=_placed(process, record, transition.patch), op=started)


def _begin_load(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    change = record.change
    if not change or process.op or process.refused == change.n:
        return None
    left_out = process.left_out if "leftname" in RULES_OFF else process.left_out - {change.patch}
    return [("loads", process._replace(left_out=left_out, op=Op(change.n, change.patch, LOADING)))]


def _remove(world: World, index: int, process: Process, record: Journal) -> Optional[Steps]:
    gone = process.modules - record.modules
    if process.op or not gone:
        return None
    need(not gone & set(process.patches), f"I9 process {index} unloads a patch in use")
    return [("exit", process._replace(modules=process.modules & record.modules))]
