"""Annotations that differ between two versions of a module, and that no livepatch carries: those of classes, of the
module, of functions that differ in nothing else, and of wrappers, which have copied those of what they wrap.
"""
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from klpfs.builder.compare.changes import function_differences
from klpfs.builder.compare.equivalence import for_checkers
from klpfs.builder.compare.statements import parse_scope
from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, FunctionNode, decorator_name

# decorators that hold the function itself, and nothing else of it
HOLD_THE_FUNCTION = frozenset(("property", "classmethod", "staticmethod", "abstractmethod", "cached_property",
                               "override", "final", "setter", "getter", "deleter", "overload", "no_type_check"))


def uncarried(old: ast.Module, new: ast.Module) -> list[tuple[int, str]]:
    """[(line in NEW, words)] of what has other annotations in NEW, in source order."""
    found = list(_scope(old.body, new.body, ""))
    before, after = _is_postponed(old), _is_postponed(new)
    if before != after:
        found.append((1, f"all annotations are strings {'now' if after else 'no more'}"))
    return sorted(found)


def _scope(old: list[ast.stmt], new: list[ast.stmt], prefix: str) -> Iterator[tuple[int, str]]:
    before, after = dict(_annotated(old)), dict(_annotated(new))
    names = [name for name in {**before, **after} if before.get(name, ("",))[0] != after.get(name, ("",))[0]]
    lines = [after[name][1] for name in names if name in after] or [new[0].lineno if new else 1]
    if names:
        yield min(lines), f"{prefix[:-1] or 'the module'} ({', '.join(names)})"
    old_scope, new_scope = parse_scope(old), parse_scope(new)
    for key, function in new_scope.functions.items():
        if key in old_scope.functions:
            yield from _function(old_scope.functions[key].node, function.node, prefix)
    for key, statement in new_scope.classes.items():
        if key in old_scope.classes:
            one, other = old_scope.classes[key].node, statement.node
            if _bounds(one) != _bounds(other):
                yield other.lineno, f"bounds of the type parameters of {prefix}{other.name}"
            yield from _scope(one.body, other.body, f"{prefix}{other.name}.")


def _function(old: FunctionNode, new: FunctionNode, prefix: str) -> Iterator[tuple[int, str]]:
    if _texts(old) == _texts(new):
        return
    differences = function_differences(old, new)
    if not differences:
        yield new.lineno, f"{prefix}{new.name}()"
    elif not differences & {"decorators", "flavour"} and any(
            decorator_name(each).rpartition(".")[2] not in HOLD_THE_FUNCTION for each in new.decorator_list):
        yield new.lineno, f"what decorators have put in the place of {prefix}{new.name}(), if it has copied them"


def _annotated(body: Iterable[ast.AST]) -> Iterator[tuple[str, tuple[str, int]]]:
    """(name, (text of its annotation, line)) of the annotated names of a body, conditions looked through."""
    for node in body:
        if isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name):
                yield node.target.id, (ast.dump(node.annotation), node.lineno)
        elif isinstance(node, ast.If) and for_checkers(node):
            yield from _annotated(node.orelse)
        elif isinstance(node, (ast.stmt, ast.excepthandler)) and not isinstance(node, DEFINITIONS):
            yield from _annotated(ast.iter_child_nodes(node))


def _texts(node: FunctionNode) -> list[str]:
    """The annotations of a function and of those in it: what the function's statement and calls of it evaluate."""
    found = []
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            found.append(f"{inner.arg}: {inner.annotation and ast.dump(inner.annotation)}")
        elif isinstance(inner, FUNCTIONS):
            found.append(f"{inner.name}: {inner.returns and ast.dump(inner.returns)}")
    return found


def _bounds(node: ast.ClassDef) -> list[str]:
    return [ast.dump(bound) for each in getattr(node, "type_params", ()) if (bound := getattr(each, "bound", None))]


def _is_postponed(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.module == "__future__"
               and any(alias.name == "annotations" for alias in node.names) for node in tree.body)
