"""Everything that can happen next in the model: coordinators, processes, and faults."""

from collections.abc import Iterator

from tests.protocol.model import agent, coordinator
from tests.protocol.model.state import (
    ALIVE,
    BOUND,
    DEAD,
    GONE,
    LOADING,
    PREPARED,
    RULES_OFF,
    STARTED,
    UNBORN,
    Coordinator,
    Process,
    World,
    need,
)

OWN, FAULT, WAKES = (
    "own",
    "fault",
    "wakes",
)  # the kinds of steps: of itself; only if something fails; a silent process goes on
Step = tuple[str, str, World]


def steps(world: World) -> Iterator[Step]:
    """(label, kind, the world after it) of each."""
    for k, one in enumerate(world.coordinators):
        if one.alive and (k == 0 or world.compete or not world.coordinators[0].alive):
            for label, after in coordinator.steps(world, k):
                yield label, OWN, after
            if world.may("crash") and k == 0:
                yield f"c{k} dies", FAULT, world.with_coordinator(k, Coordinator(False, GONE, one.n)).using("crash")
    for at, process in enumerate(world.processes):
        if process.state == UNBORN and world.may("join"):
            joiner = process._replace(state=ALIVE, socket="joinlate" not in RULES_OFF)
            yield f"{at} joins", FAULT, world.with_process(at, joiner).using("join")
        elif process.state == BOUND:
            yield from _fork(world, at, process)
        elif process.state == ALIVE:
            yield from _alive(world, at, process)


def _fork(world: World, at: int, process: Process) -> Iterator[Step]:
    """The parent has bound the child's socket, and forks now; or it has died in between."""
    parent = world.processes[process.parent]
    if parent.state != ALIVE:
        yield f"{at} is never born", OWN, world.with_process(at, process._replace(state=DEAD))
    elif not parent.silent:
        child, op = parent, parent.op
        if op and op.phase == PREPARED and "forkhalf" in RULES_OFF:
            op = op._replace(orphan=True)
        elif op and op.phase in (LOADING, PREPARED):  # dropped: the thread in init() stays in the parent
            if op.phase == PREPARED:
                child = child.after("post_unpatch", op.patch)._replace(modules=child.modules - {op.patch})
            op = None
        child = child._replace(
            runs=False,
            socket="bindafter" not in RULES_OFF,
            seen=parent.seen if "childseen" in RULES_OFF else -1,
            goal=None,
            op=op,
            parent=process.parent,
        )
        yield f"{process.parent} forks {at}", OWN, world.with_process(at, child)


def _alive(world: World, at: int, process: Process) -> Iterator[Step]:
    if world.may("kill"):
        killed = world.with_process(at, Process(DEAD))
        yield f"{at} is killed", FAULT, killed._replace(inboxes=_emptied(killed, at, None)).using("kill")
    if process.silent:
        yield f"{at} wakes", WAKES, world.with_process(at, process._replace(silent=False))
        return
    if world.may("stall"):
        yield f"{at} stalls", FAULT, world.with_process(at, process._replace(silent=True)).using("stall")
    if any(child.state == BOUND and child.parent == at for child in world.processes):
        return  # its agent stands still between bind and fork
    if world.may("fork") and process.runs and world.processes[-1].state == UNBORN:
        child = Process(BOUND, socket="bindafter" not in RULES_OFF, parent=at)
        yield (
            f"{at} binds a socket for its child",
            FAULT,
            world.with_process(len(world.processes) - 1, child).using("fork"),
        )
    op = process.op
    if op and op.phase == STARTED and not op.clean and process.runs:
        yield f"{at} is clean", OWN, world.with_process(at, process._replace(op=op._replace(clean=True)))
    newest = max(process.seen, process.goal.seq if process.goal else -1)
    for record in world.inboxes[at]:
        if record.seq > newest:
            reading = world.with_process(at, process._replace(goal=record))
            yield f"{at} reads {record}", OWN, reading._replace(inboxes=_emptied(world, at, record.seq))
    yield from _lost(world, at, process)
    yield from _follow(world, at, process)


def _emptied(world: World, at: int, seq):
    """The inboxes, that of process `at` without the records up to `seq` (None: without any)."""
    left = frozenset() if seq is None else frozenset(record for record in world.inboxes[at] if record.seq > seq)
    return world.inboxes[:at] + (left,) + world.inboxes[at + 1 :]


def _lost(world: World, at: int, process: Process) -> Iterator[Step]:
    """A prepared process whose coordinator's connection closed: EINTR, unless the journal has started the operation."""
    op, started = process.op, world.journal.transition
    if not op or op.phase != PREPARED:
        return
    dead = any(not one.alive and one.n == op.n for one in world.coordinators)
    if not dead and not world.may("cut"):
        return
    decided = bool(started and started.n == op.n)
    need(not decided or "selfabort" not in RULES_OFF, f"I9 enable_patch fails in process {at}, insmod was answered 0")
    if not decided:
        alone = process.after("post_unpatch", op.patch)._replace(
            op=None, refused=op.n, modules=process.modules - {op.patch}, goal=None
        )
        after = world.with_process(at, alone)
        yield f"{at} lost its coordinator: EINTR", OWN, after if dead else after.using("cut")


def _follow(world: World, at: int, process: Process) -> Iterator[Step]:
    """A step towards the record that it works at; a joiner reads the journal by itself until it is in step, then its
    program runs."""
    if process.goal:
        for label, after in agent.steps(world, at, process, process.goal):
            if label != agent.IN_STEP:  # with the last step it reports, at once
                [(next_label, in_step), *_] = agent.steps(world, at, after, after.goal)
                after = in_step if next_label == agent.IN_STEP else after
            moved = world.with_process(at, after)
            moved = moved._replace(inboxes=_emptied(world, at, after.seen))
            yield f"{at} {label}", OWN, moved.using("refuse") if label.startswith("refuses") else moved
    elif not process.runs or not process.socket:
        if (
            process.seen == world.journal.seq
            or process.parent is None
            and "joinlate" in RULES_OFF
            and process.seen >= 0
        ):
            yield f"{at} runs its program", OWN, world.with_process(at, process._replace(runs=True, socket=True))
        else:
            yield (
                f"{at} reads the journal {world.journal}",
                OWN,
                world.with_process(at, process._replace(goal=world.journal)),
            )
    elif (
        "perproc" in RULES_OFF
        and process.op
        and process.op.phase == STARTED
        and process.op.clean
        and world.journal.transition
    ):
        yield f"{at} completes alone", OWN, world.with_process(at, agent.steps(world, at, process, world.journal)[0][1])
