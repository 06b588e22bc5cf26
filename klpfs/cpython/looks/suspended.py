"""Looks for suspended generators, coroutines and asynchronous generators, through weak references."""
from __future__ import annotations

import gc
import sys
from itertools import chain, compress, repeat, starmap, tee
from operator import attrgetter, contains, truth
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from weakref import ref

from ..switch.rules import BREAK
from . import greenlets
from .atomic import call, everything, restoring, silent, still
from .collection import COLLECTING, FROZEN, frozen_before_import, probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType
    from typing import Any

    from .threads import Stack

_referrers, _referents, _refcount = gc.get_referrers, gc.get_referents, sys.getrefcount
_list, _tuple, _map, _id, _type, _getattr = list, tuple, map, id, type, getattr
_frozenset, _len, _compile, _zip, _filter = frozenset, len, compile, zip, filter

KINDS = ((GeneratorType, "gi"), (CoroutineType, "cr"), (AsyncGeneratorType, "ag"))     # type, prefix of its attributes
KIND_IDS = frozenset(id(kind) for kind, prefix in KINDS)
FEW = 12        # from so many codes on, looking at all objects' types is quicker than asking for the codes' referrers

# a suspended generator: a look that does not find it can't find the program's either
_nothing: tuple[int, ...] = ()
_canary: Any = (x for x in _nothing)
_canary_code, _canary_ref = _canary.gi_code, ref(_canary)


control = _compile("0", "", "eval").replace(co_name="control")     # a code with the references that all of them have


class References:
    """The references to a few codes, at a look's moment.

    counts: how many each code has, in the order of the codes, then the control. known: the ids of the codes, one for
    each reference in an object that the collector knows. kinds: the ids of those objects' types.
    """

    __slots__ = ("counts", "known", "kinds")

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.known: list[int] = []
        self.kinds: list[int] = []


def _suspendable(codes: Sequence[CodeType], references: References) -> Iterator[Any]:
    """Iterator over the generators, coroutines and asynchronous generators that refer to one of a few code objects,
    which fills `references`; over all of the process for more code objects than that."""
    if _len(codes) < FEW:
        wanted, box = _tuple(codes) + (control, _canary_code), []      # type: ignore[var-annotated]
        ids = _frozenset(_map(_id, wanted))
        a, b = tee(chain.from_iterable(box))
        within = chain.from_iterable(_map(_map, repeat(_id), starmap(_referents, _zip(chain.from_iterable(box)))))
        return chain(silent(_map(references.counts.extend, _map(_list, (_map(_refcount, wanted),)))),
                     silent(_map(box.append, starmap(_referrers, (wanted,)))),
                     silent(_map(references.kinds.append, _map(_id, _map(_type, chain.from_iterable(box))))),
                     silent(_map(references.known.extend, _map(_list, (_filter(ids.__contains__, within),)))),
                     compress(a, _map(KIND_IDS.__contains__, _map(_id, _map(_type, b)))),
                     silent(_map(_list.clear, box)))
    a, b = everything()
    return compress(a, _map(KIND_IDS.__contains__, _map(_id, _map(_type, b))))


def _references(box: list[Any], ids: frozenset[int]) -> Iterator[ref[Any]]:
    """Iterator over weak references to those objects in the list in `box` whose code's id is in ids (a code never
    changes, so an audit hook may see these reads)."""
    found = []
    for kind, prefix in KINDS:
        a, b = tee(chain.from_iterable(box))
        a, b = tee(compress(a, _map(_id(kind).__eq__, _map(_id, _map(_type, b)))))
        found.append(_map(ref, compress(a, _map(ids.__contains__, _map(_id, _map(attrgetter(prefix + "_code"), b))))))
    return chain.from_iterable(found)


def _gather(codes: Sequence[CodeType], seen: dict[str, Any], counted: References) -> Iterator[ref[Any]]:
    ids, box, fine = _frozenset(_map(_id, codes)) | {_id(_canary_code)}, [], []     # type: ignore[var-annotated]
    return chain(silent(_map(box.append, _map(_list, (_suspendable(codes, counted),)))),
                 silent(_map(fine.append, _map(contains, box, repeat(_canary)))),
                 # frozen: nothing to be said anyway
                 silent(chain.from_iterable(compress((probe(seen, (True,)),), fine))),
                 _references(box, ids), silent(call(box.clear)))


@restoring
def _find(codes: Sequence[CodeType], seen: dict[str, Any], kind: Any, before: list[ref[Any]], after: list[ref[Any]],
          stacks: list[tuple[int, Stack]], counted: References) -> list[ref[Any]]:
    if kind is None:
        return _list(still(_gather(codes, seen, counted)))
    # the stacks last: when nothing old is suspended any more, no clean task can get dirty by resuming it
    return _list(still(chain(_gather(codes, seen, counted),
                             silent(_map(stacks.extend, _map(_list, (greenlets.all_stacks(kind, before, after),)))))))


def find(codes: Sequence[CodeType], kind: Any = None, counted: References | None = None) -> \
        tuple[str | None, list[ref[Any]], list[tuple[int, Stack]]]:
    """(why nothing can be said: FROZEN, COLLECTING, greenlets.BORN or None, weak references, stacks).

    codes: code objects of generator-like functions. The references are to all their generators, coroutines and
    asynchronous generators, maybe also some that have run to their end (has_frame tells). COLLECTING: a collection is
    under way: what it has found unreachable is in no list, but its `finally` blocks may still run. kind: the greenlet
    type: then stacks is what greenlets.stacks_and_greenlets gives, of the same moment. counted: filled, of the same
    moment, for a few codes.
    """
    frozen = frozen_before_import()
    seen: dict[str, Any] = {}
    before: list[ref[Any]] = []
    after: list[ref[Any]] = []
    stacks: list[tuple[int, Stack]] = []
    references = _find(codes, seen, kind, before, after, stacks, counted or References())
    why = None
    if frozen or _canary_ref not in references:
        why = FROZEN
    elif not seen and "gcscan" not in BREAK:
        why = COLLECTING
    elif kind is not None:
        why = greenlets.torn(before, after)
    return why, [r for r in references if r is not _canary_ref], stacks


def of(reference: ref[Any], *names: str) -> list[Any]:
    """For each name, a dotted path of attributes: its value in a weakly referenced object, None if the attribute or the
    object is gone. For codes, numbers, texts and bools only: no name of klpfs may hold an object of the program's."""
    values: list[Any] = []
    for name in names:
        try:
            values += _list(_map(attrgetter(name), starmap(reference, ((),))))
        except AttributeError:
            values.append(None)
    return values


def has_frame(reference: ref[Any]) -> bool:
    """Whether a generator-like object is alive and has not run to its end."""
    for _, prefix in KINDS:
        if _list(_map(truth, _map(_getattr, starmap(reference, ((),)), (prefix + "_frame",), (None,))))[0]:
            return True
    return False
