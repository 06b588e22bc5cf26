"""Code that tools of the program put in place of a function's own, equal or not, before, during and after transitions:
what has it is patched with the others, or named as what is in the way."""
import marshal
import types
import weakref

import pytest

from klpfs.cpython.looks import codes_in_use
from klpfs.cpython.switch import dispatcher
from tests.cpython.exchange_kit import NEW_PLAIN, OUTER, PLAIN, alone, awaited, exchange, first, kinds
from tests.cpython.machine import Held, one
from tests.cpython.programs import without
from tests.programs import same, snapshot

DEEP = """
def outermost():
    def middle(n):
        def inner():
            yield 'i0', n, b()
        return inner
    return middle
def b(): return 'b0'
def holding(kept):
    def inner(): return kept
    return inner
def f(held):
    held.stop()
    middle = outermost()
    made.extend([middle(0), middle(1), middle])
made = []
"""


def old_code(machine, function):
    """The code of before that a function in transition has."""
    return next(each.before.code for each in machine.target.transition.switching.switches if each.function is function)


def test_inner_functions_that_types_coroutine_has_marked(machine, nested):
    """Each has a code object of its own; patched, and taken back, each can still be awaited."""
    before = snapshot(*nested.old, nested.b)
    found = machine.insmod(alone(nested, 1))
    later = nested.outer(2)
    assert [awaited(nested, inner) for inner in [*nested.old, later]] == 3 * ["i1"]
    machine.insmod(alone(nested, 2, ", replace=True"))
    last = nested.outer(3)
    assert [awaited(nested, inner) for inner in [*nested.old, later, last]] == 4 * ["i2"]
    found = next(iter(loaded for loaded in machine.loaded if loaded is not found))
    machine.disable(found)
    assert same(before, snapshot(*nested.old, nested.b))
    assert [awaited(nested, inner) for inner in [*nested.old, later, last, nested.outer(4)]] == [
        ("i0", n, "b0") for n in (0, 1, 2, 3, 4)]


def test_what_marked_inner_functions_run_is_in_the_way(machine, nested):
    waiting = nested.old[1]()
    assert next(waiting) == ("i0", 1, "b0")
    machine.enable(alone(nested, 1))
    assert [each.kind for each in machine.engine.look()] == ["generator"]
    assert list(waiting) == []
    machine.engine.look()       # with greenlets about, what has just ended makes another look necessary
    machine.settle()


def test_a_copy_that_is_made_in_a_transition_is_in_the_way(machine, plain):
    """An old frame makes it, and ends; a generator of it is left."""
    held = Held(plain.f)
    machine.enable(NEW_PLAIN + one(plain, "f", "gen", "b"))
    assert [each.kind for each in machine.engine.look()] == ["thread"]
    code = old_code(machine, plain.gen)
    left = types.FunctionType(code.replace(co_consts=(*code.co_consts,)), plain.__dict__)()
    assert first(left) == "n0"
    assert held.let_go() == "f0b0"
    for _ in range(3):
        assert [each.kind for each in machine.engine.look()] == ["generator"]
    assert list(plain.gen()) == ["n1", "n1b1"] and list(left) == ["n0b0"]
    machine.engine.look()
    machine.settle()


def test_copies_of_inner_functions_that_are_made_in_a_transition_with_what_is_around_them(machine):
    """Old code makes functions of three depths, and a tool marks the innermost: the code around has its side by then."""
    module = machine.module(DEEP)
    held = Held(module.f)
    name = "outermost.<locals>.middle.<locals>.inner"
    found = machine.enable("def inner():\n yield 'i1', n\ndef f(held): pass\n" + one(module, f"{name}=inner", "f"))
    assert kinds(machine)[-1] == "thread"
    held.let_go()
    *inner, middle = module.made
    for each in inner:
        types.coroutine(each)
    machine.settle()
    assert [first(each()) for each in [*inner, middle(2)]] == [("i1", 0), ("i1", 1), ("i1", 2)]
    machine.disable(found)
    assert [first(each()) for each in [*inner, middle(2)]] == [("i0", 0, "b0"), ("i0", 1, "b0"), ("i0", 2, "b0")]


def test_functions_that_could_not_join_are_found_again(machine, monkeypatch):
    module = machine.module(DEEP)
    held = Held(module.f)
    name = "outermost.<locals>.middle.<locals>.inner"
    machine.enable("def inner():\n yield 'i1', n\ndef f(held): pass\n" + one(module, f"{name}=inner", "f"))
    held.let_go()

    def no_memory(entries):
        raise MemoryError
    with monkeypatch.context() as patched:
        patched.setattr(type(machine.target.transition.switching), "join", lambda _, entries: no_memory(entries))
        with pytest.raises(MemoryError):
            machine.engine.look()
    assert machine.engine.look() == []
    assert [first(each()) for each in module.made[:2]] == [("i1", 0), ("i1", 1)]
    machine.engine.finish()


def test_what_a_function_with_a_tools_code_keeps_alive_goes_with_it(machine):
    """klpfs holds no such function object, or the generator in its closure would be in the way for ever."""
    module = machine.module(DEEP)
    found = machine.insmod("def inner(): return kept, 1\ndef inner_of_middle():\n yield 'i1', n\n" + one(
        module, "holding.<locals>.inner=inner", "outermost.<locals>.middle.<locals>.inner=inner_of_middle"))
    generator = module.outermost()(0)()
    assert first(generator) == ("i1", 0)
    holder = module.holding(generator)
    exchange(holder, other=True)
    del generator
    machine.engine.disable(found.patch)
    assert kinds(machine) == ["generator"]
    del holder
    machine.engine.look()
    machine.settle()


def test_a_generator_of_a_tools_function_that_came_in_a_transition_is_in_the_way(machine):
    """Its function is gone by then: on 3.9 and 3.10 nothing but the generator has the code."""
    module = machine.module(DEEP)
    inner = module.outermost()(0)
    machine.enable("def inner():\n yield 'i1', n\n" + one(module, "outermost.<locals>.middle.<locals>.inner=inner"))
    copy = types.FunctionType(old_code(machine, inner), module.__dict__, "inner", None, inner.__closure__)
    exchange(copy, other=True)
    waiting = copy()
    assert first(waiting) == ("i0", 0, "b0")
    del copy
    for _ in range(2):
        assert kinds(machine) != []
    assert list(waiting) == []
    machine.engine.look()
    machine.settle()


def test_comprehensions_of_code_that_is_noted_in_a_transition_are_in_the_way(machine):
    module = machine.module("""
def f(held):
    held.made = ('n0' + b() for _ in range(3))
    next(held.made)
    held.stop()
def b(): return 'b0'
""")
    machine.enable("def f(held): pass\ndef b(): return 'b1'\n" + one(module, "f", "b"))
    code = old_code(machine, module.f)
    consts = [const.replace(co_consts=(*const.co_consts, object())) if type(const) is types.CodeType else const
              for const in code.co_consts]
    other = types.FunctionType(code.replace(co_consts=(*consts,)), module.__dict__)
    del code, consts
    held = Held(other)
    del other
    assert "thread" in kinds(machine)
    held.let_go()
    for _ in range(3):
        assert kinds(machine) == ["generator"]
    assert list(held.made) == ["n0b0", "n0b0"]
    machine.engine.look()
    machine.settle()


def test_a_patched_function_whose_code_a_tool_has_copied_is_taken_back(machine, plain):
    before = snapshot(plain.g, plain.b)
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    for _ in range(2):
        exchange(plain.g)
    assert plain.g() == "g1b1"
    machine.disable(found)
    assert plain.g() == "g0b0" and same(before, snapshot(plain.g, plain.b))


def test_a_patched_function_whose_code_a_tool_has_copied_is_replaced(machine, plain):
    machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    exchange(plain.g)
    machine.insmod("def g(): return 'g2' + b()\ndef b(): return 'b2'" + one(plain, "g", "b", replace=True))
    assert plain.g() == "g2b2"


def test_a_copy_of_patched_code_that_runs_is_in_the_way_of_taking_it_back(machine, plain):
    found = machine.insmod(NEW_PLAIN + one(plain, "f", "gen", "b"))
    code = plain.f.__code__
    exchange(plain.f)
    held, waiting = Held(plain.f), plain.gen()
    assert first(waiting) == "n1"
    plain.f.__code__ = code
    machine.engine.disable(found.patch)
    assert kinds(machine)[-1] == "thread"
    assert held.let_go() == "f1b1" and kinds(machine) == ["generator"]
    assert list(waiting) == ["n1b1"]
    machine.engine.look()
    machine.settle()


def test_code_that_a_tool_has_written_is_named_and_waited_for(machine, plain):
    """Where klpfs can't tell what it does, nothing is put in its place, and nothing is said to be complete."""
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    own = plain.g.__code__
    exchange(plain.g, other=True)
    machine.engine.disable(found.patch)
    for _ in range(2):
        assert [(each.kind, each.name) for each in machine.engine.look()] == [(
            "code", f"function 'g' in object '{plain.__name__}': a function object of it has code that a tool has "
                    "written in its place")]
    plain.g.__code__ = own
    machine.settle()
    assert plain.g() == "g0b0"


def test_code_that_a_tool_has_written_is_left_alone_by_a_force(machine, plain):
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    exchange(plain.g, other=True)
    machine.engine.disable(found.patch)
    assert machine.engine.look()
    machine.engine.force()
    machine.settle()
    assert plain.g() == "g1b0"
    assert machine.log.texts()[-2:][0] == (
        f"livepatch: function 'g' in object '{plain.__name__}' was given other code by the program meanwhile, it is "
        "left alone")


def test_what_runs_code_that_a_tool_had_written_is_in_the_way(machine, plain):
    """The tool has taken its code out again; what has begun meanwhile goes on with it."""
    codes = plain.f.__code__, plain.gen.__code__
    exchange(plain.f, other=True)
    exchange(plain.gen, other=True)
    held, waiting = Held(plain.f), plain.gen()
    assert first(waiting) == "n0"
    plain.f.__code__, plain.gen.__code__ = codes
    machine.enable(NEW_PLAIN + one(plain, "f", "gen", "b"))
    assert kinds(machine)[-1] == "thread"
    assert held.let_go() == "f0b0" and kinds(machine) == ["generator"]
    assert list(waiting) == ["n0b0"]
    machine.engine.look()
    machine.settle()


def test_code_that_a_tool_puts_back_in_a_transition_is_not_left_there(machine, plain):
    saved = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    plain.g.__code__ = saved
    machine.settle()
    assert plain.g() == "g1b1"


def test_copies_are_forgotten_when_nobody_has_them_any_more(machine, nested):
    many = [nested.outer(n) for n in range(20)]
    found = machine.enable(alone(nested, 1))
    definition = found.patch.objects[0].funcs[0].definition
    assert (len(definition.originals), len(definition.made), len(definition.copies)) == (1, 1, 23)
    del many
    machine.settle()
    assert len(definition.copies) == 3, "the originals of two functions, and the new code with the mark"
    many = [nested.outer(n) for n in range(20)]
    machine.engine.disable(found.patch)
    assert len(definition.copies) == 23
    del many
    machine.settle()
    assert len(definition.copies) <= 3 and definition.altered == {}
    assert definition.models.keys() == definition.copies.keys()


def test_a_function_with_constants_that_no_compiler_makes(machine, plain):
    """A tool wrote its code before klpfs came: what was made to fit the source does not fit, and is refused by name."""
    text = NEW_PLAIN + "\npatch = Patch([Object(%r, [Func('g', g, fingerprint=%r)])])"
    found = machine.insmod(NEW_PLAIN + one(plain, "g"))
    wanted = found.patch.objects[0].funcs[0].fingerprint
    machine.disable(found)
    other = machine.module(PLAIN)
    exchange(other.g, other=True)
    assert machine.refuses(text % (other.__name__, wanted)) == "ENOEXEC"
    assert machine.log.texts()[-1].endswith(f"disagrees about version of symbol 'g' in object '{other.__name__}'")
    machine.insmod(NEW_PLAIN + one(other, "g"))
    assert other.g() == "g1b1"


# ----------------------------------------------------------------------------------------------------- in a transition

@pytest.mark.parametrize("copied", [True, False], ids=["copy", "other"])
def test_code_that_comes_in_a_transition(machine, plain, copied):
    """A copy of the function's own gives way to the dispatcher; code that a tool has written is waited for."""
    saved = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    plain.g.__code__ = saved.replace(co_consts=saved.co_consts if copied else (*saved.co_consts, object()))
    if not copied:
        assert kinds(machine) == ["code"] and plain.g() == "g0b0"
        plain.g.__code__ = saved
    machine.settle()
    assert plain.g() == "g1b1"


def test_what_runs_code_that_a_tool_has_written_is_old(machine, plain):
    """Also while it is in the way: what it calls has its version."""
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    exchange(plain.g, other=True)
    machine.engine.disable(found.patch)
    for _ in range(2):
        assert plain.g() == "g1b1" and plain.b() == "b0"
        assert kinds(machine) == ["code"]
    machine.engine.reverse()
    machine.settle()
    assert plain.g() == "g1b1"


def test_a_generator_expression_of_a_copy_is_in_the_way(machine):
    module = machine.module("def f(): return (b() for _ in range(2))\ndef b(): return 'b0'")
    saved = module.f.__code__
    exchange(module.f)
    module.f.__code__ = module.f.__code__.replace(co_consts=tuple(
        const.replace() if isinstance(const, types.CodeType) else const for const in saved.co_consts))
    waiting = module.f()
    assert next(waiting) == "b0"
    module.f.__code__ = saved
    machine.enable("def f(): return (b() for _ in range(2))\ndef b(): return 'b1'" + one(module, "f", "b"))
    assert kinds(machine) == ["generator"] and list(waiting) == ["b0"]
    machine.engine.look()
    machine.settle()
    assert list(module.f()) == ["b1", "b1"]


# ------------------------------------------------------------------------------------------------------------- behind it

def test_a_dispatcher_that_a_tool_puts_back_behind_its_transition(machine, plain):
    before = snapshot(plain.g, plain.b)
    found = machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    saved = plain.g.__code__
    machine.settle()
    plain.g.__code__ = saved
    assert plain.g() == "g1b1"
    machine.disable(found)
    assert plain.g() == "g0b0" and same(before, snapshot(plain.g, plain.b))
    plain.g.__code__ = saved.replace()
    assert plain.g() == "g0b0"
    machine.insmod("def g(): return 'g2' + b()\ndef b(): return 'b2'" + one(plain, "g", "b"))
    assert plain.g() == "g2b2"


def test_a_copy_whose_constants_are_new_objects(machine, plain):
    found = machine.insmod("def g(): return 'g1 and more' + b()\ndef b(): return 'b1'" + one(plain, "g", "b"))
    plain.g.__code__ = marshal.loads(marshal.dumps(plain.g.__code__))
    machine.disable(found)
    assert plain.g() == "g0b0"


def test_loads_of_other_patches_keep_no_copies(machine, nested):
    found = machine.insmod(alone(nested, 1))
    definition = found.patch.objects[0].funcs[0].definition
    for _ in range(3):
        requests = [nested.outer(n) for n in range(20)]
        other = machine.insmod("async def wait(inner): return 'other'" + one(nested, "wait"))
        del requests
        machine.disable(other)
    assert len(definition.copies) <= 23 and len(machine.target.images.composed) <= 3
    assert len(machine.target.registry.definitions()) == 3


def test_a_copy_of_code_that_a_tool_had_written_before(machine, plain):
    """It has constants that no compiler makes: what the tool's function was to klpfs is what its copy is."""
    exchange(plain.g, other=True)
    consts = plain.g.__code__.co_consts
    written = plain.g.__code__
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    copy = types.FunctionType(written.replace(co_consts=(*consts,)), plain.__dict__)
    machine.disable(found)
    assert plain.g() == copy() == "g0b0" and plain.g.__code__ is written


def test_new_closures_of_new_code_do_not_keep_a_transition_pending(machine, nested, monkeypatch):
    """A service makes one for each request, and the search for them takes its time."""
    found, requests = machine.enable(alone(nested, 1)), []
    search = codes_in_use.on_stacks

    def meanwhile():
        requests.extend(nested.outer(n) for n in range(3))
        return search()
    monkeypatch.setattr(codes_in_use, "on_stacks", meanwhile)
    machine.settle()
    machine.disable(found)
    assert len(requests) >= 6 and [awaited(nested, inner) for inner in requests] == [
        ("i0", n, "b0") for n in [0, 1, 2] * (len(requests) // 3)]


@pytest.mark.parametrize("mark", ["@types.coroutine", ""], ids=["marked", "plain"])
def test_closures_that_clean_code_has_made_answer_alike_when_the_transition_turns_back(machine, mark):
    module = machine.module(OUTER.replace("@types.coroutine", mark))
    machine.enable(alone(module, 1))
    assert machine.engine.look() == []
    made = [module.outer(n) for n in range(3)]
    machine.engine.reverse()
    assert [first(inner())[0] for inner in made] == ["i0"] * 3
    machine.settle()
    assert [first(inner())[0] for inner in made] == ["i0"] * 3


def test_entries_of_a_definition_share_what_is_known_of_its_codes(machine, nested):
    """A program may have thousands of marked closures, each with a code of its own."""
    many = [nested.outer(n) for n in range(50)]
    machine.enable(alone(nested, 1))
    of_inner = [switch for switch in machine.target.transition.switching.switches if switch.function in many]
    assert len(of_inner) == 50 and len({id(switch.entry.older) for switch in of_inner}) == 1
    assert max(len(switch.codes_by_side[0]) for switch in of_inner) == 1
    machine.settle()


def test_a_copy_with_another_name_is_a_copy_in_a_function_that_is_known(machine, plain):
    before = snapshot(plain.g, plain.b)
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    plain.g.__code__ = plain.g.__code__.replace(co_name="g_traced", co_filename="<traced>", co_firstlineno=99)
    machine.disable(found)
    assert same(before, snapshot(plain.g, plain.b))


def test_code_that_a_tool_puts_back_behind_the_last_look_is_named(machine, plain):
    """A service may wait for its other processes then: what was called meanwhile has run old code."""
    saved = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    assert machine.engine.look() == []
    plain.g.__code__ = saved
    machine.engine.finish()
    assert plain.g() == "g1b1"
    words = (f"livepatch: function 'g' in object '{plain.__name__}' was given code of before by the program when all "
             "else was switched, calls may have run it until now")
    assert [text for text in machine.log.texts() if "was given" in text] == [words]


COPIES = {
    "types.coroutine": lambda code: code.replace(co_flags=code.co_flags | 0x100),
    "another name": lambda code: code.replace(co_name="wrapper", co_firstlineno=code.co_firstlineno),
    "another file": lambda code: code.replace(co_filename="/elsewhere.py"),
    "a copy of a copy": lambda code: code.replace(co_name="wrapper").replace(co_filename="/elsewhere.py"),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_what_a_copy_calls_is_of_its_version_before_a_look_has_seen_it(machine, nested, copy):
    """A tool makes it while a transition runs, of old code."""
    code = next(const for const in nested.outer.__code__.co_consts if isinstance(const, types.CodeType))
    machine.enable(alone(nested, 1))
    late = types.FunctionType(copy(code), nested.__dict__, "inner", None, (types.CellType(7),))
    assert next(late()) == ("i0", 7, "b0") and nested.b() == "b1"


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_what_a_copy_of_a_plain_function_calls(machine, plain, copy):
    """The tool has kept the code from before."""
    code = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    late = types.FunctionType(copy(code), plain.__dict__)
    assert late() == "g0b0" and plain.g() == "g1b1"


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_what_a_copy_calls_without_the_rule(machine, plain, copy):
    """The tests above can fail."""
    code = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    with without("copy"):
        assert types.FunctionType(copy(code), plain.__dict__)() == "g0b1"


@pytest.mark.parametrize("mark", ["@types.coroutine", ""], ids=["marked", "plain"])
def test_new_closures_of_a_function_that_is_only_watched(machine, monkeypatch, mark):
    """The lower of two patches goes: nothing is switched."""
    module = machine.module(OUTER.replace("@types.coroutine", mark))
    lower = machine.insmod(alone(module, 1))
    machine.insmod(alone(module, 2))
    requests, search = [], codes_in_use.on_stacks

    def meanwhile():
        requests.extend(module.outer(n) for n in range(3))
        return search()
    monkeypatch.setattr(codes_in_use, "on_stacks", meanwhile)
    machine.disable(lower)
    assert len(requests) > 3 and {first(inner()) for inner in requests} == {"i2"}


@pytest.mark.parametrize("changes", [{"co_name": "traced"}, {"co_filename": "<traced>"}, {"co_firstlineno": 99}],
                         ids=["name", "file", "line"])
def test_code_that_a_tool_has_written_under_another_name_is_waited_for(machine, plain, changes):
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    own = plain.g.__code__
    plain.g.__code__ = own.replace(co_consts=(*own.co_consts, object()), **changes)
    machine.engine.disable(found.patch)
    assert plain.g() == "g1b1" and kinds(machine) == ["code"]
    plain.g.__code__ = own
    machine.settle()
    assert plain.g() == "g0b0"


@pytest.mark.parametrize("goal", [1, 0])
def test_functions_that_an_exception_has_kept_from_joining_get_their_dispatchers(machine, nested, monkeypatch, goal):
    """No memory for one moment: the next look goes on."""
    machine.enable(alone(nested, 1))
    if not goal:
        machine.engine.reverse()
    closure = nested.old[0].__closure__
    late = types.FunctionType(old_code(machine, nested.old[0]), nested.__dict__, "inner", None, closure)
    make = dispatcher.make

    def no_memory(switch):
        raise MemoryError
    monkeypatch.setattr(dispatcher, "make", no_memory)
    with pytest.raises(MemoryError):
        machine.engine.look()
    monkeypatch.setattr(dispatcher, "make", make)
    for _ in range(2):
        if machine.engine.look() == []:
            break
    machine.settle()
    assert first(late()) == ("i1" if goal else ("i0", 0, "b0"))


def test_a_copy_of_a_dispatcher_that_is_put_back_when_the_patch_has_gone(machine, plain):
    """Nothing else is left of that transition."""
    found = machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    copy = plain.g.__code__.replace()
    machine.settle()
    machine.disable(found)
    plain.g.__code__ = copy
    assert plain.g() == "g0b0"


def test_a_copy_of_a_dispatcher_that_is_put_back_when_the_patch_was_replaced(machine, plain):
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    copy = plain.g.__code__.replace()
    machine.settle()
    machine.insmod("def g(more=7): return 'g2' + b() + str(more)\ndef b(): return 'b2'" + one(
        plain, "g", "b", replace=True))
    plain.g.__code__ = copy
    assert plain.g() == "g2b27"


def test_marked_closures_of_new_code_are_not_searched_for_each(machine, nested):
    """A program makes one for each request."""
    found = machine.insmod(alone(nested, 1))
    made = [nested.outer(n) for n in range(50)]
    definition = next(each for each in machine.target.images.state if each.name == "outer.<locals>.inner")
    asked = []

    class Counting(dict):
        def __getitem__(self, key):
            asked.append(key)
            return dict.__getitem__(self, key)
    definition.models = Counting(definition.models)
    machine.disable(found)
    assert {awaited(nested, inner) for inner in made} == {("i0", n, "b0") for n in range(50)}
    assert len(asked) < 20 * len(made)


def test_a_function_that_is_known_by_its_code_is_named(machine, plain):
    """trio marks its functions so. When the patch goes, the marked code is back."""
    marks = weakref.WeakKeyDictionary({plain.g.__code__: True})
    words = "is known to the program by its code object (a weak reference), which the new code is not"
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    assert [text for text in machine.log.texts() if words in text] == [
        f"livepatch: function 'g' in object '{plain.__name__}' {words}"]
    machine.insmod("def b(): return 'b2'" + one(plain, "b"))
    machine.disable(machine.insmod("def g(): return 'g3'" + one(plain, "g")))
    machine.disable(found)
    assert marks[plain.g.__code__] and len([text for text in machine.log.texts() if words in text]) == 1
