"""The stack of a generator that is thrown into through others, on 3.9, which cuts it (looks/threads.py: CUTS).

There the frame of the innermost generator-like object around has no f_back. The objects further out wait for each
other: from the root of an asyncio task that is a short way down; else the heap is searched for them. Who called throw()
can't be told.

All this runs inside the program's calls, for which it holds the program's objects a while: nothing but C functions
captured here and klpfs's own code.
"""
from __future__ import annotations

import gc
from types import FrameType

from .delegation import MOST, names_of, waited_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_referrers = gc.get_referrers
_type, _getattr, _range = type, getattr, range


def _object_of(frame: FrameType) -> Any:
    """The generator-like object whose frame this is, or None."""
    for found in _referrers(frame):
        names = names_of(found)
        if names is not None and _getattr(found, names[0]) is frame:
            return found
    return None


def _under(root: Any, frame: FrameType) -> FrameType | None:
    """The frame of the object that waits for the object of that frame, in the chain that begins with `root`; None: the
    frame is not in the chain, or is its first."""
    outer, waiting = None, root
    for _ in _range(MOST):
        names = names_of(waiting)
        if names is None:
            return None
        found = _getattr(waiting, names[0])
        if found is frame:
            return outer
        outer, waiting = found, waited_for(waiting)
    return None


def around(frame: FrameType, root: Any) -> FrameType | None:
    """The frame of the generator-like object that waits for the object of this frame; None: nothing of the kind. root:
    of the asyncio task that is stepped, or None."""
    found = _under(root, frame)
    if found is not None:
        return found
    inner = _object_of(frame)
    if inner is None:
        return None
    for found in _referrers(inner):
        if _type(found) is FrameType and found is not frame:
            outer = _object_of(found)
            if outer is not None and waited_for(outer) is inner:
                return found         # type: ignore[no-any-return]
    return None
