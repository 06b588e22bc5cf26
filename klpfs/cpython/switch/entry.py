"""What a Transition is made of: an Entry for each function object, and a State, which is exchanged as a whole.

Plain data; switching.py says what is done with both, and when.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FunctionType
    from typing import Any
    from weakref import ref

    from ..images import image as images

    Codes = dict[int, CodeType]

_id, _set, _dict, _type = id, set, dict, type


def _by_id(codes: Any) -> Codes:
    """{id: code}: a dict of that kind itself, or of other codes."""
    return codes if _type(codes) is _dict else {_id(code): code for code in codes}


class Entry:
    """A function object that a transition is made for.

    fn: the function object; before, after: Images, what it holds and what it gets; with the same code nothing is
    switched, only older code is looked for. older: code objects of the function's that may still run somewhere and
    count as side 0, {id: code} or an iterable. newer: others that count as side 1, copies of `after`'s. Entries may
    share such dicts, to which more comes: add_codes. key: id(fn), which stays when the
    transition has let go of `fn` (letting_go.py): then there is no such attribute.
    """

    __slots__ = ("fn", "key", "before", "after", "older", "newer")

    def __init__(self, fn: FunctionType, before: images.Image, after: images.Image,
                 older: Codes | Iterable[CodeType] = (), newer: Codes | Iterable[CodeType] = ()) -> None:
        self.fn, self.key, self.before, self.after = fn, _id(fn), before, after
        self.older, self.newer = _by_id(older), _by_id(newer)


class State:
    """The state of a transition, exchanged by a single store (Transition.flip): so a choice is about one mode and one
    goal.

    mode; goal; strict: no choice is remembered; blind: in RUN, of goal 1 while it is not known what waits for
    something, of both while an audit hook refuses what choices ask: all calls answer side 0 still; choices: thread
    ident -> side, remembered choices; clean_threads: idents of threads seen clean; walks: ident -> choices under way;
    suspended_objects: weak references to those that are in the way; ended_objects: {id: weak reference} of those that
    have ended since, see rounds.py.
    With greenlets about: elsewhere: thread ident -> how many choices, which add to it, were for a side that is not the
    goal and that was found elsewhere than below the dispatcher; settled: ident -> that number, of threads that were
    seen with no choice of an older state under way.
    """

    __slots__ = ("mode", "goal", "strict", "blind", "choices", "clean_threads", "walks", "ended_objects",
                 "suspended_objects", "elsewhere", "settled")

    def __init__(self, mode: int, goal: int, strict: bool, blind: bool = False) -> None:
        self.mode, self.goal, self.strict, self.blind = mode, goal, strict, blind
        self.choices: dict[int, int] = {}
        self.clean_threads: set[int] = _set()
        self.walks: dict[int, int] = {}
        self.ended_objects: dict[int, ref[Any]] = {}
        self.suspended_objects: list[ref[Any]] = []
        self.elsewhere: dict[int, int] = {}
        self.settled: dict[int, int] = {}
