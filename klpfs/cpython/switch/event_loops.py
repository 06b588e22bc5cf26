"""Event loops: the functions of asyncio from which a loop steps its tasks. There the stack of a task ends.

A coroutine's frame directly above such a function's frame is the root of a task that the loop steps. A task that is
started eagerly (3.12) has its root above the frames of its maker instead: those are on its stack, and the walk goes on
below the root until it meets a loop (choice.py). Where a loop has other functions (uvloop's are C; the program may have
put its own into asyncio's place) the stack goes on to the thread's end, which is sound, only wide.

Read by the agent's thread: reading a code raises an audit event.
"""
from __future__ import annotations

from types import FunctionType

from ..raw import type_dict
from .choice import module_value
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from types import CodeType
    from typing import Any

_type, _id = type, id

# module, class, function. The loops of asyncio step tasks in Handle._run. A loop in C has no frame of its own: directly
# below the root is who runs the loop, and that is asyncio.run as a rule
_STEPPING = ("asyncio.events", "Handle", "_run"), ("asyncio.runners", "Runner", "run"), ("asyncio.runners", "", "run")


class _EveryCode:
    """A test's: without the rule `eager` any frame below a coroutine's is a loop's."""

    def __contains__(self, key: object) -> bool:
        return True


def stepping_codes(dispatchers: Container[int]) -> Any:
    """{id of code: code} of the functions from which loops step tasks, as they are by now in this process. dispatchers:
    ids of codes that are not theirs: where such a function is itself in the transition, its sides are on the stack and
    decide."""
    if "root" in BREAK:
        return {}
    if "eager" in BREAK:
        return _EveryCode()
    codes: dict[int, CodeType] = {}
    for module, kind, name in _STEPPING:
        found = module_value(module, kind or name)
        if kind:
            found = type_dict(found).get(name) if _type(found) is _type else None
        if _type(found) is FunctionType and _id(found.__code__) not in dispatchers:
            codes[_id(found.__code__)] = found.__code__
    return codes
