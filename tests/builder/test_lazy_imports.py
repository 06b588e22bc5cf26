"""Builds of modules that import lazily (PEP 810, CPython 3.15)."""
import sys

import pytest

from tests.builder.kit import there_and_back

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")
FRESH = ("colorsys", "sched", "stringprep", "pyclbr", "this")       # modules of which no test needs another


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """They are not imported yet: what is there already, CPython takes at once for a lazy `from`."""
    for name in FRESH:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in FRESH:
        sys.modules.pop(name, None)


def proxies(module):
    from types import LazyImportType
    return sorted(name for name, value in vars(module).items() if type(value) is LazyImportType)


def test_new_lazy_imports_stay_lazy(upgrade):
    """No statement of a function can be one: `of_...` binds stand-ins, which are there until somebody uses them."""
    upgrade.write("import os\ndef f(): return 1\ndef g(): return 1", """
        import os
        lazy import sched, xml.dom as dom
        lazy from colorsys import rgb_to_hsv, hsv_to_rgb as back
        lazy from . import late
        def f(): return sched.scheduler.__name__, rgb_to_hsv(1, 1, 1), dom.__name__
        def g(): return back(0, 0, 1), late.N
        """)
    (upgrade.folder / "new" / upgrade.name / "late.py").write_text("N = 5\n")
    module, result = upgrade.module(), upgrade.build()
    assert "lazy import" not in result.text and "    sched = klp.lazy('import sched')\n" in result.text
    patch = upgrade.insmod(result.text)
    assert proxies(module) == ["back", "dom", "late", "rgb_to_hsv", "sched"]
    assert not {"sched", "colorsys"} & sys.modules.keys()
    assert module.f() == ("scheduler", (0.0, 0.0, 1), "xml.dom") and proxies(module) == ["back", "late"]
    assert module.g() == ((1, 1, 1), 5) and proxies(module) == []
    upgrade.disable(patch)
    assert module.f() == 1 and not {"sched", "dom", "rgb_to_hsv", "back"} & vars(module).keys()


def test_what_nobody_has_used_is_taken_back_as_well(upgrade):
    upgrade.write("def f(): return 1", "lazy import sched\ndef f(): return sched")
    module, before = upgrade.module(), set(vars(upgrade.module()))
    upgrade.disable(upgrade.insmod())
    assert set(vars(module)) == before and "sched" not in sys.modules


def test_a_lazy_import_that_fails_does_so_when_it_is_used(upgrade):
    """As in the new version: an optional dependency is no reason to refuse."""
    upgrade.write("def f(): return 1", "lazy import no_such_module\ndef f():\n  try: return no_such_module.x\n"
                                       "  except ImportError: return 'without'")
    module = upgrade.module()
    patch = upgrade.insmod()
    assert module.f() == "without"
    upgrade.disable(patch)
    assert module.f() == 1 and "no_such_module" not in vars(module)


def test_from_at_once_to_lazily_nothing_is_to_be_done(upgrade):
    upgrade.write("import sched\ndef f(): return 1", "lazy import sched\ndef f(): return sched.scheduler.__name__")
    module, result = upgrade.module(), upgrade.build()
    assert "klp" not in result.text.partition("import Func")[2] and "ImportTime" not in result.text
    upgrade.insmod(result.text)
    assert module.f() == "scheduler"


def test_from_lazily_to_at_once_it_is_imported_when_the_patch_goes_in(upgrade):
    upgrade.write("lazy import sched\nlazy from colorsys import rgb_to_hsv\ndef f(): return sched.scheduler.__name__",
                  "import sched\nfrom colorsys import rgb_to_hsv\ndef f(): return sched.scheduler.__name__")
    module = upgrade.module()
    patch = upgrade.insmod()
    assert proxies(module) == [] and {"sched", "colorsys"} <= sys.modules.keys()
    upgrade.disable(patch)
    assert proxies(module) == ["rgb_to_hsv", "sched"] and module.f() == "scheduler" and module.rgb_to_hsv(1, 1, 1)


def test_a_lazy_name_that_means_something_else_now(upgrade):
    """What it stood for is not imported for that."""
    old = "lazy import sched as it\ndef f(): return it.__name__"
    upgrade.write(old, old.replace("sched", "colorsys"))
    module = upgrade.module()
    patch = upgrade.insmod()
    assert module.f() == "colorsys" and "sched" not in sys.modules
    upgrade.disable(patch)
    assert proxies(module) == ["it"] and "sched" not in sys.modules and module.f() == "sched"


@pytest.mark.parametrize("lines", [
    "if True:\n    lazy import sched, colorsys\n    N = 2", "for _ in (1,):\n    lazy import sched\n    N = 2",
    "if True: lazy import sched; N = 2", "N = 2; lazy import sched",
    "if True:\n    lazy import sched\n    def h(): pass\nN = 2"])
def test_lazy_imports_inside_of_other_statements(upgrade, lines):
    there_and_back(upgrade, "N = 1\ndef f(): return N, 0", lines + "\ndef f(): return N, sched.scheduler", "f()", "N")


def test_a_new_module_that_imports_lazily(upgrade):
    upgrade.write({"__init__.py": "def f(): return 1"},
                  {"__init__.py": "def f():\n  from . import fresh\n  return fresh.g()",
                   "fresh.py": "lazy import sched\nlazy from . import f as own\n"
                               "def g(): return sched.__name__, own.__name__"})
    module = upgrade.module()
    upgrade.insmod()
    import importlib
    fresh = importlib.import_module(upgrade.name + ".fresh")
    assert proxies(fresh) == ["sched"] and module.f() == ("sched", "f") and proxies(fresh) == []


def test_tables_behind_lazy_names_are_as_before_in_the_end(upgrade):
    """What import time changes in place is seen, though its module was not imported yet."""
    files = {"tables.py": "T = {'a': 1}\nL = [1]\ndef add(key): T[key] = len(T)\n"}
    old = "lazy from .tables import T, L\nlazy from . import tables\ndef f(): return dict(T), list(L)\n"
    new = old + "T['b'] = 2\ntables.add('c')\nL.append(2)\n"
    upgrade.write({"__init__.py": old, **files}, {"__init__.py": new, **files})
    module = upgrade.module()
    patch = upgrade.insmod()
    assert module.f() == ({"a": 1, "b": 2, "c": 2}, [1, 2])
    upgrade.disable(patch)
    assert module.f() == ({"a": 1}, [1])


def test_a_function_that_becomes_a_lazy_import(upgrade):
    """Copies of the old function, by name and in classes, become the function that is imported."""
    files = {"b.py": "def h(): return 'b'\n", "c.py": "from .a import h\nclass C:\n    from .a import h as m\n"}
    upgrade.write({"a.py": "def h(): return 'a'\ndef f(): return h()\n", **files},
                  {"a.py": "lazy from .b import h\ndef f(): return h()\n", **files})
    a, c = upgrade.module("a"), upgrade.module("c")
    was = c.h
    patch = upgrade.insmod()
    assert a.f() == c.h() == vars(c.C)["m"]() == "b"
    upgrade.disable(patch)
    assert a.f() == c.h() == vars(c.C)["m"]() == "a" and c.h is was and upgrade.module("b").h() == "b"


@pytest.mark.parametrize("mode", ["normal", "all"])
def test_import_time_under_every_mode(upgrade, mode):
    sys.set_lazy_imports(mode)
    try:
        there_and_back(upgrade, "import sched\nN = 1\ndef f(): return N",
                       "import sched\nimport stringprep\nlazy import colorsys\nN = 2\n"
                       "def f(): return N, colorsys.__name__, stringprep.__name__", "f()", "N")
    finally:
        sys.set_lazy_imports("normal")


def test_names_that_the_module_declares_lazy(upgrade):
    """__lazy_modules__ concerns statements of the module itself; what goes in as a patch is imported at once."""
    upgrade.write("__lazy_modules__ = ['sched']\nimport sched\ndef f(): return 1",
                  "__lazy_modules__ = ['sched', 'colorsys']\nimport sched\nimport colorsys\n"
                  "def f(): return sched.__name__, colorsys.__name__")
    module = upgrade.module()
    assert proxies(module) == ["sched"]
    patch = upgrade.insmod()
    assert module.f() == ("sched", "colorsys")
    upgrade.disable(patch)
    assert module.f() == 1 and "colorsys" not in vars(module)


def test_a_filter_of_the_program_decides(upgrade):
    """sys.set_lazy_imports_filter: it is asked about what a patch imports as about what the module does."""
    asked = []

    def decide(importing, imported, names):
        asked.append((importing, imported))
        return False
    upgrade.write("def f(): return 1", "lazy import sched\ndef f(): return sched.__name__")
    module = upgrade.module()
    sys.set_lazy_imports_filter(decide)
    try:
        upgrade.insmod()
    finally:
        sys.set_lazy_imports_filter(None)
    assert (upgrade.name, "sched") in asked and proxies(module) == [] and module.f() == "sched"
