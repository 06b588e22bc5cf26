"""Copies that the program makes of a dispatcher's code while a transition runs."""
import types

import pytest

from klpfs.cpython.looks import hidden
from klpfs.cpython.switch import copies
from klpfs.cpython.switch.dispatcher import Switch
from klpfs.cpython.switch.switching import Transition
from tests.cpython.programs import done, entry, make, switch, transition, window

SOURCE = """
WHERE = "here"
def f(more=1): return {v}, WHERE, more
def outer(x):
 def inner(): return {v}, x
 return inner
def generator(): yield {v}
async def coroutine(): return {v}
"""


def ended(coroutine):
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


@pytest.fixture
def begun():
    """The program's namespace, and a transition of it that has begun."""
    d = make(SOURCE)
    t = transition(d[0], d[1], ("f", "generator", "coroutine"))
    t.install()
    t.start()
    yield d[0], t
    t.forget()


def test_a_function_that_is_given_a_copy_has_the_new_code_in_the_end(begun):
    """As types.coroutine does, and what instruments functions."""
    space, t = begun
    for name in ("f", "generator", "coroutine"):
        space[name].__code__ = space[name].__code__.replace(co_name="copied")
    assert (space["f"](), list(space["generator"]()), ended(space["coroutine"]())) == ((1, "here", 1), [1], 1)
    assert done(t)
    assert (space["f"](), list(space["generator"]()), ended(space["coroutine"]())) == ((1, "here", 1), [1], 1)
    assert space["f"].__code__.co_name == "f"
    assert set(t.copied) == {space["f"], space["generator"], space["coroutine"]}


def test_a_function_that_is_given_a_copy_later_calls_what_was_in_force(begun):
    space, t = begun
    kept = space["f"].__code__
    assert done(t)
    space["f"].__code__ = kept.replace(co_name="copied")
    assert space["f"]() == (1, "here", 1)


def test_a_function_object_made_of_a_copy_has_what_is_its_own_in_the_end():
    """Its globals, with which it is left alone, its closure and its defaults."""
    d = make(SOURCE)
    one, two, new = d[0]["outer"](1), d[0]["outer"](2), d[1]["outer"](3)
    t = Transition([entry(d[0]["f"], d[1]["f"]), entry(one, new), entry(two, new)])
    t.holders = lambda: hidden.constants_of([d[0]["outer"].__code__])
    t.install()
    t.start()
    elsewhere = types.FunctionType(d[0]["f"].__code__, {"WHERE": "there"}, "f", (5,))
    closed = types.FunctionType(one.__code__, d[0], "inner", None, two.__closure__)
    assert done(t)
    assert elsewhere() == (0, "there", 5) and closed() == (1, 2) and one() == (1, 1)
    assert {id(f) for f in t.copied} == {id(elsewhere), id(closed)}


def test_copies_that_are_made_and_dropped_leave_nothing(begun):
    """A program may make one for each request, and a transition be pending for days."""
    space, t = begun

    def kept():
        return len(t.copied_codes), len(t.side_of_code), len(t.dispatcher_ids)
    before = kept()
    for name in 100 * ("f", "generator"):
        list(types.FunctionType(space[name].__code__.replace(co_name="copied"), space, name, (2,))())
    alive = types.FunctionType(space["generator"].__code__.replace(co_name="alive"), space)()
    next(alive)
    assert len(t.copied_codes) == 201
    assert t.look() == [] and kept() == tuple(n + 1 for n in before)
    del alive
    assert done(t)


def test_a_dispatchers_code_has_a_hash(begun):
    """Tracers keep sets of code objects."""
    space, t = begun
    assert {space[name].__code__ for name in ("f", "generator", "coroutine")}
    assert done(t)


@pytest.mark.parametrize("name", ["f", "generator"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_copy_between_its_choice_and_its_side_is_undecided(begun, name, elsewhere):
    """No look says that nothing is in the way."""
    space, t = begun
    function, looks = space[name], []
    copy = function.__code__.replace(co_name="copied")
    if elsewhere:
        function = types.FunctionType(copy, space, name, function.__defaults__)
    else:
        function.__code__ = copy
    window(switch(t, name), lambda: looks.append(t.look()))
    assert list(function()) == ([1, "here", 1] if name == "f" else [1])
    assert looks and [blocker.kind for blocker in looks[0]] == ["thread"]
    assert done(t)


def test_functions_of_replaced_copies_have_code_of_their_own_in_the_end(begun):
    space, t = begun
    copies = {name: types.FunctionType(space[name].__code__.replace(co_name="x"), {"WHERE": "there"}, name, (2,))
              for name in ("f", "generator", "coroutine")}
    assert done(t)
    assert copies["f"]() == (0, "there", 2)
    assert not [1 for f in copies.values() for const in f.__code__.co_consts if isinstance(const, Switch)]
    assert {id(f) for f in copies.values()} == {id(f) for f in t.copied}


def test_a_function_that_is_given_anothers_dispatcher_has_the_others_code_in_the_end(begun):
    space, t = begun
    space["generator"].__code__, space["f"].__code__ = space["f"].__code__, space["generator"].__code__
    assert space["generator"](5) == (1, "here", 5) and list(space["f"]()) == [1]
    assert done(t)
    assert space["generator"](5) == (1, "here", 5) and list(space["f"]()) == [1]


@pytest.mark.parametrize("many", [1, 3])
def test_without_copies_nothing_is_searched_for(monkeypatch, many):
    """A search of the heap takes long in a large program."""
    d = make("".join(f"def f{n}(): return {{v}}\n" for n in range(many)))
    searched = []
    monkeypatch.setattr(copies, "_with_constants", lambda ids: searched.append(ids) or [])
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert done(t) and searched == [] and d[0]["f0"]() == 1
