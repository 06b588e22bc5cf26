"""The Python target behind the engine: modules that come and go, what can't be patched, callbacks, the main program."""
import errno
import gc
import runpy
import sys
import types
import weakref

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.cpython.resolve.fingerprint import fingerprint
from klpfs.cpython.resolve.index import Index
from klpfs.engine.data import GOING
from klpfs.engine.error import KlpError
from tests.cpython.machine import NEST, PAIR, insmod_module, one, rmmod_module
from tests.programs import same, snapshot


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


def test_a_patch_keeps_no_index_of_the_program(machine):
    """An index holds function objects of the program's, and code: that would be in the way of each transition where an
    audit hook keeps klpfs from looking into objects."""
    module = machine.module("LIMIT = 1\ndef f(x=LIMIT): return x\ndef g(): return 0")
    machine.insmod("from klpfs import unchanged\ndef f(x=unchanged): return 5 + x\ndef g(): return 1" + one(
        module, "f", "g"))
    assert module.f() == 6
    assert [each for each in gc.get_objects() if type(each) is Index and each.namespace is vars(module)] == []


# -- modules that come and go


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
    """Func.accepted_fingerprints: what a joiner has must be what one of the others had; a function that is not there is other code
    too."""
    name = machine.name("mod")
    insmod_module(machine, name)
    machine.insmod("def t(): return 't1'\nfunc = Func('t', t)\npatch = Patch([Object(%r, [func])])" % name)
    func, = machine.engine.patches[-1].objects[0].funcs
    target, obj, mark = machine.engine.target, func.obj, func.fingerprint
    cases = [({"x", mark}, "t", None), ({"x"}, "t", errno.ENOEXEC), ({mark}, "nowhere", errno.ENOEXEC)]
    for fits, old_name, refused in cases:
        trial = type(func)(old_name, func.new_func)
        trial.obj, trial.accepted_fingerprints = obj, fits
        if refused is None:
            target.resolve(obj, trial)
            target.release(trial)
            continue
        with pytest.raises(KlpError) as caught:
            target.resolve(obj, trial)
        assert caught.value.errno == refused


def test_what_callbacks_see_and_return(machine):
    name = machine.name("mod")
    patch = machine.insmod("""
seen = []
def note(obj): seen.append((obj.name, obj.mod and obj.mod.name, obj.mod and obj.mod.state))
def bad(obj): raise OSError(28, "full")
patch = Patch([Object(None, callbacks=Callbacks(note, note, note, note)),
               Object(%r, callbacks=Callbacks(note, bad, note, note))])
""" % name)
    seen = patch.namespace["seen"]
    assert seen == [(None, None, None)] * 2
    came = insmod_module(machine, name)
    rmmod_module(machine, came)
    states = [state for _, _, state in seen[2:]]
    assert states in (["LIVE", GOING, GOING], ["COMING", GOING, GOING])
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
    path.write_text("count = 0\ndef step():\n    global count\n    count += 1\n    return count\n"
                    "def show(): return 'original', count")
    main = types.ModuleType("__mp_main__")
    main.__dict__.update(runpy.run_path(str(path), run_name="__mp_main__"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.step()
    patched = machine.insmod("def s(): return 'patched', count, step()\n"
                             "patch = Patch([Object(None, [Func('show', s)])])")
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
    found = machine.insmod(text + one(module, "Base.__init_subclass__=Base.__init_subclass__",
                                      "Base.__class_getitem__=Base.__class_getitem__"))
    assert type("Sub", (module.Base,), {}).made == "new" and module.Base[1] == ("new", "Base", 1, "Base")
    machine.disable(found)
    assert type("Sub", (module.Base,), {}).made == "old" and module.Base[1] == ("old", "Base", 1)


def test_a_class_method_with_its_decorator_is_refused(machine):
    """New functions are written without decorators."""
    module = machine.module("class C:\n    @classmethod\n    def m(cls): return 0")
    with pytest.raises((KlpError, TypeError)):
        machine.enable("class C:\n    @classmethod\n    def m(cls): return 1" + one(module, "C.m=C.m"))


def test_klpfs_is_not_patched(program):
    errno, line = program.refused("def f(): pass\npatch = Patch([Object('klpfs.engine.log', [Func('pr_err', f)])])")
    assert errno == "EINVAL" and "klpfs's own" in line


def test_a_fingerprint_that_disagrees(program):
    module = program.module("def f(x): return x")
    text = "def f(x): return -x\npatch = Patch([Object(%r, [Func('f', f, fingerprint=%r)])])"
    errno, line = program.refused(text % (module.__name__, "0" * 64))
    assert errno == "ENOEXEC" and "disagrees about version of symbol 'f'" in line
    program.patch(text % (module.__name__, fingerprint(module.f.__code__)))
    assert module.f(1) == -1


def test_a_fingerprint_of_another_level(program, monkeypatch):
    """With -O and -OO the code is another; a function may not be there, or another at its place."""
    module = program.module("def f(x): return x")
    text = "def f(x): return -x\npatch = Patch([Object(%r, [Func('f', f, fingerprint=%r)])])"
    version, right = "%d.%d" % sys.version_info[:2], fingerprint(module.f.__code__)
    flags = types.SimpleNamespace(optimize=1)
    monkeypatch.setattr("klpfs.cpython.resolve.fingerprint.sys",
                        types.SimpleNamespace(flags=flags, version_info=sys.version_info))
    level, other = "-O", "-OO"
    errno, line = program.refused(text % (module.__name__, f"{version}:{right} {version}{level}:-"))
    assert errno == "ENOEXEC" and f"made for Python without {level}, this is {version}{level}: symbol 'f'" in line
    errno, line = program.refused(text % (module.__name__, f"{version}:{right} {version}{level}:0"))
    assert errno == "ENOEXEC" and "disagrees about version of symbol 'f'" in line
    program.patch(text % (module.__name__, f"{version}:0 {version}{level}:{right} {version}{other}:0"))
    assert module.f(1) == -1


def test_lambdas_of_a_loop_keep_their_defaults(program):
    module = program.module("fs = [lambda i=i: i for i in range(3)]\ndef g(x=1): return x")
    names = {unit.name for unit in Index(program.target.registry, module.__name__, module.__dict__).units.values()}
    name = next(each for each in names if each.endswith("<lambda>"))
    program.patch("def new(i=None): return ['new', i]\ndef g(x=2): return x\n"
                  "patch = Patch([Object(%r, [Func(%r, new), Func('g', g)])])" % (module.__name__, name))
    assert [f() for f in module.fs] == [["new", 0], ["new", 1], ["new", 2]] and module.g() == 2
