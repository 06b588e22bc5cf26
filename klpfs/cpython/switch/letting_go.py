"""Function objects that the program has dropped: a transition lets go of those to which nothing but klpfs refers.

A transition holds the function objects that it was made for: a weak reference would be gone before the finalizers of
cyclic garbage, which may call the function still, or bring it back with a dispatcher in it. But what a closure's cells
lead to lives as long as the closure does, and may be a suspended object for which the transition waits. So each look
counts, and lets go of a function object if nothing else refers to it, nor to its dispatcher's code, nor to the function
objects of its sides; nor, as a copy of the dispatcher's code does, to that code's constants or to the Switch: then
nothing runs any of them, or can begin to. What frames of the function's own code hold needs
no word here: from 3.11 on they hold the function object itself, and their codes are looked for all the same.

Counted and let go of in one C call, so no other thread can get hold of a function in between, as by a weak reference.
What dies with it dies in klpfs's thread, as it does when a transition is over. A function object in a cycle of
references (an inner function that calls itself) is not told from one that is in use: README, Limits.
"""
from __future__ import annotations

import sys
from itertools import chain, compress, repeat, starmap
from operator import attrgetter, le
from types import FunctionType

from ..looks.atomic import restoring, still
from . import copies, live_dispatchers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType
    from typing import Any

    from .dispatcher import Switch
    from .switching import Transition

_refcount, _delattr, _list, _map, _zip, _len, _range, _all = sys.getrefcount, delattr, list, map, zip, len, range, all
_filter, _type, _dict, _values, _compile, _id, _iter = filter, type, dict, dict.values, compile, id, iter
_FUNCTION, _ENTRY = attrgetter("function"), attrgetter("entry")
SLICE = 1000        # functions counted between two breaths


def _functions(switches: Iterable[Any]) -> Iterator[int]:
    """How many references each Switch's function has."""
    return _map(_refcount, _map(_FUNCTION, switches))


def _codes(table: dict[int, CodeType]) -> Iterator[int]:
    """How many references each of the table's codes has."""
    return _map(_refcount, _values(table))


def _made(functions: Any) -> Iterator[int]:
    """How many references each function object of a side has (Switch.functions)."""
    return _map(_refcount, _filter(None, _values(functions) if _type(functions) is _dict else _iter(functions)))


class _Sample:
    __slots__ = ("function",)


def _measure() -> tuple[int, int, int]:
    """What is counted of a function that a Switch and its Entry hold, of a dispatcher's code that its Record and the
    function hold, of a side's function object that its Switch holds."""
    code = _compile("0", "", "eval").replace(co_name="measure")
    switch, entry = _Sample(), _Sample()
    switch.function = entry.function = FunctionType(code, {})   # type: ignore[attr-defined]
    table = {_id(code): code}
    del code
    sides = [FunctionType(control, {}), None]
    return _list(_functions((switch,)))[0], _list(_codes(table))[0], _list(_made(sides))[0]


control = _compile("0", "", "eval")
_FUNCTION_ALONE, _CODE_ALONE, _SIDE_ALONE = _measure()


@restoring
def _drop(box: list[Switch]) -> list[Any]:
    """Deletes Switch.function and Entry.fn of the Switch in the list, the only reference to it here, if they are all
    that there is. Whether it did: two items, or none."""
    table = box[0].record.dispatchers
    counts = chain(_functions(box), copies.switches(box), _codes(table), copies.constants(table),
                   _made(box[0].functions))
    most = chain((_FUNCTION_ALONE, copies.SWITCH_ALONE), repeat(_CODE_ALONE, _len(table)),
                 repeat(copies.CONSTANTS_ALONE, _len(table)), repeat(_SIDE_ALONE))
    alone = chain.from_iterable(_map(repeat, _map(_all, (_map(le, counts, most),)), repeat(2)))
    places = chain(_zip(_map(_ENTRY, box), ("fn",)), _zip(box, ("function",)))
    return _list(still(starmap(_delattr, compress(places, alone))))


def _is_dropped(box: list[Switch]) -> bool:
    """Whether the transition has let go of the function object of the Switch in the list, which has died."""
    table = box[0].record.dispatchers
    # with dispatchers of earlier transitions there are Switches that hold it, too
    return _len(table) == (box[0].dispatcher_id is not None) and _len(_drop(box)) > 0


def let_go(transition: Transition) -> None:
    """Lets go of the function objects that the program has dropped. Their Entries and Switches have none any more, and
    the transition forgets them; likewise copies of dispatchers."""
    transition.forget_copies()
    alone: list[Switch] = []
    switches, some = transition.switches, transition.switches
    for at in _range(0, _len(switches), SLICE):
        some = switches[at:at + SLICE]
        alone += [switch for switch, count in _zip(some, _list(_functions(some))) if count <= _FUNCTION_ALONE]
        if at + SLICE < _len(switches):
            transition.take_breath()
    del some        # or each Switch would have a reference more
    gone: list[Switch] = []
    try:
        while alone:
            box = [alone.pop()]
            if _is_dropped(box):
                gone += box
    finally:
        if gone:
            _forget(transition, gone)


def _forget(transition: Transition, gone: list[Switch]) -> None:
    """What was kept for Switches without a function goes."""
    ids = {_id(switch) for switch in gone}
    transition.switches = [switch for switch in transition.switches if _id(switch) not in ids]
    entries = [switch.entry for switch in gone]
    try:
        for switch in gone:
            if switch.dispatcher_id is not None:        # before its code goes: another may get that id
                transition.dispatcher_ids.discard(switch.dispatcher_id)
                transition.side_of_code.pop(switch.dispatcher_id, None)
            switch.drop_functions()
            switch.release()
            record = switch.record
            record.switch, record.older_codes = None, live_dispatchers.NONE
            record.dispatchers.clear()
    finally:
        transition.dropped(entries)
    live_dispatchers.forget_dead()
