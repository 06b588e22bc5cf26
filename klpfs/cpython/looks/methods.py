"""The throw() or close() of an object that a generator-like one waits for, found on stacks: it may have been handed on
from there (switch/delegation.py).

The object's type tells the code of the method, and a frame the first argument that it has by now. Where neither tells,
as for an object with a `__getattr__` of its own, a frame of the right name may be the method's, unless another surely
is: on any stack. Nothing of the program's runs for that.
"""
from __future__ import annotations

import _thread
from itertools import chain, compress, repeat, tee
from operator import attrgetter, is_, itemgetter, ne, or_
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    WrapperDescriptorType,
)

from .. import interpreters
from ..c_originals import original
from ..raw import type_dict, type_mro
from . import greenlets, reads, threads
from .atomic import silent
from .first_argument import OF_OTHERS, first_argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, FrameType
    from typing import Any

_type, _list, _map, _zip, _issubclass = type, list, map, zip, issubclass
_UNBOUND = [(kind, kind.__dict__["__func__"].__get__) for kind in (staticmethod, classmethod)]
_dict_items, _slice = dict.items, slice
get_ident = original(_thread, "get_ident")

NO, MAYBE, SURELY = 0, 1, 2
NAMES = ("throw", "close")
_IN_C = (BuiltinFunctionType, ClassMethodDescriptorType, MethodDescriptorType, WrapperDescriptorType)
_ABSENT = object()


def _attribute(kind: type, name: str) -> Any:
    """The attribute of a type, or _ABSENT."""
    for base in type_mro(kind):
        found = type_dict(base).get(name, _ABSENT)
        if found is not _ABSENT:
            return found
    return _ABSENT


def runs(frame: FrameType, code: CodeType, wanted: object, mine: bool = True) -> int:
    """Whether the function that runs in a frame, with that code, is the method of its name of the object `wanted`: NO,
    MAYBE or SURELY. mine: the frame is this thread's."""
    method = _attribute(_type(wanted), code.co_name)
    if _issubclass(_type(method), _IN_C):
        return NO
    if (mine or OF_OTHERS) and first_argument(frame, code) is wanted:
        return SURELY
    bound = True
    for kind, function_of in _UNBOUND:
        if _issubclass(_type(method), kind):
            bound, method = False, function_of(method)
    # else it is another object's, or the variable has another value by now, or the object has such an attribute itself
    same = _type(method) is FunctionType and method.__code__ is code
    return SURELY if same and not (bound and (mine or OF_OTHERS)) else MAYBE


def _frames(firsts: Iterator[tuple[FrameType | None]]) -> Iterator[FrameType]:
    """Iterator over the frames on some stacks that are their stack's last, or of a function with one of NAMES. To be
    run in one C call, and not to be kept in a variable: it holds this thread's frame as well. firsts: 1-tuples of
    innermost frames, or None."""
    box: list[list[FrameType]] = []

    def every() -> Iterator[FrameType]:
        return chain.from_iterable(box)
    names = _map(attrgetter("co_name"), chain.from_iterable(reads.codes(_map(_list, (every(),)))))
    last = _map(is_, _map(attrgetter("f_back"), every()), repeat(None))
    stacks = chain.from_iterable(threads.chains(firsts))
    return chain(silent(_map(box.append, _map(_list, (stacks,)))),
                 compress(every(), _map(or_, _map(NAMES.__contains__, names), last)), silent(_map(_list.clear, box)))


def _of_other_threads() -> Iterator[tuple[FrameType | None]]:
    """Iterator over 1-tuples of the innermost frames of all threads but this."""
    a, b = tee(chain.from_iterable(_map(_dict_items, threads.frames())))
    return compress(_map(itemgetter(_slice(1, 2)), a), _map(ne, _map(itemgetter(0), b), repeat(get_ident())))


def is_elsewhere(wanted: object, waiting: FrameType | None, mine: Sequence[FrameType], surely: bool,
                 greenlet: Any) -> bool:
    """Whether no frame of `mine` is the method of the object `wanted` that was handed on to, for all stacks tell
    otherwise: the frame of what waits for that object is on one, so it hands nothing on; or, unless one of `mine`
    surely is such a method, another frame is. mine: of this thread, innermost first. greenlet: the greenlet type, or
    None. Other threads' stacks say nothing where asking for them is not safe (interpreters.in_one_moment)."""
    found: list[FrameType] = []
    below = mine[0].f_back
    while below is not None:
        if below.f_back is None or below.f_code.co_name in NAMES:
            found.append(below)
        below = below.f_back
    try:
        found += _list(_frames(_of_other_threads()))
    except interpreters.Apart:
        pass
    except KeyError as error:
        if not interpreters.says_another(error):
            raise
    if greenlet is not None:
        found += _list(_frames(_zip(greenlets.suspended_frames(greenlet))))
    for frame in found:
        if frame is waiting:
            return True
        if not surely and frame.f_code.co_name in NAMES and not [1 for other in mine if other is frame] \
                and runs(frame, frame.f_code, wanted, False) == SURELY:
            return True
    return False
