"""Keyword arguments that a class's constructor passes on to its base's: what the base makes of a new one, objects made
before have not."""
from __future__ import annotations

import ast
from collections.abc import Iterable


def passed_on(node: ast.ClassDef) -> dict[str, int]:
    """{keyword: line} of what a class's own `__init__` gives the constructor of its base, save what is None and what
    callers give."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return _of_method(method)
    return {}


def is_read(trees: Iterable[ast.Module], attribute: str) -> bool:
    """Whether an attribute of that name is read anywhere in these."""
    return any(isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Load)
               for tree in trees for node in ast.walk(tree))


def _of_method(method: ast.FunctionDef) -> dict[str, int]:
    rest = method.args.kwarg.arg if method.args.kwarg is not None else ""
    found: dict[str, int] = {}
    is_passed = False
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "__init__":
                found.update((each.arg, node.lineno) for each in node.keywords
                             if each.arg is not None and not _is_none(each.value, method.args))
                is_passed = is_passed or any(each.arg is None and _is_name(each.value, rest) for each in node.keywords)
            elif node.func.attr == "setdefault" and _is_name(node.func.value, rest) and len(node.args) == 2:
                _add(found, node.args[0], node.args[1], method.args)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and _is_name(target.value, rest):
                    _add(found, target.slice, node.value, method.args)
    return found if is_passed or not rest else {
        name: line for name, line in found.items() if _is_keyword_of_a_call(method, name)}


def _is_keyword_of_a_call(method: ast.FunctionDef, name: str) -> bool:
    return any(each.arg == name for node in ast.walk(method) if isinstance(node, ast.Call) and isinstance(
        node.func, ast.Attribute) and node.func.attr == "__init__" for each in node.keywords)


def _add(found: dict[str, int], name: ast.expr, value: ast.expr, args: ast.arguments) -> None:
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and not _is_none(value, args):
        found[name.value] = name.lineno


def _is_name(node: ast.expr, name: str) -> bool:
    return bool(name) and isinstance(node, ast.Name) and node.id == name


def _is_none(value: ast.expr, args: ast.arguments) -> bool:
    """Whether a value is None, or a parameter: what callers gave before went nowhere else."""
    parameters = {each.arg for each in args.posonlyargs + args.args + args.kwonlyargs}
    return isinstance(value, ast.Constant) and value.value is None or (
        isinstance(value, ast.Name) and value.id in parameters)
