"""Which statements have to run again because of others: those that used, when they ran, a name that is another now."""
import ast
import typing

from klpfs.build.changes import ScopeChange
from klpfs.build.same import FUNCTIONS
from klpfs.build.scope import Leaf, Scope, reads_of


def derived(scope: Scope, run: "typing.Iterable[Leaf]", changed: "set[str]") -> "tuple[list[Leaf], list[Leaf]]":
    """(leaves to run again, functions whose defaults alone are others) of a scope, because of names that are others now.

    changed: grows by the names that the leaves to be run bind. Classes are the caller's: their bodies are scopes too.
    """
    chosen, todo = set(map(id, run)), True
    again, defaults = [], []
    while todo:
        todo = False
        for leaf in scope.leaves:
            if id(leaf) in chosen or leaf.kind == "class" or not (leaf.reads & changed):
                continue
            if leaf.kind == "function":
                decorators = set()
                for each in leaf.node.decorator_list:
                    decorators |= reads_of(each)
                if not decorators & changed:
                    if leaf not in defaults:
                        defaults.append(leaf)
                    continue
            chosen.add(id(leaf))
            again.append(leaf)
            changed |= leaf.binds
            todo = True
    return again, [each for each in defaults if id(each) not in chosen]


def rebound(change: ScopeChange) -> "set[str]":
    """Names of a scope that mean something else in NEW: bound by statements that run, where OLD bound them too."""
    before = change.old_scope.bound
    return {name for leaf in change.run for name in leaf.binds if name in before}


def calls(node: ast.AST) -> "set[str]":
    """Plain names that a statement calls while it runs."""
    found = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            found.add(each.func.id)
        if not isinstance(each, FUNCTIONS + (ast.Lambda,)):
            todo += ast.iter_child_nodes(each)
    return found


def attributes_read(node: ast.AST) -> "set[tuple[str, str]]":
    """(name, attribute) of the attributes of plain names that a statement uses while it runs."""
    found = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            found.add((each.value.id, each.attr))
        if not isinstance(each, FUNCTIONS + (ast.Lambda,)):
            todo += ast.iter_child_nodes(each)
    return found
