"""Uses of an attribute in the code of a package: whether code does more with it than ask if it is true, whether it
shows the name."""
from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any


def uses(trees: Iterable[ast.AST], attribute: str) -> list[bool]:
    """A flag for every place that reads an attribute of this name: the place only asks if the attribute is true."""
    return [use for tree in trees for use in _uses(tree, attribute)]


def _uses(tree: ast.AST, attribute: str) -> list[bool]:
    tested: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            _collect_tested(node.test, tested)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                _collect_tested(test, tested)
    return [id(node) in tested for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Load)]


def shown(tree: ast.AST, attribute: str) -> ast.expr | None:
    """A string of the code that shows the name of an attribute of which it has the value: an f-string with `=`, a
    t-string (3.14), whose interpolations have their text."""
    strings: list[Any] = [node for node in ast.walk(tree) if isinstance(node, _STRINGS)]
    for node in strings:
        before = ""
        for value in node.values:
            uses_it = any(isinstance(inner, ast.Attribute) and inner.attr == attribute for inner in ast.walk(value))
            if uses_it and (not isinstance(node, ast.JoinedStr) or attribute in before and before.rstrip()[-1:] == "="):
                found: ast.expr = node
                return found
            before = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return None


_STRINGS: tuple[Any, ...] = (ast.JoinedStr, *filter(None, [getattr(ast, "TemplateStr", None)]))


def _collect_tested(node: ast.expr, tested: set[int]) -> None:
    """Adds the ids of expressions of which a condition asks nothing but whether they are true."""
    tested.add(id(node))
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _collect_tested(value, tested)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _collect_tested(node.operand, tested)
