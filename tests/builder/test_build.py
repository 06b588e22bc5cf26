"""The whole: OLD runs, the patch is built and loaded, it behaves as NEW; taken out, as OLD again."""
import csv
import doctest
import gc
import pathlib
import shutil
import sys
import tempfile
import weakref

import pytest
from hypothesis import HealthCheck, given, settings

import klpfs.builder.build
from klpfs.builder.build import build_specs
from klpfs.builder.error import BuildError, NothingToDo
from klpfs.cpython.load import loader as loading
from tests.builder.kit import Upgrade, running
from tests.strategies import module_pairs


def test_nothing_to_do(upgrade):
    upgrade.write("def f(): return 1  # x\n", "def f():\n    '''Doc.'''\n    return 1\n")
    with pytest.raises(NothingToDo):
        upgrade.build()


def test_another_source_than_what_runs_is_refused(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    module = upgrade.module()
    text = upgrade.build().text
    module.f.__code__ = (lambda: 5).__code__
    exec("def f(): return 7", vars(module))
    with pytest.raises(Exception, match="disagrees about version"):
        upgrade.insmod(text)
    assert module.f() == 7


def test_a_cumulative_patch_takes_the_place_of_an_earlier_one(upgrade):
    """What the first has changed at import time goes with it where the second does not change it."""
    old = "A = 1\nB = 'b'\nT = {'k': 1}\nclass C:\n    x = 1\ndef f(): return A, B, T, C.x, C.__dict__.get('y')\n"
    upgrade.write(old,
                  old.replace("A = 1", "A = 2").replace("x = 1", "x = 2\n    y = 3").replace("'k': 1",
                                                                                             "'k': 2, 'm': 3"))
    program = upgrade.module()
    first = upgrade.insmod()
    assert program.f() == (2, "b", {"k": 2, "m": 3}, 2, 3)
    upgrade.write(old, old.replace("B = 'b'", "B = 'c'").replace("x = 1", "x = 5"))
    second = upgrade.insmod()
    assert program.f() == (1, "c", {"k": 1}, 5, None) and not first.patch.enabled
    upgrade.disable(second)
    assert program.f() == (1, "b", {"k": 1}, 1, None)
    loading.unload(first)
    upgrade.loaded.remove(first)


def test_what_is_left_out_is_said(upgrade):
    upgrade.write({"__init__.py": "__version__ = '1'\nimport os\ndef f(): return 1\n", "gone.py": "x = 1\n",
                   "tests/a.py": "x = 1\n", "data.txt": "1"},
                  {"__init__.py": "__version__ = '2'\ndef f(): return 2\n", "tests/a.py": "x = 2\n", "data.txt": "2"})
    said = " ".join(upgrade.build().notes)
    for words in ("data file", "gone is no more", "files in test folders", "__version__",
                  "still holds the import 'os'"):
        assert words in said


def test_other_names_for_modules_are_taken_back(upgrade):
    text = """
        import sys
        import json
        for each in ("json",{0}):
            sys.modules["{p}_" + each] = sys.modules[each]
        """
    m, insmod = running(upgrade, text.replace("{0}", ""), text.replace("{0}", " 'csv'"))
    patch = insmod()
    assert sys.modules[upgrade.name + "_csv"] is csv
    upgrade.disable(patch)
    assert upgrade.name + "_csv" not in sys.modules and upgrade.name + "_json" in sys.modules


class TestWhatWasMadeUnderThePatch:
    NEW = """
        import math
        def doubled(n): return n * 2
        def make(n):
            def f(): return doubled(math.floor(n))
            return f
        class Added:
            def get(self): return doubled(1)
        def added(): return Added()
        """
    OLD = "def make(n):\n    def f(): return n\n    return f\ndef added(): return None\n"

    def test_nothing_of_it_left_all_names_go(self, upgrade):
        m, insmod = running(upgrade, self.OLD, self.NEW)
        before = set(vars(m))
        patch = insmod()
        assert m.make(1.5)() == 2 and m.added().get() == 2
        gc.collect()
        upgrade.disable(patch)
        assert set(vars(m)) == before

    def test_a_closure_goes_on_and_finds_its_names(self, upgrade):
        m, insmod = running(upgrade, self.OLD, self.NEW)
        patch = insmod()
        young = m.make(1.5)
        upgrade.disable(patch)
        assert young() in (2, 1.5) and m.make(1.5)() == 1.5

    def test_an_object_of_a_class_that_was_added(self, upgrade):
        m, insmod = running(upgrade, self.OLD, self.NEW)
        patch = insmod()
        young = m.added()
        upgrade.disable(patch)
        assert young.get() == 2 and not hasattr(m, "math")


def test_one_module_whatever_its_files_are_called(tmp_path):
    for name, text in (("fresh.py", "def f(): return 2\n"), ("old_copy.py", "def f(): return 1\n")):
        (tmp_path / name).write_text(text)
    result = build_specs(str(tmp_path / "old_copy.py"), str(tmp_path / "fresh.py"), [sys.executable])
    assert [plan.name for plan in result.plans] == ["old_copy"] and "return 2" in result.text


def test_the_example_of_build_specs():
    failed, tried = doctest.testmod(klpfs.builder.build)
    assert tried > 3 and not failed


def test_what_is_installed_is_the_old_version(tmp_path):
    (tmp_path / "klp_none").mkdir()
    (tmp_path / "klp_none/__init__.py").write_text("")
    with pytest.raises(BuildError, match="no such distribution installed"):
        build_specs("klp-none==1", str(tmp_path), [sys.executable], installed=True)


# random pairs


def answers(space, probes):
    """What each probe gives, or the kind of error that it raises."""
    found = []
    for probe in probes:
        try:
            found.append(eval(probe, space))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def names(module):
    """The public names of a module that a program could ask for."""
    return {name for name in vars(module) if not name.startswith("__")}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(module_pairs())
def test_a_patched_old_module_behaves_as_the_new_one(pair):
    """Probes of functions, classes, constants and objects made before, asked before, with and after the patch."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klp"))
    upgrade = Upgrade(folder)
    try:
        upgrade.write(pair.old_source, pair.new_source)
        old, new = upgrade.module(), upgrade.new_module()
        of_old, of_new = pair.probes(pair.old), pair.probes(pair.new)
        held = [(dict(vars(old), HELD=eval(made, vars(old))), dict(vars(new), HELD=eval(made, vars(new))), then, now)
                for made, then, now in pair.held()]
        was = answers(vars(old), of_old), [answers(space, then) for space, _, then, _ in held], names(old)
        try:
            result = upgrade.build()
        except NothingToDo:
            assert answers(vars(old), of_new) == answers(vars(new), of_new)
            return
        assert not result.refused, result.refused
        patch = upgrade.insmod(result.text)
        assert answers(vars(old), of_new) == answers(vars(new), of_new), result.text
        for space, fresh, _, now in held:
            assert answers(space, now) == answers(fresh, now), result.text
        upgrade.disable(patch)
        assert (answers(vars(old), of_old), [answers(space, then) for space, _, then, _ in held],
                names(old)) == was, result.text
    finally:
        upgrade.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("definition", ["def h(): return '{}'", "class h:\n    __new__ = lambda cls: '{}'"])
def test_a_definition_that_is_imported_now(upgrade, definition):
    """When the patch goes, the module that it is imported from keeps it."""
    files = {"b.py": definition.format("b")}
    upgrade.write({"a.py": definition.format("a") + "\ndef f(): return h()\n", **files},
                  {"a.py": "from .b import h\ndef f(): return h()\n", **files})
    a, b = upgrade.module("a"), upgrade.module("b")
    (upgrade.folder / "old" / upgrade.name / "later.py").write_text("from .a import h\n")
    patch = upgrade.insmod()
    later = upgrade.module("later")
    assert a.f() == later.h() == "b"
    upgrade.disable(patch)
    assert (a.f(), later.h(), b.h()) == ("a", "a", "b")


def test_a_module_that_becomes_a_package_is_refused(tmp_path):
    for path, text in (("old/p/__init__.py", ""), ("old/p/a.py", "def f(): return 1\n"), ("new/p/__init__.py", ""),
                       ("new/p/a/__init__.py", "from .x import f\n"), ("new/p/a/x.py", "def f(): return 2\n")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    result = build_specs(str(tmp_path / "old"), str(tmp_path / "new"), [sys.executable])
    assert [each.what for each in result.refused] == ["module p.a"] and "becomes a package" in result.refused[0].why


PLAIN = """
from klpfs import Func, Object, Patch
def f(): return 2
patch = Patch([Object("{p}", [Func("f", f)])])
"""
WITH_IMPORT_TIME = """
from klpfs import Func, ImportTime, Object, Patch
def f(): return LIMIT + added()
def of(klp):
    global LIMIT, TABLE, added, C
    LIMIT, TABLE = 1, dict(a=1, b=2)
    def added(): return 1
    class C(metaclass=klp.part):
        added = 3
def then(klp):
    global LATER
    LATER = 5
patch = Patch([Object("{p}", [Func("f", f)], ImportTime(of, then=then, everywhere=["LIMIT"], removed=["C.gone"],
                                                        carried=[("C.added", 3, 4)]))])
"""


@pytest.mark.parametrize("text", [PLAIN, WITH_IMPORT_TIME])
def test_nothing_of_a_livepatch_that_was_unloaded_stays_in_memory(upgrade, text):
    upgrade.write("LIMIT = 0\nTABLE = {'a': 1}\nclass C: gone = 1\ndef f(): return LIMIT\n", "")
    live = upgrade.module()
    patch = upgrade.insmod(text.replace("{p}", upgrade.name))
    callbacks = patch.patch.objects[0].callbacks
    held = [patch.module, patch.patch.objects[0].funcs[0].new_func, patch.patch.objects[0].funcs[0]]
    held += [] if callbacks is None else [callbacks.run, callbacks.run.__code__, callbacks.then]
    gone = [weakref.ref(each) for each in held]
    assert live.f() == 2
    upgrade.disable(patch)
    assert live.f() == 0
    loading.unload(upgrade.loaded.pop())
    del patch, callbacks, held
    gc.collect()
    assert [each() for each in gone] == [None] * len(gone)
