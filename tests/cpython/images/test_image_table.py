"""The Image of each function object when some Funcs are in force: code, attributes, and what is around a nested
one."""
import gc
import sys

import pytest

from klpfs.engine.target import Change
from tests.cpython.names_kit import ending, patch

TEXT = """
    def f(a, b=1):
        "of f"
        return "old", a, b
    def outer():
        def inner(): return "old inner"
        return inner
"""


class Case:
    """A module with livepatches that are found for it, and not put into force."""

    def __init__(self, program):
        self.program, self.images = program, program.target.images
        self.module = program.module(TEXT)

    def func(self, name, text):
        """A Func for a function of the module, resolved."""
        loaded = self.program.load(text + f"\npatch = Patch([Object({self.module.__name__!r}, [Func({name!r}, new)])])")
        func = loaded.patch.objects[0].funcs[0]
        self.program.target.resolve(loaded.patch.objects[0], func)
        return func

    def put(self, old, new):
        definition = (new or old).definition
        self.images.switch([Change(definition, old, new)], [new])


@pytest.fixture
def case(program):
    return Case(program)


def test_with_nothing_in_force_it_is_the_original(case):
    func = case.func("f", "def new(a, b=1): return 'new', a, b")
    images, f = case.images, case.module.f
    assert images.code(func.definition, {}) is None
    image = images.image(f, func.definition, {})
    assert image.code is f.__code__ and image.values[0] is f.__defaults__
    assert images.changed == {}, "asking changes nothing"


def test_what_a_func_makes_of_a_function_object(case):
    func = case.func("f", 'def new(a, b=2):\n "of new"\n return "new", a, b')
    images, f = case.images, case.module.f
    image = images.image(f, func.definition, {func.definition: func})
    assert image.code is func.new_code.code is images.code(func.definition, {func.definition: func})
    assert image.values[:3] == ((2,), None, "of new")
    case.put(None, func)
    assert f(1) == ("new", 1, 2) and f.__doc__ == "of new" and images.state == {func.definition: func}
    case.put(func, None)
    assert f(1) == ("old", 1, 1) and f.__doc__ == "of f" and images.state == {} and images.changed == {}


def test_two_states_with_one_key_give_one_image(case):
    func = case.func("f", "def new(a, b=1): return 'new', a, b")
    images, f, state = case.images, case.module.f, {func.definition: func}
    images.hold(f, func.definition)
    assert images.key(func.definition, state) == images.key(func.definition, dict(state))
    assert images.image(f, func.definition, state) is images.image(f, func.definition, dict(state))


def test_an_attribute_that_the_program_sets_is_its_own(case):
    """In all images from then on: of what is in force, and of the original."""
    func = case.func("f", 'def new(a, b=2):\n "of new"\n return "new", a, b')
    f = case.module.f
    case.put(None, func)
    f.__doc__ = "mine"
    case.images.hold(f, func.definition)
    assert case.images.image(f, func.definition, {}).values[2] == "mine"
    case.put(func, None)
    assert f(1) == ("old", 1, 1) and f.__doc__ == "mine"


LAZY = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when they are made")
OWN = {"a": bytes}


@LAZY
@pytest.mark.parametrize("head, before, steps, at_the_end", [
    ("a: int", False, "asks, no function", {}),
    ("a: int", True, "asks, no function", "the dict of before"),
    ("a: int", True, "no function", "the dict of before"),
    ("a", False, "asks, no function", "the dict of before"),
    ("a: int", True, "sets a dict", OWN),
    ("a: int", True, "asks, sets a dict", OWN),
    ("a: int", True, "asks, adds to it, no function", {"a": str, "more": 1}),
    ("a: int", False, "asks, adds to it", {"a": int}),
])
def test_annotations_of_the_new_version_go_with_it_though_the_program_took_their_function_away(
        program, head, before, steps, at_the_end):
    """`__annotate__` set to None leaves what it has made: here of the version that goes. What is the program's stays."""
    module = program.module(f"def f({head}): return 1")
    f, asked = module.f, module.f.__annotations__ if before or head == "a" else None
    found = patch(program, module, "def f(a: str): return 2", "f")
    for step in steps.split(", "):
        if step == "asks":
            assert f.__annotations__ == {"a": str}
        elif step == "no function":
            f.__annotate__ = None
        elif step == "sets a dict":
            f.__annotations__ = OWN
        else:
            f.__annotations__["more"] = 1
    program.unpatch(found)
    assert f(0) == 1
    if at_the_end == "the dict of before":
        assert f.__annotations__ is asked
    else:
        assert f.__annotations__ == at_the_end and (at_the_end is not OWN or f.__annotations__ is OWN)
    again = patch(program, module, "def f(a: float): return 3", "f")
    now = f.__annotations__
    assert f(0) == 3 and (now == {"a": float} if "function" not in steps and "dict" not in steps else now is not None)
    program.unpatch(again)
    assert f.__annotations__ == (asked if at_the_end == "the dict of before" else at_the_end)


@LAZY
def test_annotations_of_the_original_stay_when_the_program_takes_their_function_away(program):
    """Also where klpfs knows the function object, and has put nothing."""
    module = program.module("def f(a: int): return 1")
    f, images = module.f, program.target.images
    obj = program.load("def f(a: str): return 2\n" + ending(module, "f")).patch.objects[0]
    func = obj.funcs[0]
    program.target.resolve(obj, func)
    images.hold(f, func.definition)
    asked = f.__annotations__
    f.__annotate__ = None
    images.hold(f, func.definition)
    assert images.image(f, func.definition, {}).values[3] is asked is f.__annotations__


def test_a_change_of_a_nested_function_changes_what_is_around_it(case):
    func = case.func("outer.<locals>.inner", "def new(): return 'new inner'")
    images, outer = case.images, case.module.outer
    alive = outer()
    around = func.definition.outer
    code = images.code(around, {func.definition: func})
    assert code is not None and func.new_code.code in code.co_consts and images.has_nested({func.definition: func})
    assert images.code(around, {func.definition: func}) is code, "made once"
    case.put(None, func)
    assert outer.__code__ is code and outer()() == alive() == "new inner"
    made_meanwhile = outer()
    case.put(func, None)
    assert outer()() == alive() == made_meanwhile() == "old inner" and images.stand_ins == {}


def test_older_code_is_what_is_not_in_force_after_a_change(case):
    first = case.func("f", "def new(a, b=1): return 1")
    second = case.func("f", "def new(a, b=1): return 2")
    images, definition, old = case.images, first.definition, case.module.f.__code__
    assert second.definition is definition
    one, two = first.new_code.code, second.new_code.code

    def sides(before, after):
        return tuple(list(codes.values()) for codes in images.sides(definition, before, after))
    assert sides({}, {definition: first}) == ([old, two], [one])
    assert sides({definition: first}, {definition: second}) == ([old, one], [two])
    assert sides({definition: first}, {definition: first}) == ([old, two], [])


def test_touched_names_the_function_objects_that_a_change_concerns(case):
    func = case.func("outer.<locals>.inner", "def new(): return 'new inner'")
    images, alive = case.images, case.module.outer()
    touched = images.concerned_functions({}, {func.definition: func})
    functions = [fn for fn, definition in touched]
    assert case.module.outer in functions and alive in functions
    assert [definition for fn, definition in touched].count(func.definition) == 2, (
        "alive, and the stand-in of those to come"
    )
    assert images.concerned_functions({}, {}) == []
    watched = images.concerned_functions({}, {}, [func.definition])
    assert {definition for fn, definition in watched} == {func.definition}


def test_closures_that_appear_meanwhile_are_settled(case):
    func = case.func("outer.<locals>.inner", "def new(): return 'new inner'")
    late = case.module.outer()
    case.images.state = {func.definition: func}
    case.images.settle()
    assert late() == "new inner"
    case.put(func, None)
    assert late() == "old inner"


def test_code_that_was_made_for_a_func_is_forgotten_with_it(case):
    func = case.func("outer.<locals>.inner", "def new(): return 'new inner'")
    images = case.images
    images.code(func.definition.outer, {func.definition: func})
    assert len(images.composed) == 1
    images.forget(func.definition, func.new_code.code)
    assert images.composed == {} and func.new_code.code not in func.definition.made.values()
    images.forget(None, func.new_code.code)


def test_function_objects_may_die_while_klpfs_knows_them(case):
    func = case.func("outer.<locals>.inner", "def new(): return 'new inner'")
    alive = case.module.outer()
    case.put(None, func)
    assert len(case.images.changed) == 3        # it, outer, and the stand-in
    del alive
    gc.collect()
    case.images.become(case.images.state, scan=False)
    assert len(case.images.changed) == 2
    case.put(func, None)


def test_put_state_gives_what_a_func_makes_of_it_whatever_is_held(case):
    """For an object that goes: its functions get what is in force, out of a transition's hands."""
    func = case.func("f", "def new(a, b=1): return 'new', a, b")
    case.images.hold(case.module.f, func.definition)
    case.images.put_state(func.definition, func)
    assert case.module.f(1) == ("new", 1, 1)
    case.images.put_state(func.definition, None)
    assert case.module.f(1) == ("old", 1, 1) and case.images.changed_definitions() == set()
    assert case.images.state == {}


@pytest.mark.parametrize("table", ["state", "holders"])
def test_changed_definitions_can_be_asked_while_they_change(case, table):
    """As by a thread that imports, while the agent's puts a definition in."""
    changing = case.images.state if table == "state" else case.images.registry.holders

    class Definition:
        begun = False

        def __hash__(self):
            if self.begun:
                changing.setdefault(1, 1)
            return 7
    definition = Definition()
    changing[definition] = definition
    definition.begun = True
    try:
        assert definition in case.images.changed_definitions()
    finally:
        changing.clear()
