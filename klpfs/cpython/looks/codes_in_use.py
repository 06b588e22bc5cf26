"""The code objects that something runs or may go on with: on the stacks of threads and suspended greenlets, and of
generators, coroutines and asynchronous generators. A list of all code objects exists nowhere: the collector knows none.

In the looks' way: nothing of the program's is held but codes.
"""
from __future__ import annotations

import gc
from itertools import chain, compress, islice, starmap
from operator import attrgetter
from types import FrameType

from ..raw import ASYNC_GENERATOR, COROUTINE, GENERATOR
from ..switch.choice import greenlet_api
from . import greenlets, reads, threads
from .atomic import restoring, silent, still

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType
    from typing import Any

_objects, _dict_values = gc.get_objects, dict.values
_list, _map, _zip, _filter, _id, _dict, _enumerate = list, map, zip, filter, id, dict, enumerate
_GLOBALS = attrgetter("f_globals")


def _of_stacks(firsts: Iterable[FrameType | None]) -> Iterator[FrameType]:
    return chain.from_iterable(threads.chains(_zip(firsts)))


def _frames() -> Iterator[FrameType]:
    firsts = chain.from_iterable(_map(_dict_values, threads.frames()))
    kinds = greenlet_api()
    if kinds is None:
        return _of_stacks(firsts)
    return chain.from_iterable(_map(_of_stacks, (firsts, greenlets.suspended_frames(kinds[0]))))


def _of_frames(frames: Iterable[FrameType]) -> Iterator[tuple[CodeType, int]]:
    box: list[list[FrameType]] = []
    codes = chain.from_iterable(reads.codes(_map(_list, (chain.from_iterable(box),))))
    found = _zip(codes, _map(_id, _map(_GLOBALS, chain.from_iterable(box))))
    return chain(silent(_map(box.append, _map(_list, (frames,)))), found, silent(_map(_list.clear, box)))


def _kinds(flags: int) -> list[tuple[type[Any], str]]:
    """Those of reads.KINDS whose codes have one of these flags: each takes a pass over all objects."""
    return [kind for kind, flag in _zip(reads.KINDS, (GENERATOR, COROUTINE, ASYNC_GENERATOR)) if flags & flag]


def _of_suspended(flags: int) -> Iterator[dict[int, CodeType]]:
    box: list[list[Any]] = []
    found: list[list[CodeType]] = []

    def codes(kind: type[Any], prefix: str) -> Iterator[CodeType]:
        return reads.codes_of_generators(reads.of_type(lambda: chain.from_iterable(box), kind), prefix)
    by_id = _map(_dict, (_zip(_map(_id, chain.from_iterable(found)), chain.from_iterable(found)),))
    return chain(silent(_map(box.append, starmap(_objects, ((),)))),
                 silent(_map(found.append, _map(_list, (chain(*starmap(codes, _kinds(flags))),)))),
                 silent(_map(_list.clear, box)), by_id)


@restoring
def on_stacks() -> list[tuple[CodeType, int]]:
    """List of the code objects on stacks, one for each frame, with the id of the frame's globals. Apart: see
    interpreters."""
    return _list(still(_of_frames(_frames())))


@restoring
def _suspended(flags: int) -> list[dict[int, CodeType]]:
    return _list(still(_of_suspended(flags)))


def of_suspended(flags: int) -> dict[int, CodeType]:
    """{id: code} of the codes of all generators, coroutines and asynchronous generators, as far as such codes have one
    of these flags (raw.SUSPENDS)."""
    return _suspended(flags)[0] if flags else {}


def _frames_of_suspended(ids: frozenset[int], flags: int) -> Iterator[FrameType]:
    """Iterator over the frames of generators, coroutines and asynchronous generators whose codes have these ids. To
    read them may be an audit event: only these objects are held then."""
    box: list[list[Any]] = []

    def with_code(kind: type[Any], prefix: str) -> Iterator[Any]:
        def of_kind() -> Iterator[Any]:
            return reads.of_type(lambda: chain.from_iterable(box), kind)
        return compress(of_kind(), _map(ids.__contains__, reads.generator_codes(of_kind(), prefix)))

    few: list[list[Any]] = []
    kinds = _kinds(flags)
    found = [_map(few.append, _map(_list, (with_code(*kind),))) for kind in kinds]
    frames = [_map(attrgetter(prefix + "_frame"), chain.from_iterable(islice(few, n, n + 1)))
              for n, (_, prefix) in _enumerate(kinds)]
    return chain(silent(_map(box.append, starmap(_objects, ((),)))), silent(chain(*found)),
                 silent(_map(_list.clear, box)), _filter(None, chain(*frames)), silent(_map(_list.clear, few)))


@restoring
def with_globals(ids: frozenset[int], flags: int) -> list[tuple[CodeType, int]]:
    """List of the codes with these ids of generators, coroutines and asynchronous generators that have not ended, one
    for each object, with the id of its globals. flags: as of_suspended has them."""
    return _list(still(_of_frames(_frames_of_suspended(ids, flags))))
