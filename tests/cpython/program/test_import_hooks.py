"""Modules that finish their body are noticed before the importing code goes on, however they are loaded."""
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import textwrap
import threading
import traceback

import pytest

from klpfs.cpython.program import import_hooks
from tests.cpython import import_system
from tests.cpython.import_system import Chained, OfItsOwnSpec, Own, Wrapper, finder, mistake


@pytest.fixture
def seen(program):
    """[(name, whether the target takes it for loaded, what `done` is in it)] as callbacks saw it."""
    found = []

    def callback(name):
        if name.startswith(("prog", "pack")):
            found.append((name, program.target.loaded(name) is not None, getattr(sys.modules.get(name), "done", None)))
    import_hooks.install(callback, program.target)
    return found


def test_an_import_is_noticed_when_the_body_has_ended_and_before_the_importer_goes_on(program, seen):
    name = program.write("done = True")
    program.imported.append(name)
    importer = program.module("import %s\nfrom tests.programs import Program\nAFTER = True" % name)
    assert seen[0] == (name, True, True)
    assert seen[1][0] == importer.__name__ and seen[1][1]


def test_half_imported_is_not_loaded(program, seen):
    """While its body runs, also when it imports others meanwhile."""
    other = program.name()
    name = program.write("import %s\ndone = True" % other)
    program.write("import sys\nTARGET = None\nhalf = sys.modules[%r]" % name, other)
    program.imported += [name, other]
    found = []
    import_hooks.install(lambda each: found.append((each, program.target.loaded(name) is not None)), program.target)
    importlib.import_module(name)
    assert found == [(other, False), (name, True)]
    assert program.target.loaded(name).state == "LIVE"


def test_an_import_that_fails_is_not_noticed(program, seen):
    name = program.write("raise ValueError(1)")
    with pytest.raises(ValueError):
        importlib.import_module(name)
    assert seen == [] and program.target.loaded(name) is None


def test_the_programs_own_finders_and_meta_path_do_not_matter(program, seen, monkeypatch):
    name = program.write("done = True")
    path = str(program.folder / (name + ".py"))

    class Finder:
        @staticmethod
        def find_spec(wanted, path_=None, target=None):
            return importlib.util.spec_from_file_location(wanted, path) if wanted == name else None
    monkeypatch.setattr(sys, "meta_path", [Finder])
    program.imported.append(name)
    __import__(name)
    assert seen == [(name, True, True)]


def test_a_loader_of_the_programs_own(program, seen, monkeypatch):
    from importlib.machinery import ModuleSpec
    name = program.name()

    class Loader:
        def create_module(self, spec):
            return None

        def exec_module(self, module):
            exec("def f(): return 1\ndone = True", module.__dict__)

    class Finder:
        @staticmethod
        def find_spec(wanted, path=None, target=None):
            return ModuleSpec(wanted, Loader()) if wanted == name else None
    monkeypatch.setattr(sys, "meta_path", [Finder] + sys.meta_path)
    program.imported.append(name)
    importlib.import_module(name)
    assert seen == [(name, True, True)]


@pytest.mark.parametrize("spec", ["__spec__ = None", "del __spec__", "__spec__ = type(__spec__)('other', None)",
                                  "__spec__.loader = None"])
def test_a_body_that_changes_its_spec(program, seen, spec):
    name = program.write("import sys\n%s\ndone = True" % spec)
    program.imported.append(name)
    importlib.import_module(name)
    assert [found[0] for found in seen] == [name] and seen[0][2] is True


@pytest.mark.parametrize("body", ["sys.modules[__name__] = other = __import__(%r)",
                                  "sys.modules[__name__] = other = type(sys)(__name__)\nother.done = %r and True",
                                  "class Odd: done = %r and True\nsys.modules[__name__] = Odd()"])
def test_a_body_that_puts_another_module_in_its_place(program, seen, body):
    """What is in sys.modules when the body has ended is what the patch is for."""
    other = program.write("done = True")
    name = program.write("import sys\n" + body % other)
    program.imported += [name, other]
    importlib.import_module(name)
    assert (name, True) in {(found[0], found[2]) for found in seen}
    assert [found[0] for found in seen].count(name) <= 2


def test_a_class_of_pythons_loaders_that_the_program_has_wrapped(program, seen, monkeypatch):
    """It goes on behind Python's own exec_module."""
    real = importlib.machinery.SourceFileLoader.exec_module

    def exec_module(self, module):
        real(self, module)
        module.done = "by the wrapper"
    import_hooks.install(import_hooks._callback, program.target)
    monkeypatch.setattr(importlib.machinery.SourceFileLoader, "exec_module", exec_module, raising=False)
    name = program.write("done = True")
    program.imported.append(name)
    importlib.import_module(name)
    assert seen[-1] == (name, True, "by the wrapper")


def test_a_body_that_runs_another_file_by_hand_under_its_own_name(program, seen):
    """The module that is imported is half imported until its own end."""
    other, name = program.write("done = 'other'"), program.name()
    program.write(f"""
        import importlib.util
        spec = importlib.util.spec_from_file_location(__name__, {str(program.folder / (other + ".py"))!r})
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        done = True""", name)
    program.imported.append(name)
    importlib.import_module(name)
    assert seen == [(name, True, True)]


@pytest.mark.parametrize("make", [
    lambda spec: Wrapper(spec.loader), lambda spec: Own(spec.name, spec.origin), lambda spec: Chained(spec.loader)],
    ids=["wrapper", "subclass", "chained"])
def test_a_loader_that_goes_on_behind_pythons_own(program, seen, monkeypatch, make):
    """At the end of the body, for what the loader calls then, and behind all."""
    name = program.write("done = True")
    program.imported.append(name)
    monkeypatch.setattr(sys, "meta_path", [finder(name, make), *sys.meta_path])
    importlib.import_module(name)
    assert seen == [(name, True, True), (name, True, "by the wrapper")]


def test_a_body_that_loads_its_module_by_hand_and_goes_on(program, seen):
    """What it makes then is noticed, too."""
    name = program.name()
    program.write("import importlib, sys\nif 'done' not in globals():\n done = False\n"
                  " __spec__.loader.exec_module(sys.modules[__name__])\n done = 'behind'\n", name)
    program.imported.append(name)
    importlib.import_module(name)
    assert seen[-1] == (name, True, "behind")


def test_a_loader_that_runs_pythons_by_hand_and_goes_on(program, seen, monkeypatch):
    name = program.write("done = True")
    program.imported.append(name)
    monkeypatch.setattr(sys, "meta_path", [finder(name, lambda spec: OfItsOwnSpec(spec.loader)), *sys.meta_path])
    importlib.import_module(name)
    assert seen == [(name, True, True), (name, True, "by the wrapper")]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="loaders have exec_module now")
@pytest.mark.filterwarnings("ignore")
def test_an_old_loader_with_load_module(program, seen, monkeypatch):
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    name = program.name()

    class Loader:
        def load_module(self, wanted):
            module = sys.modules[wanted] = ModuleType(wanted)
            module.done = True
            return module

    class Finder:
        @staticmethod
        def find_spec(wanted, path=None, target=None):
            return ModuleSpec(wanted, Loader()) if wanted == name else None
    monkeypatch.setattr(sys, "meta_path", [Finder] + sys.meta_path)
    program.imported.append(name)
    importlib.import_module(name)
    assert seen == [(name, True, True)]


def test_a_loader_called_by_hand(program, seen):
    """spec_from_file_location, module_from_spec, exec_module: as plug-in systems do."""
    name = program.write("done = True")
    spec = importlib.util.spec_from_file_location(name, str(program.folder / (name + ".py")))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    program.imported.append(name)
    spec.loader.exec_module(module)
    assert seen == [(name, True, True)]


@pytest.mark.parametrize("patched", [False, True])
def test_a_body_that_is_run_by_hand_and_imports_others(program, patched):
    """It is half imported until its end, whatever is asked for meanwhile; also when it runs again, by hand."""
    other, name = program.write("done = True"), program.name()
    program.write(f"import sys\ndef f(): return 'old'\nsys.modules.pop({other!r}, None)\nimport {other}\n", name)
    program.imported += [name, other]
    spec = importlib.util.spec_from_file_location(name, str(program.folder / (name + ".py")))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if patched:
        spec.loader.exec_module(module)
        program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
    found = []

    def callback(each):
        found.append((each, program.target.imports_now(name), program.target.loaded_again()))
    import_hooks.install(callback, program.target)
    spec.loader.exec_module(module)
    assert found == [(other, True, []), (name, False, [name] * patched)]
    assert not program.target.bodies and not program.target.ripe
    said = [text for text in program.log.texts() if "is being loaded again" in text]
    assert len(said) == patched
    program.target.refresh(name)
    assert program.target.loaded_again() == [] and module.f() == ("new" if patched else "old")


def test_a_body_that_exec_runs_is_known_by_the_stack(program):
    module = program.module("")
    module.runs_body = program.target.runs_body
    exec(compile("def f(): return runs_body(__name__)\nfound = runs_body(__name__), f()", "x.py", "exec"), vars(module))
    assert module.found == (True, True) and not module.f() and not program.target.runs_body("no module")


def test_a_body_that_exec_runs_in_another_thread_is_known_by_its_stack(program):
    module, inside, go = program.module(""), threading.Event(), threading.Event()
    vars(module).update(inside=inside, go=go)
    code = compile("inside.set()\ngo.wait(30)", "x.py", "exec")
    thread = threading.Thread(target=exec, args=(code, vars(module)))
    thread.start()
    assert inside.wait(30) and program.target.runs_body(module.__name__)
    go.set()
    thread.join()
    assert not program.target.runs_body(module.__name__)


def test_a_lazy_loader_in_the_import_system(program, seen, monkeypatch):
    """The import ends before the body has run: it is noticed at the first use."""
    name = program.write("done = True\nvalue = 3")
    program.imported.append(name)
    monkeypatch.setattr(sys, "meta_path", [
        finder(name, lambda spec: importlib.util.LazyLoader(spec.loader)), *sys.meta_path])
    module = importlib.import_module(name)
    assert seen == [] and program.target.loaded(name) is None
    assert module.value == 3 and seen == [(name, True, True)] and program.target.loaded(name)


def test_a_lazy_module_is_loaded_when_its_body_has_run(program, seen):
    name = program.write("done = True\nvalue = 3")
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    program.imported.append(name)
    spec.loader.exec_module(module)
    assert seen == [] and program.target.loaded(name) is None
    assert module.value == 3
    assert seen == [(name, True, True)] and program.target.loaded(name) is not None


def test_a_package_and_its_modules(program, seen):
    pack = program.name("pack")
    folder = program.folder / pack
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import sub\ndone = True")
    (folder / "sub.py").write_text("done = True")
    program.imported += [pack, pack + ".sub"]
    importlib.import_module(pack)
    assert seen == [(pack + ".sub", True, True), (pack, True, True)]


def test_a_reload_is_noticed_also_when_it_fails_half_way(program, seen):
    module = program.module("done = True")
    del seen[:]
    importlib.reload(module)
    assert seen == [(module.__name__, True, True)]
    program.write("done = 2\nraise ValueError", module.__name__)
    sys.dont_write_bytecode, was = True, sys.dont_write_bytecode
    try:
        del seen[:]
        with pytest.raises(ValueError):
            importlib.reload(module)
    finally:
        sys.dont_write_bytecode = was
    assert seen and seen[-1][0] == module.__name__


RELOADED = """
    import sys
    def g(): return 'g'
    sys.modules[%r].between()
    def f(): return 'old' + g()
"""


def test_a_module_that_reloads_is_half_imported_until_its_body_has_ended(program, seen):
    """A patch that is loaded meanwhile waits for it; no function of its is patched alone."""
    module = program.module("def g(): return 'g'")
    found = []
    name = module.__name__
    module.between = lambda: found.append((program.target.loaded(name), program.target.imports_now(name)))
    program.write(RELOADED % name, name)
    sys.dont_write_bytecode, was = True, sys.dont_write_bytecode
    try:
        importlib.reload(module)
    finally:
        sys.dont_write_bytecode = was
    assert found == [(None, True)] and seen[-1][:2] == (name, True)
    assert program.target.loaded(name).state == "LIVE" and not program.target.imports_now(name)
    assert program.target.bodies == {}


def test_a_reload_within_another_ends_only_itself(program, monkeypatch):
    inner, outer = program.module("done = True"), program.module("import importlib\nwork = lambda: None\nwork()")
    found = []

    def between():
        importlib.reload(inner)
        found.append((program.target.imports_now(inner.__name__), program.target.imports_now(outer.__name__)))
    program.write("between()", outer.__name__)
    outer.between = between
    import_hooks.install(lambda name: None, program.target)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.reload(outer)
    assert found == [(False, True)] and not program.target.bodies


def test_a_body_that_is_run_by_hand_for_a_module_of_nobody_is_not_noticed(program, seen):
    """sys.modules has another of that name."""
    name = program.module("done = True").__name__
    spec = importlib.util.spec_from_file_location(name, str(program.folder / (name + ".py")))
    del seen[:]
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert seen == [] and not program.target.bodies


@pytest.mark.parametrize("spec", [None, 5, type("Spec", (), {"name": []})()])
@pytest.mark.parametrize("known", [False, True])
def test_odd_specs_of_modules_whose_body_is_run_by_hand(program, seen, spec, known, monkeypatch):
    """The module's own name counts."""
    name = program.write("done = True")
    made = importlib.util.spec_from_file_location(name, str(program.folder / (name + ".py")))
    module = importlib.util.module_from_spec(made)
    module.__spec__ = spec
    if known:
        monkeypatch.setitem(sys.modules, name, module)
    made.loader.exec_module(module)
    assert module.done and seen == [(name, True, True)] * known


def test_a_body_that_is_run_by_hand_and_fails_is_not_noticed(program, seen, monkeypatch):
    """Unless the module is patched: then what it has made is taken in."""
    name = program.name()
    module = program.module("def f(): return 'old'", name)
    program.write("def f(): return 'old'\nraise ValueError", name)
    sys.dont_write_bytecode, was = True, sys.dont_write_bytecode
    spec = importlib.util.spec_from_file_location(name, str(program.folder / (name + ".py")))
    del seen[:]
    try:
        for patched in False, True:
            if patched:
                program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
            with pytest.raises(ValueError):
                spec.loader.exec_module(module)
            assert [found[0] for found in seen] == [name] * patched
    finally:
        sys.dont_write_bytecode = was


def test_a_forked_child_knows_of_no_import_under_way(program, seen):
    import_hooks._under_way["prog"] = 0
    child = os.fork()
    if not child:
        os._exit(len(import_hooks._under_way))
    import_hooks._under_way.clear()
    assert os.waitpid(child, 0)[1] == 0


def test_in_a_forked_child_no_module_reloads(program, monkeypatch):
    """The thread that ran the body may be gone."""
    module = program.module("done = True")
    program.target.bodies[os.getpid(), "mark"] = module
    assert program.target.imports_now(module.__name__)
    monkeypatch.setattr("klpfs.cpython.target.getpid", lambda: os.getpid() + 1)
    assert not program.target.imports_now(module.__name__) and program.target.loaded(module.__name__)


def test_a_patch_of_a_patched_module_that_reloads_is_refused(program):
    """Its first load is in force, its second has made a part of its functions: EBUSY, in a line. That its body runs is
    said when it begins, and when it has ended."""
    name = program.name()
    module = program.module("globals().setdefault('between', lambda: None)\n" + textwrap.dedent(RELOADED % name), name)
    program.patch("def g(): return 'new g'\npatch = Patch([Object(%r, [Func('g', g)])])" % name)
    found = []
    begun = []

    def between():
        begun.append(program.log.texts()[-1])
        found.append((program.target.loaded(name) is not None,
                      program.refused("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)))
    module.between = between
    import_hooks.install(lambda each: program.target.loaded(each), program.target)
    importlib.reload(module)
    assert found == [(True, ("EBUSY", "livepatch: object '%s' is being loaded again, try when that is over" % name))]
    assert begun == ["livepatch: module '%s' is being loaded again: until that is over, calls of its functions may "
                     "have old code" % name]
    assert program.log.texts()[-1] == (
        "livepatch: module '%s' was loaded again: its new functions are patched from now on, until now calls had their "
        "old code" % name)
    assert module.f() == "oldnew g"
    program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
    assert module.f() == "new"


def test_another_thread_that_imports_it_waits_for_the_callback(program):
    """The module still counts as being initialised while the callback runs."""
    name = program.write("done = True")
    program.imported.append(name)
    inside, go, order = threading.Event(), threading.Event(), []

    def callback(each):
        if each == name:
            inside.set()
            go.wait(30)
            order.append("patched")
    import_hooks.install(callback, program.target)
    first = threading.Thread(target=importlib.import_module, args=(name,))
    first.start()
    assert inside.wait(30)

    def other():
        __import__(name)
        order.append("used")
    second = threading.Thread(target=other)
    second.start()
    second.join(0.2)
    assert order == []
    go.set()
    first.join()
    second.join()
    assert order == ["patched", "used"]


def test_what_the_callback_raises_does_not_break_the_import(program):
    """A mistake of klpfs's own: its innermost frame is."""
    calls = []
    import_hooks.install(lambda name: calls.append(name) or mistake(), program.target)
    assert program.module("done = True").done and len(calls) == 1


def test_tracebacks_of_failing_imports_show_nothing_of_klpfs(program, seen):
    inner = program.write("1 / 0")
    outer = program.write("import " + inner)
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module(outer)
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert "klpfs/cpython" not in shown
    before = [frame.name for frame in traceback.extract_tb(caught.tb)]
    import_system.restore()
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module(outer)
    after = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert before[-2:] == after[-2:] == ["<module>", "<module>"]


def test_the_functions_that_are_hooked_once():
    """A second install() hooks nothing twice; restore() of these tests leaves nothing."""
    assert import_system.changed() == []
    import_hooks.install(lambda name: None, None)
    hooked, exec_module = import_system.changed(), import_system.external._LoaderBasics.exec_module
    assert set(hooked) >= {"_verbose_message", "_load_unlocked", "exec_module"}
    assert set(hooked) <= {"_verbose_message", "_load_unlocked", "_exec", "_load_backward_compatible", "exec_module"}
    import_hooks.install(lambda name: None, None)
    assert import_system.external._LoaderBasics.exec_module is exec_module
    import_system.restore()
    assert import_system.changed() == []


def test_a_module_taken_out_of_sys_modules_is_not_loaded(program, seen):
    module = program.module("def f(): return 1")
    assert program.target.loaded(module.__name__)
    del sys.modules[module.__name__]
    assert program.target.loaded(module.__name__) is None


def test_odd_things_in_sys_modules_are_not_loaded(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "prog_none", None)
    monkeypatch.setitem(sys.modules, "prog_object", object())
    assert program.target.loaded("prog_none") is None and program.target.loaded("prog_object") is None
    assert program.target.loaded("prog_nowhere") is None


def test_the_main_program(program, monkeypatch):
    """Only the one that the service was started with."""
    target = program.target
    assert target.loaded(None).name == "__main__"
    name = program.write("pass")
    path = str(program.folder / (name + ".py"))
    target.main = path
    assert target.loaded(None) is None
    monkeypatch.setattr(sys.modules["__main__"], "__file__", path, raising=False)
    assert target.loaded(None) is not None
    target.main = "some.package"
    assert target.loaded(None) is None
    spec = importlib.machinery.ModuleSpec("some.package.__main__", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert target.loaded(None) is not None


class Completes(Wrapper):
    """What Python's loader loads is a stub; the functions come behind it."""

    def exec_module(self, module):
        self.inner.exec_module(module)
        exec("def f(): return 'old'", vars(module))


def test_functions_that_a_loader_makes_behind_the_body_are_patched_too(program, in_force, monkeypatch):
    name = program.write("done = True")
    engine, found = in_force(name)
    import_hooks.install(lambda each: engine.coming(each, refuse=False), program.target)
    monkeypatch.setattr(sys, "meta_path", [finder(name, lambda spec: Completes(spec.loader)), *sys.meta_path])
    program.imported.append(name)
    assert importlib.import_module(name).f() == "new"
    assert program.log.texts()[-1] == "livepatch: applying patch '%s' to loading module '%s'" % (found.name, name)


def test_a_module_whose_patch_goes_while_it_reloads_is_not_asked_for_for_ever(program):
    name = program.name()
    module = program.module("def f(): return 'old'\nif 'between' in globals(): between()", name)
    found = program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
    module.between = lambda: program.unpatch(found)
    import_hooks.install(lambda name: None, program.target)
    importlib.reload(module)
    assert program.target.loaded_again() == [] and module.f() == "old"


def test_a_patched_module_that_reloads_into_no_module_is_not_asked_for_for_ever(program, monkeypatch):
    name = program.name()
    module = program.module("def f(): return 'old'", name)
    program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
    program.write("import sys\nsys.modules[__name__] = object()", name)
    import_hooks.install(lambda name: None, program.target)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.reload(module)
    assert program.target.loaded_again() == []


def test_a_patched_module_is_patched_before_its_importer_calls_it(program, in_force):
    """The whole way: engine.coming from the hook."""
    name = program.name()
    engine, found = in_force(name)
    import_hooks.install(lambda each: engine.coming(each, refuse=False), program.target)
    program.write("def f(): return 'old'", name)
    program.imported.append(name)
    importer = program.module("from %s import f\nresult = f()" % name)
    assert importer.result == "new"
    assert program.log.texts()[-1] == "livepatch: applying patch '%s' to loading module '%s'" % (found.name, name)


@pytest.mark.parametrize("again", ["reload", "anew"])
def test_what_a_second_load_makes_is_patched_too_and_the_first_stays(program, in_force, again):
    module = program.module("def g(): return 'g'\ndef f(): return 'old' + g()")
    name, first = module.__name__, module.f
    engine, found = in_force(name, "def f(): return 'new' + g()")
    import_hooks.install(lambda each: engine.coming(each, refuse=False), program.target)
    if again == "anew":
        del sys.modules[name]
        module = importlib.import_module(name)
    else:
        importlib.reload(module)
    assert module.f is not first
    assert (module.f(), first()) == ("newg", "newg")
    engine.disable(found.patch)
    assert engine.look() == []
    engine.finish()
    assert (module.f(), first()) == ("oldg", "oldg")


def test_a_module_loaded_again_with_other_code_stays_unpatched_and_the_log_says_so(program, in_force):
    module = program.module("def f(): return 'old'")
    name = module.__name__
    engine, found = in_force(name)
    import_hooks.install(lambda each: engine.coming(each, refuse=False), program.target)
    del sys.modules[name]
    (program.folder / (name + ".py")).write_text(textwrap.dedent("def f(): return 'other code'"))
    module = importlib.import_module(name)
    assert module.f() == "other code"
    assert "loaded again with other code" in program.log.texts()[-1]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")
@pytest.mark.parametrize("statement, use", [
    ("lazy import {name}", "{name}.f()"), ("lazy from {name} import f", "f()"), ("lazy import {name} as it", "it.f"),
    ("lazy import {pack}.{name}", "{pack}.{name}.f()"), ("lazy from {pack} import {name}", "{name}.f()"),
    ("lazy from {pack}.{name} import f", "f()"), ("import {name}", "{name}.f()"), ("from {name} import f", "f()")])
def test_a_lazy_import_is_noticed_at_the_first_use_before_the_using_line_goes_on(program, seen, statement, use):
    """Only then is there anything to be patched; the value that is used is what the patch has left there."""
    name, pack = program.name(), program.name("pack")
    (program.folder / pack).mkdir()
    for path in f"{name}.py", f"{pack}/{name}.py", f"{pack}/__init__.py":
        (program.folder / path).write_text("done = True\ndef f(): return 'old'\n")
    importlib.invalidate_caches()
    program.imported += [name, pack, f"{pack}.{name}"]
    sys.set_lazy_imports("normal" if "lazy" in statement else "all")
    try:
        module = program.module(f"{statement}\ndef use(): return {use}\n".format(name=name, pack=pack))
    finally:
        sys.set_lazy_imports("normal")
    wanted = f"{pack}.{name}" if "{pack}" in statement else name
    assert wanted not in sys.modules and wanted not in [found[0] for found in seen]
    found = import_hooks._callback

    def patching(each):
        found(each)
        if each == wanted:
            sys.modules[each].f = lambda: "new"
    import_hooks.install(patching, program.target)
    got = module.use()
    assert (wanted, True, True) in seen and (got if got == "new" else got()) == "new"
