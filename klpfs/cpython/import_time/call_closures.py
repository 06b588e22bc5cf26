"""Closures that a livepatch can't give its code, since they lack what the code needs: none of them may be alive when
the new version is in force.

Most live as long as the call that made them. The new version's calls make new ones, so there is nothing to be done
where none is alive. One that is alive while no call of the function that makes it is under way would run the old code
for ever: the livepatch is refused at its load. While there is such a call, its closures are tasks in the way of the
transition, until the last is gone.
"""
from __future__ import annotations

import sys
from errno import EBUSY

from klpfs.cpython import interpreters
from klpfs.cpython.looks import suspended, threads
from klpfs.cpython.looks.collection import COLLECTING
from klpfs.cpython.raw import MARK, SUSPENDS
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.engine.target import Blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FunctionType
    from typing import Any

    Closure = tuple[str, int]       # qualified name, the first line of its definition in the old version

_HAS_QUALNAME = sys.version_info >= (3, 11)


def refuse(module: str | None, namespace: dict[str, Any], closures: Iterable[Closure], path: str) -> None:
    """OSError EBUSY: a closure of these is alive, and no call of the function that makes it is under way. path: of the
    livepatch's file, whose own closures count for nothing."""
    closures = tuple(closures)
    if not closures:
        return
    functions = functions_of([namespace])
    for closure in closures:
        found = _of(functions, namespace, closure, path)
        if found and not _is_called(functions, closure[0].rpartition(".<locals>.")[0], found[0].__code__):
            raise OSError(EBUSY, f"{_title(module, closure, len(found))}, made before, and can't get the new code: "
                                 "it lacks variables that the new code needs, or is of another kind")


def in_the_way(module: str | None, namespace: dict[str, Any], closures: Iterable[Closure],
               path: str) -> list[Blocker]:
    """A Blocker for each of these that is alive."""
    closures = tuple(closures)
    if not closures:
        return []
    doubts: set[str] = set()
    functions = functions_of([namespace], doubts)
    blockers = [Blocker("function", id(found[0]), _title(module, closure, len(found)))
                for closure in closures for found in (_of(functions, namespace, closure, path),) if found]
    if not blockers and COLLECTING in doubts:
        return [Blocker(COLLECTING, 0, "garbage collection under way")]
    return blockers


def _title(module: str | None, closure: Closure, number: int) -> str:
    them = f"{number} functions" if number > 1 else "function"
    return f"{them} '{closure[0]}' of '{module or 'vmlinux'}' {'are' if number > 1 else 'is'} alive"


def _of(functions: Iterable[FunctionType], namespace: dict[str, Any], closure: Closure,
        path: str) -> list[FunctionType]:
    """The functions that have old code of a definition: the module's own, or an earlier livepatch's."""
    (name, line), file = closure, namespace.get("__file__")
    return [fn for fn in functions for code in (fn.__code__,) if _is_named(code, name, fn.__qualname__, line)
            and code.co_filename != path and (code.co_filename != file or code.co_firstlineno == line)
            and not hasattr(fn, MARK)]


def _is_named(code: CodeType, name: str, shown: str = "", line: int = 0) -> bool:
    """Whether a code is of a definition of that qualified name. shown: what a function says of itself, which may be a
    decorator's work."""
    if _HAS_QUALNAME:
        return bool(code.co_qualname == name)       # type: ignore[attr-defined, unused-ignore]
    return code.co_name == name.rpartition(".")[2] and (shown == name or code.co_firstlineno == line or not shown)


def _is_called(functions: Iterable[FunctionType], name: str, of: CodeType) -> bool:
    """Whether a call of a function is under way, in a thread or suspended. of: a code of its file."""
    try:
        if any(_is_named(code, name) and code.co_filename == of.co_filename
               for _, stack in threads.lines(tuple(threads.idents())) for code, _ in stack):
            return True
        suspendable = [fn.__code__ for fn in functions
                       if fn.__code__.co_flags & SUSPENDS and _is_named(fn.__code__, name, fn.__qualname__)]
        if not suspendable:
            return False
        running: list[int] = []
        _, references, _ = suspended.find(suspendable, None, None, running)
        return bool(running) or any(suspended.has_frame(reference) for reference in references)
    except interpreters.Apart:          # what runs can't be seen: the transition will say so
        return True
