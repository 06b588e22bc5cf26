"""What changes in one module concerns those that import it."""
import ast
import sys

import pytest

from klpfs.builder.error import NothingToDo
from klpfs.builder.plan.package_plan import ImportedName, top_level
from tests.builder.kit import there_and_back


def test_constants_are_seen_by_who_imported_them_by_name(upgrade):
    files = {"a.py": "import re\nRULE = re.compile('{}')\nTABLE = {{'x': 1{}}}\nNUMBER = {}\nDERIVED = NUMBER * 2\n",
             "b.py": "from {p}.a import RULE, TABLE, NUMBER, DERIVED\nclass C:\n    rule = RULE\n    n = NUMBER\n"}
    old = dict(files, **{"a.py": files["a.py"].format("a+", ", 'gone': 2", 1000)})
    new = dict(files, **{"a.py": files["a.py"].format("a*", ", 'y': 2", 2000)})
    there_and_back(upgrade, old, new, "RULE.pattern", "sorted(TABLE)", "NUMBER", "DERIVED", "C.rule.pattern", "C.n",
                   module="b")


def test_new_modules_come_and_go(upgrade):
    old = {"a.py": "def f(): return 1\n"}
    new = {"a.py": "from .fresh import value\nfrom .sub.deep import *\ndef f(): return value(), DEEP, C.x\n",
           "fresh.py": "'''A new one.'''\nimport os as _os\nNAME = __name__\nX: int = 3\n"
                       "if X > 2:\n    def value(): return NAME, X, __doc__\nelse:\n    value = None\n",
           "sub/__init__.py": "", "sub/deep.py": "from ..fresh import X\nDEEP = X + 1\nclass C:\n    x = DEEP\n"}
    there_and_back(upgrade, old, new, "f()", module="a")
    assert upgrade.name + ".fresh" not in sys.modules and upgrade.name + ".sub" not in sys.modules
    assert not hasattr(upgrade.module(), "fresh")
    with pytest.raises(ImportError):
        upgrade.module("fresh")


def test_a_new_module_is_there_for_all_objects_of_the_patch(upgrade):
    """Modules import each other in circles; httpx 0.23.0."""
    old = {"__init__.py": "from {p}.a import f\nfrom {p}.b import g\n", "a.py": "X = 1\ndef f(): return X\n",
           "b.py": "from {p}.a import f\ndef g(): return f()\n"}
    new = {"__init__.py": "from {p}.a import f\nfrom {p}.b import g\nfrom {p}.fresh import h\n",
           "a.py": "from {p}.fresh import h\nX = h()\ndef f(): return X\n", "b.py": old["b.py"],
           "fresh.py": "def h(): return 2\n"}
    there_and_back(upgrade, old, new, "f()", "g()", module="b")


def test_who_uses_a_name_by_its_module_is_planned_too(upgrade):
    base = "LIMIT = {}\n"
    user = {"b.py": "from {p} import a\nDOUBLE = a.LIMIT * 2\n", "c.py": "import {p}.a as aa\nTRIPLE = aa.LIMIT * 3\n",
            "d.py": "import {p}.a\nOTHER = 5\n"}
    there_and_back(upgrade, {"a.py": base.format(1), **user}, {"a.py": base.format(2), **user}, "DOUBLE", module="b")
    assert [plan.name.rpartition(".")[2] for plan in upgrade.build().plans] == ["a", "b", "c"]
    assert "TRIPLE" in upgrade.build().text


def test_who_imports_everything_gets_changed_values_but_for_names_that_it_binds_itself(upgrade):
    users = {"b.py": "OWN = 3\nfrom {p}.a import *\nLATER = 4\nDOUBLE = A * 2\n",
             "c.py": "from {p}.b import A, OWN, LATER\n"}
    old = {"a.py": "A, OWN, LATER = 1, 1, 1\n", **users}
    new = {"a.py": "A, OWN, LATER = 2, 2, 2\n", **users}
    there_and_back(upgrade, old, new, "A", "OWN", "LATER", "DOUBLE", module="b")
    there_and_back(upgrade, old, new, "A", "OWN", "LATER", module="c")


def test_who_imports_everything_gets_new_names_however_far_away(upgrade):
    users = {"b.py": "from {p}.a import *\ndef h(): return {}\n", "c.py": "from .b import *\n"}
    old = {"a.py": "__all__ = ['f']\ndef f(): return 1\n", **users, "b.py": users["b.py"].replace("{}", "f()")}
    new = {"a.py": "__all__ = ['f', 'g']\ndef f(): return 1\ndef g(): return 2\n", **users,
           "b.py": users["b.py"].replace("{}", "g()")}
    there_and_back(upgrade, old, new, "h()", "sorted(name for name in globals() if name in 'fgh')", module="c")


@pytest.mark.parametrize("source, name, bound, is_module", [
    ("p", "a", "a", True), ("p", "b", "b", False), (None, "p.a", "x", True), (None, "p.a", "p", False),
    ("p.a", "x", "x", False),
])
def test_a_name_that_is_the_module_itself(source, name, bound, is_module):
    assert ImportedName(source, name, bound).is_module("p.a") == is_module


def test_a_module_without_dots_is_itself():
    assert ImportedName(None, "a", "a").is_module("a")


def test_the_top_level_is_looked_through_conditions_not_definitions():
    tree = ast.parse("try:\n    import a\nexcept E:\n    if b:\n        import c\ndef f():\n    import d\n")
    assert {ast.unparse(node) for node in top_level(tree) if isinstance(node, ast.Import)} == {"import a", "import c"}


def test_names_that_a_star_import_brings(upgrade):
    old = {"a.py": "from .b import *\n", "b.py": "x = 1\n"}
    new = {"a.py": "from .b import *\nfrom .c import *\n", "b.py": "x = 1\n",
           "c.py": "__all__ = ['y', '_z']\ny = 1\n_z = 2\nw = 3\n",
           "d.py": "from .c import *\nv = 1\nclass C: pass\ndef _hidden(): pass\n"}
    upgrade.write(old, new)
    [plan] = [plan for plan in upgrade.build().plans if plan.name.endswith(".a")]
    assert list(plan.at_import.star_names.values()) == [["x"], ["_z", "y"]]
    [package] = [plan for plan in upgrade.build().plans if plan.new_modules]
    assert [module.name.rpartition(".")[2] for module in package.new_modules] == ["c", "d"]


def test_names_that_type_checkers_alone_see_are_not_among_them(upgrade):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Any\nelse:\n    Any = 1\n"
    text += "if TYPE_CHECKING:\n    from typing import Text\nx = 1\n"
    upgrade.write({"a.py": "from .b import *\n", "b.py": text},
                  {"a.py": "from .b import *\n", "b.py": text + "y = 2\n"})
    [plan] = [plan for plan in upgrade.build().plans if plan.name.endswith(".a")]
    assert list(plan.at_import.star_names.values()) == [["Any", "TYPE_CHECKING", "x", "y"]]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="global_enum is of 3.11")
def test_new_members_that_global_enum_makes_names_of_a_module_come_to_those_that_import_star(upgrade):
    text = "import enum\n@enum.global_enum\nclass E(enum.IntEnum):\n    A = 1\n"
    upgrade.write({"a.py": "from .b import *\n", "b.py": text},
                  {"a.py": "from .b import *\n", "b.py": text + "    B = 2\n"})
    [plan] = [plan for plan in upgrade.build().plans if plan.name.endswith(".a")]
    assert list(plan.at_import.star_names.values()) == [["A", "B", "E", "enum"]]


def test_a_package_with_caches_in_which_nothing_changes(upgrade):
    files = {"a.py": "x = 1  # {}\n", "b.py": "import functools\n@functools.lru_cache\ndef f(): return 1\n"}
    upgrade.write(*({name: text.format(number) for name, text in files.items()} for number in (1, 2)))
    with pytest.raises(NothingToDo):
        upgrade.build()


def test_caches_of_other_modules_belong_to_the_first_plan(upgrade):
    """Also where a table is looked into by `in` alone."""
    files = {"a.py": "RULE = {}\ndef rule(new):\n    global RULE\n    RULE = new\n",
             "b.py": "from . import a\nT = {{}}\ndef f(key):\n    if key in T: return T[key]\n    T[key] = a.RULE\n"
                     "    return T[key]\n"}
    upgrade.write(*({name: text.format(number) for name, text in files.items()} for number in (1, 2)))
    [plan] = upgrade.build().plans
    assert [cache.text.rpartition(".")[2] for cache in plan.caches] == ["b:T{}"]


def test_a_table_that_moves_to_another_module_stays_one_object_with_the_programs_entries(upgrade):
    own = "def has(x): return x in T\n"
    upgrade.write({"a.py": "", "b.py": "T = {1, 2}\n" + own},
                  {"a.py": "T = {1, 2, 3}\n" + own, "b.py": "from .a import T\n" + own})
    a, b = upgrade.module("a"), upgrade.module("b")
    before = b.T
    b.T.add("the program's")
    found = upgrade.insmod()
    assert a.T is b.T is before == {1, 2, 3, "the program's"} and b.has(3)
    upgrade.disable(found)
    assert not hasattr(a, "T") and b.T is before == {1, 2, "the program's"}
