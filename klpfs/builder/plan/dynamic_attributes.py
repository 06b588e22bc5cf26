"""Constructors that set attributes whose names the text does not say: `for name in OPTIONS: setattr(self, name, ...)`.

Where what they read is another value in NEW, objects made before a patch lack attributes, or have some of other values,
and nothing says which: so such a change is refused.
"""
from __future__ import annotations

import ast
from collections.abc import Iterator

from klpfs.builder.plan.followed_constructors import CONSTRUCTORS, is_dict_of
from klpfs.builder.syntax import FUNCTIONS, last_name

_SETTERS = frozenset(("setattr", "__setattr__", "setdefault", "update"))


def names_set_by(node: ast.ClassDef, changed: set[str]) -> tuple[str, int] | None:
    """(a name of `changed` that decides which attributes a constructor of the class sets, the line where it sets them);
    None: it decides nothing."""
    for method in node.body:
        if isinstance(method, FUNCTIONS) and method.name in CONSTRUCTORS and method.args.args:
            for call in _dynamic(method, method.args.args[0].arg):
                found = sorted(changed & _reads(method))
                if found:
                    return found[0], call.lineno
    return None


def _dynamic(method: ast.FunctionDef | ast.AsyncFunctionDef, self_name: str) -> Iterator[ast.expr]:
    """Where a method sets attributes of its object by names that are no constants."""
    for node in ast.walk(method):
        if isinstance(node, ast.Call):
            name = last_name(node.func)
            if name in _SETTERS and _is_of(node, self_name, name) and any(
                    not isinstance(each, (ast.Constant, ast.Dict)) for each in _names(node, self_name)):
                yield node
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and (
                is_dict_of(node.value, self_name) and not isinstance(node.slice, ast.Constant)):
            yield node


def _is_of(call: ast.Call, self_name: str, name: str) -> bool:
    if name in ("setdefault", "update"):
        return isinstance(call.func, ast.Attribute) and is_dict_of(call.func.value, self_name)
    return any(isinstance(each, ast.Name) and each.id == self_name for each in call.args[:1]) or (
        isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in (self_name, "super()"))


def _names(call: ast.Call, self_name: str) -> list[ast.expr]:
    """The argument of a call that says which attributes it sets."""
    rest = [each for each in call.args if not (isinstance(each, ast.Name) and each.id == self_name)]
    return rest[:1]


def _reads(method: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {last_name(node) for node in ast.walk(method)} - {""}
