"""The fields of dataclasses and attrs classes, as a class's text describes them, and what old objects have for a new
field."""
from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, Callable

from klpfs.builder.plan.attribute_uses import uses
from klpfs.builder.syntax import decorator_name, last_name

_ATTRS = ("define", "frozen", "mutable", "attrs", "s", "attributes", "dataclass")
_FALSY = {"bool": "False", "int": "0", "float": "0.0", "str": "''", "bytes": "b''"}


def maker_of(node: ast.ClassDef) -> str:
    """'dataclass' or 'attrs': the decorator that makes methods of the fields; '' without any."""
    for decorator in node.decorator_list:
        name = decorator_name(decorator)
        last = name.rpartition(".")[2]
        if last == "dataclass" and not name.startswith("attr"):
            return "dataclass"
        if last in _ATTRS and (last != "s" or name in ("attr.s", "attrs.s")):
            return "attrs"
    return ""


def may_have_fields(node: ast.ClassDef) -> bool:
    """A decorator of the class has any of the words that make fields, wherever."""
    names = {last_name(inner) for decorator in node.decorator_list for inner in ast.walk(decorator)}
    return bool(names & {"dataclass", "define", "frozen", "mutable", "attrs", "attr"})


def annotated(node: ast.ClassDef) -> dict[str, ast.AnnAssign]:
    """{name: its statement} of the annotated names of a class block, ClassVars left out."""
    return {statement.target.id: statement for statement in node.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            and "ClassVar" not in ast.unparse(statement.annotation)}


def statement_text(field: ast.AnnAssign) -> str:
    """The text of what a decorator reads of a field's statement."""
    return f"{ast.unparse(field.annotation)} = {field.value and ast.unparse(field.value)}"


def shape(field: ast.AnnAssign) -> tuple[str, str | None]:
    """The text of a field's statement, without the name: equal for a field that has a new name."""
    return ast.dump(field.annotation), None if field.value is None else ast.dump(field.value)


# ---------------------------------------------------------------------------- field(...), attr.ib(...), Factory(...)

def is_described(value: ast.expr | None) -> bool:
    """A field's value is a description, field(...), attr.ib(...), Factory(...), not the default itself."""
    return isinstance(value, ast.Call) and last_name(value.func) in ("field", "ib", "attrib", "Factory")


def has_default(value: ast.expr | None) -> bool:
    """Whether a field has a default: its value, or what its description says."""
    if not isinstance(value, ast.Call) or not is_described(value):
        return value is not None
    return last_name(value.func) == "Factory" or keyword(value, "default", "default_factory", "factory") is not None


def default_of(value: ast.expr | None) -> ast.expr | None:
    """The value that a description gives to a new object's field, as an expression; None: it gives none."""
    if not isinstance(value, ast.Call):
        return None
    if last_name(value.func) == "Factory":
        return ast.Call(value.args[0], [], []) if len(value.args) == 1 and not value.keywords else None
    factory, default = keyword(value, "default_factory", "factory"), keyword(value, "default")
    if factory is not None:
        made: ast.expr | None = ast.Call(factory, [], [])
    else:
        made = default_of(default) if is_described(default) else default
    converter = keyword(value, "converter")
    return made if converter is None or made is None else ast.Call(converter, [made], [])


def falsy_default(field: ast.AnnAssign, name: str, readers: Callable[[str], Iterable[ast.Module]]) -> ast.expr | None:
    """The value that says no, for a field of which code only ever asks whether it is true; None for any other field."""
    text = ast.unparse(field.annotation)
    falsy = _FALSY.get(text.strip("'\"")) or ("None" if "Optional[" in text or "None" in text.split(" | ") else None)
    found = uses(readers(name), name)
    return ast.parse(falsy, mode="eval").body if falsy is not None and found and all(found) else None


def keyword(node: ast.AST | None, *names: str) -> ast.expr | None:
    """The value that a call has for the first keyword of these names."""
    if isinstance(node, ast.Call):
        for argument in node.keywords:
            if argument.arg in names:
                return argument.value
    return None


def flag(node: ast.AST | None, name: str) -> Any:
    """The constant that a call has for a keyword; None without it."""
    for argument in getattr(node, "keywords", ()):
        if argument.arg == name and isinstance(argument.value, ast.Constant):
            return argument.value.value
    return None
