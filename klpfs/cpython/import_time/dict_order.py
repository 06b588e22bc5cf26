"""The order of a dict's keys, changed in place: a table in which the first match counts says something else when its
entries stand in another order.

All is done in one C call, in which no other thread runs and no collection begins: nobody finds a key missing. So only
keys of plain types are moved, and classes and functions, whose hash and comparison run no code of the program's.
"""
from __future__ import annotations

import gc
from abc import ABCMeta
from collections import OrderedDict
from itertools import chain, compress, repeat, starmap
from types import FunctionType

from klpfs.cpython.looks.atomic import restoring, silent, still

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_PLAIN = (str, bytes, int, float, complex, bool, type(None), FunctionType, type, ABCMeta)
_list, _map, _pop, _set, _move = list, map, dict.pop, dict.__setitem__, OrderedDict.move_to_end
_referrers = gc.get_referrers
_samples: list[Any] = [{}, OrderedDict()]
_ITERATORS = frozenset(type(iterator) for table in _samples for iterator in (
    iter(table), iter(table.values()), iter(table.items()), reversed(table), reversed(table.items()),
    reversed(table.values())))


def can_be_moved(keys: Iterable[Any]) -> bool:
    """Whether all keys are of plain types, classes with no metaclass of the program's, functions, or tuples of such."""
    return all(type(key) in _PLAIN or type(key) is tuple and can_be_moved(key) for key in keys)


def told_apart(keys: Iterable[Any]) -> list[tuple[type, Any]]:
    """Keys with their types: bytes are not compared with str then, of which -b warns."""
    return [(type(key), key) for key in keys]


def in_order(keys: Iterable[Any], wanted: Iterable[Any]) -> list[Any]:
    """Keys, those that are among the wanted in the order of these; all others stay behind the key that they follow: who
    has put an entry behind another one wanted it there."""
    keys = told_apart(keys)
    here = set(keys)
    moved = dict.fromkeys(key for key in told_apart(wanted) if key in here)
    leader: Any = None
    followers: dict[Any, list[Any]] = {leader: []}
    for key in keys:
        if key in moved:
            leader = key
        else:
            followers.setdefault(leader, []).append(key[1])
    return followers[None] + [each for key in moved for each in (key[1], *followers.get(key, ()))]


def reorder(table: dict[Any, Any], order: Iterable[Any]) -> None:
    """Puts a dict's keys in this order, as in_order has it; does nothing where a key can't be moved. RuntimeError: a
    thread iterates over the table just now, and would miss keys or find them twice."""
    now = list(table)
    if not can_be_moved(now):
        return
    wanted = told_apart(in_order(now, order))
    start = next((at for at, (key, other) in enumerate(zip(told_apart(now), wanted)) if key != other), len(now))
    if start < len(now) and not _to_the_end(table, [key for _, key in wanted[start:]]):
        raise RuntimeError("the order of a table can't be changed while a thread iterates over it")


@restoring
def _to_the_end(table: dict[Any, Any], keys: list[Any]) -> bool:
    """Moves keys to a dict's end, one after the other. False: there is an iterator over it, and nothing was moved."""
    box: list[Any] = []
    count = len(keys)
    iterators = _map(_ITERATORS.__contains__, _map(type, chain.from_iterable(box)))
    if isinstance(table, OrderedDict):
        moves = _map(_move, repeat(table), keys)
    else:
        moves = _map(_set, repeat(table), keys, _map(_pop, repeat(table), keys))
    _list(still(chain(silent(_map(box.append, starmap(_referrers, ((table,),)))),
                      silent(starmap(keys.clear, compress(repeat(()), iterators))), silent(_map(_list.clear, box)),
                      silent(moves))))
    return len(keys) == count
