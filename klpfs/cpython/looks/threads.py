"""Looks at the stacks of threads, each stack of one moment."""
from __future__ import annotations

import sys
from itertools import accumulate, chain, repeat, starmap, takewhile
from operator import attrgetter, truth

from ..switch.rules import BREAK
from .atomic import restoring, still

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any
    Stack = tuple[int, ...]                             # ids of codes, innermost first
    Lines = tuple[tuple[CodeType, int], ...]            # codes and line numbers, innermost first

FRAMES = sys._current_frames
_list, _tuple, _map, _zip, _id, _dict_get, _getattr, _len = list, tuple, map, zip, id, dict.get, getattr, len
_CODE = attrgetter("f_code")
_LINE = attrgetter("f_code", "f_lineno")


def chains(firsts: Iterable[tuple[FrameType | None]]) -> Iterator[Iterator[FrameType]]:
    """Of 1-tuples (frame or None): iterators over the frames of each stack, innermost first."""
    to_none: Any = takewhile
    steps = _map(chain, firsts, repeat(repeat("f_back")))
    return _map(to_none, repeat(truth), _map(accumulate, steps, repeat(_getattr)))


def gathered(stacks: Iterator[Iterator[FrameType]]) -> Iterator[Any]:
    """Stacks as tuples, all taken before the first is given."""
    if "gather" in BREAK:
        return stacks
    return chain.from_iterable(_map(_list, (_map(_tuple, stacks),)))


def codes(stacks: Iterator[Any]) -> Iterator[Stack]:
    """For each stack of frames the ids of its codes."""
    return _map(_tuple, _map(_map, repeat(_id), _map(_map, repeat(_CODE), stacks)))


def code_lines(stacks: Iterator[Any]) -> Iterator[Lines]:
    """For each stack of frames its codes and line numbers."""
    return _map(_tuple, _map(_map, repeat(_LINE), stacks))


def _first_frames(wanted: tuple[int, ...]) -> Iterator[tuple[FrameType | None]]:
    """For each ident in the tuple `wanted`: a 1-tuple of its innermost frame or None, all from one moment."""
    every = chain.from_iterable(_map(repeat, starmap(FRAMES, ((),)), (_len(wanted),)))
    return _zip(_map(_dict_get, every, wanted))


@restoring
def idents() -> list[int]:
    """List of the identifiers of all threads that have a Python frame."""
    return _list(still(chain.from_iterable(starmap(FRAMES, ((),)))))


@restoring
def stacks(wanted: tuple[int, ...]) -> list[tuple[int, Stack]]:
    """[(ident, (id of code, ...) innermost first)] of the threads in the tuple `wanted`; () for a thread that has
    ended."""
    return _list(still(_zip(wanted, codes(gathered(chains(_first_frames(wanted)))))))


@restoring
def lines(wanted: tuple[int, ...]) -> list[tuple[int, Lines]]:
    """[(ident, ((code, line number), ...))] of the threads in the tuple `wanted`, for people to read."""
    return _list(still(_zip(wanted, code_lines(gathered(chains(_first_frames(wanted)))))))
