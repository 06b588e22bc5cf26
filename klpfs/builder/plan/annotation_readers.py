"""Code that looks at annotations when it is called: `typing.get_type_hints(C)`, `C.__annotations__`.

No livepatch carries the annotations of classes and modules, and of functions that differ in nothing else. Where code
near by reads them, in the module itself, in one that it imports from, or in one that imports it, they are refused.
"""
from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Union

from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, FunctionNode, decorator_name, last_name

_Function = Union[FunctionNode, ast.Lambda]

_WORDS = frozenset(("__annotations__", "get_type_hints", "get_annotations", "__annotate__", "__annotate_func__",
                    "call_annotate_function"))
_AT_IMPORT = frozenset(("__init_subclass__", "__set_name__"))
_METACLASSES = frozenset(("type", "ABCMeta", "EnumMeta", "EnumType"))
_MAKES_CLASSES = frozenset(("__new__", "__init__", "__prepare__"))
_MENTION = re.compile(rb"\b(__annotations__|get_type_hints|get_annotations|__annotate\w*|call_annotate\w*|signature)\b")


def may_read(text: bytes) -> bool:
    """Whether it is worth to look into a module's text."""
    return _MENTION.search(text) is not None


def reads_annotations(tree: ast.Module, decorators: Collection[str] = ()) -> int:
    """The first line of a module's functions that reads annotations of objects; 0: none does. What reads them at import
    alone is of no account, for what it has made of them is compared, or refused: a body, what is one of `decorators`,
    what makes classes."""
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
    """The syntax of functions that run when they are called, those left out that run when a class is made: decorators,
    methods of metaclasses, hooks of bases, and what nothing but these calls."""
    makers, others = _functions(tree, {*decorators, *_AT_IMPORT})
    inside, everywhere = _loaded(makers), _loaded([tree])
    helpers = {name for name, count in inside.items() if everywhere[name] == count}
    for node in others:
        if isinstance(node, ast.Lambda) or node.name not in helpers:
            yield from ast.walk(node)


def _functions(tree: ast.Module, at_import: set[str]) -> tuple[list[_Function], list[_Function]]:
    """(the functions that run when a class is made, all others) of a module, without those that are in functions."""
    makers: list[_Function] = []
    others: list[_Function] = []
    todo: list[ast.AST] = [tree]
    while todo:
        outer = todo.pop()
        names = at_import
        if isinstance(outer, ast.ClassDef) and any(last_name(base) in _METACLASSES for base in outer.bases):
            names = at_import | _MAKES_CLASSES
        for node in ast.iter_child_nodes(outer):
            if not isinstance(node, (*FUNCTIONS, ast.Lambda)):
                todo.append(node)
            elif isinstance(node, ast.Lambda) or node.name not in names:
                others.append(node)
            else:
                makers.append(node)
    return makers, others


def _loaded(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is looked up."""
    return Counter(inner.id for node in nodes for inner in ast.walk(node)
                   if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load))


def _words(node: ast.AST) -> Iterable[str]:
    """The names that a piece of syntax looks up; what it binds or imports is no look-up."""
    if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        yield node.id if isinstance(node, ast.Name) else node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
