"""What differs between two versions of a module."""
import ast
import sys
import textwrap

import pytest

from klpfs.builder.compare.changes import compare_modules, function_differences, has_fields, same_class
from klpfs.builder.compare.statements import parse_scope


def change(old, new):
    return compare_modules(*(ast.parse(textwrap.dedent(each)) for each in (old, new)))


def texts(statements):
    return [ast.unparse(each.node) for each in statements]


@pytest.mark.parametrize("old, new, what", [
    ("def f(): return 1", "def f(): return 2", {"body"}),
    ("def f(a): pass", "def f(a, b): pass", {"signature"}),
    ("def f(a): pass", "def f(*, a): pass", {"signature"}),
    ("def f(a=1): pass", "def f(a=2): pass", {"defaults"}),
    ("def f(): pass", "@d\ndef f(): pass", {"decorators"}),
    ("def f(): return 1", "def f(): yield 1", {"body", "flavour"}),
    ("def f(): pass", "async def f(): pass", {"flavour"}),
    ("def f(a: int) -> int: return a", "def f(a):\n    'Doc.'\n    return a", set()),
] + [("def f[T](): pass", "def f[T: int](): pass", {"type parameters"}),
     ("def f(): pass", "def f[T](): pass", {"type parameters"})] * (sys.version_info >= (3, 12)))
def test_what_differs_of_a_function(old, new, what):
    assert function_differences(*(ast.parse(each).body[0] for each in (old, new))) == what


def test_statements_are_paired_by_what_they_mean():
    found = change("a = 1\nb = 2\nb = 2\nimport x, y\n", "b = (2)  # same\nimport y, z\na = 3\n")
    assert [each.alias.name if each.alias else ast.unparse(each.node) for each in found.to_run] == ["z", "a = 3"]
    assert [each.alias.name if each.alias else ast.unparse(each.node) for each in found.gone] == ["a = 1", "b = 2", "x"]
    assert found.removed_names == ["x"]


def test_what_stands_under_another_condition_is_another_statement():
    found = change("if a:\n    def g(): pass\n    x = 1\n", "if b:\n    def g(): pass\n    x = 1\n")
    assert texts(found.to_run) == ["x = 1"] == texts(found.gone)


def test_classes_have_scopes_of_their_own():
    found = change("class A:\n    x = 1\n    class B:\n        def f(self): return 1\n",
                   "class A:\n    x = 2\n    class B:\n        def f(self): return 2\n")
    assert [each.name for each in found.walk()] == ["", "A", "A.B"]
    assert texts(found.classes[0].to_run) == ["x = 2"]
    assert [each.name for each in found.classes[0].classes[0].functions] == ["A.B.f"]


@pytest.mark.parametrize("old, new, parts", [
    ("class A(B): pass", "class A(C): pass", {"bases"}),
    ("class A: pass", "class A(object): pass", None),
    ("class A(m=1): pass", "class A(m=2): pass", {"keywords"}),
    ("class A: pass", "@d\nclass A: pass", {"decorators"}),
] + [("class A[T]: pass", "class A[T: int]: pass", None),      # a bound is for type checkers: annotations.py
     ("class A: pass", "class A[T]: pass", {"type parameters"})] * (sys.version_info >= (3, 12)))
def test_what_differs_of_a_class_statement(old, new, parts):
    found = change(old, new)
    assert [each.parts for each in found.classes] == ([] if parts is None else [parts])


def test_annotations_count_where_they_make_fields():
    assert not change("class A:\n    x: int", "class A:\n    y: int")
    assert change("@dataclass\nclass A:\n    x: int", "@dataclass\nclass A:\n    y: int")
    assert [has_fields(ast.parse(each).body[0])
            for each in ("class A(NamedTuple): pass", "@attr.s()\nclass A: pass", "class A(B): pass",
                                                             "class A(pydantic.BaseModel): pass")] == [True, True,
                                                                                                       False, True]


def test_a_class_that_does_not_differ_is_no_change():
    scope = parse_scope(ast.parse("class A:\n    x = 1").body)
    assert not same_class("A", scope.classes["A"].node, scope.classes["A"])
