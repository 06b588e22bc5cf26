"""The tables of steps and moves: whole, and obeyed by every move that the engine makes."""
import errno

import pytest

from klpfs import KlpError
from klpfs.engine import target
from klpfs.engine.steps import IDLE, MEANINGS, MOVES, PREPARED, STARTED, STEPS, Machine
from tests.engine.kit import Kit


def test_each_step_can_be_reached_and_left():
    for name, moves in MOVES.items():
        reached = {IDLE} | {step for found in moves.values() for step in found.values()}
        assert reached == set(moves) and reached <= set(STEPS), name
        assert {event for found in moves.values() for event in found} <= set(MEANINGS)
    assert {event for moves in MOVES.values() for found in moves.values() for event in found} == set(MEANINGS)


def test_each_mode_of_the_target_can_be_reached():
    reached = {target.PREPARE} | {mode for moves in target.MODE_MOVES.values() for mode in moves.values()}
    assert reached == set(target.MODE_MOVES) == set(target.MODES)
    for moves in target.MODE_MOVES.values():
        assert all(hasattr(target.TargetTransition, event.partition(" ")[0]) for event in moves)


@pytest.mark.parametrize("name, step, event", [
    (name, step, event) for name, moves in MOVES.items() for step in moves
    for event in sorted(MEANINGS) if event not in moves[step]])
def test_a_move_that_is_not_in_the_table_is_a_logged_defect(name, step, event):
    """core.py refuses it before; if not, nothing is done, and a line and EINVAL tell."""
    kit = Kit()
    machine = Machine(kit.engine, name, next(iter(MOVES[name][IDLE])))
    machine.step = step
    assert not machine.can(event)
    with pytest.raises(KlpError) as caught:
        machine.move(event)
    assert caught.value.errno == errno.EINVAL and machine.step == step
    assert kit.lines() == [f"klpfs: defect: '{event}' in step '{step}' of {name}"]


def test_a_transition_asks_the_table_before_it_does_anything():
    """Each of its functions, called in a wrong step by a defect of its callers, leaves all as it was."""
    kit = Kit(vmlinux=["f"])
    patch = kit.patch("p", vmlinux=["f"])
    kit.engine.enable(patch, "p")
    transition = kit.engine.transition
    for wrong in (transition.reverse, transition.force, transition.look, transition.complete, transition.abandon):
        with pytest.raises(KlpError):
            wrong()
    assert transition.step == PREPARED and transition.dir == 1 and kit.target.transition.phase == "PREPARE"
    kit.engine.start()
    for wrong in (lambda: transition.start(0), transition.cancel, transition.abandon):
        with pytest.raises(KlpError):
            wrong()
    assert transition.step == STARTED and patch.enabled and not transition.canceled
    kit.finish()
    assert transition.step == IDLE


class Cut(BaseException):
    """The thread that runs a callback does not exist in the child of a fork."""


def cut(kit, kind, attempt):
    """attempt(), which a fork cuts off in this callback of `p`; then the child goes on."""
    def callback(obj):
        raise Cut
    kit.do["p", kind, "vmlinux"] = callback
    with pytest.raises(Cut):
        attempt()
    del kit.do["p", kind, "vmlinux"]
    kit.engine.after_fork()
    assert kit.engine.resume()


def enable(kit):
    patch = kit.patch("p", vmlinux=["f"])
    kit.engine.enable(patch, "p")
    return patch


def all_operations(kit):
    """enable and disable with all that may happen in between, and to the end, also over forks in callbacks."""
    engine = kit.engine
    enable(kit)
    engine.cancel()
    cut(kit, "pre_patch", lambda: enable(kit))                          # cancel when preparing
    enable(kit)
    cut(kit, "post_unpatch", engine.cancel)                             # cancel when finishing
    for begin in (lambda: (enable(kit), engine.start()), lambda: engine.disable(engine.patches[0])):
        begin()
        engine.reverse()
        engine.reverse()
        engine.force()
        cut(kit, "post_patch" if engine.transition.dir else "post_unpatch", engine.finish)
    kit.load("p", vmlinux=["f"])
    kit.target.faults["begin"] = errno.ENOMEM
    with pytest.raises(KlpError):
        engine.disable(engine.patches[0])                               # abandon
    for fault in ("begin", None):
        kit.target.waiting.add(None)
        kit.go(None)
        kit.target.load(None)
        kit.target.waiting.clear()
        kit.target.faults.update({fault: errno.ENOMEM} if fault else {})
        assert engine.arrive() == (fault is None)                       # abandon, then a start
        engine.patches[0].objects[0].left_out = False
    engine.look_arrival()
    cut(kit, "post_patch", engine.finish_arrival)
    kit.go(None)
    kit.target.load(None)
    engine.arrive()
    engine.force_arrival()
    engine.finish_arrival()
    kit.unload(engine.patches[0])


def test_the_engine_makes_every_move_of_the_tables(monkeypatch):
    """No move is written down that cannot happen."""
    made, after = set(), Machine.after

    def noted(machine, event):
        made.add((machine.name, machine.step, event))
        return after(machine, event)
    monkeypatch.setattr(Machine, "after", noted)
    kit = Kit(vmlinux=["f"])
    all_operations(kit)
    assert not [line for line in kit.lines() if "defect" in line]
    assert made == {(name, step, event) for name, moves in MOVES.items() for step, found in moves.items()
                    for event in found}
