"""Which statements have to run again because of others: those that used, when they ran, a name that is another now."""
import ast
import typing

from klpfs.builder.compare.changes import ScopeChange
from klpfs.builder.compare.equivalence import FUNCTIONS
from klpfs.builder.compare.statements import depends, Leaf, reads_of, Scope


def derived(scope: Scope, run: "typing.Iterable[Leaf]", changed: "set[str]") -> "tuple[list[Leaf], list[Leaf]]":
    """(leaves to run again, functions whose defaults alone are others) of a scope, because of names that are others now.

    changed: grows by the names that the leaves to be run bind. Classes are the caller's: their bodies are scopes too.
    """
    chosen, todo = set(map(id, run)), True
    again, defaults = [], []
    while todo:
        todo = False
        for leaf in scope.leaves:
            if id(leaf) in chosen or leaf.kind == "class" or not depends(leaf, changed):
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


def acted_on(leaf: Leaf) -> "set[str]":
    """Plain names whose objects a statement changes: NAME.append(...), NAME[key] = ..., NAME.attribute = ..., NAME += ..."""
    found = set()
    todo = [leaf.node] if leaf.kind == "statement" else []
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) and isinstance(each.value.func, ast.Attribute):
            found |= _root(each.value.func.value)
        elif isinstance(each, ast.AugAssign):
            found |= _root(each.target)
        elif isinstance(each, (ast.Assign, ast.Delete)):
            for target in each.targets:
                if isinstance(target, (ast.Subscript, ast.Attribute)):
                    found |= _root(target.value)
        if not isinstance(each, FUNCTIONS + (ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(each)
    return found


def _root(node: ast.AST) -> "set[str]":
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def built_in_steps(change: ScopeChange) -> "tuple[set[str], list[Leaf]]":
    """Values that several statements make, one of which differs: (their names, all statements of NEW that make them).

    Made anew as a whole, they need nothing to be taken back. Tables that the program may have put entries into are left out:
    dicts, and what a call has made.
    """
    touched = set()
    for leaf in change.run + change.gone:
        touched |= acted_on(leaf)
    names = set()
    for name in touched:
        made = [[leaf for leaf in scope.leaves if name in leaf.binds and leaf.kind == "statement" and isinstance(
            leaf.node, (ast.Assign, ast.AnnAssign))] for scope in (change.old_scope, change.new_scope)]
        if all(len(each) == 1 and _in_plain_sight(each[0].node.value) for each in made):
            names.add(name)
    return names, [leaf for leaf in change.new_scope.leaves if leaf.kind == "statement" and (acted_on(leaf) | leaf.binds) & names]


def _in_plain_sight(node: typing.Optional[ast.expr]) -> bool:
    return isinstance(node, (ast.List, ast.Set, ast.Tuple, ast.ListComp, ast.SetComp, ast.BinOp, ast.Constant, ast.JoinedStr))
