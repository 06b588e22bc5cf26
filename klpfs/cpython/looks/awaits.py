"""Chains of awaits: asyncio's tasks and the objects that they await, read for people's eyes through weak
references."""
from __future__ import annotations

import gc
import sys
from itertools import chain, compress, repeat, starmap
from operator import attrgetter
from weakref import ref

from . import reads
from .atomic import everything, restoring, silent, still
from .suspended import KIND_KEYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable

_referents = gc.get_referents
_list, _map, _zip, _type, _str, _issubclass, _filter = list, map, zip, type, str, issubclass, filter
_READS_BEHIND = sys.version_info < (3, 13)
_AWAITS = (("cr", attrgetter("cr_await")), ("gi", attrgetter("gi_yieldfrom")), ("ag", attrgetter("ag_await")))


def copied(weak: set[ref[Any]]) -> list[ref[Any]]:
    """List of the weak references in a set of them (a WeakSet's data), which other threads change."""
    return _list(weak)


def references(objects: Iterable[Any]) -> list[ref[Any]]:
    """List of weak references to the objects in a set."""
    return _list(_map(ref, objects))


@restoring
def instances(kind: type) -> list[ref[Any]]:
    """List of weak references to all objects of a C class and of its subclasses, but those on a frozen heap. Costs a
    scan of the heap."""
    objects, again = everything()
    return _list(still(_map(ref, compress(objects, _map(_issubclass, _map(_type, again), repeat(kind))))))


def called(reference: ref[Any], method: Callable[[Any], Any]) -> ref[Any] | None:
    """Weak reference to what the C method returns for the weakly referenced object; None: the object is gone, or what
    is returned takes no weak reference."""
    try:
        return _list(_map(ref, _map(method, starmap(reference, ((),)))))[0]
    except TypeError:
        return None


def task_name(reference: ref[Any], kind: Any) -> tuple[str, int]:
    """(name, id) of a weakly referenced asyncio task of the type `kind`; ('', 0) if it is gone."""
    try:
        name = _list(_map(kind.get_name, starmap(reference, ((),))))[0]
        return (name if _type(name) is _str else "?"), _list(reads.ids(starmap(reference, ((),))))[0]
    except TypeError:
        return "", 0


def _awaits(reference: ref[Any], prefix: str, await_of: Callable[[Any], Any]) -> Iterator[Any]:
    """Iterator over what the object awaits, by its attribute, whose prefix is given: none while it runs. Up to 3.12 a
    coroutine that runs, in another thread, may read behind its stack's end when it is asked (_PyGen_yf in
    Objects/genobject.c: 3.11 and 3.12 take a cache behind a call for an instruction, 3.9 and 3.10 a frame that an
    exception unwinds for suspended)."""
    def objects() -> Iterator[Any]:
        return _filter(None, starmap(reference, ((),)))
    return _map(await_of, compress(objects(), reads.rest(objects(), prefix)) if _READS_BEHIND else objects())


def _waited_for(reference: ref[Any], prefix: str, await_of: Callable[[Any], Any]) -> Iterator[ref[Any]]:
    """The generator-like objects to which what the object awaits refers: an asynchronous generator's asend() and the
    like."""
    box: list[Any] = []
    return chain(silent(_map(box.append, starmap(_referents, _zip(_awaits(reference, prefix, await_of))))),
                 _map(ref, compress(chain.from_iterable(box), _map(KIND_KEYS.__contains__, _map(reads.key, _map(_type,
                      chain.from_iterable(box)))))), silent(_map(_list.clear, box)))


def awaited(reference: ref[Any]) -> ref[Any] | None:
    """Weak reference to the generator-like object that a weakly referenced object waits for; None: it waits for
    nothing, or for something else; where hooks are about, also for an asynchronous generator's asend() and the like:
    asking what those refer to is an event."""
    for prefix, await_of in _AWAITS:
        try:
            for kind in _list(_map(reads.key, _map(_type, _awaits(reference, prefix, await_of)))):
                if kind not in KIND_KEYS:
                    return None if reads.audited() else (_list(_waited_for(reference, prefix, await_of)) + [None])[0]
                return (_list(_map(ref, _awaits(reference, prefix, await_of))) + [None])[0]
        except AttributeError:
            continue
        except TypeError:
            return None
    return None
