"""Code of a livepatch that lives on when the patch is gone: closures, instances of its classes, generators, running
threads.

They were made while it was in force, and keep the side that they are of. What they use by name of what the patch had
added to the module stays in the module for them.
"""
from __future__ import annotations

import gc
from types import CodeType, FunctionType

from klpfs.cpython import interpreters
from klpfs.cpython.looks import suspended, threads
from klpfs.cpython.raw import MARK, SUSPENDS, inner, type_dict
from klpfs.cpython.resolve.live_functions import functions_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any



def needed(run: FunctionType, namespace: dict[str, Any], added: dict[str, Any]) -> set[str]:
    """The names in `added` that code of the livepatch which lives on may use. run: ImportTime's function; its file is
    the livepatch's. namespace: of the patched module. added: {name: value} of what is to be taken away."""
    path = run.__code__.co_filename
    classes = [value for value in added.values() if isinstance(value, type)]
    try:
        todo = _closures(run, namespace, path) + _running(run, path)
    except interpreters.Apart:
        return set(added)               # what runs can't be seen
    for cls in _with_instances(classes):
        todo += _methods(cls, path)
    used: set[str] = set()
    names: set[str] = set()
    seen: set[int] = set()
    while todo:
        code = todo.pop()
        if id(code) in seen:
            continue
        seen.add(id(code))
        used.update(code.co_names)
        todo += inner(code)
        for name in used & added.keys() - names:
            names.add(name)
            value = added[name]
            if isinstance(value, type):
                todo += _methods(value, path)
            else:
                todo += [code for code in (_code(value, path),) if code is not None]
    return names


def _closures(run: FunctionType, namespace: dict[str, Any], path: str) -> list[CodeType]:
    """Codes of closures and lambdas that new code has made; not those of `run` itself, which the patch has put into
    place."""
    own = run.__qualname__ + ".<locals>."
    return [fn.__code__ for fn in functions_of([namespace])
            if fn.__code__.co_filename == path and "<locals>" in fn.__qualname__ and not fn.__qualname__.startswith(own)
            and not hasattr(fn, MARK)]


def _running(run: FunctionType, path: str) -> list[CodeType]:
    """Codes of the file that a thread is in, or that are suspended."""
    codes = [code for _, stack in threads.lines(tuple(threads.idents())) for code, _ in stack
             if code.co_filename == path]
    suspendable = [code for code in _tree(run.__code__) if code.co_flags & SUSPENDS]
    if suspendable:
        running: list[int] = []
        _, references, _ = suspended.find(suspendable, None, None, running)
        if running or any(suspended.has_frame(reference) for reference in references):
            codes += suspendable
    return codes


def _tree(code: CodeType) -> list[CodeType]:
    """A code and all that lie in it."""
    codes = [code]
    for inner_code in inner(code):
        codes += _tree(inner_code)
    return codes


def _with_instances(classes: Sequence[type]) -> list[type]:
    """The classes among some that have instances, themselves or by a class under them."""
    if not classes:
        return []
    family: dict[int, list[type]] = {}      # id(class under some of them) -> which of them
    for cls in classes:
        todo = [cls]
        while todo:
            subclass = todo.pop()
            family.setdefault(id(subclass), []).append(cls)
            todo += type.__subclasses__(subclass)
    alive = {}
    for kind in set(map(id, map(type, gc.get_objects()))) & family.keys():
        for cls in family[kind]:
            alive[id(cls)] = cls
    return list(alive.values())


def _methods(cls: type, path: str) -> list[CodeType]:
    """Codes of the livepatch's file that a class's own attributes run."""
    codes = []
    for value in list(type_dict(cls).values()):
        for function in (value, *(getattr(value, name, None) for name in ("fget", "fset", "fdel"))):
            code = _code(function, path)
            if code is not None:
                codes.append(code)
    return codes


def _code(value: Any, path: str) -> CodeType | None:
    """The code of a function of the livepatch's file, behind what wraps it."""
    while True:
        code = value.__code__ if type(value) is FunctionType else None
        if type(code) is CodeType and code.co_filename == path:
            return code
        if type(value) is FunctionType:
            value = value.__dict__.get("__wrapped__")
        elif isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        else:
            value = getattr(value, "__wrapped__", None)
        if value is None:
            return None
