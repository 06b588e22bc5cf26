"""Looks at the stacks of suspended greenlets, of one moment with those of all threads.

A greenlet whose thread has ended never runs again: nobody may switch or throw to it, nor give it another parent, and
greenlet raises no GreenletExit in it when it is dropped. (It may begin anew, when its frames are gone.) That its thread
has ended says its outermost ancestor, the thread's main greenlet, which is dead then; to ask the greenlet itself
(`dead`) would end its frames, here and now.
"""
from __future__ import annotations

from _collections import deque
from functools import partial
from itertools import accumulate, chain, compress, repeat, takewhile, tee
from operator import and_, is_, is_not, itemgetter
from weakref import ref

from ..switch.rules import BREAK
from . import collection, reads, threads
from .atomic import everything, restoring, silent, still

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

    from .threads import Lines, Places, Stack
    Ended = tuple[int, ref[Any], ref[Any]]      # id of a greenlet, references to it and to its thread's main greenlet

_list, _map, _zip, _id, _type, _dict_items = list, map, zip, id, type, dict.items
_issubclass, _frozenset, _slice = issubclass, frozenset, slice
_deref, _filter = ref.__call__, filter
_IS_THERE = partial(is_not, None)

BORN = "greenlets have just come"       # why a look can say nothing


class _Canary:
    """An object that a look at all greenlets must find, unless the heap is frozen."""


_canary = _Canary()
_canary_ref = ref(_canary)


def _greenlets(kinds: Any) -> Iterator[ref[Any]]:
    """Weak references to all greenlets, made when the iterator is run. kinds: the greenlet type, or a tuple of
    types."""
    c, d = everything()
    return _map(ref, compress(c, _map(_issubclass, _map(_type, d), repeat(kinds))))


def all_stacks(kind: Any, before: list[ref[Any]],
               read: Callable[[Iterator[Any]], Iterator[Any]] = threads.codes) -> Iterator[tuple[int, Any]]:
    """Keys and stacks of all threads and all suspended greenlets, (key, ids of codes), of one moment; to the list
    `before` go references to all greenlets that there were before that. read: what makes of stacks of frames what is
    told of them.

    Asking for all objects is an audit event, in which a Python hook lets other threads run; so is asking for the
    threads' frames. From then on none comes until all frames are gathered: what runs and what is suspended are of one
    moment, but for greenlets that were born behind the first search, and those the second search shows (torn). That is
    another C call: in its event nothing of the first may be held, and iterators hold more than they still give.
    """
    a, b = tee(chain.from_iterable(_map(_dict_items, threads.frames())))
    c, d = tee(_map(_deref, chain.from_iterable((before,))))
    e, f = tee(compress(c, _map(is_not, d, repeat(None))))
    keys = chain(_map(itemgetter(0), a), reads.ids(e))
    firsts = chain(_map(itemgetter(_slice(1, 2)), b), _zip(_map(kind.gr_frame.__get__, f)))
    return chain(silent(_map(before.extend, _map(_list, (_greenlets(kind),)))),
                 _zip(keys, read(threads.gathered(threads.chains(firsts)))))


@restoring
def every(kinds: Any) -> list[ref[Any]]:
    """Weak references to all greenlets. kinds: the greenlet type, or a tuple of types."""
    return _list(still(_greenlets(kinds)))


def suspended_frames(kind: Any) -> Iterator[Any]:
    """Iterator over the innermost frames of all greenlets, None for one that is not suspended. kind: the greenlet
    type. Iterators hold what they still give, and more: to be run in one C call."""
    return _map(kind.gr_frame.__get__, _filter(None, _map(_deref, every(kind))))


def torn(kind: Any, before: list[ref[Any]]) -> str | None:
    """Why all_stacks, which has filled the list, can say nothing: FROZEN, BORN or None. Asked behind it."""
    after = every((kind, _Canary))
    if collection.frozen_before_import() or not [r for r in after if r is _canary_ref]:
        return collection.FROZEN
    known = _frozenset(_map(_id, before)) | {_id(_canary_ref)}
    return BORN if [r for r in after if _id(r) not in known] and "torn" not in BREAK else None


@restoring
def _all_stacks(kind: Any, before: list[ref[Any]],
                read: Callable[[Iterator[Any]], Iterator[Any]]) -> list[tuple[int, Any]]:
    return _list(still(all_stacks(kind, before, read)))


def _of_one_moment(kind: Any, read: Callable[[Iterator[Any]], Iterator[Any]]) -> \
        tuple[str | None, list[tuple[int, Any]]]:
    before: list[ref[Any]] = []
    stacks = _all_stacks(kind, before, read)
    return torn(kind, before), stacks


def stacks_and_greenlets(kind: Any) -> tuple[str | None, list[tuple[int, Stack]]]:
    """(why nothing can be said: FROZEN, BORN or None, [(thread ident or id of greenlet, (id of code, ...))] of all
    threads and suspended greenlets at one moment). BORN: greenlets were born meanwhile, which the look could not
    see. interpreters.Apart."""
    return _of_one_moment(kind, threads.codes)


def places(kind: Any) -> tuple[str | None, list[tuple[int, Places]]]:
    """As stacks_and_greenlets, but with the places at which codes stand, as threads.places has them."""
    return _of_one_moment(kind, threads.code_places)


@restoring
def greenlet_lines(kind: Any, wanted: frozenset[int]) -> list[tuple[int, Lines]]:
    """[(id of greenlet, ((code, line number), ...))] of the suspended greenlets whose id is in the set `wanted`."""
    return _list(still(_greenlet_lines(kind, wanted)))


def _greenlet_lines(kind: Any, wanted: frozenset[int]) -> Iterator[tuple[int, Lines]]:
    c, d = everything()
    e, f = tee(compress(c, _map(wanted.__contains__, reads.ids(d))))
    g, h = tee(compress(e, _map(_issubclass, _map(_type, f), repeat(kind))))
    return _zip(reads.ids(g), threads.code_lines(threads.chains(_zip(_map(kind.gr_frame.__get__, h)))))


# ----------------------------------------------------------------------------------------- those whose thread has ended

def _mains(kind: Any, greenlets: Iterator[Any]) -> Iterator[Any]:
    """The outermost ancestor of each greenlet. From the type's own attribute: a subclass may have another."""
    steps: Any = _map(chain, _zip(greenlets), repeat(repeat(kind)))
    lines: Any = _map(takewhile, repeat(_IS_THERE), _map(accumulate, steps, repeat(kind.parent.__get__)))
    return chain.from_iterable(_map(deque, lines, repeat(1)))


def _of_ended_threads(kind: Any, wanted: frozenset[int]) -> Iterator[Ended]:
    c, d = everything()
    e, f = tee(compress(c, _map(wanted.__contains__, reads.ids(d))))
    g, h, i, j = tee(compress(e, _map(_issubclass, _map(_type, f), repeat(kind))), 4)
    found: Any = _zip(reads.ids(g), _map(ref, h), _map(ref, _mains(kind, i)))
    return compress(found, _map(kind.dead.__get__, _mains(kind, j)))


@restoring
def of_ended_threads(kind: Any, wanted: frozenset[int]) -> list[Ended]:
    """Those of the suspended greenlets with the ids `wanted` whose thread has ended."""
    return _list(still(_of_ended_threads(kind, wanted)))


def _still_suspended(kind: Any, ended: list[Ended]) -> Iterator[tuple[int, Stack]]:
    def alive() -> Iterator[Ended]:
        return compress(ended, _map(_IS_THERE, _map(_deref, _map(itemgetter(1), ended))))

    def found() -> Iterator[Any]:
        return _map(_deref, _map(itemgetter(1), alive()))

    def frames() -> Iterator[Any]:
        return _map(kind.gr_frame.__get__, found())
    same = _map(is_, _mains(kind, found()), _map(_deref, _map(itemgetter(2), alive())))
    stacks = threads.codes(threads.gathered(threads.chains(_zip(frames()))))
    return compress(_zip(_map(itemgetter(0), alive()), stacks), _map(and_, same, _map(_IS_THERE, frames())))


@restoring
def still_suspended(kind: Any, ended: list[Ended]) -> list[tuple[int, Stack]]:
    """[(id, (id of code, ...))] of those greenlets of ended threads that are alive and whose frames are: they have been
    as they are since their thread has ended."""
    return _list(still(_still_suspended(kind, ended)))
