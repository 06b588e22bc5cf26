"""Garbage collection as far as looks depend on it: whether one is under way, and whether the program has frozen the
heap.

What a collection has found unreachable is in no list of the collector, and neither is what gc.freeze has set apart.
"""
from __future__ import annotations

import gc
import sys
from functools import partial
from itertools import chain, compress, starmap
from operator import truth

from . import reads
from .atomic import CALL, call, silent, still
from .frozen_moment import frozen, putting_back, with_callback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FunctionType
    from typing import Any

_referrers, _collect, _freeze_count = gc.get_referrers, gc.collect, gc.get_freeze_count
_list, _map, _id, _bool, _setattr = list, map, id, bool, setattr
_sys, _modules = sys, sys.modules

FROZEN, COLLECTING = "frozen heap", "collection"        # why a look can say nothing
NEEDS_QUIET = sys.version_info < (3, 12)
"""Up to 3.11 a collection can run in the middle of a call, after the function's code was read and before its frame can
be seen (docs/FACTS-python.md#traps, T1). While no collection is under way, no call is in that place."""


def _frozen_before_import() -> bool:
    """Whether the heap was frozen before klpfs was loaded, told by sys.modules, an object older than klpfs: the
    canaries of looks were made later, so they can't tell. Costs a scan of the heap."""
    return _bool(_freeze_count()) and \
        _id(_modules) not in _list(reads.ids(chain.from_iterable(starmap(_referrers, ((_sys,),)))))


_before_import = [_frozen_before_import()]


def frozen_before_import() -> bool:
    """Whether the heap is still frozen as the program had frozen it before klpfs was loaded."""
    if _before_import[0]:
        _before_import[0] = _frozen_before_import()
    return _before_import[0]


def probe(seen: dict[str, Any], hide: bool = True) -> Iterator[Any]:
    """Iterator that puts something into the dict `seen` if no collection is under way in any thread; whoever runs it is
    decorated with putting_back.

    gc.collect does nothing, not even its callbacks, when one is. hide: the heap is frozen meanwhile, so that nothing of
    the program's is collected. False where the program has frozen the heap itself, which that would undo: then young
    garbage of the program's ends here, in this thread. The program's callbacks are not called. Counting collections by
    a callback of klpfs's is not sound.
    """
    work = call(_collect, 0)
    return with_callback(frozen(work) if hide else work, seen.__setitem__)


@putting_back
def _quiet(seen: dict[str, Any]) -> list[Any]:
    return _list(still(silent(probe(seen, not _freeze_count()))))


def quiet() -> bool:
    """True if there was a moment in this call at which no thread was collecting garbage. Asks up to 3.11 alone, where
    the count of frozen objects tells whether the program froze them; True without asking from 3.12 on."""
    seen: dict[str, Any] = {}
    if not NEEDS_QUIET:
        return True
    _quiet(seen)
    return _bool(seen)


@putting_back
def _exchange(function: FunctionType, code: CodeType, seen: dict[str, Any]) -> list[Any]:
    exchange = partial(_setattr, function, "__code__", code)
    return _list(still(chain(silent(probe(seen, not _freeze_count())),
                             silent(_map(CALL, compress((exchange,), _map(truth, (seen,))))))))


def exchange_code(function: FunctionType, code: CodeType) -> bool:
    """Gives the function its code if no thread is collecting garbage, in the same C call. Whether it did.

    For 3.10, where a call's frame is made for the code that the function has at first, and then runs the code that the
    function has after the collection that making it may set off: code that needs more room would write behind the
    frame.
    """
    seen: dict[str, Any] = {}
    _exchange(function, code, seen)
    return _bool(seen)
