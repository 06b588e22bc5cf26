"""A moment in which the heap is frozen, so that a collection finds nothing; and what that takes from the collector is
given back.

gc.freeze() sets the counts of the collector to 0, and gc.unfreeze() puts young objects among the oldest, where no count
tells of them (Modules/gcmodule.c, gc_freeze_impl and gc_unfreeze_impl; Python/gc.c from 3.13 on). While a transition
pends, looks do that many times a second: so the collector would never come to its second and third generation, and the
program's garbage would grow for as long as that takes.

Hence what the moment takes is given back: the second and the third count by collections of nothing while the heap is
frozen, each of which counts one in the next generation; the first by as many objects of klpfs's own as it was, which
live until the next moment. The third generation is collected only when a fourth as many objects have come there as it
had: those that unfreezing has put there are told by a collection of as many objects of klpfs's own.
"""
from __future__ import annotations

import gc
from functools import partial
from itertools import chain, islice, repeat, starmap
from operator import itemgetter
from types import CellType

from .atomic import CALL, call, restoring, silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable, TypeVar
    Function = TypeVar("Function", bound=Callable[..., Any])

_freeze, _unfreeze, _collect, _counts, _threshold = gc.freeze, gc.unfreeze, gc.collect, gc.get_count, gc.get_threshold
_callbacks = gc.callbacks
_map, _min, _max, _slice, _len, _Cell = map, min, max, slice, len, CellType

MOST = 100          # collections of nothing for one count; the collector's own limits for these are 10
MOST_OBJECTS = 20000    # of klpfs's own at once: about a millisecond. The collector's own limit for the first count is
                        # 700 to 2000, but programs set it
LOOKS_OWN = 1000        # a look's own iterators, at most: they have counted when the moment begins, and end behind it

_counted: list[CellType] = []           # stand for the last moment's first count; cells have no free list: each counts
_lost: list[list[tuple[int, ...]]] = []     # the counts before and after moments, not reckoned with yet
_promoted = [0]                         # objects among the oldest that no count tells of
_short = [0]                            # of the first count, not restored: its limit is more than MOST_OBJECTS
_missed = [0, 0]                        # of the second and third count, not restored: a collection was under way
_undo: list[Callable[[], Any]] = []     # what a moment that was cut off has left to do, the last first


def _reckon() -> tuple[int, int, int, int]:
    """What is to be made up for in the next moment: (of the first count, the second, the third; objects among the
    oldest)."""
    first, second = _threshold()[:2]
    while _lost:
        before, after = _lost.pop()
        own = _len(_counted)
        if before[0] < own:                 # a collection has set the count to 0 since
            own = _short[0] = 0
        _promoted[0] += before[0] - own
        _short[0] += _max(before[0] - after[0], 0)
        for n in (0, 1):
            _missed[n] = _min(_missed[n] + before[n + 1] - after[n + 1], MOST) if before[n + 1] > after[n + 1] else 0
    if not first:                           # the program has turned automatic collection off
        _promoted[0] = 0
    # as many as a collection of the second generation sees with the collector's own limits, or a program's smaller ones
    enough = _min(first, 2000) * (_min(second, 10) + 1)
    uncounted = _min(_promoted[0], MOST_OBJECTS) if _promoted[0] >= enough else 0
    _promoted[0] -= uncounted
    short = 0
    if first <= MOST_OBJECTS:               # the count was restored, or collection is off
        _short[0] = 0
    elif _short[0] + MOST_OBJECTS > first:  # enough for a collection: all at once, which comes as rarely
        short, _short[0] = _min(_short[0], first), 0
    return short, _missed[0], _missed[1], uncounted


def frozen(work: Iterator[Any]) -> Iterator[Any]:
    """Iterator that runs `work`, a collection of the youngest generation, with the heap frozen. Not where the program
    has frozen its heap: that would be undone. Whoever runs the iterator is decorated with putting_back."""
    short, second, third, uncounted = _reckon()
    first = _min(_threshold()[0] + LOOKS_OWN, MOST_OBJECTS)
    counts: list[tuple[int, ...]] = []
    box: list[CellType] = []

    def times(n: int, most: int, what: Any) -> Iterator[Any]:
        """`what` as many times as the count n was, or `most`, if that is less."""
        return chain.from_iterable(_map(repeat, (what,), _map(_min, _map(itemgetter(n), counts), repeat(most))))
    promoted = chain(call(box.extend, starmap(_Cell, repeat((), uncounted))), call(_collect, 1), call(box.clear))
    middle = chain(repeat(partial(_collect, 1), third), times(2, MOST, partial(_collect, 1)))
    young = chain(repeat(partial(_collect, 0), second), times(1, MOST, partial(_collect, 0)))
    return chain(call(_undo.append, _unfreeze), silent(_map(counts.append, call(_counts))), call(_freeze),
                 call(_counted.clear),          # the first count is 0 now, and is not made less
                 promoted if uncounted else (), _map(CALL, middle), _map(CALL, islice(young, 1, None)),
                 work,                          # counts as a young collection, too
                 call(_unfreeze), call(_undo.pop),
                 call(_counted.extend, starmap(_Cell, chain(times(0, first, ()), repeat((), short)))),
                 silent(_map(counts.append, call(_counts))), call(_lost.append, counts))


def forget() -> None:
    """Lets go of the objects that stand for counts: no look is to come soon."""
    _counted.clear()


def with_callback(work: Iterator[Any], callback: Any) -> Iterator[Any]:
    """Iterator that runs `work`, a collection, with `callback` instead of the program's callbacks. Whoever runs it is
    decorated with putting_back."""
    saved: list[Any] = []
    back = partial(_callbacks.__setitem__, _slice(None), saved)
    return chain(call(saved.extend, _callbacks), call(_undo.append, back),
                 call(_callbacks.__setitem__, _slice(None), (callback,)), work, call(back), call(_undo.pop))


def putting_back(function: Function) -> Function:
    """Decorates functions as `restoring` does; the heap and the program's callbacks are put back, too, when an
    iterator is cut off, as by a MemoryError."""
    def looked(*args: Any) -> Any:
        try:
            return function(*args)
        except BaseException:
            while _undo:
                _undo.pop()()
            raise
    looked.__name__, looked.__doc__ = function.__name__, function.__doc__
    return restoring(looked)       # type: ignore[return-value]
