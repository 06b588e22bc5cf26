"""A coordinator of the model: docs/PROTOCOL.md#3 (requests, decisions) and #8 (recovery).

All it knows is the journal, its list of processes and the reports that it has read. `steps` yields what may happen
next, as (label, world): each is one write of the journal, one message, one report or one look.
"""

from collections.abc import Iterator
from typing import Any, Optional

from tests.protocol.model.invariants import report_failure
from tests.protocol.model.state import (
    ABORT,
    ALIVE,
    BOUND,
    DEAD,
    DRIVE,
    FINISH,
    IDLE,
    PREPARE,
    PREPARED,
    RULES_OFF,
    START,
    STARTED,
    UNBORN,
    Change,
    Coordinator,
    Journal,
    Transition,
    World,
)

Step = tuple[str, World]


def steps(world: World, k: int) -> Iterator[Step]:
    """What coordinator `k` may do now."""
    coordinator, journal = world.coordinators[k], world.journal
    locked = any(other.alive and other.role == PREPARE for other in world.coordinators)
    if (
        world.requests
        and not locked
        and coordinator.role in (IDLE, DRIVE)
        and not (journal.change and "noburn" not in RULES_OFF)
    ):
        yield _request(world, k)
    if coordinator.role == IDLE:
        yield from _wake(world, k, locked)
    elif coordinator.listed_at != journal.seq and coordinator.role in (DRIVE, ABORT) and "nocas" not in RULES_OFF:
        known = coordinator.known if "listold" in RULES_OFF else world.registered()
        yield (
            f"c{k} sees a new journal, lists",
            world.with_coordinator(k, coordinator._replace(listed_at=journal.seq, known=known, sure=None)),
        )
    else:
        yield from _talk(world, k)
        yield from _decide(world, k)


def _begin(world: World, k: int, role: str, n: int = 0, seq: Optional[int] = None, **changes: Any) -> World:
    """The world with `changes`, in which coordinator `k` begins something with a fresh list. seq: of the journal that
    it listed under."""
    changed = world._replace(**changes)
    return changed.with_coordinator(
        k,
        Coordinator(
            True,
            role,
            n,
            world.registered(),
            (None,) * len(world.processes),
            listed_at=changed.journal.seq if seq is None else seq,
        ),
    )


def _members(coordinator: Coordinator, world: World, silent: bool = True) -> list[int]:
    mask = coordinator.known if silent else coordinator.known & ~coordinator.passed_over
    return [at for at in range(len(world.processes)) if mask >> at & 1]


# ---- what users write: one write of the journal each, decided from what it says then


def _request(world: World, k: int) -> Step:
    (what, *words), rest = world.requests[0], world.requests[1:]
    journal, seq = world.journal, world.journal.seq + 1
    patch = words[0] if words else ""
    what, error, following = _decided(journal, what, patch, len(words) > 1)
    if error:
        return f"c{k} {what} {patch}: {error}", world._replace(requests=rest, results=world.results + ((what, error),))
    if what != "insmod":
        begun = world.begun | ({seq} if what == "disable" else set())
        return f"c{k} {what} {patch}: journal {seq}", _begin(
            world, k, DRIVE, journal=following, requests=rest, results=world.results + ((what, "ok"),), begun=begun
        )
    if "noburn" in RULES_OFF:  # the journal does not hear of it before the votes are in
        begun_load = _begin(world, k, PREPARE, seq, seq=seq, requests=rest)
        return f"c{k} insmod {patch}, journal untouched", begun_load.with_coordinator(
            k, begun_load.coordinators[k]._replace(draft=following)
        )
    return f"c{k} insmod {patch}: journal prepare {seq}", _begin(
        world, k, PREPARE, seq, journal=following, requests=rest
    )


def _decided(journal: Journal, what: str, patch: str, replace: bool) -> tuple[str, Optional[str], Optional[Journal]]:
    """(what it is, errno or None, the next record)."""
    transition, seq = journal.transition, journal.seq + 1
    if what == "insmod":
        error = "EBUSY" if transition else "EEXIST" if patch in journal.modules else None
        return what, error, None if error else journal._replace(seq=seq, change=Change(seq, patch, replace))
    if what == "rmmod":
        error = "ENOENT" if patch not in journal.modules else "EBUSY" if patch in journal.patches else None
        return what, error, None if error else journal._replace(seq=seq, modules=journal.modules - {patch})
    if what == "disable":
        if transition and transition.patch != patch:
            return what, "EBUSY", None
        if patch not in journal.patches:
            return what, "ENOENT", None
        if not transition:
            return what, None, journal._replace(seq=seq, transition=Transition(seq, patch, 0, 1, START, False, False))
        if not transition.dir:
            return "reverse", "EINVAL", None
        what = "reverse"
    if not transition or transition.step == FINISH:
        return what, "EBUSY" if transition else "EINVAL", None
    changed = (
        transition._replace(dir=1 - transition.dir, turn=transition.turn + 1)
        if what == "reverse"
        else transition._replace(step=FINISH, forced=True)
    )
    return what, None, journal._replace(seq=seq, transition=changed)


# ---- a coordinator with nothing to do looks at what others have left


def _wake(world: World, k: int, locked: bool) -> Iterator[Step]:
    journal = world.journal
    if journal.change and not locked and "noburn" not in RULES_OFF:  # a free lock: its coordinator is dead
        yield (
            f"c{k} recovers: abort {journal.change.n}",
            _begin(world, k, DRIVE, journal=journal._replace(seq=journal.seq + 1, change=None, transition=None)),
        )
    elif (
        "recoverstart" in RULES_OFF
        and journal.transition
        and journal.transition.step == START
        and not all(other.alive for other in world.coordinators)
    ):
        undone = Journal(
            journal.seq + 1, journal.patches[:-1], journal.modules - {journal.transition.patch}, None, None
        )
        yield f"c{k} recovers: takes back {journal.transition.n}", _begin(world, k, DRIVE, journal=undone)
    elif not locked and (journal.transition or any(p.state == ALIVE and p.seen < journal.seq for p in world.processes)):
        yield f"c{k} drives", _begin(world, k, DRIVE)


# ---- messages and reports


def _talk(world: World, k: int) -> Iterator[Step]:
    coordinator = world.coordinators[k]
    record = coordinator.draft or world.journal
    for at in _members(coordinator, world):
        process, report, inbox = world.processes[at], coordinator.reports[at], world.inboxes[at]
        if process.state in (UNBORN, DEAD):
            yield (
                f"c{k} sees {at} gone",
                world.with_coordinator(k, coordinator._replace(known=coordinator.known & ~(1 << at), sure=None)),
            )
            continue
        if (
            record not in inbox
            and process.seen < record.seq
            and (not process.goal or process.goal.seq < record.seq)
            and len(inbox) < 2
        ):
            inboxes = world.inboxes[:at] + (inbox | {record},) + world.inboxes[at + 1 :]
            yield f"c{k} tells {at} {record}", world._replace(inboxes=inboxes)
        if process.state == ALIVE and report != process.report() and not process.silent:
            reports = coordinator.reports[:at] + (process.report(),) + coordinator.reports[at + 1 :]
            heard = coordinator._replace(reports=reports)
            # a report that changes no decision is not read: it makes states, and no difference
            if _wants(world, heard._replace(known=1 << at, passed_over=0)):
                yield f"c{k} hears {at}", world.with_coordinator(k, heard)
        if (
            (process.silent or process.state == BOUND)
            and coordinator.role in (PREPARE, ABORT)
            and not coordinator.passed_over >> at & 1
            and (not report or report[0] < record.seq)
        ):
            passed_over = coordinator.passed_over | 1 << at
            yield (
                f"c{k} passes over {at}, silent",
                world.with_coordinator(k, coordinator._replace(passed_over=passed_over)),
            )


# ---- decisions


def _wants(world: World, coordinator: Coordinator) -> Optional[str]:
    """What the coordinator would write next, by the reports that it has; None: it waits."""
    journal, members = world.journal, _members(coordinator, world, silent=False)
    reports = [coordinator.reports[at] for at in members]
    if coordinator.role == PREPARE:
        if any(report and report[3] == coordinator.n for report in reports):
            return "abort"
        return (
            START
            if all(report and report[1] and report[1][:2] == (coordinator.n, PREPARED) for report in reports)
            else None
        )
    transition = journal.transition
    if not transition:
        return "rest" if all(report and report[0] >= journal.seq for report in reports) else None
    over = [bool(report and (report[2] == transition.n or transition.patch in report[4])) for report in reports]
    if transition.step == START:
        clean = [
            report
            and report[1]
            and report[1][:2] == (transition.n, STARTED)
            and report[1][4]
            and (report[1][3] == transition.turn or "noturn" in RULES_OFF)
            for report in reports
        ]
        return FINISH if all(one or other for one, other in zip(clean, over)) else None
    if "earlydone" in RULES_OFF:  # who is silent is not waited for
        over = [done for done, at in zip(over, members) if not world.processes[at].silent]
    followed = all(
        report[0] >= journal.seq or "earlydone" in RULES_OFF and world.processes[at].silent
        for report, at in zip(reports, members)
        if report
    )
    return "done" if all(over) and followed else None


def _written(journal: Journal, coordinator: Coordinator, what: str) -> Journal:
    """The journal after a decision."""
    seq = journal.seq + 1
    if what == START:
        change = journal.change or coordinator.draft.change
        return Journal(
            max(journal.seq, coordinator.n) + 1,
            journal.patches + (change.patch,),
            journal.modules | {change.patch},
            None,
            Transition(coordinator.n, change.patch, 1, 1, START, change.replace, False),
        )
    if what == FINISH:
        return journal._replace(seq=seq, transition=journal.transition._replace(step=FINISH))
    return Journal(seq, journal.outcome(), journal.modules, None, None)


def _decide(world: World, k: int) -> Iterator[Step]:
    coordinator, journal = world.coordinators[k], world.journal
    draft_sent = bool(coordinator.draft and coordinator.draft.transition)
    what = coordinator.sure if "nocas" in RULES_OFF and coordinator.sure else _wants(world, coordinator)
    if draft_sent and journal.transition == coordinator.draft.transition:
        return
    if not what:
        if coordinator.sure:
            yield f"c{k} waits again", world.with_coordinator(k, coordinator._replace(sure=None))
        if coordinator.role == PREPARE and world.may("giveup"):  # impatience, or ^C: safe before the start
            yield f"c{k} gives up", _abort(world, k).using("giveup")
    elif not coordinator.sure and "listonce" not in RULES_OFF:  # the list once more, after the last report
        more = world.registered() & ~coordinator.known
        again = coordinator._replace(known=coordinator.known | more) if more else coordinator._replace(sure=what)
        yield f"c{k} lists again", world.with_coordinator(k, again)
    elif not draft_sent and (what == START and "startlate" in RULES_OFF or what == FINISH and "finlate" in RULES_OFF):
        draft = _written(journal, coordinator, what)
        yield f"c{k} sends {what} before it is written", world.with_coordinator(k, coordinator._replace(draft=draft))
    elif what == "rest":
        if coordinator.role == ABORT and "errearly" not in RULES_OFF:
            world = report_failure(world, coordinator)
        yield f"c{k} rests", world.with_coordinator(k, Coordinator())
    elif what == "abort":
        yield f"c{k} journal abort {coordinator.n}", _abort(world, k)
    elif "nocas" in RULES_OFF and not journal.transition and what != START:
        yield f"c{k} waits again", world.with_coordinator(k, coordinator._replace(sure=None))
    else:
        following = _written(journal, coordinator, what)
        changes = (
            {"results": world.results + (("insmod", "ok"),), "begun": world.begun | {coordinator.n}}
            if what == START
            else {}
        )
        after = _begin(world, k, DRIVE, journal=following, **changes)
        if "listold" in RULES_OFF:
            after = after.with_coordinator(k, after.coordinators[k]._replace(known=coordinator.known))
        yield f"c{k} journal {following}", after


def _abort(world: World, k: int) -> World:
    """The load has failed: written, and told to all before its writer is answered."""
    coordinator, journal = world.coordinators[k], world.journal
    following = Journal(max(journal.seq, coordinator.n) + 1, journal.patches, journal.modules, None, None)
    after = _begin(world, k, ABORT, coordinator.n, journal=following)
    after = after.with_coordinator(k, after.coordinators[k]._replace(passed_over=coordinator.passed_over))
    return report_failure(after, after.coordinators[k]) if "errearly" in RULES_OFF else after
