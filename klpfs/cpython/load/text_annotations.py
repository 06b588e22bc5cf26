"""Annotations that are texts, in classes that dataclasses makes in new code.

dataclasses looks a text's first name up in the module that the class says it is of: the patched one for a new function,
and none for what the file itself makes, since a livepatch is in sys.modules under no name. There a ClassVar, an InitVar
or KW_ONLY that the livepatch file imports is not found, and what it marks becomes a field, in silence; up to 3.14 each
text raises AttributeError where there is no module. Source: dataclasses._is_type().
"""
from __future__ import annotations

import ast
import re
import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_FIRST_NAMES = re.compile(r"^(?:\s*(\w+)\s*\.)?\s*(\w+)")        # as dataclasses has it
_NEEDS_MODULE = sys.version_info < (3, 15)


def are_there(tree: ast.AST) -> bool:
    """Whether a file has classes that `misread` would look at: decorated ones."""
    return any(isinstance(node, ast.ClassDef) and node.decorator_list for node in ast.walk(tree))


def misread(node: ast.AST, future: bool, own: frozenset[str], namespace: dict[str, Any],
            module: dict[str, Any] | None) -> tuple[ast.ClassDef, str] | None:
    """The first class in a statement with an annotation that dataclasses would misread, and the text; None: there is
    none. future: all annotations are texts. own: names of the livepatch file, as its code has them; namespace: its
    dict. module: the dict of the module that such classes say they are of; None: they say they are of the livepatch.

    Only decorated classes are looked at: what makes a class a dataclass otherwise is not seen.
    """
    for cls in ast.walk(node):
        if isinstance(cls, ast.ClassDef) and cls.decorator_list:
            nowhere = module is None and _NEEDS_MODULE and any(
                _value(decorator, namespace) is _of("dataclasses", "dataclass") for decorator in cls.decorator_list)
            for text in _texts(cls, future):
                found = _FIRST_NAMES.match(text)
                if found is not None and (nowhere or _is_mark(found, own, namespace, module)):
                    return cls, text
    return None


def _texts(cls: ast.ClassDef, future: bool) -> Iterator[str]:
    """The annotations of a class's block that are texts."""
    todo: list[ast.AST] = list(cls.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if future:
                yield ast.unparse(node.annotation)
            elif isinstance(node.annotation, ast.Constant) and isinstance(node.annotation.value, str):
                yield node.annotation.value
        todo += ast.iter_child_nodes(node)


def _is_mark(found: re.Match[str], own: frozenset[str], namespace: dict[str, Any],
             module: dict[str, Any] | None) -> bool:
    """Whether a text's first names are the file's for a mark of a dataclass, and not the module's for the same."""
    marks = [_of("typing", "ClassVar"), _of("dataclasses", "InitVar"), _of("dataclasses", "KW_ONLY")]
    if (found[1] or found[2]) not in own:
        return False
    value = _named(found, namespace)
    return any(value is mark for mark in marks if mark is not None) and (
        module is None or _named(found, module) is not value)


def _named(found: re.Match[str], namespace: dict[str, Any]) -> Any:
    if not found[1]:
        return namespace.get(found[2])
    around = namespace.get(found[1])
    return around.__dict__.get(found[2]) if type(around) is ModuleType else None


def _value(node: ast.AST, namespace: dict[str, Any]) -> Any:
    """What a decorator is, as far as that can be told without running it."""
    if isinstance(node, ast.Call):
        node = node.func
    found = _FIRST_NAMES.fullmatch(ast.unparse(node))
    return object() if found is None else _named(found, namespace)


def _of(module: str, name: str) -> Any:
    """What the program has imported, if it has."""
    return getattr(sys.modules.get(module), name, None)
