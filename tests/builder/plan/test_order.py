"""The order of the patch's objects."""
import ast

import pytest

from klpfs.builder.compare.changes import compare_modules
from klpfs.builder.plan.order import imported_from, ordered
from klpfs.builder.plan.plans import ImportWork, ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.read.source_text import Source
from tests.builder.kit import there_and_back


def test_several_modules_that_import_one_another(upgrade):
    old = {"a.py": "from .b import base\ndef f(): return base(1)\n", "b.py": "def base(x): return x\n"}
    new = {"a.py": "from .b import base, LIMIT, Error\ndef f():\n    try:\n        return base(LIMIT)\n"
                   "    except Error as e:\n        return str(e)\n",
           "b.py": "LIMIT = 7\nclass Error(ValueError): pass\ndef base(x, more=LIMIT):\n    raise Error((x, more))\n"}
    there_and_back(upgrade, old, new, "f()", module="a")


def module(name, text="", is_package=False):
    return Module(name, f"new: {name}.py", Source(text), ast.parse(text), is_package)


def plan(name, text, *new_modules, runs=True):
    made = module(name, text)
    change = compare_modules(made.tree, made.tree)
    work = ImportWork(change.new_scope, dict.fromkeys(change.new_scope.statements, "new") if runs else {})
    return ModulePlan(name, made, made, change, work, ImportWork(change.new_scope), new_modules=list(new_modules))


def names(plans):
    return [each.name for each in ordered(plans)]


@pytest.mark.parametrize("text, is_package, source", [
    ("from a.b import c", False, "a.b"), ("from . import c", False, "p.q"), ("from .b import c", False, "p.q.b"),
    ("from .. import c", False, "p"), ("from .b import c", True, "p.q.m.b"), ("from .. import c", True, "p.q"),
])
def test_the_module_of_a_from_import(text, is_package, source):
    assert imported_from(module("p.q.m", text, is_package), ast.parse(text).body[0]) == source


def test_what_others_import_goes_first():
    assert names([plan("p.a", "from .b import x"), plan("p.b", "from p import c"), plan("p.c", "x = 1")]) == ["p.c",
                                                                                                              "p.b",
                                                                                                              "p.a"]


def test_new_modules_go_with_the_plan_that_brings_them():
    assert names([plan("p.a", "import p.fresh"), plan("p", "x = 1", module("p.fresh"))]) == ["p", "p.a"]


def test_a_circle_is_cut_at_the_first():
    assert names([plan("p.a", "from . import b"), plan("p.b", "from . import a")]) == ["p.b", "p.a"]


def test_imports_count_where_they_run():
    assert names([plan("p.a", "from . import b", runs=False), plan("p.b", "x = 1")]) == ["p.a", "p.b"]
    assert names([plan("p.a", "def f():\n    from . import b"), plan("p.b", "x = 1")]) == ["p.a", "p.b"]
