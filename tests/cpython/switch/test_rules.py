"""The rules of consistency: each is named, followed somewhere, and has an attack that succeeds without it."""
import pathlib
import re

import klpfs.cpython
from klpfs.cpython.switch import rules
from tests.cpython.attacks import (  # noqa: F401
    attacks_bodies,
    attacks_choosing,
    attacks_entering,
    attacks_handed_on,
    attacks_hidden,
    attacks_program,
    attacks_suspended,
)
from tests.cpython.attacks.attack_kit import ATTACKS

NAMED = set(re.findall(r"^ *(\w+)  +\S", rules.__doc__, re.M))


def test_each_rule_can_be_switched_off_and_no_other():
    """The names that code asks BREAK for are those that rules.py describes."""
    text = "".join(path.read_text() for path in pathlib.Path(klpfs.cpython.__file__).parent.rglob("*.py"))
    asked = set(re.findall(r'"(\w+)" (?:not )?in BREAK', text))
    assert asked == NAMED and len(NAMED) > 15


def test_each_rule_has_an_attack():
    attacked = {rule for _, needed in ATTACKS for rules_off in needed for rule in rules_off.split()}
    assert attacked == NAMED


def test_all_rules_are_followed():
    """Nothing but a test that is under way switches one off."""
    assert rules.BREAK == set()
