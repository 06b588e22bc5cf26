"""Explores the model of docs/PROTOCOL.md: every order of steps, breadth first, so that a violation comes with the
shortest way to it.

    python -m tests.protocol.model.explore      all scenarios, to their ends: states explored, quiet ones among them
        --break NAME                            one rule left out (`list`: their names): the way to a violation
        --only TEXT                             scenarios whose name contains TEXT
        --limit N                               so many states of each
"""

import argparse
import sys
import time
from typing import Any, NamedTuple, Optional

from tests.protocol.model import world as worlds
from tests.protocol.model.invariants import check, check_quiet
from tests.protocol.model.scenarios import RULES, SCENARIOS
from tests.protocol.model.state import RULES_OFF, Violation, World, first_world


class Failed(AssertionError):
    """An invariant does not hold. path: the labels of the steps that lead there, the fewest that there are."""

    def __init__(self, scenario: str, path: list[str], why: Violation) -> None:
        steps = "".join(f"\n  {at:2} {label}" for at, label in enumerate(path, 1))
        super().__init__(f"{scenario}:{steps}\n  => {why}")
        self.path = path


class Found(NamedTuple):
    """states, and how many of them are quiet; complete: there are no others."""

    states: int
    quiet: int
    complete: bool


def explore(name: str, limit: Optional[int] = None, without: str = "") -> Found:
    """Visit the states of scenario `name`, `limit` at most, with the rule `without` left out. Raises Failed."""
    RULES_OFF.update([without] if without else [])
    try:
        return _explore(name, first_world(**SCENARIOS[name]), limit)
    finally:
        RULES_OFF.clear()


def _explore(name: str, first: World, limit: Optional[int]) -> Found:
    numbers: dict[World, int] = {first: 0}
    came_from: list[tuple[int, str]] = [(-1, "")]
    before: list[list[int]] = [[]]  # by number: those from which a step that is no fault leads there
    todo: list[Any] = [first]
    quiet: list[int] = []
    me = 0
    try:
        while me < len(todo) and (limit is None or me < limit):
            world, todo[me] = todo[me], None
            check(world)
            may_go_on = may_wake = False
            for label, kind, after in worlds.steps(world):
                may_go_on |= kind == worlds.OWN
                may_wake |= kind == worlds.WAKES
                number = numbers.setdefault(after, len(todo))
                if number == len(todo):
                    todo.append(after)
                    came_from.append((me, label))
                    before.append([])
                if kind != worlds.FAULT:
                    before[number].append(me)
            if not may_go_on:
                check_quiet(world, may_wake)
                if not may_wake:
                    quiet.append(me)
            me += 1
        complete = me >= len(todo)
        if complete:
            me = _stuck(quiet, before)
            if me >= 0:
                raise Violation("I8 from here no quiet state can be reached")
        return Found(len(before) if complete else limit or 0, len(quiet), complete)
    except Violation as why:
        path = []
        while me >= 0:
            me, label = came_from[me]
            path.append(label)
        raise Failed(name, [label for label in reversed(path) if label], why) from None


def _stuck(quiet: list[int], before: list[list[int]]) -> int:
    """The first state from which, with no more faults, no quiet one can be reached (I8); -1: there is none."""
    reached, stack = set(quiet), list(quiet)
    while stack:
        for number in before[stack.pop()]:
            if number not in reached:
                reached.add(number)
                stack.append(number)
    return next((number for number in range(len(before)) if number not in reached), -1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", dest="without", default="", metavar="NAME")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    if options.without and options.without not in RULES:
        print("\n".join(f"{rule:13} {text}" for rule, text in RULES.items()))
        return 2
    for name in [name for name in SCENARIOS if options.only in name]:
        began = time.monotonic()
        try:
            found = explore(name, options.limit, options.without)
        except Failed as failed:
            print(failed)
            return 1
        print(
            f"{found.states:9} states {found.quiet:5} quiet {time.monotonic() - began:6.1f} s  {name}"
            f"{'' if found.complete else '  (not all)'}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
