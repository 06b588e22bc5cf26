"""The stack of a generator that is thrown into through others, on 3.9, which cuts it (looks/threads.py: CUTS).

There the frame of the innermost generator-like object around has no f_back. The objects further out wait for each
other; so the heap tells which they are. Who called throw() can't be told.

All this runs inside the program's calls, for which it holds the program's objects a while: nothing but C functions
captured here and klpfs's own code.
"""
from __future__ import annotations

import gc
from types import FrameType

from .delegation import NAMES
from .relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_referrers = gc.get_referrers
_type, _getattr = type, getattr


def _object_of(frame: FrameType) -> Any:
    """The generator-like object whose frame this is, or None."""
    for found in _referrers(frame):
        for kind in NAMES:
            if _type(found) is kind and _getattr(found, NAMES[kind][0]) is frame:
                return found
    return None


def _waits_for(waiting: Any) -> Any:
    """What a generator-like object waits for; a dispatcher's, past its Relay."""
    found = _getattr(waiting, NAMES[_type(waiting)][3])
    return found.inner if _type(found) is Relay else found


def around(frame: FrameType) -> FrameType | None:
    """The frame of the generator-like object that waits for the object of this frame; None: nothing of the kind."""
    inner = _object_of(frame)
    if inner is None:
        return None
    for found in _referrers(inner):
        if _type(found) is FrameType and found is not frame:
            outer = _object_of(found)
            if outer is not None and _waits_for(outer) is inner:
                return found         # type: ignore[no-any-return]
    return None
