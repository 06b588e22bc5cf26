"""Statements that have to run again because of others: when they ran, they used a name that NEW gives another value."""
from __future__ import annotations

import ast
from collections.abc import Iterable

from klpfs.builder.compare.changes import ScopeChange
from klpfs.builder.compare.names_in_code import names_read
from klpfs.builder.compare.statements import FunctionStatement, Scope, Statement


def dependent_statements(scope: Scope, to_run: Iterable[Statement],
                         changed: set[str]) -> tuple[list[Statement], list[FunctionStatement]]:
    """Statements that used a changed name when they ran, so they run again; and functions that only need new default
    values.

    to_run: statements that run anyway. changed: grows by the names that the dependent statements bind. Classes are left
    to the caller: their bodies are scopes, too. """
    chosen = set(to_run)
    again: list[Statement] = []
    new_defaults: list[FunctionStatement] = []
    found_more = True
    while found_more:
        found_more = False
        for statement in scope.statements:
            if statement in chosen or statement.kind == "class" or not statement.used_any(changed):
                continue
            if isinstance(statement, FunctionStatement) and not _decorators_use(statement, changed):
                if statement not in new_defaults:
                    new_defaults.append(statement)
                continue
            chosen.add(statement)
            again.append(statement)
            changed |= statement.binds
            found_more = True
    return again, [statement for statement in new_defaults if statement not in chosen]


def _decorators_use(statement: FunctionStatement, names: set[str]) -> bool:
    return any(names_read(decorator) & names for decorator in statement.node.decorator_list)


def rebound_names(change: ScopeChange) -> set[str]:
    """Names of a scope that have another value in NEW: bound by statements that run, where OLD bound them, too."""
    before = change.old_scope.bound
    return {name for statement in change.to_run for name in statement.binds if name in before}


def built_in_steps(change: ScopeChange) -> tuple[set[str], list[Statement]]:
    """Values that several statements make, one of which differs: (their names, all statements of NEW that make them).

    Made anew as a whole, they need nothing to be taken back. Tables that the program may have put entries into are left
    out: dicts, and what a call has made. """
    touched: set[str] = set()
    for statement in change.to_run + change.gone:
        touched |= statement.changes_in_place()
    names = {name for name in touched
             if _made_in_plain_sight(change.old_scope, name) and _made_in_plain_sight(change.new_scope, name)}
    return names, [statement for statement in change.new_scope.statements
                   if statement.kind == "statement" and (statement.changes_in_place() | statement.binds) & names]


def _made_in_plain_sight(scope: Scope, name: str) -> bool:
    """Whether exactly one assignment makes a name's first value, of a kind that the program puts nothing into by
    itself."""
    made = [statement.node for statement in scope.statements if name in statement.binds and statement.assigns]
    return len(made) == 1 and isinstance(getattr(made[0], "value", None), (
        ast.List, ast.Set, ast.Tuple, ast.ListComp, ast.SetComp, ast.BinOp, ast.Constant, ast.JoinedStr))
