"""The Python target behind the engine: what is in force for each function object, before, during and after transitions."""
import errno
import gc
import importlib
import runpy
import sys
import threading
import types
import weakref

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.programs import Program, same, snapshot

from klpfs.engine.core import Engine
from klpfs.engine.data import GOING
from klpfs.engine.error import KlpError
from klpfs.cpython.load import loader as loading


class Machine(Program):
    """A program with an engine."""

    def __init__(self, folder):
        Program.__init__(self, folder)
        self.engine = Engine(self.target, self.log)

    def enable(self, text, name=None):
        """insmod up to the start of the transition; returns the LoadedModule."""
        found = self.load(text, name=name)
        try:
            self.engine.enable(found.patch, found.name)
        except KlpError:
            loading.unload(found)
            raise
        self.engine.start()
        return found

    def settle(self):
        assert self.engine.look() == []
        self.engine.finish()

    def insmod(self, text, name=None):
        found = self.enable(text, name)
        self.settle()
        return found

    def disable(self, found):
        self.engine.disable(found.patch)
        self.settle()

    def refuses(self, text):
        with pytest.raises(KlpError) as caught:
            self.enable(text)
        return errno.errorcode[caught.value.errno]


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.close()


def one(module, *pairs, **more):
    """The `patch = ...` line for functions of one module; pairs: 'old' or 'old=new'."""
    funcs = ", ".join("Func(%r, %s)" % (each.partition("=")[0], each.partition("=")[2] or each) for each in pairs)
    return "\npatch = Patch([Object(%r, [%s])]%s)" % (
        module.__name__, funcs, "".join(", %s=%r" % item for item in more.items()))


class Held:
    """A thread inside a function of the program, until it is let go."""

    def __init__(self, function, *args):
        self.inside, self.go, self.result = threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(function, args))
        self.thread.start()
        assert self.inside.wait(30)

    def _run(self, function, args):
        self.result = function(self, *args)

    def stop(self):
        self.inside.set()
        self.go.wait(30)

    def let_go(self):
        self.go.set()
        self.thread.join(30)
        return self.result


PAIR = """
    def a(): return 'a0' + b()
    def b(): return 'b0'
    def hold(held):
        held.stop()
        return a() + b()
"""


def test_a_transition_from_old_to_new_and_back(machine):
    module = machine.module(PAIR)
    before = snapshot(module.a, module.b)
    found = machine.enable("def a(): return 'a1' + b()\ndef b(): return 'b1'" + one(module, "a", "b"))
    assert module.a() == "a1b1"
    machine.settle()
    assert module.a() == "a1b1"
    machine.disable(found)
    assert module.a() == "a0b0" and same(before, snapshot(module.a, module.b))


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


NEST = """
    def b(): return 'b0'
    def make(n, k=1):
        class C:
            def m(self): return ('m0', n)
        def mid():
            def deep(x=k): return ('deep0', n, x, b())
            return deep
        def h(): return ('h0', n, b())
        return h, mid, C
    made = [make(1), make(2)]
"""


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


def test_defaults_of_nested_functions_stay_and_cannot_change(machine):
    module = machine.module("def make(n):\n  def h(x=n, y=2): return x, y\n  return h\nh = make(7)")
    assert machine.refuses("def h(x=None, y=3): return x" + one(module, "make.<locals>.h=h")) == "EINVAL"
    assert machine.refuses("def h(x): return x" + one(module, "make.<locals>.h=h")) == "EINVAL"
    machine.insmod("def h(x=None, y=2): return 'new', x, y" + one(module, "make.<locals>.h=h"))
    assert module.h() == ("new", 7, 2) and module.make(8)() == ("new", 8, 2)


def test_defaults_of_nested_functions_that_nobody_has_made_yet(machine):
    """The source says which parameters have them; without it, nothing is guessed."""
    module = machine.module("def make(n):\n  def h(x, y=n, *, z=2): return x, y, z\n  return h")
    change = one(module, "make.<locals>.h=h")
    assert machine.refuses("def h(x, y, *, z=2): pass" + change) == "EINVAL"
    assert machine.refuses("def h(x, y=None, *, z): pass" + change) == "EINVAL"
    found = machine.insmod("def h(x, y=None, *, z=2): return 'new', x, y, z" + change)
    assert module.make(7)(1) == ("new", 1, 7, 2)
    machine.disable(found)
    (machine.folder / (module.__name__ + ".py")).unlink()
    assert machine.refuses("def h(x, y=None, *, z=2): pass" + change) == "EINVAL"


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


# -- modules that come and go

def insmod_module(machine, name):
    """An ordinary module, as the agent loads one."""
    found = machine.load("def t(): return 't0'\ndef u(): return 'u0'", name=name, head="")
    machine.engine.coming(name)
    return found


def rmmod_module(machine, found):
    machine.engine.going(found.name)
    loading.unload(found)


def test_a_module_that_comes_after_the_patch_and_goes_before_it(machine):
    name = machine.name("mod")
    patch = machine.insmod("def t(): return 't1' + u()\npatch = Patch([Object(%r, [Func('t', t)])])" % name)
    assert machine.target.loaded(name) is None
    first = insmod_module(machine, name)
    assert first.module.t() == "t1u0"
    assert machine.log.texts()[-1] == "livepatch: applying patch '%s' to loading module '%s'" % (patch.name, name)
    rmmod_module(machine, first)
    assert first.module.t() == "t0" and not patch.patch.objects[0].patched
    second = insmod_module(machine, name)
    assert second.module.t() == "t1u0" and first.module.t() == "t0"
    machine.disable(patch)
    assert second.module.t() == "t0"


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


def test_a_module_with_other_code_is_refused_when_it_comes_again(machine):
    """What was found first is what the patch was made for."""
    name = machine.name("mod")
    first = insmod_module(machine, name)
    machine.insmod("def t(): return 't1'\npatch = Patch([Object(%r, [Func('t', t)])])" % name)
    rmmod_module(machine, first)
    other = machine.load("def t(): return 'other'", name=name, head="")
    with pytest.raises(KlpError) as caught:
        machine.engine.coming(name)
    assert caught.value.errno == errno.ENOEXEC
    assert any("disagrees about version of symbol 't'" in line for line in machine.log.texts())
    assert other.module.t() == "other"


def test_code_that_no_other_process_had_is_refused(machine):
    """Func.fits: what a joiner has must be what one of the others had; a function that is not there is other code too."""
    name = machine.name("mod")
    insmod_module(machine, name)
    machine.insmod("def t(): return 't1'\nfunc = Func('t', t)\npatch = Patch([Object(%r, [func])])" % name)
    func, = machine.engine.patches[-1].objects[0].funcs
    target, obj, mark = machine.engine.target, func.obj, func.fingerprint
    for fits, old_name, refused in [({"x", mark}, "t", None), ({"x"}, "t", errno.ENOEXEC), ({mark}, "nowhere", errno.ENOEXEC)]:
        trial = type(func)(old_name, func.new_func)
        trial.obj, trial.fits = obj, fits
        if refused is None:
            target.resolve(obj, trial)
            target.release(trial)
            continue
        with pytest.raises(KlpError) as caught:
            target.resolve(obj, trial)
        assert caught.value.errno == refused


def test_a_reload_in_the_middle_of_a_transition(machine):
    from klpfs.cpython.program import import_hooks
    module = machine.module(PAIR)
    held = Held(module.hold)
    machine.enable("def hold(held): return 'h1'\ndef b(): return 'b1'" + one(module, "hold", "b"))
    assert machine.engine.look()
    import_hooks.install(lambda each: machine.engine.coming(each, refuse=False), machine.target)
    try:
        importlib.reload(module)
    finally:
        import_hooks.uninstall()
    assert module.b() == "b1"
    machine.engine.reverse()
    assert module.b() == "b0"
    machine.engine.reverse()
    assert held.let_go() == "a0b0b0"
    machine.settle()
    assert module.b() == "b1"


def test_what_callbacks_see_and_return(machine):
    name = machine.name("mod")
    patch = machine.insmod("""
seen = []
def note(obj): seen.append((obj.name, obj.mod and obj.mod.name, obj.mod and obj.mod.state))
def bad(obj): raise OSError(28, "full")
patch = Patch([Object(None, callbacks=Callbacks(note, note, note, note)), Object(%r, callbacks=Callbacks(note, bad, note, note))])
""" % name)
    seen = patch.namespace["seen"]
    assert seen == [(None, None, None)] * 2
    came = insmod_module(machine, name)
    rmmod_module(machine, came)
    assert [each[2] for each in seen[2:]] == ["LIVE", GOING, GOING] or [each[2] for each in seen[2:]] == ["COMING", GOING, GOING]
    assert any("bad of object" in line and "full" in line for line in machine.log.texts())


@pytest.mark.parametrize("body, result", [
    ("return None", 0), ("return 0", 0), ("return 5", 0), ("return -7", -7), ("raise OSError(2, 'x')", -2),
    ("raise ValueError('v')", -errno.EINVAL), ("raise OSError('no number')", -errno.EINVAL)])
def test_call(machine, body, result):
    module = machine.module("def callback(obj): " + body)

    class Obj:
        shown = "vmlinux"
    assert machine.target.call(module.callback, Obj) == result
    logged = [line for line in machine.log.texts() if "callback" in line]
    assert len(logged) == ("raise" in body) and all("%s.py:1" % module.__name__ in line for line in logged)


def test_the_main_program_is_vmlinux(machine, monkeypatch):
    module = machine.module("def show(): return 'original'\nfirst = show\ndef show(): return 'second'")
    monkeypatch.setitem(sys.modules, "__main__", module)
    machine.insmod("def s(): return 'patched'\npatch = Patch([Object(None, [Func('show', s, 2)])])")
    assert (module.first(), module.show()) == ("original", "patched")
    assert machine.engine.describe()[0]["objects"][0]["name"] == "vmlinux"


def test_the_main_program_of_a_spawned_process(machine, monkeypatch, tmp_path):
    """multiprocessing gives the module a copy of what the program's code runs in."""
    path = tmp_path / "program.py"
    path.write_text("count = 0\ndef step():\n    global count\n    count += 1\n    return count\ndef show(): return 'original', count")
    main = types.ModuleType("__mp_main__")
    main.__dict__.update(runpy.run_path(str(path), run_name="__mp_main__"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.step()
    patched = machine.insmod("def s(): return 'patched', count, step()\npatch = Patch([Object(None, [Func('show', s)])])")
    assert main.show() == ("patched", 1, 2)
    machine.disable(patched)
    assert main.show() == ("original", 2)


# -- failures leave nothing

@pytest.mark.parametrize("text, number", [
    ("def a(): return nowhere", "ENOENT"), ("def a(): yield 1", "EINVAL"), ("def nope(): return 1", "EINVAL")])
def test_a_patch_of_which_one_function_fails_changes_nothing(machine, text, number):
    module = machine.module(PAIR)
    before = snapshot(module.a, module.b)
    name = text.split("(")[0].split()[1]
    assert machine.refuses("def b(): return 'b1'\n" + text + one(module, "b", name)) == number
    assert same(before, snapshot(module.a, module.b)) and machine.engine.patches == []
    assert machine.target.images.state == {} and not machine.target.registry.holders
    machine.insmod("def b(): return 'b1'" + one(module, "b"))
    assert module.a() == "a0b1"


def test_two_definitions_with_one_new_function(machine):
    module = machine.module("def a(): return 'a0'\ndef b(): return 'b0'")
    machine.insmod("def new(): return 'new'" + one(module, "a=new", "b=new"))
    assert (module.a(), module.b()) == ("new", "new") and module.a.__code__ is not module.b.__code__
    assert module.a.__code__.co_name == "a"


def test_an_attribute_that_the_program_changes_meanwhile_stays_its_own(machine):
    module = machine.module("def f(x=1): return x")
    found = machine.insmod("def f(x=2): return x" + one(module, "f"))
    module.f.__defaults__ = (5,)
    machine.disable(found)
    assert module.f() == 5


# -- what is kept

def test_nothing_is_kept_of_a_patch_that_was_removed(machine):
    module = machine.module(NEST)
    text = "def h(): return 'h1', n\ndef b(): return 'b1'" + one(module, "make.<locals>.h=h", "b")
    found = machine.insmod(text, name="lp_kept")
    code = weakref.ref(module.b.__code__)
    namespace = weakref.ref(found.module)
    machine.disable(found)
    loading.unload(found)
    machine.loaded.remove(found)
    machine.engine.finish if machine.engine.transition else None
    del found
    second = machine.insmod(text, name="lp_other")  # the core lets go of what is over when the next transition begins
    machine.disable(second)
    gc.collect()
    assert code() is None and namespace() is None


def test_live_closures_can_die(machine):
    module = machine.module(NEST)
    machine.insmod("def h(): return 'h1', n" + one(module, "make.<locals>.h=h"))
    made = module.make(9)[0]
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_call_sites_of_a_patched_function_run_its_new_code(machine):
    """The interpreter's adaptive call sites."""
    module = machine.module("def f(x): return x\ndef call():\n  n = 0\n  for i in range(100): n += f(i)\n  return n")
    assert [module.call() for _ in range(20)][-1] == 4950
    found = machine.insmod("def f(x): return 1" + one(module, "f"))
    assert [module.call() for _ in range(20)] == [100] * 20
    machine.disable(found)
    assert [module.call() for _ in range(20)] == [4950] * 20


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


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_any_order_of_patches(tmp_path_factory, steps):
    """After each step every function runs the newest enabled patch's version; after all, each object is what it was."""
    machine = Machine(tmp_path_factory.mktemp("order"))
    try:
        module = machine.module(SHAPES)
        watched = (module.f0, module.C.m, module.C.s, module.C.__dict__["p"].fget, module.kept, module.cached.__wrapped__,
                   module.make)
        before = snapshot(*watched)
        enabled = []
        for number, (what, arg, reverse, replace) in enumerate(steps, 1):
            if what == "enable":
                text = "\n".join(NEW.get(name, "def n%d(): return (%r, %d)") % (at, name, number) for at, name in enumerate(sorted(arg)))
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


def test_code_that_the_program_gives_in_mid_transition_stays(machine):
    """The function is left alone, whatever is decided, and a line names it."""
    module = machine.module(PAIR)
    found = machine.enable("def a(): return 'a1' + b()\ndef b(): return 'b1'" + one(module, "a", "b"))
    module.b.__code__ = (lambda: "own").__code__
    assert module.a() == "a1own"
    machine.settle()
    line = "livepatch: function 'b' in object '%s' was given other code by the program meanwhile, it is left alone" % module.__name__
    assert module.a() == "a1own" and machine.log.texts().count(line) == 1
    machine.disable(found)
    assert module.a() == "a0own"


def test_class_methods_without_a_decorator(machine):
    """What Python makes of __init_subclass__ and __class_getitem__ in a class block, here as in the program."""
    module = machine.module("""
        class Base:
            def __init_subclass__(cls): cls.made = 'old'
            def __class_getitem__(cls, item): return 'old', cls.__name__, item
    """)
    text = """class Base:
    def __init_subclass__(cls, **k):
        super().__init_subclass__(**k)
        cls.made = 'new'
    def __class_getitem__(cls, item): return 'new', cls.__name__, item, __class__.__name__
"""
    found = machine.insmod(text + one(module, "Base.__init_subclass__=Base.__init_subclass__", "Base.__class_getitem__=Base.__class_getitem__"))
    assert type("Sub", (module.Base,), {}).made == "new" and module.Base[1] == ("new", "Base", 1, "Base")
    machine.disable(found)
    assert type("Sub", (module.Base,), {}).made == "old" and module.Base[1] == ("old", "Base", 1)


def test_a_class_method_with_its_decorator_is_refused(machine):
    """New functions are written without decorators."""
    module = machine.module("class C:\n    @classmethod\n    def m(cls): return 0")
    with pytest.raises((KlpError, TypeError)):
        machine.enable("class C:\n    @classmethod\n    def m(cls): return 1" + one(module, "C.m=C.m"))
