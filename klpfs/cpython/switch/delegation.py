"""Delegation: generator-like objects that hand a throw() or a close() on to what they wait for, and are on no stack.

CPython hands a close() on without putting the object's frame on the stack, and so a throw() up to 3.13 where what the
object waits for is neither generator nor coroutine: an `__await__()` of somebody's, an asynchronous generator's asend()
(gen_close_iter and _gen_throw in Objects/genobject.c). What runs then, the `finally` of a library's generator say, has
below it on the stack whoever closes. But it is called for the object around, which goes on afterwards: so that object's
side decides, as if its frame were there.

A frame that stands behind a handler of an exception may have been entered so (`may_be`), and up to 3.13 also where what
it waited for may have swallowed it. Then the objects of sides are asked which of them hand on, and to what (`side`):
waiting.py knows them. An object that hands on counts as running, and its frame has none below it; what it waits for is
the last that the collector sees in its frame, the top of its stack.

Not known are: what an object of the program's own hands on to by a close() or throw() that is no method of that name
in Python; what dies with the variables of a generator that an object of a side has closed, which has no frame any more;
and, up to 3.13, what swallows a throw() that C makes in a `for` loop of the program's.

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

from .. import c_api
from ..control_flow import ITERATES, WAITS, stands_waiting
from ..looks import methods, reads
from ..looks.atomic import silent
from ..raw import SUSPENDS
from .relay import Relay
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .switching import Transition
    from .waiting import Waiting

_referents = gc.get_referents
_type, _getattr, _id, _get, _enumerate, _range, _int = type, getattr, id, dict.get, enumerate, range, int
_list, _map, _tuple, _frozenset, _issubclass, _BaseException, _reversed = \
    list, map, tuple, frozenset, issubclass, BaseException, reversed

# types are told apart by their keys: a program's type may have a metaclass whose __eq__ and __hash__ are the program's
_key = reads.key
_NAMES = {_key(GeneratorType): ("gi_frame", "gi_code", "gi_running"),
          _key(CoroutineType): ("cr_frame", "cr_code", "cr_running"),
          _key(AsyncGeneratorType): ("ag_frame", "ag_code", "ag_running")}
HANDED_ON = methods.NAMES       # of methods of the program's objects that are waited for
_SHOWS_STACK = sys.version_info >= (3, 11)
_anext: Any = getattr(sys.modules["builtins"], "anext", None)         # from 3.10 on
MOST = 10000           # links of a chain that is followed
_NOTHING = _frozenset(_map(_key, (_type(None), str, int, CodeType, FunctionType, FrameType)))
_SEARCHES = 2           # of a thread within one another, where a hook may hear them

_SWALLOWS = sys.version_info < (3, 14)      # from then on throw() puts the frames of all that hand it on on the stack


def _wrappers() -> frozenset[int]:
    """The keys of the types of what stands between a waiting object and the generator-like one that it waits for."""
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
    return _frozenset(_map(_key, (*_map(_type, found), Relay)))


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


def names_of(found: object) -> tuple[str, str, str] | None:
    """The names of the attributes of a generator-like object: its frame, its code, whether it runs; None: it is
    none."""
    return _get(_NAMES, _key(_type(found)))


def _is_awaited_below(frame: FrameType) -> bool:
    """Whether the frame below a generator-like object's on the stack is of what waits for that object: then it was
    entered from there. False where that can't be told without an event."""
    below = frame.f_back
    if below is None or c_api.generator_of is None or reads.audited():
        return False
    code = below.f_code
    if not code.co_flags & SUSPENDS or not stands_waiting(code, below.f_lasti):
        return False
    waits = c_api.generator_of(below)
    names = names_of(waits)
    inner = waited_for(waits) if names is not None else None
    names = names_of(inner)
    return names is not None and _getattr(inner, names[0]) is frame


def side(transition: Transition, frames: Sequence[tuple[FrameType, CodeType]], ident: int, inner: bool,
         greenlet: Any) -> int | None:
    """The side of the object that has handed on to the innermost of these frames that was entered so; None: none was,
    or a side's object is between. frames: those for which may_be, with their codes, innermost first. ident: this
    thread's. inner: in another choice. greenlet: the greenlet type, or None."""
    frames = [(frame, code) for frame, code in frames if not code.co_flags & SUSPENDS or not _is_awaited_below(frame)]
    if not frames:
        return None
    known, sides = transition.waiting, transition.side_of_code      # exchanged by Transition.forget
    searches = _get(known.searching, ident, 0) if inner else 0
    if searches >= _SEARCHES and reads.audited():
        return None         # a hook that calls patched functions at the events of this search would recurse for ever
    known.searching[ident] = searches + 1
    try:
        places = {_id(frame): n for n, (frame, _) in _enumerate(frames)}
        found: tuple[int, int] | None = None            # the place, the side
        searched = _tuple(transition.waiting_codes()) if known.must_search() else ()
        for waiting in known.handing_on(searched):
            names = names_of(waiting)
            key = _id(_getattr(waiting, names[1])) if names is not None else 0
            if key not in known.ids:
                continue
            place = _reached(waiting, sides, places, frames, greenlet)
            if place is not None and (found is None or place < found[0]) and key in sides:
                found = place, sides[key]
        return found[1] if found is not None else None
    finally:
        known.searching[ident] = searches


def _hands_on(waiting: Any, names: tuple[str, str, str]) -> bool:
    """Whether a generator-like object hands on: it runs, its frame has none below it, and stands where it waits. A
    thread's or greenlet's first frame has none below it either."""
    if not _getattr(waiting, names[2]):
        return False
    frame = _getattr(waiting, names[0])
    return frame is not None and frame.f_back is None and stands_waiting(_getattr(waiting, names[1]), frame.f_lasti)


def _reached(waiting: Any, sides: dict[int, Any], places: dict[int, int],
             frames: Sequence[tuple[FrameType, CodeType]], greenlet: Any) -> int | None:
    """The place of the frame to which a generator-like object hands on; None: none of these, or a side's object is
    between, which decides for itself."""
    for _ in _range(MOST):
        names = names_of(waiting)
        if names is None or not _hands_on(waiting, names):
            return None
        around, waiting = _getattr(waiting, names[0]), waited_for(waiting)
        names = names_of(waiting)
        if names is None:
            return None if waiting is None else _method_of(waiting, around, frames, greenlet)
        place = _get(places, _id(_getattr(waiting, names[0])))
        if place is not None:
            return place
        if _type(_get(sides, _id(_getattr(waiting, names[1])))) is _int:
            return None
    return None


def _method_of(waiting: object, around: FrameType | None, frames: Sequence[tuple[FrameType, CodeType]],
               greenlet: Any) -> int | None:
    """The place of the frame of the throw() or close() of an object of the program's that was handed on to. around: the
    frame of what waits for that object."""
    found: tuple[int, int] = methods.NO, 0          # how sure, the place
    for n, (frame, code) in _enumerate(frames):
        if not code.co_flags & SUSPENDS:
            how = methods.SURELY if "whose" in BREAK else methods.runs(frame, code, waiting)
            if how > found[0]:
                found = how, n
    if found[0] == methods.NO:
        return None
    elsewhere = "whose" not in BREAK and methods.is_elsewhere(
        waiting, around, [frame for frame, _ in frames], found[0] == methods.SURELY, greenlet)
    return None if elsewhere else found[1]


def waited_for(waiting: Any) -> Any:
    """What a generator-like object that runs waits for, past the wrappers of C; None: it runs itself."""
    # asking one that really runs for what it waits for may read behind its stack's end (up to 3.12: _PyGen_yf)
    names = names_of(waiting)
    found = None if names is None else _last_referent(waiting if _SHOWS_STACK else _getattr(waiting, names[0]))
    while _key(_type(found)) in _WRAPPERS:
        inside = [each for each in _referents(found) if names_of(each) or _key(_type(each)) in _WRAPPERS]
        if not inside:
            return None
        found = inside[0]
    return found


def _last_referent(waiting: Any) -> Any:
    """The last that the collector sees in a running object, up to 3.10 in its frame: the top of its stack. But for an
    exception that the object handles, and for None, which up to 3.12 stays where such an exception was. In one C call:
    what else is seen must not be held by this thread while others run."""
    box: list[Any] = []

    def every() -> Iterator[Any]:
        return chain.from_iterable(_map(_reversed, box))
    are_errors = _map(_issubclass, _map(_type, every()), repeat((_BaseException, _type(None))))
    for found in _list(chain(silent(_map(box.append, starmap(_referents, ((waiting,),)))),
                             islice(compress(every(), _map(not_, are_errors)), 1), silent(_map(_list.clear, box)))):
        return None if _key(_type(found)) in _NOTHING else found
    return None
