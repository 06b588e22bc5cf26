"""Members of a Flag whose values follow from the members beside them: 3.15 makes a negative value the complement among
the bits of all others, so a member that only NEW has gives unchanged ones another value."""
from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from klpfs.builder.compare.changes import ClassChange, ScopeChange
from klpfs.builder.compare.statements import Statement
from klpfs.builder.read.other_pythons import version_of
from klpfs.builder.syntax import last_name

FIRST = (3, 15)     # the first CPython that does


def changed_by_others(change: ScopeChange) -> Iterator[tuple[ClassChange, Statement]]:
    """The unchanged members of a module's Flags that are made of a negative number, as far as their text says so, where
    NEW has a member that OLD has not."""
    for scope in change.walk():
        if not isinstance(scope, ClassChange) or not any(last_name(base).endswith("Flag") for base in scope.new.bases):
            continue
        new = [statement for statement in scope.to_run
               if statement.assigns and not statement.binds & scope.old_scope.bound]
        for statement in scope.new_scope.statements if new else ():
            value = getattr(statement.node, "value", None)
            if statement.assigns and statement not in scope.to_run and value is not None and any(
                    isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert))
                    for node in ast.walk(value)):
                yield scope, statement


def any_inverts(pythons: Sequence[str]) -> bool:
    """Whether any of these interpreters makes complements. What does not answer is named where its definitions are
    asked for."""
    return any((version_of(python) or (0, 0)) >= FIRST for python in pythons)
