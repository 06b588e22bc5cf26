"""Equivalence of two pieces of syntax: they mean the same, whatever their comments, formatting, docstrings and
annotations."""
from __future__ import annotations

import ast
from typing import Any, Callable

from klpfs.builder.syntax import DEFINITIONS, body_without_doc, is_for_types, last_name


def field_kind(annotation: ast.expr) -> str:
    """The word of a field's annotation that decides how the field is made: that it is none, or only a parameter."""
    text = ast.unparse(annotation)
    return next((word for word in ("ClassVar", "InitVar", "KW_ONLY") if word in text), "")


def for_checkers(node: ast.stmt) -> bool:
    """A statement that type checkers alone look at: `if TYPE_CHECKING:`, or a bare annotation."""
    return is_for_types(node) or isinstance(node, ast.AnnAssign) and node.value is None


def dump(node: ast.AST | list[Any] | None, fields: bool = False) -> str:
    """Text that is equal for pieces of syntax that mean the same. fields: annotations of class attributes count."""
    dumper = _Dumper(fields)
    if isinstance(node, list):
        dumper.body(node)
    else:
        dumper.node(node)
    return "".join(dumper.parts)


def same(one: ast.AST | list[Any] | None, other: ast.AST | list[Any] | None, fields: bool = False) -> bool:
    """Whether two pieces of syntax mean the same. fields: as for dump()."""
    return dump(one, fields) == dump(other, fields)


_SKIPPED = frozenset(("type_comment", "returns", "ctx", "kind", "type_ignores", "annotation"))
_BODIES = frozenset(("body", "orelse", "finalbody"))


class _Dumper:
    """Text of syntax, in parts. What only type checkers and readers look at is left out: docstrings, annotations,
    casts."""

    def __init__(self, fields: bool) -> None:
        self.fields = fields
        self.parts: list[str] = []

    def node(self, node: Any) -> None:
        _BY_KIND.get(type(node), _Dumper.plain)(self, node)

    def body(self, nodes: list[Any]) -> None:
        self.parts.append("[")
        for node in nodes:
            if isinstance(node, ast.AnnAssign) and node.value is None and not self.fields or isinstance(node, ast.Pass):
                continue
            if isinstance(node, ast.If) and for_checkers(node):
                for statement in node.orelse:
                    self.node(statement)
                continue
            self.node(node)
            self.parts.append(";")
        self.parts.append("]")

    def constant(self, node: ast.Constant) -> None:
        self.parts.append(f"{type(node.value).__name__}:{node.value!r}")

    def name(self, node: ast.Name) -> None:
        self.parts.append(f"n:{node.id}")

    def call(self, node: ast.Call) -> None:
        if not node.keywords and len(node.args) == 2 and last_name(node.func) == "cast":
            self.node(node.args[1])
        else:
            self.plain(node)

    def annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not self.fields:
            self.node(ast.Assign([node.target], node.value))
        else:
            self.parts.append(field_kind(node.annotation))
            self.plain(node)

    def definition(self, node: Any) -> None:
        self.plain(node, documented=True)

    def plain(self, node: Any, documented: bool = False) -> None:
        """Adds the text of any node: its kind and all that is in it. documented: its body may begin with a
        docstring."""
        if not isinstance(node, ast.AST):
            self.parts.append(repr(node))
            return
        self.parts += (type(node).__name__, "(")
        for name in node._fields:
            if name not in _SKIPPED:
                value = getattr(node, name, None)
                if name in _BODIES and isinstance(value, list):
                    self.body(body_without_doc(value) if documented and name == "body" else value)
                else:
                    self.value(value)
                self.parts.append("," if value is not None else "")
        self.parts.append(")")

    def value(self, value: Any) -> None:
        """Adds the text of a node's field that is no body."""
        if value is None:
            self.parts.append("-")
        elif isinstance(value, list):
            self.parts.append("[")
            for node in value:
                self.node(node)
                self.parts.append(",")
            self.parts.append("]")
        elif isinstance(value, ast.AST):
            self.node(value)
        else:
            self.parts.append(repr(value))


_BY_KIND: dict[type, Callable[[_Dumper, Any], None]] = {
    ast.Constant: _Dumper.constant, ast.Name: _Dumper.name, ast.Call: _Dumper.call, ast.AnnAssign: _Dumper.annotated,
    **dict.fromkeys(DEFINITIONS, _Dumper.definition)}
