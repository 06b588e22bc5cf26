"""The code objects that something runs or may go on with: on the stacks of threads and suspended greenlets, and of
generators, coroutines and asynchronous generators. A list of all code objects exists nowhere: the collector knows none.
"""
from __future__ import annotations

from itertools import chain, starmap
from operator import attrgetter
from weakref import ref

from ..switch.choice import greenlet_api
from . import greenlets, reads, threads
from .atomic import everything, restoring, silent, still
from .suspended import of_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any

_list, _map, _zip, _filter, _id = list, map, zip, filter, id
_deref, _dict_values = ref.__call__, dict.values


def _of_stacks(firsts: Iterable[FrameType | None]) -> Iterator[FrameType]:
    return chain.from_iterable(threads.chains(_zip(firsts)))


def _of_suspended() -> Iterator[FrameType]:
    box: list[list[Any]] = []
    gather = silent(_map(box.append, _map(_list, (of_types(*everything(), reads.KIND_KEYS, True),))))
    frames = [_map(attrgetter(prefix + "_frame"), reads.of_type(lambda: chain.from_iterable(box), kind))
              for kind, prefix in reads.KINDS]
    return _filter(None, chain(gather, *frames, silent(_map(_list.clear, box))))


def _codes(frames: Iterator[FrameType]) -> Iterator[tuple[CodeType, int]]:
    box: list[list[FrameType]] = []
    found = _zip(_map(attrgetter("f_code"), chain.from_iterable(box)),
                 _map(_id, _map(attrgetter("f_globals"), chain.from_iterable(box))))
    return chain(silent(_map(box.append, _map(_list, (frames,)))), found, silent(_map(_list.clear, box)))


def _frames() -> Iterator[FrameType]:
    firsts: list[Iterator[FrameType | None]] = [chain.from_iterable(_map(_dict_values, starmap(threads.FRAMES, ((),))))]
    kinds = greenlet_api()
    if kinds is not None:
        firsts.append(_map(kinds[0].gr_frame.__get__, _filter(None, _map(_deref, greenlets.every(kinds[0])))))
    return chain(_of_suspended(), *_map(_of_stacks, firsts))


@restoring
def codes_in_use() -> list[tuple[CodeType, int]]:
    """List of the code objects, one for each frame, with the id of the frame's globals."""
    return _list(still(_codes(_frames())))
