"""Function objects that are alive: those that have a module's dict as their globals, or a code.

No code of the program runs here: objects are judged by exact type and identity, in C calls. Lists of the program's
objects exist only inside one such call; what comes out are functions.

Functions on a frozen heap (gc.freeze, as prefork servers do) are in no list of the collector; those are found by
walking from modules' dicts through what usually holds functions. That walk may miss some, and functions in the garbage
of a collection that is under way are in no list either: the search names such doubts, and transition.py waits.
"""
from __future__ import annotations

import gc
import sys
from itertools import chain, compress, repeat, starmap, tee
from operator import attrgetter, contains, is_
from types import FunctionType, ModuleType

from klpfs.cpython.looks import reads
from klpfs.cpython.looks.atomic import restoring, silent, still
from klpfs.cpython.looks.collection import COLLECTING, FROZEN, frozen_before_import, probe
from klpfs.cpython.looks.frozen_moment import putting_back
from klpfs.cpython.raw import OPTIMIZED, module_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import CodeType
    from typing import Any

FEW = 8                 # objects asked for in one search: each reference of each object is compared with each of them
LIMIT = 1000000         # objects walked through in search of functions on a frozen heap
_GLOBALS = attrgetter("__globals__")
_own: dict[str, Any] = {}
_canary = FunctionType((lambda: None).__code__, _own)  # a search that does not find it can't find the program's either


def _globals(functions: Iterable[FunctionType]) -> Iterator[dict[str, Any]]:
    return map(_GLOBALS, functions)


def functions_of(namespaces: Iterable[dict[str, Any]], doubts: set[str] | None = None) -> list[FunctionType]:
    """List of all live functions whose globals are one of these dicts; each function once.

    doubts: gets why some may be missing: COLLECTING, a collection is under way in another thread, whose garbage a
    finalizer may bring back; FROZEN, the heap is frozen. Who asks for them has a frozen heap walked from all modules,
    others from these dicts alone.
    """
    namespaces = tuple(namespaces)
    functions: list[FunctionType] = []
    for at in range(0, len(namespaces), FEW):
        functions += _functions_of(namespaces[at:at + FEW], doubts)
    # Bodies of modules and classes are function objects, too, while they run (3.11).
    return [fn for fn in functions if fn.__code__.co_flags & OPTIMIZED]


def functions_with_code(codes: Sequence[CodeType]) -> list[FunctionType]:
    """List of all live functions that the collector knows with one of these codes; each function once."""
    functions: list[FunctionType] = []
    for at in range(0, len(codes), FEW):
        wanted = tuple(codes[at:at + FEW])
        functions += _with_code(wanted, frozenset(map(id, wanted)))
    return functions


@restoring
def _with_code(codes: tuple[CodeType, ...], ids: frozenset[int]) -> list[FunctionType]:
    return list(still(_search(codes, ids, set(), reads.function_codes)))


def _functions_of(namespaces: tuple[dict[str, Any], ...], doubts: set[str] | None) -> list[FunctionType]:
    referrers: set[int] = set()
    quiet: dict[str, Any] = {}
    ask = doubts is not None and not frozen_before_import()
    found = _searched(namespaces + (_own, sys), frozenset(map(id, namespaces + (_own,))), referrers, quiet, ask)
    functions = [fn for fn in found if fn is not _canary]
    # Frozen by gc.freeze: what was alive then is in no list. The count alone says nothing (3.12 puts things there); our
    # canary tells of a freeze since klpfs came, sys.modules, which refers to sys and is older than all, of one before.
    if gc.get_freeze_count() and (len(functions) == len(found) or id(sys.modules) not in referrers):
        known, wanted = set(map(id, functions)), set(map(id, namespaces))
        for fn in _reachable(*namespaces, *(_roots() if doubts is not None else ())):
            if id(fn) not in known and id(fn.__globals__) in wanted:
                known.add(id(fn))
                functions.append(fn)
        if doubts is not None:
            doubts.add(FROZEN)
    elif ask and not quiet:
        doubts.add(COLLECTING)      # type: ignore[union-attr]
    return functions


@putting_back
def _searched(objects: tuple[Any, ...], wanted: frozenset[int], referrers: set[int], quiet: dict[str, Any],
              ask: bool) -> list[FunctionType]:
    """What _search finds. ask: put something into `quiet` if no collection was under way at that moment; a search
    without the canary does not ask, for asking would end the program's freeze."""
    box: list[Any] = []
    return list(still(chain(
        silent(map(box.append, map(list, (_search(objects, wanted, referrers, _globals),)))),
        silent(chain.from_iterable(compress((probe(quiet),), map(contains, box, repeat(_canary, ask))))),
        chain.from_iterable(box))))


def _roots() -> list[dict[str, Any]]:
    """Where a walk through a frozen heap begins besides the modules searched: all modules' dicts. Not the variables of
    functions that run: klpfs would keep them alive."""
    return [module_dict(module) for module in list(sys.modules.values()) if issubclass(type(module), ModuleType)]


def running(namespace: dict[str, Any]) -> dict[str, Any]:
    """The dict in which a main program's code runs, given its module's dict. They are two where multiprocessing spawned
    the process (also by a forkserver): the program runs in runpy's dict, and the module gets the same items in its
    own."""
    if namespace.get("__name__") == "__mp_main__":
        candidate: dict[str, Any]
        for candidate in map(_GLOBALS, _reachable(namespace)):
            if candidate.get("__name__") == "__mp_main__" and candidate.get("__file__") == namespace.get("__file__"):
                return candidate
    return namespace


def _search(objects: tuple[Any, ...], wanted: frozenset[int], referrers: set[int],
            values: Callable[[Iterable[FunctionType]], Iterator[Any]]) -> Iterator[FunctionType]:
    """An iterator over the functions among what refers to the objects, those whose value has an id of `wanted`. values:
    makes an iterator of C's over the functions' values.

    To be run to its end in one C call; it has no name anywhere, so it keeps nothing alive. The ids of all that refers
    to the objects go to the set `referrers`. Asking for referrers takes less than a quarter of looking at each object's
    type.
    """
    box: list[Any] = []
    every = chain(silent(map(box.append, starmap(gc.get_referrers, (objects,)))),
                  silent(map(referrers.update, reads.ids_of_each(box))),
                  chain.from_iterable(box), silent(map(list.clear, box)))
    a, b = tee(compress(every, map(is_, map(type, chain.from_iterable(box)), repeat(FunctionType))))
    return compress(a, map(wanted.__contains__, reads.ids(values(b))))


def _reachable(*roots: Any) -> list[FunctionType]:
    """Functions found from roots, a module's dict first, by following references, but not into other modules."""
    functions, seen = [], set(map(id, roots))
    todo: list[Any] = list(reversed(roots))
    while todo and len(seen) < LIMIT:
        for referent in gc.get_referents(todo.pop()):
            if id(referent) in seen:
                continue
            seen.add(id(referent))
            kind = type(referent)
            if kind is FunctionType:
                functions.append(referent)
            if not (kind is dict and "__builtins__" in referent or issubclass(kind, ModuleType)):
                todo.append(referent)
    return functions
