"""docs/PROTOCOL.md holds in every order of steps of small services, and each of its rules is needed.

KLPFS_EXPLORE: how many states of each scenario are visited (0: all, some 300,000, in a quarter of a minute). The
product itself is tested against the same document in tests/agent, tests/service and tests/faults.
"""

import os
import re
from pathlib import Path

import pytest

from tests.protocol.model import agent
from tests.protocol.model.explore import Failed, explore, main
from tests.protocol.model.scenarios import RULES, SCENARIOS
from tests.protocol.model.state import ALIVE, Process, Transition, Violation, first_world, put

STATES = int(os.environ.get("KLPFS_EXPLORE", "8000")) or None

# rule -> the scenario in which leaving it out is noticed soonest, and the invariant that it breaks
NOTICED = {
    "noburn": ("insmod, the coordinator dies, insmod of another", "I5"),
    "startlate": ("insmod, reverse, reverse", "I9"),
    "finlate": ("disable, rmmod, insmod again, a stall", "I3"),
    "perproc": ("disable, rmmod, insmod again, a joiner, a refusal", "I3"),
    "noturn": ("replace, reverse, a joiner", "I3"),
    "listonce": ("disable, rmmod, a fork, the coordinator dies", "I3"),
    "bindafter": ("disable, rmmod, a fork, the coordinator dies", "I3"),
    "joinlate": ("disable, rmmod, insmod again, a joiner, a refusal", "I3"),
    "joinfinish": ("insmod, a fork", "I5"),
    "joinorder": ("disable the lower of two, a joiner", "I1/I2"),
    "forkhalf": ("insmod, a fork", "I9"),
    "childseen": ("insmod, a fork", "I8"),
    "listold": ("insmod, force, a fork, a stall", "I8"),
    "leftname": ("disable, rmmod, insmod again, a joiner, a refusal", "I4"),
    "nocas": ("insmod, reverse, two coordinators", "I3"),
    "selfabort": ("insmod, a connection lost, the coordinator dies", "I9"),
    "earlydone": ("insmod, force, a fork, a stall", "I1/I2"),
    "recoverstart": ("disable, rmmod, a fork, the coordinator dies", "I1/I2"),
    "errearly": ("insmod, a stall, a refusal, given up", "I5"),
    "mirror": ("insmod, reverse, two coordinators", "I7"),
}


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_invariants_hold_in_every_order_of_steps(name):
    """And from every state, when nothing fails any more, the service comes to rest."""
    found = explore(name, STATES)
    assert found.quiet > 0 if found.complete else found.states == STATES


@pytest.mark.parametrize("rule", list(RULES))
def test_without_one_of_its_rules_an_invariant_breaks(rule):
    """The explorer would notice."""
    name, invariant = NOTICED[rule]
    with pytest.raises(Failed, match=rf"=> {invariant} ") as failed:
        explore(name, 40000, without=rule)
    assert failed.value.path
    assert explore(name, 1000).states  # and the rule is in force again


def test_the_rules_are_those_that_the_document_names():
    """docs/PROTOCOL.md has each in [], and no others."""
    text = (Path(__file__).parents[2] / "docs/PROTOCOL.md").read_text()
    named = {word.strip() for found in re.findall(r"\[([a-z, ]+)\](?!\()", text) for word in found.split(",")}
    assert named == set(RULES)


def test_callbacks_out_of_their_order_are_a_violation():
    """The model's own check of I4."""
    ran = Process().after("pre_patch", "A")
    assert ran.after("post_patch", "A").callbacks == (("A", "post_patch"),)
    with pytest.raises(Violation, match="I4"):
        ran.after("pre_unpatch", "A")


def test_a_joiner_takes_no_outcome_while_the_transition_can_be_reversed():
    """At start it begins late, at finish it takes what came out."""
    world = first_world(1, [])
    pending = world.journal._replace(
        seq=3, patches=("A",), modules=frozenset("A"), transition=Transition(2, "A", 1, 1, "start", False, False)
    )
    joiner = Process(ALIVE, socket=True)
    world = world._replace(processes=put(world.processes, 0, joiner))
    [(begins, _)] = agent.steps(world, 0, joiner, pending)
    [(applies, _)] = agent.steps(
        world, 0, joiner, pending._replace(transition=pending.transition._replace(step="finish"))
    )
    assert (begins, applies) == ("begins late", "applies A")


def test_the_command_shows_the_way_to_a_violation(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["explore", "--break", "recoverstart", "--only", "disable, rmmod, a fork"])
    assert main() == 1
    assert "takes back" in capsys.readouterr().out
