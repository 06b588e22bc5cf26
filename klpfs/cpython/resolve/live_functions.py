"""Which function objects are alive: the functions that have a module's dict as their globals.

No code of the program runs here: objects are judged by exact type and identity, in C calls. Lists of the program's
objects exist only inside one such call; what comes out are functions.

Functions on a frozen heap (gc.freeze, as prefork servers do) are in no list of the collector; those are found by walking
from the module's dict through what usually holds functions.
"""
import gc
import sys
from itertools import chain, compress, repeat, starmap, tee
from operator import attrgetter, is_
from types import FunctionType, ModuleType

from klpfs.cpython.looks.atomic import silent, still

CO_OPTIMIZED = 1  # not set for bodies of modules and classes, which are function objects while they run (3.11)
FEW = 8           # dicts asked for in one search: each reference of each object is compared with each of them
_GLOBALS = attrgetter("__globals__")
_own = {}
_canary = FunctionType((lambda: None).__code__, _own)  # a search that does not find it can't find the program's either


def functions_of(namespaces):
    """List of all live functions whose globals are one of these dicts (each once)."""
    namespaces, found = tuple(namespaces), []
    for at in range(0, len(namespaces), FEW):
        found += _functions_of(namespaces[at:at + FEW])
    return [fn for fn in found if fn.__code__.co_flags & CO_OPTIMIZED]


def _functions_of(namespaces):
    referrers = set()
    found = list(still(_of(namespaces + (_own, sys), frozenset(map(id, namespaces + (_own,))), referrers)))
    here = [fn for fn in found if fn is not _canary]
    # Frozen by gc.freeze: what was alive then is in no list. The count alone says nothing (3.12 puts things there); our
    # canary tells of a freeze since klpfs came, sys.modules, which refers to sys and is older than all, of one before.
    if gc.get_freeze_count() and (len(here) == len(found) or id(sys.modules) not in referrers):
        known, wanted = set(map(id, here)), set(map(id, namespaces))
        for namespace in namespaces:
            for fn in _reachable(namespace):
                if id(fn) not in known and id(fn.__globals__) in wanted:
                    known.add(id(fn))
                    here.append(fn)
    return here


def running(namespace):
    """The dict in which a main program's code runs, given its module's. They are two where multiprocessing spawned the
    process (also by a forkserver): the program runs in runpy's dict, and the module gets the same items in its own."""
    if namespace.get("__name__") == "__mp_main__":
        for each in map(_GLOBALS, _reachable(namespace)):
            if each.get("__name__") == "__mp_main__" and each.get("__file__") == namespace.get("__file__"):
                return each
    return namespace


def _of(objects, wanted, referrers):
    """An iterator to be run to its end in one C call; it has no name anywhere, so it keeps nothing alive. The ids of all that
    refers to the objects go to the set `referrers`. Asking for referrers takes less than a quarter of looking at each
    object's type."""
    box = []
    every = chain(silent(map(box.append, starmap(gc.get_referrers, (objects,)))),
                  silent(map(referrers.update, map(map, repeat(id), box))),
                  chain.from_iterable(box), silent(map(list.clear, box)))
    a, b = tee(compress(every, map(is_, map(type, chain.from_iterable(box)), repeat(FunctionType))))
    return compress(a, map(wanted.__contains__, map(id, map(_GLOBALS, b))))


def _reachable(namespace, limit=1000000):
    """Functions found from a module's dict by following references, but not into other modules."""
    found, seen, todo = [], {id(namespace)}, [namespace]
    while todo and len(seen) < limit:
        for each in gc.get_referents(todo.pop()):
            if id(each) in seen:
                continue
            seen.add(id(each))
            kind = type(each)
            if kind is FunctionType:
                found.append(each)
            if not (kind is dict and "__builtins__" in each or issubclass(kind, ModuleType)):
                todo.append(each)
    return found
