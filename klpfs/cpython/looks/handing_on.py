"""The generator-like objects that hand on just now: they run, and their frame has none below it, for a throw() or
close() is under way in what they wait for (switch/delegation.py).

Asked for in the program's calls. It takes one C call, after which this thread has only what hands on: of all others it
might have the last reference otherwise, and their `finally` blocks would run here.
"""
from __future__ import annotations

import gc
from itertools import chain, compress, repeat, starmap
from operator import attrgetter, is_
from weakref import ref

from . import at_address, reads
from .atomic import silent
from .suspended import of_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import CodeType
    from typing import Any

_referrers = gc.get_referrers
_list, _map, _filter, _getattr = list, map, filter, getattr
_NO_FRAME = object()


def handing_on(references: Sequence[ref[Any]], addresses: Sequence[int], ids: Collection[int],
               codes: tuple[CodeType, ...], seen: set[int] | None = None) -> list[Any]:
    """The objects that hand on: of weakly referenced ones, of those of codes with these ids at addresses, and of the
    objects of `codes`, for which the heap is searched; the ids of all these, running or not, go to `seen`. Where
    hooks are about, all that run, for asking for a frame is an event; up to 3.10 with asynchronous generators that
    wait."""
    box: list[list[Any]] = []
    running: list[list[Any]] = []

    def every() -> Iterator[Any]:
        return chain.from_iterable(box)

    def hand_on(kind: type[Any], prefix: str) -> Iterator[Any]:
        def of_kind() -> Iterator[Any]:
            return reads.of_type(lambda: chain.from_iterable(running), kind)
        if reads.audited():
            return of_kind()
        # up to 3.10 an asynchronous generator that has ended in the middle of its aclose() says for ever that it runs
        below = _map(_getattr, _map(attrgetter(prefix + "_frame"), of_kind()), repeat("f_back"), repeat(_NO_FRAME))
        return compress(of_kind(), _map(is_, below, repeat(None)))
    sources: list[Iterator[Any]] = []
    if codes:
        # first, when nothing is held: it is an event
        found: list[list[Any]] = []
        sources.append(chain(silent(_map(found.append, starmap(_referrers, (codes,)))),
                             of_types(chain.from_iterable(found), chain.from_iterable(found), reads.KIND_KEYS, True),
                             silent(_map(_list.clear, found))))
    sources.append(_filter(None, _map(ref.__call__, references)))
    if addresses:
        sources.append(at_address.objects(addresses, ids))
    return _list(chain(silent(_map(box.append, _map(_list, (chain(*sources),)))),
                       silent(_map(seen.update, (reads.ids(every()),)) if seen is not None else ()),
                       silent(_map(running.append, _map(_list, (reads.that_run(every),)))),
                       *[hand_on(*kind) for kind in reads.KINDS],
                       silent(_map(_list.clear, chain(box, running)))))


def references_to(reference: ref[Any]) -> list[ref[Any]]:
    """A list of a weak reference without a callback to the same object; of none where that dies or is gone."""
    return _list(_map(ref, _filter(None, starmap(reference, ((),)))))


def that_are_gone(references: Sequence[ref[Any]]) -> list[bool]:
    """Whether the object of each weak reference is gone."""
    return _list(_map(is_, _map(ref.__call__, references), repeat(None)))


def that_have_ended(references: Sequence[ref[Any]]) -> list[int]:
    """The ids of the weakly referenced objects that have run to their end."""
    box: list[list[Any]] = []
    return _list(chain(silent(_map(box.append, _map(_list, (_filter(None, _map(ref.__call__, references)),)))),
                       reads.ids(reads.that_have_ended(lambda: chain.from_iterable(box))),
                       silent(_map(_list.clear, box))))
