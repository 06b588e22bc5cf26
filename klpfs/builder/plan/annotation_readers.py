"""Code that looks at annotations when it is called: `typing.get_type_hints(C)`, `C.__annotations__`.

No livepatch carries the annotations of classes and modules, and of functions that differ in nothing else. Where code
near by reads them, in the module itself, in one that it imports from, or in one that imports it, they are refused.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator

from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, decorator_name

_WORDS = frozenset(("__annotations__", "get_type_hints", "get_annotations", "__annotate__", "__annotate_func__",
                    "call_annotate_function"))
_MENTION = re.compile(rb"\b(__annotations__|get_type_hints|get_annotations|__annotate\w*|call_annotate\w*|signature)\b")


def may_read(text: bytes) -> bool:
    """Whether it is worth to look into a module's text."""
    return _MENTION.search(text) is not None


def reads_annotations(tree: ast.Module, decorators: Collection[str] = ()) -> int:
    """The first line of a module's functions that reads annotations of objects; 0: none does. What reads them at import
    alone is of no account, for what it has made of them is compared: a body, a function that is one of `decorators`."""
    lines: list[int] = []
    asked: list[int] = []       # where a signature's parameter is asked for its annotation
    by_signature = False
    for node in _at_calls(tree, decorators):
        words = set(_words(node))
        if words & _WORDS:
            lines.append(node.lineno)       # type: ignore[attr-defined]
        by_signature = by_signature or "signature" in words
        if isinstance(node, ast.Attribute) and node.attr in ("annotation", "return_annotation"):
            asked.append(node.lineno)
    return min(lines + (asked if by_signature else []), default=0)


def decorators_of(tree: ast.Module) -> set[str]:
    """The last names of all decorators of a module."""
    return {decorator_name(each).rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, DEFINITIONS)
            for each in node.decorator_list}


def _at_calls(tree: ast.Module, decorators: Collection[str]) -> Iterator[ast.AST]:
    """The syntax of functions that run when they are called, those left out that are decorators."""
    todo: list[ast.AST] = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if not isinstance(node, (*FUNCTIONS, ast.Lambda)):
                todo.append(node)
            elif isinstance(node, ast.Lambda) or node.name not in decorators:
                yield from ast.walk(node)


def _words(node: ast.AST) -> Iterable[str]:
    """The names that a piece of syntax looks up; what it binds or imports is no look-up."""
    if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        yield node.id if isinstance(node, ast.Name) else node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
