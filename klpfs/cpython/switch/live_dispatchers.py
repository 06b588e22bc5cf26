"""The dispatchers of each function object that ever was under transition, as long as they may run: one registry a
process.

A dispatcher can outlive its transition: on a stack, or in a coroutine that was made and not yet awaited. While it can
still run, its function's record stays, so that the dispatcher can ask for the newest side and looks can tell what it
has called. The number of references to the dispatcher's code says whether anything can still run it.
"""
from __future__ import annotations

import sys
from _collections import deque
from weakref import ref

from ..looks import collection
from .choice import OVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FunctionType
    from typing import Callable

    from .dispatcher import Switch

_refcount, _list, _id, _enumerate, _compile = sys.getrefcount, list, id, enumerate, compile
_map, _zip = map, zip
_registry: dict[int, Record] = {}           # id(function) -> Record


class _Reference(ref):
    __slots__ = ("key",)
    key: int


# of functions that have died, since `forget_dead`. Appended to where they die, in the program's threads: by C alone,
# for a signal handler's exception would be lost in bytecode there
_dead: deque[_Reference] = deque()


NONE: dict[int, CodeType] = {}              # never filled: most records need no dict of their own


class Record:
    """The dispatchers of one function object.

    switch: its Switch in the newest transition, None when no dispatcher is left; dispatchers: {id: code} of all that
    may still run; older_codes: {id: code} of the sides that dispatchers of transitions before `switch` may call;
    forced_over: {id: code} of what a force left running. in_force: weak reference to the code that the last transition
    has put, for copies of dispatchers that a tool puts back when `switch` is None.
    """

    __slots__ = ("reference", "switch", "dispatchers", "older_codes", "forced_over", "in_force")

    def __init__(self, function: FunctionType) -> None:
        self.reference = _Reference(function, _dead.append)
        self.reference.key = _id(function)
        self.switch: Switch | None = None
        self.dispatchers: dict[int, CodeType] = {}
        self.older_codes: Mapping[int, CodeType] = NONE
        self.forced_over: Mapping[int, CodeType] = NONE
        self.in_force: ref[CodeType] | None = None


def enlist(record: Record) -> None:
    """Puts a record into the registry. Counterpart: prune."""
    _registry[record.reference.key] = record


def record_of(function: FunctionType) -> Record:
    """The function's Record; a new Record is not in the registry until `enlist`."""
    found = _registry.get(_id(function))
    # else it is of a function that has died there
    return found if found is not None and found.reference() is function else Record(function)


def forget_dead() -> None:
    """Forgets functions that are gone. The agent's thread."""
    while _dead:
        reference = _dead[0]
        found = _registry.get(reference.key)
        if found is not None and found.reference is reference:
            del _registry[reference.key]
        _dead.popleft()


def counts(table: dict[int, CodeType]) -> list[tuple[int, int]]:
    """[(key, number of references to its code)]. By C functions alone: what bytecode has of its operands is borrowed
    from 3.14 on (gh-130704), what a frame has of its code is counted in all versions. The table may grow meanwhile."""
    keys = _list(table)
    return _list(_zip(keys, _map(_refcount, _map(table.get, keys))))


def _measure() -> int:
    """How many references to a code are counted when nothing but the record's table holds it."""
    code = _compile("0", "", "eval").replace(co_name="measure")
    table = {_id(code): code}
    del code
    return counts(table)[0][1]


ALONE = _measure()


def alone(table: dict[int, CodeType]) -> list[int]:
    """The keys of a table's codes that nothing else refers to."""
    return [key for key, count in counts(table) if count <= ALONE]


def prune(breathe: Callable[[], None] | None = None) -> None:
    """Forgets dispatchers that nothing can run any more, and what was kept for them; and functions that are gone."""
    forget_dead()
    if collection.NEEDS_QUIET and not collection.quiet():
        # up to 3.11 a call can hold a code without a reference, but only while a collection is under way
        return
    for n, record in _enumerate(_list(_registry.values())):
        if n % 200 == 199 and breathe is not None:
            breathe()
        switch = record.switch
        if switch is None or switch.transition.state.mode != OVER:
            continue
        table = record.dispatchers
        for key in alone(table):
            del table[key]
        if not table:
            record.switch, record.older_codes = None, NONE
            switch.release()
        switch = None
