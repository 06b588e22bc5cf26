"""The engine in every order of steps, and proof that the explorer would notice a broken rule.

KLPFS_EXPLORE: how many states of each scenario are visited (0: all; some take minutes)."""
import os

import pytest

from klpfs.engine import callbacks, coming_going, init_patch, late_process, patch, replace, transition
from tests.engine.explore import SCENARIOS, Failed, explore

STATES = int(os.environ.get("KLPFS_EXPLORE", "1500")) or None
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_order_of_steps_keeps_the_rules(name):
    """Callbacks are paired, stacks and images right, no task mixes versions, failures leave nothing, lines are
    exact."""
    states, steps, complete = explore(BY_NAME[name], STATES)
    assert complete or states >= STATES
    assert steps > states


@pytest.mark.parametrize("rule, scenario", [
    ("nearest", "one task"),       # calls are answered by the goal, whoever is on the stack
    ("look", "one task"),          # complete without looking at stacks
    ("suspended", "suspended"),    # complete with suspended frames of old code about
])
def test_a_target_without_one_of_its_rules_is_noticed(rule, scenario):
    """Versions mix on a stack."""
    with pytest.raises(Failed, match="mixes versions|not accounted"):
        explore(BY_NAME[scenario], 4000, rules=(rule,))


def no_older(self, func, patching):
    change = patch_change(self, func, patching)
    return type(change)(change.definition, change.before, change.after)


def no_middle(self, func, patching):
    change = patch_change(self, func, patching)
    if change.before is change.after:
        change.before = func
    return change


def put_on_top(self, func, patches):
    stack = self.table.setdefault(func.definition, patch.FuncStack(func.definition, func.obj.name))
    stack.funcs.append(func)
    func.patched = True


patch_change = patch.Stacks.change

BREAKS = [
    # (what is broken, scenario, owner, name, instead)
    ("codes left by a force are forgotten", "stacked", patch.Stacks, "change", no_older),
    ("a func in the middle of its stack is switched", "stacked", patch.Stacks, "change", no_middle),
    ("no account of what a force leaves behind", "one task", patch.Stacks, "settle", lambda *a: []),
    ("code that may still run is released", "one task", patch.Stacks, "runs", lambda *a: False),
    ("the goal of an unpatching transition is its direction", "one task", transition.Transition, "goal_of",
     lambda self, dir: dir),
    ("no nops", "replace", init_patch, "add_nops", lambda *a: None),
    ("nops stay", "replace", transition, "discard_nops", lambda *a: None),
    ("replaced patches stay on the stacks", "replace", transition, "unpatch_replaced", lambda *a: None),
    ("callbacks of replaced patches run", "nested", replace, "forget", lambda obj: None),
    ("post_unpatch where pre_patch failed", "faults", callbacks, "post_unpatch",
     lambda engine, obj: callbacks._call(engine, obj, "post_unpatch")),
    ("pre_unpatch without post_patch", "modules", coming_going.callbacks, "pre_unpatch",
     lambda engine, obj: callbacks._call(engine, obj, "pre_unpatch")),
    ("a module goes and its functions stay in the transition", "modules", transition.Transition, "drop",
     lambda self, obj: None),
    ("a module that comes does not join the transition", "modules", transition.Transition, "add",
     lambda self, obj: None),
    ("a module that comes does not join an unpatching transition", "modules", coming_going, "_join_unpatching",
     lambda *a: None),
    ("a failing patch of a coming module leaves older ones there", "faults", coming_going, "_refuse", lambda *a: None),
    ("what a nested going took is patched all the same", "nested", coming_going, "take_back", lambda *a: None),
    ("a joiner's patch goes on top", "joining", patch.Stacks, "put", put_on_top),
    ("nops of a joiner stay", "joining", late_process, "discard_nops", lambda *a: None),
    ("what a joiner replaced is forgotten", "joining", patch.Stacks, "may_run", lambda *a: None),
    ("busy is not seen", "one task", callbacks, "_call",
     lambda engine, obj, name: engine.target.call(getattr(obj.callbacks, name), obj) if obj.callbacks else 0),
    ("a failed enable stays", "faults", init_patch, "free_patch", lambda *a: None),
]


@pytest.mark.parametrize("what, scenario, owner, name, instead", BREAKS, ids=[b[0].replace(" ", "-") for b in BREAKS])
def test_a_broken_engine_is_noticed(monkeypatch, what, scenario, owner, name, instead):
    """Each rule of the engine, switched off, makes the explorer fail, with the shortest sequence that shows it."""
    was = getattr(owner, name)
    monkeypatch.setattr(owner, name, instead)
    # those that imported it by name
    for user in (callbacks, init_patch, late_process, coming_going, patch, replace, transition):
        if user is not owner and getattr(user, name, None) is was:
            monkeypatch.setattr(user, name, instead)
    with pytest.raises(Failed):
        explore(BY_NAME[scenario], 8000)
