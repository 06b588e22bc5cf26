"""Attacks on the rules of consistency: each finds all old or all new, and mixed code when its rule is switched off.

The attacks are in attacks_*.py; rules.py says what the rules are.
"""
import pytest

from tests.cpython.attacks import (  # noqa: F401
    attacks_bodies,
    attacks_choosing,
    attacks_entering,
    attacks_handed_on,
    attacks_hidden,
    attacks_methods,
    attacks_program,
    attacks_suspended,
)
from tests.cpython.attacks.attack_kit import ATTACKS, NAMES
from tests.cpython.programs import version, without


def ids(pairs):
    return [f.__name__ + ("-without-" + rule if rule else "") for f, rule in pairs]


HOLDS = [(f, None) for f, needed in ATTACKS]
FAILS = [(f, rule) for f, needed in ATTACKS for rule in needed]

UNREACHED = "the attack's window can't be reached on %s: %s"
UNCUT = "throw() does not cut the stack, from 3.10 on"
WHY = {"thrown_through_generators_by_an_old_frame": UNCUT, "thrown_through_an_old_generator": UNCUT,
       "task_of_an_old_main_is_cancelled": UNCUT,
       "function_is_its_own_handler": "no trace function is called between the choice and the entry",
       "eager_task_of_an_old_coroutine": "no eager tasks before 3.12",
       "default_of_anext_stands_between": "anext() came with 3.10",
       "collection_inside_a_call": "garbage collection runs between bytecodes only, from 3.12 on"}


def run(function, rules_off):
    NAMES.clear()
    NAMES.update(rules_off)
    with without(*rules_off):
        try:
            return function()
        except AssertionError:
            if not rules_off:
                raise
            return False


@pytest.mark.parametrize("function, rule", HOLDS, ids=ids(HOLDS))
def test_attack_finds_no_mixed_code(function, rule):
    """With all rules, all old or all new."""
    result = run(function, ())
    if result is None:
        pytest.skip(UNREACHED % (version(), WHY[function.__name__]))
    assert result


@pytest.mark.parametrize("function, rule", FAILS, ids=ids(FAILS))
def test_attack_succeeds_without_its_rule(function, rule):
    """Without the rule that it is about, the attack gets through: so it can."""
    result = run(function, rule.split())
    if result is None:
        pytest.skip(UNREACHED % (version(), WHY[function.__name__]))
    assert not result
