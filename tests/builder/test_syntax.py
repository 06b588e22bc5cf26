"""Questions to single pieces of syntax."""
import ast

import pytest

from klpfs.builder import syntax


def statement(text):
    return ast.parse(text).body[0]


def test_the_end_of_a_piece_of_source():
    assert syntax.end_line(statement("x = (\n1)")) == 2 and syntax.end_column(statement("é = 1")) == 6


@pytest.mark.parametrize("text, name", [("field", "field"), ("attr.field", "field"), ("f()", ""), ("1", "")])
def test_the_last_name(text, name):
    assert syntax.last_name(ast.parse(text, mode="eval").body) == name
    assert syntax.last_name(None) == ""


@pytest.mark.parametrize("text, flavour", [
    ("def f(): return 1", "function"),
    ("def f(): yield", "generator"),
    ("def f(): x = yield from y", "generator"),
    ("async def f(): return 1", "coroutine"),
    ("async def f(): yield", "async generator"),
    ("def f():\n    def g(): yield", "function"),              # the inner one's
    ("def f(): return lambda: (yield)", "function"),
    ("def f():\n    class C:\n        def g(self): yield", "function"),
])
def test_what_a_call_makes(text, flavour):
    assert syntax.flavour(statement(text)) == flavour


def test_defaults_belong_to_the_last_parameters():
    args = statement("def f(a, /, b, c=1, *rest, d, e=2, **more): pass").args
    assert {name: ast.unparse(node) for name, node in syntax.default_nodes(args).items()} == {"c": "1", "e": "2"}
    assert syntax.parameter_names(args) == {"a", "b", "c", "rest", "d", "e", "more"}


def test_a_docstring_is_a_string_alone():
    assert len(syntax.body_without_doc(ast.parse("'doc'\nx = 1").body)) == 1
    assert len(syntax.body_without_doc(ast.parse("1\nx = 1").body)) == 2 and syntax.body_without_doc([]) == []


def test_the_walk_gives_what_it_does_not_enter():
    kinds = [type(node).__name__ for node in syntax.walk_outside(syntax.FUNCTIONS, statement("if a:\n    def f(): b"))]
    assert "FunctionDef" in kinds and "Name" in kinds and "Expr" not in kinds
