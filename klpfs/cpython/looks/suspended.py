"""Looks for suspended generators, coroutines and asynchronous generators, through weak references."""
from __future__ import annotations

import gc
import sys
from itertools import chain, compress, repeat, starmap, tee
from operator import and_, attrgetter, contains, is_, not_, or_
from types import FrameType
from weakref import ref

from ..switch.choice import module_value
from ..switch.rules import BREAK
from . import greenlets, reads
from .atomic import everything, silent, still
from .collection import COLLECTING, FROZEN, frozen_before_import, probe
from .frozen_moment import putting_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import CodeType
    from typing import Any

    from .threads import Stack

_referrers, _referents, _refcount = gc.get_referrers, gc.get_referents, sys.getrefcount
_list, _tuple, _map, _type, _iter = list, tuple, map, type, iter
_frozenset, _len, _compile, _zip, _filter, _dict, _set = frozenset, len, compile, zip, filter, dict, set

KINDS = reads.KINDS
KIND_KEYS = reads.KIND_KEYS
_TWICE = sys.version_info[:2] == (3, 11)        # there a generator and its frame both refer to their code
ACTIVATIONS = KIND_KEYS | {reads.key(FrameType)}
FEW = 12        # from so many codes on, looking at all objects' types is quicker than asking for the codes' referrers

# a suspended generator: a look that does not find it can't find the program's either
_nothing: tuple[int, ...] = ()
_canary: Any = (x for x in _nothing)
_canary_code, _canary_ref, _canary_id = _canary.gi_code, ref(_canary), id(_canary)


control = _compile("0", "", "eval").replace(co_name="control")     # a code with the references that all of them have


class References:
    """The references to a few codes, at a look's moment.

    counts: how many each code has, in the order of the codes, then the control; again: the same, at the look's end.
    known: the ids of the codes, one for each reference in an object that the collector knows: of frames, those that are
    over, as in tracebacks, and of generators, but none that a thread or a greenlet runs. kinds: the keys of those
    objects' types (reads.key).
    """

    __slots__ = ("counts", "again", "known", "kinds")

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.again: list[int] = []
        self.known: list[int] = []
        self.kinds: list[int] = []


def of_types(objects: Iterable[Any], again: Iterable[Any], types: frozenset[int], wanted: bool) -> Iterator[Any]:
    """The objects whose type is, or is not, among the keys `types`. again: another iterator over the same objects."""
    are: Any = _map(types.__contains__, _map(reads.key, _map(_type, again)))
    return compress(objects, are if wanted else _map(not_, are))


def _suspendable(codes: Sequence[CodeType], counted: References, found: list[Any], others: list[Any]) -> Iterator[Any]:
    """Iterator that gives nothing, and puts into `found` a list of the generators, coroutines and asynchronous
    generators that refer to one of a few code objects; of all of the process for more code objects than that.

    For a few codes it begins to fill `counted`, and puts into `others` the other referrers, for _rest to count.
    """
    if _len(codes) >= FEW:
        return silent(_map(found.append, _map(_list, (of_types(*everything(), KIND_KEYS, True),))))
    wanted, box = _tuple(codes) + (control, _canary_code), []      # type: ignore[var-annotated]

    def every() -> Iterator[Any]:
        return chain.from_iterable(box)

    def of_type(kind: type[Any]) -> Iterator[Any]:
        return reads.of_type(every, kind)
    known: list[Iterator[Any]] = [reads.generator_codes(of_type(kind), prefix) for kind, prefix in KINDS]
    if _TWICE:
        known += [compress(reads.generator_codes(of_type(kind), prefix), reads.have_frames(of_type(kind), prefix))
                  for kind, prefix in KINDS]
    known.append(reads.ids(chain.from_iterable(reads.codes((of_type(FrameType),)))))
    return chain(silent(_map(box.append, starmap(_referrers, (wanted,)))),
                 silent(_map(counted.counts.extend, _map(_list, (_map(_refcount, wanted),)))),
                 silent(_map(counted.kinds.append, _map(reads.key, _map(_type, every())))),
                 silent(_map(counted.known.extend, _map(_list, known))),
                 silent(_map(found.append, _map(_list, (of_types(every(), every(), KIND_KEYS, True),)))),
                 silent(_map(others.append, _map(_list, (of_types(every(), every(), ACTIVATIONS, False),)))),
                 silent(_map(_list.clear, box)))


def _rest(codes: Sequence[CodeType], counted: References, others: list[Any]) -> Iterator[Any]:
    """Iterator that gives nothing, and counts the references in `others`. Where asking for referents is an audit event
    (reads.referents) it comes last, when nothing is held that may end, and the counts are asked for again."""
    if _len(codes) >= FEW:
        return _iter(())
    wanted = _tuple(codes) + (control,)
    ids = _frozenset(reads.ids(wanted))
    within = reads.referents(lambda: chain.from_iterable(others))
    return chain(silent(_map(counted.known.append, _filter(ids.__contains__, within))),
                 silent(_map(counted.again.extend, _map(_list, (_map(_refcount, wanted),)))),
                 silent(_map(_list.clear, others)))


def _of_codes(box: list[Any], ids: frozenset[int], kind: type[Any], prefix: str) -> Iterator[Any]:
    """Iterator over the objects of a type in the list in `box` whose code's id is in ids."""
    def of_kind() -> Iterator[Any]:
        return reads.of_type(lambda: chain.from_iterable(box), kind)
    return compress(of_kind(), _map(ids.__contains__, reads.generator_codes(of_kind(), prefix)))


def _references(box: list[Any], ids: frozenset[int], running: list[int]) -> Iterator[ref[Any]]:
    """Iterator over weak references to those objects in the list in `box` whose code's id is in ids; of those that may
    be dying the ids of their codes go to `running`: a weak reference to what dies would outlive it, since gen_dealloc
    (Objects/genobject.c) clears them before its `finally` blocks run."""
    def last(kind: type[Any], prefix: str) -> Iterator[bool]:
        return reads.last(lambda: _of_codes(box, ids, kind, prefix), prefix)
    run = [reads.generator_codes(compress(_of_codes(box, ids, *kind), _map(not_, last(*kind))), kind[1])
           for kind in KINDS]
    found = [_map(ref, compress(_of_codes(box, ids, *kind), last(*kind))) for kind in KINDS]
    return chain(silent(_map(running.extend, _map(_list, run))), chain.from_iterable(found))


def _gather(codes: Sequence[CodeType], seen: dict[str, Any], counted: References, running: list[int],
            frozen: bool) -> Iterator[ref[Any]]:
    ids = _frozenset(reads.ids((*codes, _canary_code)))
    box, others, fine = [], [], []                                      # type: ignore[var-annotated]
    return chain(_suspendable(codes, counted, box, others),
                 silent(_map(fine.append, _map(contains, box, repeat(_canary, not frozen)))),
                 # on a frozen heap nothing is to be said anyway, and asking would end the program's freeze
                 silent(chain.from_iterable(compress((probe(seen),), fine))),
                 _references(box, ids, running), silent(_map(_list.clear, box)), _rest(codes, counted, others))


@putting_back
def _find(codes: Sequence[CodeType], seen: dict[str, Any], kind: Any, before: list[ref[Any]],
          stacks: list[tuple[int, Stack]], counted: References, running: list[int], frozen: bool) -> list[ref[Any]]:
    if kind is None:
        return _list(still(_gather(codes, seen, counted, running, frozen)))
    # the stacks last: when nothing old is suspended any more, no clean task can get dirty by resuming it
    return _list(still(chain(_gather(codes, seen, counted, running, frozen),
                             silent(_map(stacks.extend, _map(_list, (greenlets.all_stacks(kind, before),)))))))


def find(codes: Sequence[CodeType], kind: Any = None, counted: References | None = None,
         running: list[int] | None = None) -> tuple[str | None, list[ref[Any]], list[tuple[int, Stack]]]:
    """(why nothing can be said: FROZEN, COLLECTING, greenlets.BORN or None, weak references, stacks).

    codes: code objects of generator-like functions. The references are to all their generators, coroutines and
    asynchronous generators, maybe also some that have run to their end (has_frame tells). COLLECTING: a collection is
    under way: what it has found unreachable is in no list, but its `finally` blocks may still run. kind: the greenlet
    type: then stacks is what greenlets.stacks_and_greenlets gives, of the same moment. counted: filled, of the same
    moment, for a few codes. running: to it go the ids of the codes of objects that just run, on a stack, or may be
    dying, to which there are no references. With `kind`: interpreters.Apart.
    """
    frozen = frozen_before_import()
    seen: dict[str, Any] = {}
    before: list[ref[Any]] = []
    stacks: list[tuple[int, Stack]] = []
    references = _find(codes, seen, kind, before, stacks, counted or References(),
                       [] if running is None else running, frozen)
    why = None
    if frozen or _canary_ref not in references:
        why = FROZEN
    elif not seen and "gcscan" not in BREAK:
        why = COLLECTING
    elif kind is not None:
        why = greenlets.torn(kind, before)
    return why, [r for r in references if r is not _canary_ref], stacks


def _held(every: Callable[[], Iterator[Any]], ids: set[int]) -> Iterator[Any]:
    """Iterator that gives nothing, and puts into `ids` the ids of those objects to which another generator-like object
    or an asyncio task refers, which what dies has not: those that wait for it."""
    holders = KIND_KEYS | {reads.key(kind) for kind in (module_value("_asyncio", "Task"),) if kind is not None}
    box: list[Any] = []
    if reads.audited():         # asking for referents is an event
        return _iter(())
    found = of_types(chain.from_iterable(box), chain.from_iterable(box), holders, True)
    return chain(silent(_map(box.append, starmap(_referrers, _map(_tuple, (every(),))))),
                 silent(_map(ids.update, (reads.ids(chain.from_iterable(starmap(_referents, _zip(found)))),))),
                 silent(_map(_list.clear, box)))


@putting_back
def _resting(codes: Sequence[CodeType], seen: dict[str, Any], reference: Any, callback: Any, addresses: list[int],
             running: list[int], frozen: bool) -> list[ref[Any]]:
    wanted = (*codes, _canary_code)
    ids = _frozenset(reads.ids(wanted))
    box: list[Any] = []
    fine: list[bool] = []
    held: set[int] = _set()

    def of_codes(kind: type[Any], prefix: str) -> Iterator[Any]:
        return _of_codes(box, ids, kind, prefix)

    def last(kind: type[Any], prefix: str) -> Iterator[bool]:
        return reads.last(lambda: of_codes(kind, prefix), prefix)

    def doubtful() -> Iterator[Any]:
        return chain.from_iterable([compress(of_codes(*kind), _map(not_, last(*kind))) for kind in KINDS[1:]])

    def known(kind: type[Any], prefix: str) -> Iterator[bool]:
        held_and_rests = _map(and_, _map(held.__contains__, reads.ids(of_codes(kind, prefix))),
                              reads.rest(of_codes(kind, prefix), prefix))
        return _map(or_, last(kind, prefix), held_and_rests)
    run = [reads.ids(compress(of_codes(*kind), _map(not_, known(*kind)))) for kind in KINDS]
    rest = [reads.ids(compress(of_codes(*kind), known(*kind))) for kind in KINDS]
    found = [_map(reference, compress(of_codes(*kind), known(*kind)), repeat(callback)) for kind in KINDS]
    if _len(codes) < FEW:
        found_all = _map(box.append, starmap(_referrers, (wanted,)))
    else:
        found_all = _map(box.append, _map(_list, (of_types(*everything(), KIND_KEYS, True),)))
    return _list(still(chain(silent(found_all), silent(_held(doubtful, held)), silent(_map(running.extend, _map(
                                 _list, run))),
                             silent(_map(addresses.extend, _map(_list, rest))),
                             silent(_map(fine.append, _map(contains, (addresses,), repeat(_canary_id, not frozen)))),
                             silent(chain.from_iterable(compress((probe(seen),), fine))),
                             chain.from_iterable(found), silent(_map(_list.clear, box)))))


def resting(codes: Sequence[CodeType], reference: Any, callback: Any) -> tuple[str | None, dict[int, Any], list[int]]:
    """(why not all may have been seen: FROZEN, COLLECTING or None; id -> reference, of the generators, coroutines and
    asynchronous generators of these codes that surely are not dying; the ids of the others). reference: weakref.ref or
    a subclass; callback: a function of C, for each."""
    frozen = frozen_before_import()
    seen: dict[str, Any] = {}
    addresses: list[int] = []
    running: list[int] = []
    found = _dict(_zip(addresses, _resting(codes, seen, reference, callback, addresses, running, frozen)))
    canary = found.pop(_canary_id, None)
    why = FROZEN if frozen or canary is None else None if seen or "gcscan" in BREAK else COLLECTING
    return why, found, running


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


def code_id(reference: ref[Any], prefix: str) -> int:
    """The id of a weakly referenced object's code; 0: the object is gone, or not of the kind whose attributes have that
    prefix."""
    kind = [kind for kind, other in KINDS if other == prefix][0]
    a, b = tee(starmap(reference, ((),)))
    for found in _list(reads.generator_codes(compress(a, _map(is_, _map(_type, b), repeat(kind))), prefix)):
        return found
    return 0


def has_frame(reference: ref[Any]) -> bool:
    """Whether a generator-like object is alive and has not run to its end."""
    for _, prefix in KINDS:
        if True in _list(reads.have_frames(starmap(reference, ((),)), prefix)):
            return True
    return False
