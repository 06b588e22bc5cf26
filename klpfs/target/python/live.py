"""Which function objects are alive: the functions that have a module's dict as their globals.

No code of the program runs here: objects are judged by exact type and identity, in C calls. Lists of the program's
objects exist only inside one such call; what comes out are functions.

Functions on a frozen heap (gc.freeze, as prefork servers do) are in no list of the collector; those are found by walking
from the module's dict through what usually holds functions.
"""
import gc
from itertools import chain, compress, repeat, starmap, tee
from operator import attrgetter, is_
from types import FunctionType, ModuleType

from klpfs.target.python.look import _still, everything

CO_OPTIMIZED = 1  # not set for bodies of modules and classes, which are function objects while they run (3.11)
_GLOBALS = attrgetter("__globals__")


def functions_of(namespaces):
    """List of all live functions whose globals are one of these dicts (each once)."""
    wanted = frozenset(map(id, namespaces))
    found = list(_still(_of(wanted)))
    if _frozen():
        known = set(map(id, found))
        for namespace in namespaces:
            for fn in _reachable(namespace):
                if id(fn) not in known and id(fn.__globals__) in wanted:
                    known.add(id(fn))
                    found.append(fn)
    return [fn for fn in found if fn.__code__.co_flags & CO_OPTIMIZED]


def _of(wanted):
    """An iterator to be run to its end in one C call; it has no name anywhere, so it keeps nothing alive."""
    a, b = everything()
    c, d = tee(compress(a, map(is_, map(type, b), repeat(FunctionType))))
    return compress(c, map(wanted.__contains__, map(id, map(_GLOBALS, d))))


_canary = []


def _frozen():
    """gc.freeze was called: what was alive then is in no list. The count alone says nothing (3.12 puts things there)."""
    return bool(gc.get_freeze_count()) and id(_canary) not in list(_still(map(id, chain.from_iterable(starmap(gc.get_objects, ((),))))))


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
