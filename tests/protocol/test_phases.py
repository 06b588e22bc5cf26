"""The one table of progress: every name of every layer is in it, and the layers use no other names."""
import pytest

from klpfs.cpython.switch import choice
from klpfs.engine import steps, target
from klpfs.protocol import decisions, phases, record_text, shapes
from klpfs.protocol.phases import AGENT_PHASES, JOURNAL_STEPS, TABLE


def test_every_name_of_every_layer_is_in_the_table():
    assert {row.journal for row in TABLE} == set(JOURNAL_STEPS)
    assert {row.phase for row in TABLE} == set(AGENT_PHASES)
    assert {row.step for row in TABLE} == set(steps.STEPS)
    # OVER: the engine has let go of it
    assert {row.mode for row in TABLE} == set(target.MODES) - {target.OVER} | {None}
    assert {row.machine for row in TABLE} == set(steps.MOVES) - {"arrival"}              # no operation of the service


def test_the_modes_are_those_of_the_dispatchers():
    """Numbers there, as every call looks at them."""
    assert {mode: getattr(choice, mode) for mode in target.MODES} == {"PREPARE": 0, "RUN": 1, "CLEAN": 2, "OVER": 3}


@pytest.mark.parametrize("machine", [phases.PATCHING, phases.UNPATCHING])
def test_the_rows_follow_the_moves_of_the_engine_and_of_the_target(machine):
    """From each row to the next leads a move of MOVES, or none; likewise of MODE_MOVES."""
    rows = [row for row in TABLE if row.machine == machine]
    for row, following in zip(rows, rows[1:]):
        assert following.step == row.step or following.step in steps.MOVES[machine][row.step].values()
        assert following.mode == row.mode or row.mode is None or following.mode in (
            mode for mode in [*target.MODE_MOVES[row.mode].values(), None] if mode or row.mode == target.CLEAN)
        assert (
            list(JOURNAL_STEPS).index(row.journal) <= list(JOURNAL_STEPS).index(following.journal)
            or following.journal == phases.IDLE
        )


def test_the_phase_of_an_engine_in_an_operation():
    assert [phases.phase_of("patching", step) for step in ("preparing", "prepared", "started", "finishing")] == [
        "loading", "prepared", "started", "finishing"]
    assert [phases.phase_of("unpatching", step)
            for step in ("preparing", "started", "finishing")] == ["started", "started", "finishing"]
    assert phases.phase_of("patching", "idle") == phases.phase_of("unpatching", "idle") == ""
    with pytest.raises(KeyError):
        phases.phase_of("unpatching", "prepared")


def record(step):
    return dict(record_text.idle(3), transition={"n": 2, "patch": "p", "dir": 1, "turn": 1, "step": step,
                                                 "replace": False, "forced": False},
                patches=[{"name": "p", "n": 2, "sha256": "", "params": {}, "fingerprints": ""}])


@pytest.mark.parametrize("step, known", [("start", True), ("finish", True), ("idle", False), ("change", False),
                                         ("begin", False)])
def test_journal_and_messages_know_the_same_steps(step, known):
    """`change` and `idle` are no steps of a transition: its absence is."""
    assert shapes.RECORD(record(step)) == known
    text = record_text.dump(record(step))
    if known:
        assert record_text.parse(text) == record(step)
    else:
        with pytest.raises(OSError):
            record_text.parse(text)


def test_decisions_go_by_the_table():
    """A report counts for `finish` in the phase of the rows of `start` that are clean, and in no other."""
    found = [row.phase for row in TABLE if row.journal == phases.START and row.clean]
    assert set(found) == {phases.STARTED}
    report = {"seen": 3, "n": 2, "turn": 1, "dir": 1, "clean": True, "over": 0, "not_applied": [], "prepared": None}
    for phase in AGENT_PHASES:
        assert decisions.may_finish(record("start"), dict(report, phase=phase)) == (phase in found)
        assert decisions.holds(dict(report, phase=phase),
                               2) == (phase in [row.phase for row in TABLE if row.journal == phases.CHANGE])
