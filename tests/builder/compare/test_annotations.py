"""Annotations that differ and are not carried are named, by line."""
import ast
import sys
import textwrap

import pytest

from klpfs.builder.compare.annotations import uncarried
from klpfs.builder.error import NothingToDo

WRAPPED = "@deco\ndef g(a: {}): return {}\n"


def found(old, new):
    return uncarried(*(ast.parse(textwrap.dedent(each)) for each in (old, new)))


@pytest.mark.parametrize("old, new, what", [
    ("class C:\n    x: int", "class C:\n    x: str\n    z: bytes", [(2, "C (x, z)")]),
    ("class C:\n    x: int = 1\n    y: int", "class C:\n    x: int = 2", [(2, "C (y)")]),
    ("class A:\n    class B:\n        x: int = 1", "class A:\n    class B:\n        x: str = 1", [(3, "A.B (x)")]),
    ("class C:\n    if a:\n        x: int\n    for i in b:\n        y: A", "class C:\n    if a:\n        x: str\n"
     "    for i in b:\n        y: B", [(3, "C (x, y)")]),
    ("X: int = 1", "X: str = 1\nY: int", [(1, "the module (X, Y)")]),
    ("X: int = 1", "X = 1", [(1, "the module (X)")]),
    ("if TYPE_CHECKING:\n    X: int", "if TYPE_CHECKING:\n    X: str", []),
    ("x: int\nclass C:\n    def f(self): y: int = 1", "x: int\nclass C:\n    def f(self): y: str = 2", []),
    ("def f(a: int): pass", "def f(a: str): pass", [(1, "f()")]),
    ("def f():\n    def g() -> int: pass", "def f():\n    def g() -> str: pass", [(1, "f()")]),
    ("def f(a: int): return 1", "def f(a: str): return 2", []),         # the function takes them along
    (WRAPPED.format("int", 1), WRAPPED.format("str", 2),
     [(2, "what decorators have put in the place of g(), if it has copied them")]),
    (WRAPPED.format("int", 1), WRAPPED.format("int", 2), []),
    ("class C:\n    @property\n    def g(self) -> int: return 1",
     "class C:\n    @property\n    def g(self) -> str: return 2", []),
    ("@a\ndef g(a: int): return 1", "@b\ndef g(a: str): return 2", []),   # its statement runs again
    ("x: int", "from __future__ import annotations\nx: int", [(1, "all annotations are strings now")]),
    ("class C: pass", "class D:\n    x: int", []),
])
def test_what_keeps_its_annotations(old, new, what):
    assert found(old, new) == what


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_bounds_of_type_parameters():
    assert found("class C[T: int]: pass", "class C[T: str]: pass") == [(1, "bounds of the type parameters of C")]


def test_they_are_in_the_head_of_the_file(upgrade):
    """Also those of modules in which nothing else differs."""
    upgrade.write({"a.py": "def f(): return 1\n", "b.py": "\nclass C:\n    x: int\n"},
                  {"a.py": "def f(): return 2\n", "b.py": "\nclass C:\n    x: str\n"})
    result = upgrade.build()
    note = f"annotations that differ are not carried: {upgrade.name}/b.py:3 C (x)"
    assert note in result.notes and f"- {note}\n" in result.text.split('"""')[1]


def test_where_nothing_else_differs_they_are_said(upgrade):
    upgrade.write("class C:\n    x: int\n", "class C:\n    x: str\n")
    with pytest.raises(NothingToDo, match=r"no Python code differs; annotations .*/__init__.py:2 C \(x\)$"):
        upgrade.build()
