"""Collection held off: while klpfs allocates much, it must not make Python collect the program's garbage; and where a
collection would deadlock.

`hold` and `let_go` are a pair around a slice of work of the agent's thread. What an exception has cut off in between,
even in the pair itself, `restore` puts right.
"""
from __future__ import annotations

import gc
import sys

from klpfs.cpython import interpreters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_on, _off, _is_on = gc.enable, gc.disable, gc.isenabled
_frames = sys._current_frames
_DEADLOCKS = sys.version_info[:2] == (3, 11)    # a collection in sys._current_frames does, gh-106883
_held = False           # collection is on as far as the program is concerned, and we hold it off


def hold() -> bool:
    """Turns collection off. Whether it was on: then the caller lets go. Counterpart: let_go."""
    global _held
    if not _is_on():
        return False
    _held = True        # first: `restore` goes by it
    _off()
    return True


def let_go() -> None:
    """Turns collection on again."""
    global _held
    _on()
    _held = False


def restore() -> None:
    """Turns collection on again if a hold was never let go."""
    if _held:
        let_go()


def thread_frames() -> dict[int, FrameType]:
    """sys._current_frames(): the innermost frame of each thread, by its ident. Any thread.
    interpreters.Apart."""
    off = _DEADLOCKS and _is_on()
    if off:
        _off()
    try:
        return next(interpreters.in_one_moment(_frames))
    except KeyError as error:
        if not interpreters.says_another(error):
            raise
        raise interpreters.Apart from None
    finally:
        if off:
            _on()
