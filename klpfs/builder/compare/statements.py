"""The statements of a module's or a class's body, one by one: conditions around them looked through, with the names of
each."""
from __future__ import annotations

import ast
import copy
import re
from typing import Any, Callable, Union

from attrs import define, field

from klpfs.builder.compare.equivalence import dump, for_checkers
from klpfs.builder.compare.names_in_code import ANY, names_bound, names_changed_in_place, names_read
from klpfs.builder.syntax import (
    DEFINITIONS,
    DefinitionNode,
    FunctionNode,
    ImportNode,
    body_without_doc,
    decorator_name,
)
from klpfs.cpython.raw import first_line

ACCESSORS = ("setter", "deleter", "getter")
Compound = Union[ast.If, ast.Try, ast.With]
TELLS = re.compile(r"(^|[._])(warn|warning|debug|info|error|critical|exception|log|print)$")    # people, of something


@define(eq=False)
class Statement:
    """A statement that runs when a body runs; of an import, one of its names.

    kind: function, class, import, statement. key: equal for statements of two versions that mean the same, under the
    same conditions. binds: names that it gives a value. reads: names that it uses while it runs. alias: of an import.
    conditions: of a function, text of what stands around it, '' for nothing.
    """

    node: ast.stmt
    kind: str
    key: str
    binds: frozenset[str]
    reads: frozenset[str] = frozenset()
    alias: ast.alias | None = None
    conditions: str = ""

    @property
    def line(self) -> int:
        """The line that the statement begins on, decorators counted."""
        return first_line(self.node)

    @property
    def assigns(self) -> bool:
        """The statement is an assignment, annotated or not."""
        return self.kind == "statement" and isinstance(self.node, (ast.Assign, ast.AnnAssign))

    @property
    def is_lazy(self) -> bool:
        """The statement is a lazy import (3.15): it imports when somebody uses what it binds."""
        return bool(getattr(self.node, "is_lazy", 0))

    def used_any(self, names: set[str]) -> bool:
        """Whether the statement used any of these names when it ran."""
        return bool(self.reads & names or names and ANY in self.reads)

    def changes_in_place(self) -> set[str]:
        """Plain names whose objects the statement changes; none for imports and definitions."""
        return names_changed_in_place(self.node) if self.kind == "statement" else set()


class FunctionStatement(Statement):
    """A `def` statement."""

    __slots__ = ()
    node: FunctionNode


class ClassStatement(Statement):
    """A `class` statement."""

    __slots__ = ()
    node: ast.ClassDef


@define(eq=False)
class Scope:
    """The body of a module or a class. functions, classes: {pairing key: statement}, in order; a function's key is its
    name, with '.setter' and the like, and with a number where a name is defined more than once."""

    statements: list[Statement] = field(factory=list)
    functions: dict[str, FunctionStatement] = field(factory=dict)
    classes: dict[str, ClassStatement] = field(factory=dict)

    @property
    def bound(self) -> set[str]:
        """All names that the body binds."""
        return {name for statement in self.statements for name in statement.binds}

    def bound_behind(self, line: int) -> set[str]:
        """The names that statements behind a line bind."""
        return {name for statement in self.statements if statement.line > line for name in statement.binds}


def parse_scope(body: list[ast.stmt], fields: bool = False) -> Scope:
    """The statements of a body. fields: annotated names of this body mean something when it runs (a dataclass, a
    NamedTuple)."""
    scope = Scope()
    _Flattener(scope, fields).block(body_without_doc(body), "")
    for statement in scope.statements:
        if isinstance(statement, FunctionStatement):
            scope.functions[_free_key(scope.functions, pairing_name(statement.node))] = statement
        elif isinstance(statement, ClassStatement):
            scope.classes[_free_key(scope.classes, pairing_name(statement.node))] = statement
    return scope


def _free_key(table: dict[str, FunctionStatement] | dict[str, ClassStatement], name: str) -> str:
    key, number = name, 1
    while key in table:
        number += 1
        key = f"{name}#{number}"
    return key


def pairing_name(node: DefinitionNode) -> str:
    """'x.setter' of a property's setter, else the name of a definition."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Attribute) and decorator.attr in ACCESSORS:
            return f"{node.name}.{decorator.attr}"
    return node.name


class _Flattener:
    """Puts the statements of a body into a scope, by a method for every kind of node."""

    def __init__(self, scope: Scope, fields: bool) -> None:
        self.scope, self.fields = scope, fields

    def block(self, body: list[ast.stmt], conditions: str) -> None:
        """Adds the statements of a block. conditions: text of what stands around them, outermost first."""
        for node in body:
            _BY_KIND.get(type(node), _Flattener.plain)(self, node, conditions)

    def plain(self, node: ast.stmt, conditions: str) -> None:
        key = conditions + dump(without_messages(node), self.fields)
        self.scope.statements.append(Statement(node, "statement", key, frozenset(names_bound(node)),
                                               frozenset(names_read(node))))

    def nothing(self, node: ast.stmt, conditions: str) -> None:
        """A statement that leaves nothing behind."""

    def annotated(self, node: ast.AnnAssign, conditions: str) -> None:
        if node.value is not None or self.fields:
            self.plain(node, conditions)

    def expression(self, node: ast.Expr, conditions: str) -> None:
        if not isinstance(node.value, ast.Constant):
            self.plain(node, conditions)

    def function(self, node: FunctionNode, conditions: str) -> None:
        if not any(decorator_name(each).rpartition(".")[2] == "overload" for each in node.decorator_list):
            self.scope.statements.append(FunctionStatement(node, "function", conditions + dump(node),
                                                           frozenset((node.name,)), frozenset(names_read(node)),
                                                           conditions=conditions))

    def class_(self, node: ast.ClassDef, conditions: str) -> None:
        self.scope.statements.append(ClassStatement(node, "class", conditions + dump(node, True),
                                                    frozenset((node.name,)), frozenset(names_read(node))))

    def import_(self, node: ImportNode, conditions: str) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return
        source = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else None
        for alias in node.names:
            name = alias.asname or (alias.name if source is not None else alias.name.partition(".")[0])
            key = f"{conditions}import {source} {alias.name} {alias.asname}"
            self.scope.statements.append(Statement(node, "import", key, frozenset((name,)), alias=alias))

    def if_(self, node: ast.If, conditions: str) -> None:
        if for_checkers(node):
            self.block(node.orelse, conditions)
        elif not _is_script(node):
            self.compound(node, conditions)

    def compound(self, node: Compound, conditions: str) -> None:
        if not _has_definitions(node):
            self.plain(node, conditions)
            return
        self.block(node.body, conditions + _condition(node, "body"))
        for handler in getattr(node, "handlers", ()):
            kind = ast.dump(handler.type) if handler.type else ""
            self.block(handler.body, conditions + _condition(node, f"handlers:{kind}"))
        for name in ("orelse", "finalbody"):
            self.block(getattr(node, name, []), conditions + _condition(node, name))


_BY_KIND: dict[type, Callable[[_Flattener, Any, str], None]] = {
    ast.Pass: _Flattener.nothing, ast.Global: _Flattener.nothing,
    ast.AnnAssign: _Flattener.annotated, ast.Expr: _Flattener.expression,
    ast.FunctionDef: _Flattener.function, ast.AsyncFunctionDef: _Flattener.function, ast.ClassDef: _Flattener.class_,
    ast.Import: _Flattener.import_, ast.ImportFrom: _Flattener.import_,
    ast.If: _Flattener.if_, ast.Try: _Flattener.compound, ast.With: _Flattener.compound,
}


def without_messages(node: ast.stmt) -> ast.stmt:
    """A statement without what its handlers of exceptions tell people: whether they have run nobody knows, and what
    they said is said."""
    if not isinstance(node, ast.Try):
        return node
    node = copy.deepcopy(node)
    for handler in node.handlers:
        for inner in handler.body:
            if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call) and TELLS.search(
                    ast.unparse(inner.value.func)):
                inner.value.args, inner.value.keywords = [], []
    return node


def _is_script(node: ast.If) -> bool:
    """Whether a condition is `__name__ == "__main__"`: its block is no part of the module that the program imports."""
    test = node.test
    return isinstance(test, ast.Compare) and getattr(test.left, "id", None) == "__name__" and (
        isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value == "__main__")


def _condition(node: Compound, block: str) -> str:
    """Text of a compound statement and of one of its blocks."""
    if isinstance(node, ast.If):
        return f"if {ast.dump(node.test)} {block}: "
    if isinstance(node, ast.With):
        return f"with {dump([item.context_expr for item in node.items])}: "
    return f"try {block}: "


def _has_definitions(node: ast.AST) -> bool:
    inside = (inner for inner in ast.iter_child_nodes(node) if isinstance(inner, (ast.stmt, ast.excepthandler)))
    return isinstance(node, DEFINITIONS) or any(map(_has_definitions, inside))
