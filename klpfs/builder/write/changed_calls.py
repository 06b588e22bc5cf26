"""Calls of functions that change, in what runs when the patch goes in: there the module still has OLD's functions.

    X = f(5)        is written as           def klp_new_f(a): ...       # NEW's f
                                            X = klp_new_f(5)

Functions on the way to a changed one are written down as well. Left as they are: functions with others in them, which
would live on as no function of the module's, and those whose defaults are made of names.
"""
from __future__ import annotations

import ast
import copy
from collections.abc import Iterable

from klpfs.builder.compare.statements import Statement
from klpfs.builder.plan.function_plans import is_literal
from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.read.source_text import Edit, replace, unparsed
from klpfs.builder.syntax import DEFINITIONS, FunctionNode, default_nodes, flavour, walk_outside

_PREFIX = "klp_new_"


class ChangedCalls:
    """plan: of a module; the statements that run when the patch goes in are known."""

    def __init__(self, plan: ModulePlan) -> None:
        self.work = plan.at_import
        known = {name: statement.node for name, statement in plan.change.new_scope.functions.items()
                 if _is_plain(statement.node) and statement not in plan.at_import.statements_to_run}
        changed = {func.name for func in plan.funcs if func.name in known}
        self.functions = _leading_to(changed, known)
        self.needed = self._reached()

    def _reached(self) -> list[str]:
        """The functions that statements call, themselves or through others; in NEW's order."""
        todo = [name for statement in self.work.statements_to_run for name in self._called(statement)]
        found: set[str] = set()
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += _calls(self.functions[name]) & self.functions.keys()
        return [name for name in self.functions if name in found]

    def _called(self, statement: Statement) -> set[str]:
        return {call.id for call in self._names(statement.node)} if statement.kind == "statement" else set()

    def _names(self, node: ast.AST) -> list[ast.Name]:
        """The names of the functions that a statement calls while it runs."""
        bound = self.work.bound_names
        return [call.func for call in walk_outside((*DEFINITIONS, ast.Lambda), node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
                and call.func.id in self.functions and call.func.id not in bound]

    def edits(self, node: ast.stmt) -> list[Edit]:
        """The edits of a statement's text that lead its calls to NEW's functions."""
        return [replace(name, _PREFIX + name.id) for name in self._names(node)]

    def led(self, node: ast.stmt) -> ast.stmt:
        """The same, done to a copy of the statement."""
        copied = copy.deepcopy(node)
        for name in self._names(copied):
            name.id = _PREFIX + name.id
        return copied

    def text(self, indent: int) -> str:
        """The definitions of NEW's functions."""
        parts = []
        for name in self.needed:
            node = copy.deepcopy(self.functions[name])
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and (
                        inner.func.id in _calls(self.functions[name]) & self.functions.keys()):
                    inner.func.id = _PREFIX + inner.func.id
            node.name, node.returns = _PREFIX + name, None
            for each in ast.walk(node.args):
                if isinstance(each, ast.arg):
                    each.annotation = None
            parts.append(f"{' ' * indent}# NEW's {name}: the module has OLD's as yet\n{unparsed(node, indent)}\n")
        return "".join(parts)


def _is_plain(node: FunctionNode) -> bool:
    """Whether a function gives its value at once, and leaves no part of itself behind."""
    inside = [inner for inner in ast.walk(node) if inner is not node]
    return (not node.decorator_list and flavour(node) == "function"
            and not any(isinstance(inner, (*DEFINITIONS, ast.Lambda, ast.GeneratorExp)) for inner in inside)
            and all(is_literal(default) for default in default_nodes(node.args).values()))


def _calls(node: FunctionNode) -> set[str]:
    """The names of the functions that a function calls, but for its own variables."""
    own = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    own |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
    return {call.func.id for call in ast.walk(node)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)} - own


def _leading_to(changed: Iterable[str], known: dict[str, FunctionNode]) -> dict[str, FunctionNode]:
    """The functions that are changed, or call one that does, itself or through others; in NEW's order."""
    found = set(changed)
    while True:
        more = {name for name, node in known.items() if name not in found and _calls(node) & found}
        if not more:
            return {name: node for name, node in known.items() if name in found}
        found |= more
