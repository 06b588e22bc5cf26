"""Functions in force that the program has given other code: known, and known again when they have the patch's."""
import types

import pytest

from tests.cpython.exchange_kit import NEW_PLAIN, exchange
from tests.cpython.machine import one


@pytest.fixture
def patched(machine, plain):
    """(machine, the module `plain`, its LoadedModule): f, g and b in force."""
    return machine, plain, machine.insmod(NEW_PLAIN + one(plain, "f", "g", "b"))


def other(held=None):
    return "somebody else's"


def lines(machine):
    return [record.text for record in machine.log.records if "other code" in record.text or "again" in record.text]


def object_of(machine):
    return machine.engine.describe()[0]["objects"][0]


def test_nothing_is_said_of_functions_that_are_as_klpfs_left_them(patched):
    machine, _, _ = patched
    assert not machine.engine.look_for_exchanged() and object_of(machine)["patched"] and lines(machine) == []


def test_a_function_with_other_code_is_named_once_and_its_object_is_not_patched(patched):
    machine, plain, found = patched
    plain.g.__code__ = other.__code__
    assert machine.engine.look_for_exchanged() and not machine.engine.look_for_exchanged()
    title = f"livepatch: function 'g' in object '{plain.__name__}'"
    assert lines(machine) == [f"{title} was given other code by the program, the patch is not in force there"]
    assert not object_of(machine)["patched"]
    machine.disable(found)
    assert lines(machine)[1:] == [f"{title} was given other code by the program meanwhile, it is left alone"]


def test_it_is_patched_again_when_it_has_the_patchs_code_again(patched):
    machine, plain, _ = patched
    new, plain.g.__code__ = plain.g.__code__, other.__code__
    machine.engine.look_for_exchanged()
    plain.g.__code__ = new
    assert machine.engine.look_for_exchanged() and object_of(machine)["patched"]
    assert lines(machine)[1:] == [f"livepatch: function 'g' in object '{plain.__name__}' has the patch's code again"]


@pytest.mark.parametrize("more", [False, True], ids=["a copy", "a copy with more in it"])
def test_a_tools_copy_of_the_patchs_code_is_the_patchs(patched, more):
    """Coverage, tracers and profilers run those."""
    machine, plain, _ = patched
    exchange(plain.g, other=more)
    assert plain.g() == "g1b1" and not machine.engine.look_for_exchanged() and object_of(machine)["patched"]


def test_code_of_before_that_a_tool_puts_back_is_not(machine, plain):
    """As one does that has saved it before the patch came."""
    saved = plain.g.__code__
    machine.insmod(NEW_PLAIN + one(plain, "f", "g", "b"))
    plain.g.__code__ = saved
    assert machine.engine.look_for_exchanged() and not object_of(machine)["patched"]


def test_of_two_patches_the_one_in_force_is_named(machine, plain):
    machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    machine.insmod(NEW_PLAIN + one(plain, "f", "g"))
    plain.g.__code__ = other.__code__
    assert machine.engine.look_for_exchanged()
    below, above = [patch["objects"][0]["patched"] for patch in machine.engine.describe()]
    assert below and not above and len(lines(machine)) == 1


def test_none_is_looked_for_in_a_transition(patched):
    machine, plain, found = patched
    plain.g.__code__ = types.FunctionType(other.__code__, {}).__code__
    machine.engine.disable(found.patch)
    assert machine.target.exchanged() == set()
    machine.settle()
