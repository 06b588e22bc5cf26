"""Audit hooks that refuse the events which choices and looks raise: an exception of theirs would come out of the
program's calls of patched functions, and out of looks.

So they are asked before a transition begins, and before each look, by the very events: while one is refused, nothing is
asked, and all calls answer side 0 as long as none has answered side 1 (switching.State.blind). A hook can't tell a
question from the event itself, and must not.
"""
from __future__ import annotations

import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from .. import c_api
from ..looks import reads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_audit, _id, _BaseException = sys.audit, id, BaseException
_GETFRAME_TELLS = sys.version_info >= (3, 11)       # its event has the frame

AUDIT_HOOK = "audit hook"       # why a look can say nothing


def _events() -> tuple[tuple[Any, ...], ...]:
    """The events, each with arguments as CPython gives them, about objects of klpfs's own."""
    def generator() -> Any:
        yield

    async def coroutine() -> None:
        pass

    async def asynchronous() -> Any:
        yield
    waits = coroutine()
    waits.close()               # or it is warned of as never awaited
    each: dict[type, Any] = {GeneratorType: generator(), CoroutineType: waits, AsyncGeneratorType: asynchronous()}
    frame = each[GeneratorType].gi_frame
    read = [(each[kind], prefix + name) for kind, prefix in reads.KINDS for name in ("_frame", "_code")]
    return (("sys._getframe", frame) if _GETFRAME_TELLS else ("sys._getframe",),
            *[("object.__getattr__", *which) for which in [(frame, "f_code"), (generator, "__code__"), *read]],
            ("builtins.id", _id(frame)), ("sys._current_frames",), ("gc.get_objects", -1),
            ("gc.get_referrers", (generator.__code__,)), ("gc.get_referents", (frame,)), ("time.sleep", 0.0))


_EVENTS = _events()


def refuse() -> bool:
    """Whether a hook refuses what choices and looks ask. Raises what a signal handler raises meanwhile: no hook refuses
    that event when it is asked again."""
    if c_api.AVAILABLE and not reads.audited():
        return False
    for event in _EVENTS:
        try:
            _audit(*event)
        except _BaseException:      # whatever the hook raises
            try:
                _audit(*event)
            except _BaseException:
                return True
            raise
    return False
