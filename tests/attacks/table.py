"""The table of attacks: each with its name, the item of the attackers' report that it comes of, and what must hold.

`@attack("A1")` puts a function into the table; its docstring says what must hold. The function gets a World, does its
worst, and raises `Failed` (by world.expect, world.timed and others) when that does not hold. What holds after every
attack is checked by World.check.
"""

ATTACKS = []


class Failed(AssertionError):
    """What must hold does not; the text is the shortest description."""


class Skipped(Exception):
    """The attack can't be made here; the text says what is missing."""


class Attack:
    """name: as on the command line. item: of the report ("A1"). holds: what must hold. do(world): the attack. quick:
    `make test` runs it too. since: the minor version of the first CPython that has what is attacked."""

    def __init__(self, name, item, holds, do, quick=False, since=9):
        self.name, self.item, self.holds, self.do, self.quick, self.since = name, item, holds, do, quick, since


def attack(item, **more):
    """The decorated function is an attack of its own name."""
    def note(do):
        add(do.__name__, item, " ".join(do.__doc__.split()), do, **more)
        return do
    return note


def add(name, item, holds, do, **more):
    """A row of a table of attacks that differ only in what is sent."""
    assert name not in [each.name for each in ATTACKS], name
    ATTACKS.append(Attack(name, item, holds, do, **more))


def all_attacks():
    """Every attack, in the order of the report's items."""
    from tests.attacks import (  # noqa: F401  they fill the table
        attacks_files,
        attacks_livepatches,
        attacks_log,
        attacks_messages,
        attacks_programs,
        attacks_tree,
    )
    return sorted(ATTACKS, key=lambda each: (each.item[0], int(each.item[1:])))
