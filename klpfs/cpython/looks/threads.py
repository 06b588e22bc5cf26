"""Looks at the stacks of threads, each stack of one moment. All raise interpreters.Apart where that is not safe."""
from __future__ import annotations

import sys
from itertools import accumulate, chain, repeat, takewhile, tee
from operator import and_, attrgetter, itemgetter, truth

from ..interpreters import in_one_moment
from ..raw import SUSPENDS
from ..switch.rules import BREAK
from . import reads
from .atomic import restoring, still

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any
    Stack = tuple[int, ...]                             # ids of codes, innermost first; then marks, see CUTS
    Lines = tuple[tuple[CodeType, int], ...]            # codes and line numbers, innermost first
    Places = tuple[tuple[int, int, CodeType], ...]      # f_lasti, line numbers, codes, innermost first

FRAMES = sys._current_frames
_list, _tuple, _map, _zip, _dict_get, _getattr, _len = list, tuple, map, zip, dict.get, getattr, len
_slice, _bool, _next, _filter, _id, _getframe = slice, bool, next, filter, id, sys._getframe
_FLAGS, _LINE, _LASTI = attrgetter("co_flags"), attrgetter("f_lineno"), attrgetter("f_lasti")


def _cuts() -> bool:
    """Whether this CPython cuts a stack where a generator is thrown into through another generator: the frame of the
    one around it then has no f_back."""
    def inner() -> Any:
        try:
            yield
        except KeyError:
            yield _getframe(0).f_back.f_back is None        # type: ignore[union-attr]

    def around() -> Any:
        yield from inner()
    generator = around()
    _next(generator)
    return _bool(generator.throw(KeyError()))


CUTS = _cuts()
"""3.9: throw() of a generator or coroutine that waits for another makes its own frame the thread's innermost frame
without a frame below (bpo-29590): who called throw(), and all that is further out, is on no stack that can be seen
until throw() comes back. Here each Stack ends in a mark for each of its two outermost frames that is generator-like:
its flag of SUSPENDS, no address."""


def stack_of(where: Places) -> Stack:
    """The Stack of the same moment as these Places."""
    marks = [code.co_flags & SUSPENDS for _, _, code in where[-2:]] if CUTS else []
    return (*[_id(code) for _, _, code in where], *[mark for mark in marks if mark])


def is_cut(stack: Stack) -> bool:
    """Whether a Stack may lack what is below its outermost frame: a generator-like frame that called another."""
    return CUTS and _len(stack) > 3 and stack[-1] <= SUSPENDS and stack[-2] <= SUSPENDS


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
    """For each stack of frames the ids of its codes; with marks, see CUTS."""
    if not CUTS:
        return _map(_tuple, reads.ids_of_each(reads.codes(stacks)))
    a, b = tee(_map(_tuple, reads.codes(stacks)))
    ids = reads.ids_of_each(a)
    flags = _map(_map, repeat(_FLAGS), _map(itemgetter(_slice(-2, None)), b))
    marks = _map(_filter, repeat(None), _map(_map, repeat(and_), flags, repeat(repeat(SUSPENDS))))
    return _map(_tuple, _map(chain, ids, marks))


def code_lines(stacks: Iterator[Any]) -> Iterator[Lines]:
    """For each stack of frames its codes and line numbers."""
    a, b = tee(_map(_tuple, stacks))
    return _map(_tuple, _map(_zip, reads.codes(a), _map(_map, repeat(_LINE), b)))


def code_places(stacks: Iterator[Any]) -> Iterator[Places]:
    """For each stack of frames the places at which its codes stand. No code is read before all places are, so none is
    older than its stack where an audit hook hears that."""
    a, b, c = tee(_map(_tuple, stacks), 3)
    places = chain.from_iterable(_map(_list, (_map(_tuple, _map(_map, repeat(_LASTI), a)),)))
    return _map(_tuple, _map(_zip, places, _map(_map, repeat(_LINE), b), reads.codes(c)))


def frames() -> Iterator[dict[int, FrameType]]:
    """An iterator of one item: the innermost frames of all threads, by their idents, of the moment in which it is
    run. Apart, and KeyError, as interpreters.in_one_moment."""
    return in_one_moment(FRAMES)


def _first_frames(wanted: tuple[int, ...]) -> Iterator[tuple[FrameType | None]]:
    """For each ident in the tuple `wanted`: a 1-tuple of its innermost frame or None, all from one moment."""
    every = chain.from_iterable(_map(repeat, frames(), (_len(wanted),)))
    return _zip(_map(_dict_get, every, wanted))


@restoring
def idents() -> list[int]:
    """List of the identifiers of all threads that have a Python frame."""
    return _list(still(chain.from_iterable(frames())))


@restoring
def stacks(wanted: tuple[int, ...]) -> list[tuple[int, Stack]]:
    """[(ident, (id of code, ...) innermost first)] of the threads in the tuple `wanted`; () for a thread that has
    ended."""
    return _list(still(_zip(wanted, codes(gathered(chains(_first_frames(wanted)))))))


@restoring
def lines(wanted: tuple[int, ...]) -> list[tuple[int, Lines]]:
    """[(ident, ((code, line number), ...))] of the threads in the tuple `wanted`, for people to read."""
    return _list(still(_zip(wanted, code_lines(gathered(chains(_first_frames(wanted)))))))


@restoring
def places(wanted: tuple[int, ...]) -> list[tuple[int, Places]]:
    """[(ident, ((f_lasti, line number, code), ...))] of the threads in the tuple `wanted`, of one moment."""
    return _list(still(_zip(wanted, code_places(gathered(chains(_first_frames(wanted)))))))
