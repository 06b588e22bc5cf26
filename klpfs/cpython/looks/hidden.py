"""Activations of code that are in no list, told by the references to their code that nobody accounts for.

A generator that dies is in no list of the collector while the callbacks of its weak references run; its `finally`
blocks come after that. A call whose arguments are being matched (a keyword's name may have an `__eq__` of Python) has a
frame that is on no stack yet. Both hold references to their code, and from 3.11 on to their function; up to 3.10 the
frame of the dying generator is still known, and the call's function is on its caller's stack, which the collector does
not see. So code to which all references are accounted for runs nowhere. switch/out_of_sight.py says what is asked for.

References may also be in a constant of code (of the function or module around), or in what only C knows, as a
profiler's. So code counts as running out of sight if both it and its function have references that are not accounted
for.
"""
from __future__ import annotations

import gc
import sys
from itertools import chain, islice, repeat, starmap
from operator import countOf, is_not
from types import CodeType, FrameType

from . import reads, suspended, threads
from .atomic import restoring, silent, still
from .suspended import ACTIVATIONS, KIND_KEYS, of_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .suspended import References

_referrers, _refcount, _is_tracked = gc.get_referrers, sys.getrefcount, gc.is_tracked
_list, _map, _zip, _id, _type, _sum, _len, _range, _tuple = list, map, zip, id, type, sum, len, range, tuple
_dict, _values, _compile = dict, dict.values, compile
_HOLDS_FUNCTION = sys.version_info >= (3, 11)
# 3.14: the collector sees the variables and operands of generators that run, among them the function of a call whose
# frame is being made
_SHOWS_RUNNING = sys.version_info >= (3, 14)
_GENERATORS = KIND_KEYS if _SHOWS_RUNNING else frozenset()
_REST = frozenset((reads.key(FrameType),)) if _SHOWS_RUNNING else ACTIVATIONS


def _of(objects: list[Any], n: int) -> Iterator[int]:
    """Iterator over the reference count of objects[n], then over how many references to it each object has that the
    collector knows. Activations, which may end, are let go before the referents of others are asked for, which may be
    an audit event (reads.references); each has one reference to its function, unless it runs: then it may be any that
    it has."""
    box: list[Any] = []
    others: list[Any] = []

    def every() -> Iterator[Any]:
        return chain.from_iterable(box)
    return chain(silent(_map(box.append, starmap(_referrers, _zip(islice(objects, n, n + 1))))),
                 _map(_refcount, islice(objects, n, n + 1)),
                 silent(_map(others.append, _map(_list, (of_types(every(), every(), ACTIVATIONS, False),)))),
                 _map(is_not, of_types(every(), every(), _REST, True), repeat(None)),
                 reads.do_not_run(of_types(every(), every(), _GENERATORS, True)),
                 silent(_map(_list.clear, box)),
                 reads.references(lambda: chain.from_iterable(others), _id(objects[n])),
                 silent(_map(_list.clear, others)))


@restoring
def _counts(objects: list[Any], n: int) -> list[int]:
    return _list(still(_of(objects, n)))


def _outside(objects: list[Any], n: int) -> int:
    count, *known = _counts(objects, n)
    return count - _sum(known)


_control = [_compile("0", "", "eval").replace(co_name="control")]
_own = {reads.audited(): _outside(_control, 0)}         # the look's own


def outside(objects: list[Any], n: int) -> int:
    """How many references to objects[n] are in nothing that the collector knows. No name of the caller's may hold that
    object, and the list has it once."""
    audited = reads.audited()
    if audited not in _own:
        _own[audited] = _outside(_control, 0)
    return _outside(objects, n) - _own[audited]


def not_accounted_for(found: References, ids: Sequence[int], holders: Iterable[Any],
                      more: Iterable[int] = ()) -> list[int]:
    """Those of the ids of the codes that `found` was counted for to which there are references in nothing that the
    collector knows, nor in a holder. holders: tuples, lists, and dicts with such values; more: the ids of codes, one
    for each reference that is known otherwise."""
    known: dict[int, int] = {}
    for key in chain(found.known, more):
        known[key] = known.get(key, 0) + 1
    unread = (_tuple, _list) if reads.audited() else ()     # see reads.referents
    for holder in holders:
        if not _is_tracked(holder) or _type(holder) in unread:
            for key in _map(_id, _values(holder) if _type(holder) is _dict else holder):
                known[key] = known.get(key, 0) + 1
    moved = found.counts[_len(ids)] - found.again[_len(ids)]            # the control's: the look's own
    if [1 for before, after in _zip(found.counts, found.again) if before - after != moved]:
        return _list(ids)               # changed while referents were asked for
    own = found.counts[_len(ids)] - known.get(_id(suspended.control), 0)
    return [key for n, key in _zip(found.counts, ids) if n - known.get(key, 0) > own]


def may_run(found: References, functions: list[Any], suspends: bool = True) -> bool:
    """Whether something may run the code of these functions, to which there are references that are not accounted for.
    functions: no name of the caller's holds a function. suspends: they are generator-like."""
    if not _HOLDS_FUNCTION and suspends:
        return countOf(found.kinds, reads.key(FrameType)) > 1      # one is the canary's
    # up to 3.10 the frame that is being made has none, but the caller's stack has
    for n in _range(_len(functions)):
        if outside(functions, n) > 0:
            return True
    return False


def constants_of(codes: Iterable[CodeType]) -> list[tuple[Any, ...]]:
    """The constants of codes, and of the code among them, at any depth."""
    todo: list[CodeType] = _list(codes)
    found: dict[int, tuple[Any, ...]] = {}
    while todo:
        constants = todo.pop().co_consts
        if _id(constants) not in found:
            found[_id(constants)] = constants
            todo += [const for const in constants if _type(const) is CodeType]
    return _list(found.values())


def constants_on_stacks() -> list[tuple[Any, ...]]:
    """Those of all code that runs in threads: a main program's holds the code of its functions."""
    return constants_of([code for _, lines in threads.lines(_tuple(threads.idents())) for code, _ in lines])
