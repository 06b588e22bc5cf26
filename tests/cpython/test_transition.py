"""Transitions of definitions: what each function object runs before, during and after, whatever comes in between."""
import gc
import importlib
import queue
import sys
import threading
import types
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klpfs.cpython import left_behind, transition
from klpfs.cpython.program import import_hooks
from klpfs.engine.core import Engine
from tests.cpython import import_system
from tests.cpython.machine import NEST, PAIR, Held, Machine, insmod_module, one, rmmod_module
from tests.cpython.names_kit import many
from tests.cpython.programs import without
from tests.programs import same, snapshot


def test_a_transition_from_old_to_new_and_back(machine):
    module = machine.module(PAIR)
    before = snapshot(module.a, module.b)
    found = machine.enable("def a(): return 'a1' + b()\ndef b(): return 'b1'" + one(module, "a", "b"))
    assert module.a() == "a1b1"
    machine.settle()
    assert module.a() == "a1b1"
    machine.disable(found)
    assert module.a() == "a0b0" and same(before, snapshot(module.a, module.b))


def test_what_runs_code_that_a_tool_has_exchanged_is_inside(machine):
    """As types.coroutine, profilers and tracers do it: an equal code takes the place of the one that something runs."""
    module = machine.module("def g():\n yield 'g0', b()\n yield 'g0', b()\ndef b(): return 'b0'")
    old = module.g()
    of_another = types.FunctionType(module.g.__code__.replace(), {"b": lambda: "other"})()      # equal, in other globals
    next(old), next(of_another)
    for _ in range(2):
        module.g.__code__ = module.g.__code__.replace(co_name="g")
    machine.enable("def g():\n yield 'g1', b()\n yield 'g1', b()\ndef b(): return 'b1'" + one(module, "g", "b"))
    assert [each.kind for each in machine.engine.look()] == ["generator"]
    assert list(module.g()) == 2 * [("g1", "b1")]
    assert list(old) == [("g0", "b0")] and list(of_another) == [("g0", "other")]
    machine.engine.look()       # with greenlets about, what has just ended makes another look necessary
    machine.settle()
    assert list(module.g()) == 2 * [("g1", "b1")]


def test_a_task_inside_blocks_and_never_mixes(machine):
    module = machine.module(PAIR)
    held = Held(module.hold)
    text = "def hold(held): return 'h1'\ndef a(): return 'a1' + b()\ndef b(): return 'b1'"
    machine.enable(text + one(module, "hold", "a", "b"))
    blockers = machine.engine.look()
    assert [each.kind for each in blockers] == ["thread"] and module.a() == "a1b1"
    assert held.let_go() == "a0b0b0"
    machine.settle()
    assert module.hold(None) == "h1"


def test_a_reversal_leads_back(machine):
    module = machine.module(PAIR)
    before = snapshot(module.a, module.b, module.hold)
    held = Held(module.hold)
    machine.enable("def hold(held): return 'h1'\ndef b(): return 'b1'" + one(module, "hold", "b"))
    assert machine.engine.look()
    machine.engine.reverse()
    machine.settle()
    assert module.b() == "b0" and held.let_go() == "a0b0b0"
    assert same(before, snapshot(module.a, module.b, module.hold)) and machine.target.images.state == {}


def test_a_prepared_patch_that_is_taken_back_leaves_nothing(machine):
    module = machine.module(PAIR)
    before = snapshot(module.a, module.b)
    found = machine.load("def a(): return 'a1'" + one(module, "a"))
    machine.engine.enable(found.patch, found.name)
    assert module.a() == "a0b0" and not same(before, snapshot(module.a, module.b))
    machine.engine.cancel()
    assert same(before, snapshot(module.a, module.b)) and not machine.target.registry.holders


def test_patches_stack_and_the_newest_runs(machine):
    module = machine.module(PAIR)
    first = machine.insmod("def a(): return 'a1'\ndef b(): return 'b1'" + one(module, "a", "b"))
    second = machine.insmod("def a(): return 'a2' + b()" + one(module, "a"))
    assert module.a() == "a2b1"
    machine.disable(first)
    assert module.a() == "a2b0"
    machine.disable(second)
    assert module.a() == "a0b0"


def test_replace_gives_the_original_back_where_it_says_nothing(machine):
    module = machine.module(PAIR)
    original = snapshot(module.b)
    machine.insmod("def a(): return 'a1'\ndef b(): return 'b1'" + one(module, "a", "b"))
    found = machine.insmod("def a(): return 'a2' + b()" + one(module, "a", replace=True))
    assert module.a() == "a2b0" and same(original, snapshot(module.b))
    machine.disable(found)
    assert module.a() == "a0b0"


def values(made):
    h, mid, C = made
    return h(), mid()(), C().m()


def test_nested_functions_alive_and_to_come(machine):
    module = machine.module(NEST)
    old_deep = module.made[0][1]()
    before = snapshot(module.make, module.made[0][0], module.made[0][1], module.made[0][2].m, old_deep)
    text = """
def h(): return 'h1', n, b()
def deep(x=1): return 'deep1', n, x, b()
class C:
    def m(self): return 'm1', n
def b(): return 'b1'
"""
    found = machine.enable(text + one(module, "make.<locals>.h=h", "make.<locals>.mid.<locals>.deep=deep",
                                      "make.<locals>.C.m=C.m", "b"))
    new = (("h1", 3, "b1"), ("deep1", 3, 5, "b1"), ("m1", 3))
    meanwhile = module.make(3, 5)
    assert values(meanwhile) == new
    machine.settle()
    after = module.make(3, 5)
    assert values(after) == values(meanwhile) == new
    assert values(module.made[1]) == (("h1", 2, "b1"), ("deep1", 2, 1, "b1"), ("m1", 2))
    assert old_deep() == ("deep1", 1, 1, "b1")
    machine.disable(found)
    for each in (meanwhile, after, module.make(3, 5)):
        assert values(each) == (("h0", 3, "b0"), ("deep0", 3, 5, "b0"), ("m0", 3))
    assert same(before, snapshot(module.make, module.made[0][0], module.made[0][1], module.made[0][2].m, old_deep))
    assert not machine.target.images.changed and not machine.target.images.stand_ins


def test_a_nested_function_and_what_is_around_it_by_turns(machine):
    module = machine.module(NEST)
    inner = machine.insmod("def h(): return 'h1', n" + one(module, "make.<locals>.h=h"))
    outer = machine.insmod("""
def make(n, k=1):
    def h(): return 'new h', n
    return h, None, None
""" + one(module, "make"))
    new = module.make(4)[0]
    assert new() == ("new h", 4) and module.made[0][0]() == ("h1", 1)
    machine.disable(inner)
    assert module.make(4)[0]() == ("new h", 4) and module.made[0][0]() == ("h0", 1, "b0")
    machine.disable(outer)
    assert module.make(4)[0]() == ("h0", 4, "b0")


def test_code_around_a_nested_function_on_a_stack_blocks(machine):
    """It would go on making functions of the old code."""
    module = machine.module("""
        def make(held):
            held.stop()
            def h(): return 'h0'
            return h
    """)
    held = Held(module.make)
    machine.enable("def h(): return 'h1'" + one(module, "make.<locals>.h=h"))
    assert [each.kind for each in machine.engine.look()] == ["thread"]
    late = held.let_go()
    assert late() == "h0"
    machine.settle()
    assert late() == "h1"


def test_forced_over_a_running_function(machine):
    """What a force left behind runs the old code to its end; the next transition waits for it."""
    module = machine.module(PAIR)
    held = Held(module.hold)
    machine.enable("def hold(held): return 'h1'" + one(module, "hold"))
    assert machine.engine.look()
    machine.engine.force()
    machine.engine.finish()
    assert module.hold(None) == "h1"
    second = machine.enable("def hold(held): return 'h2'" + one(module, "hold"))
    assert machine.engine.look()
    assert held.let_go() == "a0b0b0"
    machine.settle()
    assert module.hold(None) == "h2"
    machine.disable(second)
    assert module.hold(None) == "h1"


def test_a_disabled_patch_in_the_middle_is_watched(machine):
    module = machine.module(PAIR)
    first = machine.insmod("def hold(held):\n  held.stop()\n  return 'h1'" + one(module, "hold"))
    held = Held(module.hold)
    machine.enable("def hold(held): return 'h2'" + one(module, "hold"))
    assert machine.engine.look()
    machine.engine.force()
    machine.engine.finish()
    machine.engine.disable(first.patch)
    assert machine.engine.look() and module.hold(None) == "h2"
    assert held.let_go() == "h1"
    machine.settle()
    assert module.hold(None) == "h2"


@pytest.mark.parametrize("back", [False, True])
def test_a_module_that_comes_in_the_middle_of_a_transition(machine, back):
    name = machine.name("mod")
    module = machine.module(PAIR)
    held = Held(module.hold)
    machine.enable("""
def hold(held): return 'h1'
def t(): return 't1'
patch = Patch([Object(%r, [Func('hold', hold)]), Object(%r, [Func('t', t)])])
""" % (module.__name__, name))
    assert machine.engine.look()
    came = insmod_module(machine, name)
    assert came.module.t() == "t1"
    if back:
        machine.engine.reverse()
        assert came.module.t() == "t0"
    held.let_go()
    machine.settle()
    assert came.module.t() == ("t0" if back else "t1")


def test_a_module_that_goes_in_the_middle_of_a_transition(machine):
    name = machine.name("mod")
    module = machine.module(PAIR)
    came = insmod_module(machine, name)
    before = snapshot(came.module.t)
    held = Held(module.hold)
    machine.enable("""
def hold(held): return 'h1'
def t(): return 't1'
patch = Patch([Object(%r, [Func('hold', hold)]), Object(%r, [Func('t', t)])])
""" % (module.__name__, name))
    assert machine.engine.look()
    rmmod_module(machine, came)
    held.let_go()
    machine.settle()
    assert came.module.t() == "t0" and same(before, snapshot(came.module.t)) and module.hold(None) == "h1"


def test_a_module_that_comes_when_the_transition_is_clean(machine):
    """A service waits for its other processes then."""
    name = machine.name("mod")
    module = machine.module(PAIR)
    machine.enable("""
def a(): return 'a1'
def t(): return 't1'
patch = Patch([Object(%r, [Func('a', a)]), Object(%r, [Func('t', t)])])
""" % (module.__name__, name))
    assert machine.engine.look() == []
    came = insmod_module(machine, name)
    assert came.module.t() == "t1"
    machine.engine.finish()
    assert came.module.t() == "t1" and module.a() == "a1"


def test_a_reload_in_the_middle_of_a_transition(machine):
    module = machine.module(PAIR)
    held = Held(module.hold)
    machine.enable("def hold(held): return 'h1'\ndef b(): return 'b1'" + one(module, "hold", "b"))
    assert machine.engine.look()
    import_hooks.install(lambda each: machine.engine.coming(each, refuse=False), machine.target)
    try:
        importlib.reload(module)
    finally:
        import_system.restore()
    assert module.b() == "b1"
    machine.engine.reverse()
    assert module.b() == "b0"
    machine.engine.reverse()
    assert held.let_go() == "a0b0b0"
    machine.settle()
    assert module.b() == "b1"


def test_code_that_the_program_gives_in_mid_transition_stays(machine):
    """The function is left alone, whatever is decided, and a line names it."""
    module = machine.module(PAIR)
    found = machine.enable("def a(): return 'a1' + b()\ndef b(): return 'b1'" + one(module, "a", "b"))
    module.b.__code__ = (lambda: "own").__code__
    assert module.a() == "a1own"
    machine.settle()
    line = (f"livepatch: function 'b' in object '{module.__name__}' was given other code by the program meanwhile, "
            "it is left alone")
    assert module.a() == "a1own" and machine.log.texts().count(line) == 1
    machine.disable(found)
    assert module.a() == "a0own"


# -- many patches in any order, against a plain model

SHAPES = """
    import functools
    def f0(): return ('f0', 0)
    class C:
        def m(self): return ('C.m', 0)
        @staticmethod
        def s(): return ('C.s', 0)
        @property
        def p(self): return ('C.p', 0)
    def make():
        def h(): return ('make.<locals>.h', 0)
        return h
    kept = make()
    @functools.lru_cache(None)
    def cached(): return ('cached', 0)
"""
READ = {"f0": lambda m: m.f0(), "C.m": lambda m: m.C().m(), "C.s": lambda m: m.C.s(), "C.p": lambda m: m.C().p,
        "make.<locals>.h": lambda m: m.kept(), "cached": lambda m: m.cached.__wrapped__()}
NEW = {"C.p": "def n%d(self): return (%r, %d)", "C.m": "def n%d(self): return (%r, %d)"}

steps = st.lists(st.one_of(
    st.tuples(st.just("enable"), st.sets(st.sampled_from(sorted(READ)), min_size=1), st.booleans(), st.booleans()),
    st.tuples(st.just("disable"), st.integers(0, 5), st.booleans(), st.booleans())), max_size=8)


@pytest.mark.slow
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_order_of_patches(tmp_path_factory, steps):
    """After each step every function runs the newest enabled patch's version; after all, each object is what it was."""
    machine = Machine(tmp_path_factory.mktemp("order"))
    try:
        module = machine.module(SHAPES)
        watched = (module.f0, module.C.m, module.C.s, module.C.__dict__["p"].fget, module.kept,
                   module.cached.__wrapped__, module.make)
        before = snapshot(*watched)
        enabled = []
        for number, (what, arg, reverse, replace) in enumerate(steps, 1):
            if what == "enable":
                text = "\n".join(NEW.get(name, "def n%d(): return (%r, %d)") % (at, name, number)
                                 for at, name in enumerate(sorted(arg)))
                pairs = ["%s=n%d" % (name, at) for at, name in enumerate(sorted(arg))]
                found = machine.enable(text + one(module, *pairs, replace=replace))
                after = ([] if replace else enabled) + [(found, arg, number)]
            elif enabled:
                found = enabled[arg % len(enabled)]
                machine.engine.disable(found[0].patch)
                after = [each for each in enabled if each is not found]
            else:
                continue
            if reverse:
                machine.engine.reverse()
            else:
                enabled = after
            for name, read in READ.items():
                newest = [n for _, names, n in enabled if name in names]
                assert read(module) == (name, newest[-1] if newest else 0)
            machine.settle()
            for name, read in list(READ.items()) + [("make.<locals>.h", lambda m: m.make()())]:
                newest = [n for _, names, n in enabled if name in names]
                assert read(module) == (name, newest[-1] if newest else 0)
        while enabled:
            machine.disable(enabled.pop()[0])
        assert same(before, snapshot(*watched))
        assert machine.target.images.state == {} and not machine.target.images.changed
    finally:
        machine.close()


def test_transitions_that_are_over_leave_nothing_in_cycles(program):
    """It would wait there for the program's next garbage collection, megabytes of it for a large patch."""
    engine, left = Engine(program.target, program.log), []
    for size in (2, 40):
        patch = many(program, size)[1]
        gc.collect()
        gc.disable()
        try:
            for step in (lambda: engine.enable(patch, "p%d" % size), engine.start, engine.look, engine.finish,
                         lambda: engine.disable(patch), engine.look, engine.finish):
                step()
            left.append(gc.collect())
        finally:
            gc.enable()
    assert left == [0, 0]


@pytest.mark.parametrize("rules_off", [(), ("hidden",)], ids=["counted", "searched"])
def test_a_body_that_makes_a_function_again_blocks_and_what_it_has_made_joins(machine, rules_off):
    """The name leads to a function object that was made while the transition ran, of old code: it is patched when the
    body is past its definition. Once by its references' count, once by another search, where they aren't counted."""
    module = types.ModuleType(machine.name())
    machine.imported.append(module.__name__)
    sys.modules[module.__name__] = module
    text = "for turn in range(2):\n def f(): return 'f0'\n stop()\nstop()"
    turns = [threading.Event() for _ in range(3)]
    at, left = threading.Semaphore(0), iter(turns)

    def stop():
        at.release()
        assert next(left).wait(30)
    module.stop = stop
    body = threading.Thread(target=exec, args=(compile(text, "app.py", "exec"), vars(module)))
    body.start()
    assert at.acquire(timeout=30)
    with without(*rules_off):
        first = module.f
        machine.enable("def f(): return 'f1'" + one(module, "f"))
        blocker, = machine.engine.look()
        assert blocker.kind == "thread" and blocker.name.endswith("app.py:3 <module> will make f again")
        assert any("app.py:3 <module>" in frame for frame in blocker.frames)
        for turn in turns[:2]:
            turn.set()
            assert at.acquire(timeout=30)
        assert module.f is not first and module.f() == "f0" and first() == "f1"
        machine.settle()
        assert module.f() == first() == "f1" and not [line for line in machine.log.texts() if "alive" in line]
    turns[2].set()
    body.join(30)


@pytest.mark.parametrize("here", [False, True], ids=["counted", "beside frames that a fork left"])
def test_what_a_body_has_made_joins_though_no_look_has_seen_the_body(machine, monkeypatch, here):
    """It makes the function again and ends between the search for functions and the first look."""
    monkeypatch.setattr(left_behind, "_here", here)
    module = types.ModuleType(machine.name())
    machine.imported.append(module.__name__)
    sys.modules[module.__name__] = module
    at, module.go = threading.Event(), threading.Event()
    module.stop = lambda: at.set() or module.go.wait(30)
    text = "for turn in range(2):\n def f(): return 'f0'\n if not turn: stop()"
    body = threading.Thread(target=exec, args=(compile(text, "app.py", "exec"), vars(module)))
    body.start()
    assert at.wait(30)
    first = module.f
    machine.enable("def f(): return 'f1'" + one(module, "f"))
    module.go.set()
    body.join(30)
    machine.settle()
    assert module.f is not first and module.f() == first() == "f1"


def test_a_body_with_its_definitions_behind_it_does_not_block(machine):
    """As nearly every main program: an endless loop below."""
    module = types.ModuleType(machine.name())
    machine.imported.append(module.__name__)
    sys.modules[module.__name__] = module
    module.at, module.go = threading.Event(), threading.Event()
    text = """if 1:
        class C:
            def m(self): return 'm0'
        def f(): return 'f0'
        while not go.is_set():
            try:
                at.set(); go.wait(30)
            except OSError:
                pass
    """
    body = threading.Thread(target=exec, args=(compile(text, "app.py", "exec"), vars(module)))
    body.start()
    assert module.at.wait(30)
    machine.insmod("def f(): return 'f1'\ndef m(self): return 'm1'" + one(module, "f", "C.m=m"))
    assert module.f() == "f1" and module.C().m() == "m1"
    module.go.set()
    body.join(30)


def test_old_code_that_nobody_has_found_yet_calls_old_code(machine, monkeypatch):
    """A thread that was seen clean runs an inner function of an old frame, and calls while that is searched for."""
    module = machine.module("""
        def b(): return 0
        def outer(stop, put):
            stop()
            def h(told, got):
                while told.get():
                    got.put(b())
            put(h)
            del h
            stop()
        made = []
        outer(lambda: None, made.append)
    """)
    steps, at, work, told, got, seen = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue(), []

    def stop():
        at.put(1)
        steps.get()

    def call():
        told.put(1)
        seen.append(got.get())
    old = threading.Thread(target=module.outer, args=(stop, work.put))
    worker = threading.Thread(target=lambda: work.get()(told, got))
    old.start()
    at.get()
    worker.start()
    machine.enable("def b(): return 1\ndef h(told, got):\n while told.get(): got.put(b())\n"
                   + one(module, "b", "outer.<locals>.h=h"))
    assert machine.engine.look()
    steps.put(1)
    at.get()
    call()
    steps.put(1)
    old.join()
    real = transition.PythonTransition.join
    monkeypatch.setattr(transition.PythonTransition, "join", lambda self: (call(), real(self))[1])
    blockers = machine.engine.look()
    monkeypatch.undo()
    call()
    told.put(0)
    worker.join()
    assert blockers and set(seen) == {0}
    machine.settle()


def test_a_closure_that_the_program_drops_meanwhile_is_let_go_of(machine):
    """Its id is another function's then, maybe: that joins as any other."""
    module = machine.module("""
        def make(n):
            def h(): return ('h0', n, b())
            return h
        def b(): return 'b0'
        def hold(held):
            held.stop()
            return b()
        made = [make(n) for n in range(5)]
    """)
    held = Held(module.hold)
    text = "def h(): return ('h1', n, b())\ndef b(): return 'b1'\ndef hold(held): return b()"
    found = machine.enable(text + one(module, "make.<locals>.h=h", "b", "hold"))
    images, entries = machine.target.images, machine.target.transition.entries
    gone, keys = [weakref.ref(fn) for fn in module.made[1:]], [id(fn) for fn in module.made[1:]]
    assert all(key in entries and key in images.changed and key in images.registry.holders for key in keys)
    del module.made[1:]
    assert machine.engine.look() and [reference() for reference in gone] == [None] * 4
    assert not [key for key in keys if key in entries or key in images.changed or key in images.registry.holders]
    later = [module.make(n) for n in range(9)]
    assert held.let_go() == "b0"
    machine.settle()
    assert [fn() for fn in [*module.made, *later]] == [("h1", n, "b1") for n in [0, *range(9)]]
    machine.disable(found)
    assert [fn() for fn in [*module.made, *later]] == [("h0", n, "b0") for n in [0, *range(9)]]
    assert not images.changed and not images.registry.holders
