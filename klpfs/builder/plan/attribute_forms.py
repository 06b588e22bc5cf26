"""Attributes that have another type in NEW: a number that becomes a text. Old objects go on holding the old form, and
new code sees the new one, where constants of both versions stand for each other."""
from __future__ import annotations

import ast
from typing import Any

from attrs import field, frozen

_MAKERS = ("list", "dict", "set", "tuple", "deque", "OrderedDict", "defaultdict", "bytearray", "frozenset",
           "frozendict")
_DISPLAYS = {ast.List: "list", ast.Dict: "dict", ast.Set: "set", ast.Tuple: "tuple", ast.ListComp: "list",
             ast.DictComp: "dict", ast.SetComp: "set", ast.JoinedStr: "str",
             getattr(ast, "TemplateStr", None): "Template"}


@frozen
class Form:
    """How an attribute's old form becomes its new one. values: (old, new) constants. counts_rest: OLD's number is how
    much is left of NEW's text. why_not: the reason why it can't be translated, else ''."""

    values: list[tuple[Any, Any]] = field(factory=list)
    counts_rest: bool = False
    why_not: str = ""


def changed_form(old: ast.ClassDef, new: ast.ClassDef, name: str, before: ast.expr, after: ast.expr) -> Form | None:
    """The form of an attribute that the constructors of two versions set to `before` and `after`; None: of one type, as
    far as the text says."""
    old_type, new_type = _type_of(before), _type_of(after)
    if old_type == new_type or None in (old_type, new_type) or "None" in (old_type, new_type):
        return None
    was_and_is = f"'{name}' was {ast.unparse(before)} and is {ast.unparse(after)}"
    values = _pairs(old, new, name)
    if values is None or not (is_immutable(before) and is_immutable(after)):
        return Form(why_not=f"{was_and_is}: objects made before hold the old form")
    counts_rest = _consumed(old, new, name) and all(
        type(count) is int and isinstance(text, (str, bytes)) and len(text) == count for count, text in values)
    if not counts_rest and not _only_constants(new, name):
        return Form(why_not=f"{was_and_is}, and takes other values, too")
    return Form(values, counts_rest)


def is_immutable(node: ast.expr) -> bool:
    """The expression is a constant, or a tuple of constants."""
    try:
        hash(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def _type_of(node: ast.expr) -> str | None:
    """The type of an expression's value, as far as its text says."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return type(node.operand.value).__name__
    if isinstance(node, ast.Constant):
        return "None" if node.value is None else type(node.value).__name__
    if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        return name if name in _MAKERS else None
    return _DISPLAYS.get(type(node))


def _stores(node: ast.ClassDef, name: str) -> dict[str, list[ast.Assign]]:
    """{method: the statements `self.NAME = value` in it, in order}."""
    found: dict[str, list[ast.Assign]] = {}
    for method in node.body:
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ast.walk(method):
                if isinstance(inner, ast.Assign) and any(isinstance(target, ast.Attribute) and target.attr == name
                                                         for target in inner.targets):
                    found.setdefault(method.name, []).append(inner)
    for stores in found.values():
        stores.sort(key=lambda store: (store.lineno, store.col_offset))
    return found


def _pairs(old: ast.ClassDef, new: ast.ClassDef, name: str) -> list[tuple[Any, Any]] | None:
    """[(old constant, new constant)] of assignments that stand at the same place; None: they contradict each other."""
    new_stores = _stores(new, name)
    found: list[tuple[Any, Any]] = []
    for method, stores in _stores(old, name).items():
        before = [store.value for store in stores if is_immutable(store.value)]
        after = [store.value for store in new_stores.get(method, ()) if is_immutable(store.value)]
        if len(before) != len(after):
            return None
        found += [(ast.literal_eval(one), ast.literal_eval(other)) for one, other in zip(before, after)]
    unique = list(dict.fromkeys(found))
    if len({repr(one) for one, _ in unique}) != len(unique) or len({repr(other) for _, other in unique}) != len(unique):
        return None
    return unique


def _only_constants(node: ast.ClassDef, name: str) -> bool:
    """The class sets the attribute to constants alone."""
    return all(is_immutable(store.value) for stores in _stores(node, name).values() for store in stores) and not any(
        isinstance(inner, ast.AugAssign) and getattr(inner.target, "attr", None) == name for inner in ast.walk(node))


def _consumed(old: ast.ClassDef, new: ast.ClassDef, name: str) -> bool:
    """OLD counts down by what NEW cuts off the front: self.x -= N, self.x = self.x[N:]."""
    taken = [ast.dump(inner.value) for inner in ast.walk(old) if isinstance(inner, ast.AugAssign)
             and isinstance(inner.op, ast.Sub) and getattr(inner.target, "attr", None) == name]
    cut = []
    for stores in _stores(new, name).values():
        for store in stores:
            value = store.value
            if is_immutable(value):
                continue
            if not (isinstance(value, ast.Subscript) and getattr(value.value, "attr", None) == name
                    and isinstance(value.slice, ast.Slice) and value.slice.upper is None and value.slice.lower):
                return False
            cut.append(ast.dump(value.slice.lower))
    return bool(taken) and taken == cut
