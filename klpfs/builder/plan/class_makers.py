"""Classes whose makers read what is written in them: a base or a metaclass makes fields, a validator, a table of it,
once, when the class is made. What changes of that is refused, for nothing makes it anew.

A maker that the text names is judged here; of a base whose class is not in the module the running program is asked
(klp.plain), so that what makes nothing is carried.
"""
from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from typing import Callable

from klpfs.builder.compare.annotations import HOLD_THE_FUNCTION
from klpfs.builder.compare.changes import ClassChange, same_class
from klpfs.builder.compare.equivalence import dump
from klpfs.builder.compare.statements import Statement, parse_scope
from klpfs.builder.plan.dataclass_fields import maker_of
from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, decorator_name, last_name, walk_outside

UNKNOWN = "?"
_NOT_DERIVED = {"NamedTuple", "runtime_checkable"}      # what derives from these is a class as any other
_MAKERS = frozenset(("NamedTuple", "TypedDict", "BaseModel", "BaseSettings", "RootModel", "GenericModel", "SQLModel",
                     "Struct"))
_MAKE_NOTHING = frozenset((
    *(name for name, value in vars(builtins).items() if isinstance(value, type)),
    "ABC", "ABCMeta", "Generic", "Protocol", "Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum", "EnumMeta",
    "EnumType"))


def maker(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> str:
    """The name of what reads the fields of a class; '' if nothing does, UNKNOWN if the text does not say. classes:
    those at the module's top level."""
    return _maker(node, classes, set())


def _maker(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: set[str]) -> str:
    if maker_of(node):
        return ""                       # a decorator: made anew
    found = {""}
    for base in node.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        name = last_name(base)
        if isinstance(base, ast.Name) and name in classes:
            if name not in seen:
                found |= {_maker(classes[name], classes, seen | {name})} - _NOT_DERIVED
                found.add(UNKNOWN if _has_hook(classes[name]) else "")
        elif name == "Protocol":
            found.add("runtime_checkable" if any(decorator_name(each).endswith("runtime_checkable")
                                                 for each in node.decorator_list) else "")
        else:
            found.add(name if name in _MAKERS else "" if name in _MAKE_NOTHING else UNKNOWN)
    for keyword in node.keywords:
        if keyword.arg != "metaclass" or last_name(keyword.value) not in _MAKE_NOTHING:
            found.add(UNKNOWN)
    named = sorted(found - {"", UNKNOWN})
    return named[0] if named else UNKNOWN if UNKNOWN in found else ""


def _has_hook(node: ast.ClassDef) -> bool:
    return any(isinstance(each, FUNCTIONS) and each.name == "__init_subclass__" for each in node.body)


def differing_fields(old: ast.ClassDef, new: ast.ClassDef, maker: str = "") -> dict[str, int]:
    """{annotated name of a class: its line in NEW, or the class's} of those that are new, gone, or differ in what a
    maker reads of them: annotation and value, if it has no name."""
    read = _READ.get(maker, lambda place, field: f"{ast.dump(field.annotation)} {dump(field.value)}")
    before, after = (_fields(node, read) for node in (old, new))
    return _differences(before, after, new)


def _fields(node: ast.ClassDef, read: Callable[[int, ast.AnnAssign], str]) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for place, field in enumerate(annotated_statements(node.body)):
        if isinstance(field.target, ast.Name):
            text, line = found.get(field.target.id, ("", field.lineno))
            found[field.target.id] = f"{text} has {read(place, field)}", line
    return found


# The types of a tuple's items are nothing to it, as those of a dict's
_READ: dict[str, Callable[[int, ast.AnnAssign], str]] = {
    "NamedTuple": lambda place, field: f"{place} {dump(field.value)}",
    "TypedDict": lambda place, field: str([word for word in re.findall(r"\w+", ast.unparse(field.annotation))
                                           if word in ("Required", "NotRequired", "ReadOnly")])}


def differing_members(old: ast.ClassDef, new: ast.ClassDef, maker: str) -> dict[str, int]:
    """{name: its line in NEW, or the class's} of all that differs and that a maker, given by its name, reads."""
    fields = {} if maker == "runtime_checkable" else differing_fields(old, new, maker)
    if maker in _READ:
        return fields
    return {**_differences(_members(old, maker), _members(new, maker), new), **fields}


def _differences(before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]],
                 new: ast.ClassDef) -> dict[str, int]:
    """{name: line} of the names that have another text, or that only one of the two has."""
    return {name: after.get(name, ("", new.lineno))[1] for name in {**before, **after}
            if before.get(name, ("",))[0] != after.get(name, ("",))[0]}


def _members(node: ast.ClassDef, maker: str) -> dict[str, tuple[str, int]]:
    """{name: (text that is equal where a maker sees no difference, line)}. Changed functions make no difference: makers
    hold the functions themselves."""
    found = {}
    for statement in parse_scope(node.body, True).statements:
        text = "" if maker == "runtime_checkable" else _text_for_models(statement)
        for name in sorted(statement.binds) if text is not None else ():
            if not (name[:2] == name[-2:] == "__"):
                found[name] = f"has {text}", statement.line
    return found


def _text_for_models(statement: Statement) -> str | None:
    """What pydantic and the like read of a statement, None: nothing. Of functions their decorators: validators."""
    node = statement.node
    if isinstance(node, FUNCTIONS):
        names = [decorator_name(each).rpartition(".")[2] for each in node.decorator_list]
        return None if HOLD_THE_FUNCTION.issuperset(names) else dump(node.decorator_list)
    return statement.key if statement.kind == "statement" or statement.binds == {"Config"} else None


def annotated_statements(body: list[ast.stmt]) -> Iterator[ast.AnnAssign]:
    """The annotated names of a body, conditions looked through, in source order."""
    found = [inner for node in body if not isinstance(node, DEFINITIONS)
             for inner in walk_outside((*DEFINITIONS, ast.Lambda), node) if isinstance(inner, ast.AnnAssign)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def pairs(old: list[ast.stmt], new: list[ast.stmt], prefix: str = "") -> Iterator[ClassChange]:
    """The classes that both versions of a body have, and those in them, each as a change in which nothing is."""
    before, after = parse_scope(old), parse_scope(new)
    for key, statement in after.classes.items():
        if key in before.classes:
            change = same_class(prefix + statement.node.name, before.classes[key].node, statement)
            yield change
            yield from pairs(change.old.body, change.new.body, f"{change.name}.")
