"""Functions in functions: which closures may be alive when the patch goes in, and what they need to run NEW's code.

A closure keeps the variables that it was made with. NEW's code for it may use them, and what can be computed from them by
the statements that stand before it in the function around it.
"""
import ast
import copy
import typing

from attrs import define

from klpfs.builder.compare.changes import function_differences
from klpfs.builder.compare.equivalence import dump, flavour, FUNCTIONS
from klpfs.builder.compare.statements import bound_by


@define(eq=False)
class Inner:
    """A function in a function. name: qualified. outer: the function that it lies in directly."""

    name: str
    node: ast.AST
    outer: ast.AST


def inner_functions(node: ast.AST, name: str) -> "list[Inner]":
    """All functions in a function at any depth, in source order; lambdas left out."""
    found: "list[Inner]" = []
    _collect(node.body, f"{name}.<locals>", node, found)
    return found


def _collect(body: list, path: str, outer: ast.AST, found: "list[Inner]") -> None:
    for each in body:
        if isinstance(each, FUNCTIONS):
            name = f"{path}.{each.name}"
            found.append(Inner(name, each, outer))
            _collect(each.body, f"{name}.<locals>", each, found)
        elif isinstance(each, ast.ClassDef):
            _collect(each.body, f"{path}.{each.name}", outer, found)
        elif isinstance(each, ast.stmt):
            for name in ("body", "orelse", "finalbody"):
                _collect(getattr(each, name, []), path, outer, found)
            for handler in getattr(each, "handlers", []) + getattr(each, "cases", []):
                _collect(handler.body, path, outer, found)


def pairs(old: ast.AST, new: ast.AST, name: str) -> "list[tuple[Inner, Inner]]":
    """Inner functions of both versions that are each other's: the n-th of a name, or all of OLD where NEW has one."""
    was: "dict[str, list[Inner]]" = {}
    now: "dict[str, list[Inner]]" = {}
    for table, node in ((was, old), (now, new)):
        for each in inner_functions(node, name):
            table.setdefault(each.name, []).append(each)
    found = []
    for key, before in was.items():
        after = now.get(key, [])
        if len(after) == 1:
            found += [(each, after[0]) for each in before]
        elif len(after) == len(before):
            found += list(zip(before, after))
        else:
            kept = {dump(each.node) for each in after}
            found += [(each, after[-1]) for each in before if dump(each.node) not in kept and after]
    return found


def changed_pairs(old: ast.AST, new: ast.AST, name: str) -> "list[tuple[Inner, Inner]]":
    """Those whose own code differs; decorators are the outer function's doing."""
    return [(one, other) for one, other in pairs(old, new, name) if function_differences(one.node, other.node) - {"decorators"}]


def only_inner(old: ast.AST, new: ast.AST, name: str) -> bool:
    """The functions differ in the bodies of inner functions alone, each of which has its counterpart."""
    before, after = inner_functions(old, name), inner_functions(new, name)
    if [each.name for each in before] != [each.name for each in after]:
        return False
    if any(flavour(one.node) != flavour(other.node) for one, other in zip(before, after)):
        return False
    return dump(_hollow(old)) == dump(_hollow(new))


class _Hollow(ast.NodeTransformer):
    def visit_FunctionDef(self, node):
        node.body = [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


def _hollow(node: ast.AST) -> ast.AST:
    node = copy.deepcopy(node)
    node.body = [_Hollow().visit(each) for each in node.body]
    return node


def escapes(inner: Inner) -> bool:
    """Whether a function object of it can outlive the call that made it, as far as one can see."""
    if inner.node.decorator_list or "." in inner.name.rpartition(".<locals>.")[2]:
        return True
    calls = set()
    own = set(ast.walk(inner.node))
    for each in ast.walk(inner.outer):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            calls.add(id(each.func))
    others = [each for each in ast.walk(inner.outer) if isinstance(each, FUNCTIONS + (ast.Lambda,)) and each is not inner.outer]
    inside = {id(one) for each in others if each is not inner.node for one in ast.walk(each)}
    for each in ast.walk(inner.outer):
        if isinstance(each, ast.Name) and each.id == inner.node.name and isinstance(each.ctx, ast.Load) and each not in own:
            if id(each) not in calls or id(each) in inside:
                return True
    return False


def statements_before(body: list, node: ast.AST) -> typing.Optional[list]:
    """What has run, when a statement of a function is reached, in order; None: it may have been reached in other ways."""
    for at, each in enumerate(body):
        if each is node:
            return body[:at]
        if any(one is node for one in ast.walk(each)):
            blocks = [each.body, each.orelse] if isinstance(each, ast.If) else [each.body] if isinstance(each, ast.With) else []
            for block in blocks:
                found = statements_before(block, node)
                if found is not None:
                    return body[:at] + found
            return None
    return None


def prelude(inner: Inner, missing: "set[str]", held: "set[str]") -> typing.Optional[list]:
    """The statements of NEW's outer function that compute variables which live closures lack from those that they hold.

    None: they cannot be computed so.
    """
    outer = inner.outer
    before = statements_before(outer.body, inner.node)
    if before is None:
        return None
    local = {each.arg for each in ast.walk(outer.args) if isinstance(each, ast.arg)}
    for each in outer.body:
        local |= bound_by(each)
    needed, chosen = set(missing), []
    for each in reversed(before):
        binds = bound_by(each) & needed
        if not binds:
            continue
        if any(isinstance(one, (ast.Await, ast.Yield, ast.YieldFrom, ast.Return) + FUNCTIONS + (ast.ClassDef,)) for one in ast.walk(each)):
            return None
        chosen.insert(0, each)
        needed -= binds
        needed |= {one.id for one in ast.walk(each) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and one.id in local
                   and one.id not in bound_by(each)}
    return chosen if needed & local <= held and not needed - local else None
