"""What must hold in every state of the model, and in a state in which nothing happens by itself any more.

I1  quiet: every process has the journal's patches, or is named (left out)
I2  the same order of patches everywhere, at all times outside a transition
I3  nobody finishes while another process may still be taken back
I4  callbacks are paired, in each process
I5  failed: all as before; done: never undone
I6  no process runs its program unseen, or behind the journal
I7  what a write did, the next read shows
I8  every operation ends, or a named process blocks it
I9  enable_patch() is answered as decided; rmmod only of what is unused
"""

from tests.protocol.model.state import (
    ALIVE,
    BOUND,
    DRIVE,
    FINISH,
    FINISHING,
    RULES_OFF,
    STARTED,
    Coordinator,
    Process,
    Transition,
    World,
    need,
)


def may_finish(world: World, index: int, process: Process, transition: Transition) -> None:
    """I3, when a process finishes `transition`."""
    decided = world.journal.transition
    need(
        decided and decided.n == transition.n and decided.step == FINISH and decided.dir == process.op.dir,
        f"I3 process {index} finishes, undecided",
    )
    if decided.forced:
        return
    need(process.op.clean, f"I3 process {index} finishes unclean")
    for other, peer in enumerate(world.processes):
        if peer.state == ALIVE and peer.runs and peer.over != decided.n and decided.patch not in peer.left_out:
            need(
                peer.op and peer.op.n == decided.n and peer.op.turn == decided.turn and peer.op.clean,
                f"I3 process {index} finishes, process {other} is not clean",
            )


def report_failure(world: World, coordinator: Coordinator) -> World:
    """The writer of a load is told that it failed. I5: then nobody who answers has anything left of it."""
    for at, process in enumerate(world.processes):
        if process.state == ALIVE and process.runs and not coordinator.passed_over >> at & 1:
            need(
                not (process.op and process.op.n == coordinator.n),
                f"I5 insmod has failed, process {at} still has its operation {coordinator.n}",
            )
    return world._replace(results=world.results + (("insmod", "failed"),))


def check(world: World) -> None:
    """Every state."""
    journal = world.journal
    for at, process in enumerate(world.processes):
        if process.state != ALIVE or not process.runs:
            continue
        need(process.socket, f"I6 process {at} runs, and nobody can know of it")
        if not journal.transition and "noburn" not in RULES_OFF:
            need(
                not (process.op and process.op.phase in (STARTED, FINISHING)),
                f"I7 transition reads 0, process {at} is in one",
            )
            wanted = tuple(patch for patch in journal.patches if patch not in process.left_out)
            need(process.patches == wanted, f"I1/I2 process {at} has {process.patches}, the journal {journal.patches}")
    if "mirror" in RULES_OFF:  # `enabled` is taken from the agents' reports
        for coordinator in world.coordinators:
            if (
                coordinator.role == DRIVE
                and journal.transition
                and not journal.transition.dir
                and world.results[-1:] == (("reverse", "ok"),)
            ):
                need(
                    not any(report and report[1] and report[1][2] for report in coordinator.reports),
                    "I7 wrote 0, enabled still reads 1",
                )


def check_quiet(world: World, silent: bool) -> None:
    """A state in which nothing happens but faults, and that silent processes wake."""
    journal = world.journal
    need(not journal.change, "I8 a prepare nobody ends")
    for at, process in enumerate(world.processes):
        if process.state == ALIVE and not process.silent:
            need(
                process.seen >= journal.seq or any(peer.state == BOUND for peer in world.processes),
                f"I8 process {at} is behind the journal",
            )
            need(
                not process.op or process.op.turn == journal.transition.turn and process.op.phase == STARTED,
                f"I8 process {at} was not taken along",
            )
    need(silent or not journal.transition, "I8 pending, and nobody blocks")
    need(
        silent or all(last == "post_patch" for process in world.processes for _, last in process.callbacks),
        "I4 a callback is owed",
    )
    need(silent or not world.requests, "I8 a request nobody takes")
