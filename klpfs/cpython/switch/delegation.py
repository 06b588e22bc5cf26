"""Delegation: generator-like objects that hand a throw() or a close() on to what they wait for, and are on no stack.

CPython hands a close() on without putting the object's frame on the stack, and so a throw() up to 3.13 where what the
object waits for is neither generator nor coroutine: an `__await__()` of somebody's, an asynchronous generator's asend()
(gen_close_iter and _gen_throw in Objects/genobject.c). What runs then, the `finally` of a library's generator say, has
below it on the stack whoever closes. But it is called for the object around, which goes on afterwards: so that object's
side decides, as if its frame were there.

A frame that stands behind a handler of an exception may have been entered so (`may_be`), and up to 3.13 also where what
it waited for may have swallowed it. Then the objects of sides are asked which of them hand on, and to what (`side`):
waiting.py knows them. An object that hands on counts as running, and its frame has none below it; what it waits for is
the last that the collector sees in its frame, the top of its stack; up to 3.10, where the collector sees no such frame,
it is asked.

Not known are: what an object of the program's own hands on to by a close() or throw() that is no Python function of
that name; and, up to 3.13, what swallows a throw() that C makes in a `for` loop of the program's.

All this runs inside the program's calls, for which it holds the program's objects a while: nothing but C functions
captured here and klpfs's own code, only in a transition of code that can wait for something (`can_wait`), and only
where such a frame is met before a side's.
"""
from __future__ import annotations

import gc
import sys
from itertools import chain, compress, islice, repeat, starmap
from operator import not_
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, FunctionType, GeneratorType

from ..control_flow import ITERATES, WAITS
from ..looks import reads
from ..looks.atomic import silent
from ..raw import SUSPENDS
from .relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .switching import Transition
    from .waiting import Waiting

_referrers, _referents = gc.get_referrers, gc.get_referents
_type, _getattr, _id, _get, _enumerate, _range, _int = type, getattr, id, dict.get, enumerate, range, int
_list, _map, _issubclass, _BaseException, _reversed = list, map, issubclass, BaseException, reversed

# type -> names of its attributes: its frame, its code, whether it runs, what it waits for
NAMES = {GeneratorType: ("gi_frame", "gi_code", "gi_running", "gi_yieldfrom"),
         CoroutineType: ("cr_frame", "cr_code", "cr_running", "cr_await"),
         AsyncGeneratorType: ("ag_frame", "ag_code", "ag_running", "ag_await")}
HANDED_ON = ("throw", "close")         # names of methods of the program's objects that are waited for
_SHOWS_STACK = sys.version_info >= (3, 11)
_anext: Any = getattr(sys.modules["builtins"], "anext", None)         # from 3.10 on
MOST = 10000           # links of a chain that is followed
_NOTHING = frozenset((_type(None), str, int, CodeType, FunctionType, FrameType))
_OPAQUE = object()      # stands for an object of the program's with a throw() or close() of its own

_SWALLOWS = sys.version_info < (3, 14)      # from then on throw() puts the frames of all that hand it on on the stack

_searching: set[int] = set()            # idents: an audit hook of the program's may call patched functions in a search


def _wrappers() -> tuple[type, ...]:
    """The types of what stands between a waiting object and the generator-like one that it waits for."""
    async def coroutine() -> None:
        pass

    async def generator() -> Any:
        yield
    made, asynchronous = coroutine(), generator()
    wrapped, sends, throws = made.__await__(), asynchronous.asend(None), asynchronous.athrow(ValueError)
    found = [wrapped, sends, throws]
    if _anext is not None:
        found.append(_anext(asynchronous, None))
    for each in found:
        each.close()                    # or they are warned of as never awaited
    return (*_map(_type, found), Relay)


_WRAPPERS = _wrappers()


def can_wait(code: CodeType) -> bool:
    """Whether what the code's calls return can wait for something: `yield from`, `await` and the like."""
    return code.co_flags & SUSPENDS != 0 and not WAITS.isdisjoint(code.co_code[::2])


def may_be(known: Waiting, code: CodeType, key: int, frame: FrameType, below: CodeType | None, lasti: int) -> bool:
    """Whether a frame of that code, generator-like, with the id `key` and of no side, may have been entered by
    delegation. below: the code of the frame below it on the stack; lasti: that frame's f_lasti. Raises no event."""
    handled, swallowed = known.entered(code, key)
    unit = frame.f_lasti // 2
    if handled is None or unit in handled:
        return True
    if not _SWALLOWS or swallowed is None or unit not in swallowed:
        return False
    if below is None:
        return True
    instructions = below.co_code
    while lasti > 0 and not instructions[lasti]:        # a cache of the instruction's: control_flow.py
        lasti -= 2
    return lasti < 0 or instructions[lasti] not in ITERATES


def side(transition: Transition, frames: Sequence[tuple[FrameType, CodeType]], ident: int) -> int | None:
    """The side of the object that has handed on to the innermost of these frames that was entered so; None: none was,
    or a side's object is between. frames: those for which may_be, with their codes, innermost first. ident: this
    thread's."""
    if ident in _searching and reads.audited():
        return None
    try:
        _searching.add(ident)
        places = {_id(frame): n for n, (frame, _) in _enumerate(frames)}
        opaque = [n for n, (_, code) in _enumerate(frames) if not code.co_flags & SUSPENDS]
        known = transition.waiting
        found: tuple[int, int] | None = None            # the place, the side
        candidates = known.candidates()
        if known.unnoted:
            candidates += _referrers(*transition.waiting_codes())
        for waiting in candidates:
            names = NAMES.get(_type(waiting))
            key = _id(_getattr(waiting, names[1])) if names is not None else 0
            if key not in known.ids:
                continue
            reached = _reached(waiting, transition.side_of_code, places)
            place = opaque[0] if reached is _OPAQUE and opaque else reached
            if _type(place) is _int and (found is None or place < found[0]):
                found = place, transition.side_of_code[key]
        return found[1] if found is not None else None
    finally:
        _searching.discard(ident)


def _hands_on(waiting: Any) -> bool:
    """Whether a generator-like object hands on: it runs, and its frame has none below it."""
    names = NAMES[_type(waiting)]
    if not _getattr(waiting, names[2]):
        return False
    frame = _getattr(waiting, names[0])
    return frame is not None and frame.f_back is None


def _reached(waiting: Any, sides: dict[int, Any], places: dict[int, int]) -> Any:
    """The place of the frame to which a generator-like object hands on; _OPAQUE: it hands on to an object of the
    program's; None: neither, or to one of a side, which decides for itself."""
    for _ in _range(MOST):
        if not _hands_on(waiting):
            return None
        waiting = waited_for(waiting)
        names = NAMES.get(_type(waiting))
        if names is None:
            return None if waiting is None else _OPAQUE
        place = _get(places, _id(_getattr(waiting, names[0])))
        if place is not None:
            return place
        if _type(_get(sides, _id(_getattr(waiting, names[1])))) is _int:
            return None
    return None


def waited_for(waiting: Any) -> Any:
    """What a generator-like object that runs waits for, past the wrappers of C; None: it runs itself."""
    # asking one that really runs for what it waits for reads behind its stack's end (3.11, 3.12: _PyGen_yf)
    found = _last_referent(waiting) if _SHOWS_STACK else _getattr(waiting, NAMES[_type(waiting)][3])
    while _type(found) in _WRAPPERS:
        inside = [each for each in _referents(found) if _type(each) in NAMES or _type(each) in _WRAPPERS]
        if not inside:
            return None
        found = inside[0]
    return found


def _last_referent(waiting: Any) -> Any:
    """The last that the collector sees in a running object's frame, but for an exception that the object handles. In
    one C call: what else that frame has must not be held by this thread while others run."""
    box: list[Any] = []

    def every() -> Iterator[Any]:
        return chain.from_iterable(_map(_reversed, box))
    are_errors = _map(_issubclass, _map(_type, every()), repeat(_BaseException))
    for found in _list(chain(silent(_map(box.append, starmap(_referents, ((waiting,),)))),
                             islice(compress(every(), _map(not_, are_errors)), 1), silent(_map(_list.clear, box)))):
        return None if _type(found) in _NOTHING else found
    return None
