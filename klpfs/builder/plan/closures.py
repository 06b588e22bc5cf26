"""Functions in functions: which closures may be alive when the patch goes in, and what they need to run NEW's code.

A closure keeps the variables that it was made with. NEW's code for it may use them, and what can be computed from them
by the statements that stand before it in the function around it. """
from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from attrs import define

from klpfs.builder.compare.changes import function_differences
from klpfs.builder.compare.equivalence import dump
from klpfs.builder.compare.names_in_code import names_bound
from klpfs.builder.plan.machine_readers import reads_machine
from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, FunctionNode, flavour, last_name, parameter_names

_TABLES = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_TABLE_MAKERS = frozenset(("list", "dict", "set", "bytearray"))
_LOOKERS = frozenset("len list dict set tuple frozenset sorted min max sum any all isinstance bool str repr".split())
_LOOKING = frozenset("get items keys values index count copy isdisjoint issubset issuperset union".split())
_MAKERS = frozenset("object iter open count cycle deque defaultdict local socket next pop popitem".split())
_NOT_REPEATED = (ast.Await, ast.Yield, ast.YieldFrom, ast.Return) + DEFINITIONS     # in statements of a prelude


@define(eq=False)
class InnerFunction:
    """A function in a function. name: qualified. outer: the function that it lies in directly."""

    name: str
    node: FunctionNode
    outer: FunctionNode


def inner_functions(node: FunctionNode, name: str) -> list[InnerFunction]:
    """All functions in a function at any depth, in source order; lambdas left out."""
    found: list[InnerFunction] = []
    _collect(node.body, f"{name}.<locals>", node, found)
    return found


def _collect(body: Sequence[ast.stmt], path: str, outer: FunctionNode, found: list[InnerFunction]) -> None:
    for node in body:
        if isinstance(node, FUNCTIONS):
            name = f"{path}.{node.name}"
            found.append(InnerFunction(name, node, outer))
            _collect(node.body, f"{name}.<locals>", node, found)
        elif isinstance(node, ast.ClassDef):
            _collect(node.body, f"{path}.{node.name}", outer, found)
        else:
            for block in ("body", "orelse", "finalbody"):
                _collect(getattr(node, block, []), path, outer, found)
            for handler in getattr(node, "handlers", []) + getattr(node, "cases", []):
                _collect(handler.body, path, outer, found)


def pairs(old: FunctionNode, new: FunctionNode, name: str) -> list[tuple[InnerFunction, InnerFunction]]:
    """Inner functions of two versions, paired: the n-th of a name with the n-th, or all of OLD's with NEW's only
    one."""
    old_by_name, new_by_name = _by_name(inner_functions(old, name)), _by_name(inner_functions(new, name))
    found: list[tuple[InnerFunction, InnerFunction]] = []
    for key, before in old_by_name.items():
        after = new_by_name.get(key, [])
        if len(after) == 1:
            found += [(inner, after[0]) for inner in before]
        elif len(after) == len(before):
            found += list(zip(before, after))
        elif after:
            kept = {dump(inner.node) for inner in after}
            found += [(inner, after[-1]) for inner in before if dump(inner.node) not in kept]
    return found


def _by_name(functions: list[InnerFunction]) -> dict[str, list[InnerFunction]]:
    table: dict[str, list[InnerFunction]] = {}
    for inner in functions:
        table.setdefault(inner.name, []).append(inner)
    return table


def changed_pairs(old: FunctionNode, new: FunctionNode, name: str) -> list[tuple[InnerFunction, InnerFunction]]:
    """Pairs whose own code differs. Decorators and type parameters don't count: the outer function makes them."""
    return [(before, after) for before, after in pairs(old, new, name)
            if function_differences(before.node, after.node) - {"decorators", "type parameters"}]


def only_inner(old: FunctionNode, new: FunctionNode, name: str) -> bool:
    """Whether two functions differ in the bodies of inner functions alone, all of which are paired."""
    before, after = inner_functions(old, name), inner_functions(new, name)
    if [inner.name for inner in before] != [inner.name for inner in after]:
        return False
    if any(flavour(one.node) != flavour(other.node) for one, other in zip(before, after)):
        return False
    return dump(_hollow(old)) == dump(_hollow(new))


class _Hollow(ast.NodeTransformer):
    def visit_FunctionDef(self, node: FunctionNode) -> ast.AST:
        node.body = [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


def _hollow(node: FunctionNode) -> FunctionNode:
    """A copy of a function, in which inner functions have no bodies."""
    node = copy.deepcopy(node)
    node.body = [_Hollow().visit(statement) for statement in node.body]
    return node


def may_outlive_its_call(inner: InnerFunction) -> bool:
    """Whether a function object of an inner function can outlive the call that made it, as far as one can see: a
    decorator has it, it is a method, or the outer function does more with its name than call it."""
    if inner.node.decorator_list or "." in inner.name.rpartition(".<locals>.")[2]:
        return True
    own = set(ast.walk(inner.node))
    every = list(ast.walk(inner.outer))
    called = {node.func for node in every if isinstance(node, ast.Call)}
    neighbours = [node for node in every if isinstance(node, FUNCTIONS + (ast.Lambda,))
                  and node is not inner.outer and node is not inner.node]
    inside_neighbours = {node for neighbour in neighbours for node in ast.walk(neighbour)}
    uses = [node for node in every if isinstance(node, ast.Name) and node.id == inner.node.name
            and isinstance(node.ctx, ast.Load) and node not in own]
    return any(use not in called or use in inside_neighbours for use in uses)


def statements_before(body: list[ast.stmt], node: ast.AST) -> list[ast.stmt] | None:
    """The statements that have run when a statement of a function is reached; None: several ways lead to it."""
    for at, statement in enumerate(body):
        if statement is node:
            return body[:at]
        if any(inner is node for inner in ast.walk(statement)):
            blocks = []
            if isinstance(statement, ast.If):
                blocks = [statement.body, statement.orelse]
            elif isinstance(statement, ast.With):
                blocks = [statement.body]
            for block in blocks:
                found = statements_before(block, node)
                if found is not None:
                    return body[:at] + found
            return None
    return None


def prelude(inner: InnerFunction, missing: set[str], held: set[str]) -> list[ast.stmt] | None:
    """The statements of NEW's outer function that compute variables which live closures lack from those that they hold;
    of line 0 where they are no text of NEW's.

    None: they cannot be computed so.
    """
    outer = inner.outer
    before = statements_before(outer.body, inner.node)
    if before is None:
        return None
    local = parameter_names(outer.args)
    for statement in outer.body:
        local |= names_bound(statement)
    needed = set(missing)
    chosen: list[ast.stmt] = []
    for statement in reversed(before):
        binds = names_bound(statement)
        if not binds & needed:
            continue
        if any(isinstance(node, _NOT_REPEATED) for node in ast.walk(statement)) or _makes_state(statement, outer):
            return None
        needed -= binds
        needed |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
                   and isinstance(node.ctx, ast.Load) and node.id in local and node.id not in binds | held}
        kept = _without(held, statement) if binds & held else statement
        if names_bound(kept) & held:
            return None
        chosen.insert(0, kept)
    return None if needed else chosen


def _makes_state(statement: ast.stmt, outer: FunctionNode) -> bool:
    """Whether a statement makes what has a state or an identity, or what is another each time: a closure that makes it
    at each of its calls has not what its call of the outer function has made once. A table that nobody changes has
    neither."""
    nodes = list(ast.walk(statement))
    called = {node: last_name(node.func) for node in nodes if isinstance(node, ast.Call)}
    if any(name in _MAKERS or name[:1].isupper() for name in called.values()) or reads_machine([statement]):
        return True
    makes_table = any(isinstance(node, _TABLES) or isinstance(node, ast.Call) and called[node] in _TABLE_MAKERS
                      for node in nodes)
    return makes_table and not all(_is_only_read(name, outer) for name in names_bound(statement))


def _is_only_read(name: str, outer: FunctionNode) -> bool:
    """Whether a function, with those in it, does nothing with a table but look into it."""
    fine: set[ast.AST] = set()
    every = list(ast.walk(outer))
    for node in every:
        if isinstance(node, ast.Compare):
            fine.update(node.comparators if all(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops) else ())
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            fine.add(node.iter)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            fine.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LOOKERS:
            fine.update(node.args)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKING:
            fine.add(node.func.value)
    return all(node in fine for node in every
               if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Store)) and not any(
        isinstance(node, ast.AugAssign) and getattr(node.target, "id", "") == name for node in every)


class _Without(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Store) and node.id in self.names:
            return ast.Name(f"klp_{node.id}", node.ctx)
        return node


def _without(names: set[str], statement: ast.stmt) -> ast.stmt:
    """A copy of a statement that binds other names in the place of these: a closure has them already."""
    made: ast.stmt = _Without(names).visit(copy.deepcopy(statement))
    made.lineno = 0
    return made
