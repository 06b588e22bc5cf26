"""What is remembered of each function object that ever was under transition: one registry for the process.

A dispatcher can outlive its transition: on a stack, or in a coroutine that was made and not yet awaited. While one can
still run, its record stays, so that it can ask for the newest version and looks can tell what it has called. The number of
references to the dispatcher's code says whether anybody can still run it.
"""
import sys
from weakref import ref

from ..looks import collection
from .choice import OVER

_refcount, _list, _id, _enumerate = sys.getrefcount, list, id, enumerate
_registry = {}          # id(function) -> Record
_COUNTS = sys.version_info < (3, 14)        # 3.14 borrows references (gh-117139): there nothing is dropped


class _Reference(ref):
    __slots__ = ("key",)


def _gone(reference):
    _registry.pop(reference.key, None)


NONE = {}               # never filled: most records need no dict of these


class Record:
    """Of one function object.

    switch: its Switch in the newest transition, None when no dispatcher is left; dispatchers: {id: code} of all that may
    still run; codes: {id: code} of the versions that those of transitions before
    `switch` may call; left: {id: code} of what a force left running;
    original: the Image of the program's own function, None while that is in place.
    """

    __slots__ = ("reference", "switch", "dispatchers", "codes", "left", "original")

    def __init__(self, function):
        self.reference = _Reference(function, _gone)
        self.reference.key = _id(function)
        self.switch, self.dispatchers, self.codes, self.left = None, {}, NONE, NONE


def enlist(record):
    _registry[record.reference.key] = record


def make(function):
    """The function's Record; a new one is not in the registry until `enlist`."""
    return _registry.get(_id(function)) or Record(function)


def _measure():
    code = compile("0", "", "eval").replace(co_name="measure")
    table = {_id(code): code}
    del code
    for key in _list(table):
        code = table[key]
        return _refcount(code)


_ALONE = _measure()


def prune(breathe=None):
    """Forgets dispatchers that nobody can run any more, and what was kept for them."""
    if not _COUNTS or collection.NEEDS_QUIET and not collection.quiet():
        return              # up to 3.11 a call can hold a code without a reference, but only while a collection is under way
    for n, record in _enumerate(_list(_registry.values())):
        if n % 200 == 199 and breathe is not None:
            breathe()
        switch = record.switch
        if switch is None or switch.t.state.mode != OVER:
            continue
        table = record.dispatchers
        for key in _list(table):
            code = table[key]
            if _refcount(code) <= _ALONE:
                del table[key]
            code = None
        if not table:
            record.switch, record.codes = None, NONE
            switch.pick = switch.own = switch.bodies = None         # nobody calls it any more: not left as a cycle
        switch = None
