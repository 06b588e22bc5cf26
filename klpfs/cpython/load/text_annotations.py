"""Annotations that are texts, in classes that dataclasses makes in new code.

dataclasses looks a text's first name up in the module that the class says it is of: the patched one for a new function,
and none for what the file itself makes, since a livepatch is in sys.modules under no name. There a ClassVar, an InitVar
or KW_ONLY that the livepatch file imports is not found, and what it marks becomes a field, in silence; up to 3.14 each
text raises AttributeError where there is no module. Source: dataclasses._is_type(), up to 3.14; from 3.15 on
_get_type_from_annotation(), which follows any attributes.
"""
from __future__ import annotations

import ast
import re
import sys

from klpfs.cpython.raw import isinstance_of, object_dict, type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Names = Callable[[str], Any]

_NEEDS_MODULE = sys.version_info < (3, 15)
_NAMES = re.compile(r"\s*((?:\w+\s*\.)?\s*\w+)" if _NEEDS_MODULE else r"\s*(\w+(?:\s*\.\s*\w+)*)")

_MARKS = ("typing", "ClassVar"), ("dataclasses", "InitVar"), ("dataclasses", "KW_ONLY")


def are_there(tree: ast.AST) -> bool:
    """Whether a file has classes that `misread` would look at: decorated ones."""
    return any(isinstance(node, ast.ClassDef) and node.decorator_list for node in ast.walk(tree))


def misread(node: ast.AST, future: bool, names: Names,
            module: dict[str, Any] | None) -> tuple[ast.ClassDef, str] | None:
    """The first class in a statement with an annotation that dataclasses would misread, and the text; None: there is
    none. future: all annotations are texts. names: the value of a global name of the code. module: the dict of the
    module that such classes say they are of; None: they say they are of the livepatch.

    Only decorated classes are looked at, and annotations that are written as texts: what makes a class a dataclass
    otherwise is not seen, nor what makes a text of an expression.
    """
    for cls in ast.walk(node):
        if isinstance(cls, ast.ClassDef) and cls.decorator_list:
            nowhere = module is None and _NEEDS_MODULE and any(
                _decorator(each, names) is _of("dataclasses", "dataclass") for each in cls.decorator_list)
            for text in _texts(cls, future):
                found = _NAMES.match(text)
                path = [each.strip() for each in found[1].split(".")] if found is not None else []
                if path and (nowhere or _mark(path, names) is not _mark(path, (module or {}).get)):
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


def _mark(path: list[str], names: Names) -> Any:
    """What a text's names mark, where global names have these values: ClassVar, InitVar or KW_ONLY; None: nothing."""
    value = _named(path, names)
    for home, name in _MARKS:
        mark = _of(home, name)
        if mark is not None and (value is mark or _is_one_of(value, mark)) and (
                len(path) == 1 or not _NEEDS_MODULE or names(path[0]) is sys.modules[home]):
            return mark
    return None


def _is_one_of(value: Any, mark: Any) -> bool:
    """Whether a value is a mark with a type: ClassVar[int], InitVar[int]."""
    return type(value) is mark or type(value) is _of("typing", "_GenericAlias") and (
        object_dict(value).get("__origin__") is mark)


def _named(path: list[str], names: Names) -> Any:
    """What these names, joined by dots, lead to, as far as that can be told without running code of the program's."""
    value: Any = names(path[0])
    for name in path[1:]:
        if isinstance_of(value, (type,)):
            dicts = [type_dict(base) for base in type_mro(value)]
        else:
            dicts = [object_dict(value), *map(type_dict, type_mro(type(value)))]
        value = next((found[name] for found in dicts if name in found), None)
    return value


def _decorator(node: ast.AST, names: Names) -> Any:
    """What a decorator is, as far as that can be told without running it."""
    text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
    return _named(text.split("."), names) if re.fullmatch(r"\w+(\.\w+)*", text) else object()


def _of(module: str, name: str) -> Any:
    """What the program has imported, if it has."""
    return getattr(sys.modules.get(module), name, None)
