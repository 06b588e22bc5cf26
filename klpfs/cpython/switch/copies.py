"""Copies of a dispatcher's code, which the program has made while a transition ran: `f.__code__.replace(...)`, or
function objects that it made of `f.__code__`. They get the goal's code when the transition is over.

A copy shares the code's constants, or has the Switch among its own. A copy that chooses is noted, so that looks know it
for a dispatcher (choice.choose); who has copies is searched for in the end, if there are any. Until then a copy in
another function object runs as the function itself, with its closure and globals (README, Limits).
"""
from __future__ import annotations

import sys
from itertools import chain, compress, repeat
from operator import attrgetter, not_
from types import FunctionType

from ..images import image as images
from ..looks import reads
from ..looks.atomic import everything, restoring, silent, still
from ..looks.suspended import of_types
from . import live_dispatchers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType
    from typing import Any

    from .dispatcher import Switch

_refcount, _list, _id, _get, _map, _values = sys.getrefcount, list, id, dict.get, map, dict.values
_range, _len, _compile, _frozenset = range, len, compile, frozenset
_CONSTANTS, _CODES_CONSTANTS = attrgetter("co_consts"), attrgetter("__code__.co_consts")
_FUNCTIONS = frozenset((reads.key(FunctionType),))


def switches(box: Sequence[Any]) -> Iterator[int]:
    """How many references each Switch in a list has."""
    return _map(_refcount, box)


def constants(table: dict[int, CodeType]) -> Iterator[int]:
    """How many references the constants of each of the table's codes have."""
    return _map(_refcount, _map(_CONSTANTS, _values(table)))


class _Sample:
    __slots__ = ("switch",)
    switch: Any


def _measure() -> tuple[int, int]:
    """What is counted of a Switch in a list, in its Transition, its Record and its dispatcher's code; and of that
    code's constants."""
    box, record = [_Sample()], _Sample()
    code = _compile("0", "", "eval").replace(co_consts=(box[0],))
    transition, record.switch = [box[0]], box[0]
    table = {_id(code): code}
    del code
    counts = _list(switches(box))[0], _list(constants(table))[0]
    transition.clear()
    return counts


SWITCH_ALONE, CONSTANTS_ALONE = _measure()


def _may_have(box: list[Switch]) -> bool:
    """Whether a copy may exist, or a function object with the very code, of the dispatcher of the Switch in the list,
    the only reference to it but its Transition's, its Record's and the dispatcher's."""
    table = box[0].record.dispatchers
    return _list(switches(box))[0] > SWITCH_ALONE or \
        [1 for count in _list(constants(table)) if count > CONSTANTS_ALONE] != [] or \
        [1 for _, count in live_dispatchers.counts(table) if count > live_dispatchers.ALONE] != []


def _functions(ids: frozenset[int]) -> Iterator[FunctionType]:
    """Iterator over the function objects whose code has one of the objects with these ids among its constants."""
    box: list[list[Any]] = []
    gather = _map(_list, (of_types(*everything(), _FUNCTIONS, True),))
    of_each = _map(_map, repeat(_id), _map(_CODES_CONSTANTS, chain.from_iterable(box)))
    found = compress(chain.from_iterable(box), _map(not_, _map(ids.isdisjoint, of_each)))
    return chain(silent(_map(box.append, gather)), found, silent(_map(_list.clear, box)))


@restoring
def _with_constants(ids: frozenset[int]) -> list[FunctionType]:
    return _list(still(_functions(ids)))


def give_back(all_switches: list[Switch], goal: int) -> list[FunctionType]:
    """The function objects that had a copy of the dispatcher of one of a Transition's Switches, which are over; they
    have the goal's code now, with other globals the code of before. all_switches: the Transition's list."""
    some = [n for n in _range(_len(all_switches)) if _may_have([all_switches[n]])]
    if not some:
        return []
    by_id = {_id(all_switches[n]): n for n in some}
    found = []
    for function in _with_constants(_frozenset(by_id)):
        for const in function.__code__.co_consts:
            n = _get(by_id, _id(const))
            if n is not None and function is not all_switches[n].function:
                # with other globals it is left alone, as other function objects of the code with such are
                new = goal and function.__globals__ is all_switches[n].function.__globals__
                images.put_code_alone(function, (all_switches[n].after if new else all_switches[n].before).code)
                found.append(function)
    return found
