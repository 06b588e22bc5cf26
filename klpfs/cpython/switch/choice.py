"""The choice: which side runs where a dispatcher is entered, 0 (before) or 1 (after). The stack is the state.

On the caller's own stack the nearest frame of a side of a function under transition decides: that side. No such frame:
the transition's goal. So a frame and all that it calls on its stack agree, without a lock. A dispatcher's frame decides
nothing. The stack of an asyncio task ends at its root coroutine's frame; after a greenlet's bottom it goes on in its
nearest ancestor that has a frame.

A choice is remembered for a thread (State.choices, which the dispatcher reads first) only if it was taken at the bottom
of the thread, above no undecided dispatcher, with no event loop and no greenlets about and no function under transition
that can be suspended or lies in another function: a clean task can become dirty again by resuming a suspended frame,
and by calling an inner function that an old frame has made meanwhile.

All this runs inside the program's calls: nothing but C functions captured here and klpfs's own code.
"""
from __future__ import annotations

import _thread
import sys
from types import CoroutineType, GeneratorType

from ..c_originals import original
from ..looks.threads import CUTS
from ..raw import SUSPENDS
from . import thrown
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, FunctionType
    from typing import Any

    from .dispatcher import Switch
    from .switching import State, Transition

get_ident = original(_thread, "get_ident")
_getframe, _modules, _get, _vars = sys._getframe, sys.modules, dict.get, vars
_id, _type, _issubclass, _int = id, type, issubclass, int
_Module = type(sys)

PREPARE, RUN, CLEAN, OVER = range(4)        # modes of a Transition


def module_value(module: str, name: str) -> Any:
    """An attribute of an imported module, by its dict: None if there is no such module or attribute. Imports
    nothing."""
    found = _modules.get(module)
    return _get(_vars(found), name) if _issubclass(_type(found), _Module) else None


_greenlet: list[Any] = [None, None]         # the module that was looked into last, and what it has
_asyncio: list[Any] = [None, None]          # likewise


def greenlet_api() -> Any:
    """(greenlet type, getcurrent) if the program has greenlets, else None."""
    module = _get(_modules, "greenlet._greenlet") or _get(_modules, "greenlet")
    if module is None:
        return None
    if module is _greenlet[0]:
        return _greenlet[1]
    name = "greenlet._greenlet" if _get(_modules, "greenlet._greenlet") is module else "greenlet"
    kind, current = module_value(name, "greenlet"), module_value(name, "getcurrent")
    if _type(kind) is not _type or current is None:
        return None             # not fully imported: there are no greenlets yet
    _greenlet[:] = module, (kind, current)
    return _greenlet[1]


def asyncio_api() -> Any:
    """(get_running_loop, Task, current_task or None, table of current tasks or None) of asyncio's C accelerator, which
    every loop tells what it runs; None if the program has no asyncio. Before 3.12 current_task is Python code, so the
    table that it reads is read."""
    module = _get(_modules, "_asyncio")
    if module is None:
        return None
    if module is not _asyncio[0]:
        running, kind = module_value("_asyncio", "_get_running_loop"), module_value("_asyncio", "Task")
        if running is None or kind is None:
            return None
        current, table = module_value("_asyncio", "current_task"), module_value("_asyncio", "_current_tasks")
        _asyncio[:] = module, (running, kind, current, table)
    return _asyncio[1]


def _root_frame(api: tuple[Any, Any, Any, Any]) -> tuple[bool, FrameType | None]:
    """(whether an event loop runs in this thread, frame of its current task's root coroutine or None). api:
    asyncio_api().

    A task that is not a C task has no root that klpfs knows: the walk goes to the thread's end, which is sound, only
    wide.
    """
    running, kind, current, table = api
    loop = running()
    if loop is None:
        return False, None
    if "root" in BREAK:
        return True, None
    task = current(loop) if current is not None else _get(table, loop) if table is not None else None
    if task is None or not _issubclass(_type(task), kind):
        return True, None
    coroutine = kind.get_coro(task)
    if _type(coroutine) is CoroutineType:
        return True, coroutine.cr_frame
    return True, coroutine.gi_frame if _type(coroutine) is GeneratorType else None


def choose(switch: Switch) -> FunctionType:
    """The function object to call for the dispatcher of `switch`, whose frame is this function's caller."""
    if "stale" not in BREAK:
        # a dispatcher of an earlier transition asks the newest Switch, which Transition._install stores
        switch = switch.record.switch           # type: ignore[assignment]  # set as long as a dispatcher may run
    transition = switch.transition
    state = transition.state                    # exchanged by _flip, in one store: what follows is about one state
    if state.mode == PREPARE:
        return switch.function_of(0)
    if state.mode == CLEAN:
        return switch.function_of(state.goal)
    if state.mode == OVER:                      # whatever the function holds by now, but not another dispatcher
        function = switch.function
        return switch.function_of(state.goal) if _id(function.__code__) in switch.record.dispatchers else function
    ident = get_ident()
    nested = _get(state.walks, ident, 0)
    if nested > 1 and "busy" not in BREAK:      # an audit hook calls patched functions out of a walk: no walk to be had
        # filled by Transition._look_at_threads
        return switch.function_of(state.goal if ident in state.clean_threads else 1 - state.goal)
    state.walks[ident] = nested + 1
    try:
        return switch.function_of(_walk(transition, state, ident, _getframe(1)))
    finally:
        state.walks[ident] = nested


def _walk(transition: Transition, state: State, ident: int, frame: Any) -> int:
    """The side, 0 or 1. frame: the dispatcher's."""
    if "nostack" in BREAK:
        return state.goal
    # filled by Transition._enter and _add_dispatcher, before a dispatcher can be met that asks for it
    side_of_code, goal = transition.side_of_code, state.goal
    asyncio = asyncio_api()
    looping, root = _root_frame(asyncio) if asyncio is not None else (False, None)
    greenlet = greenlet_api()
    current, undecided = None, False            # undecided: a dispatcher without a side is on the stack
    above: int | None = _id(frame.f_code)       # id of the code of the frame that was passed last
    inner = last = None                         # where stacks are cut: the frames that were passed last
    while frame is not root:                    # a task whose root is a dispatcher: nothing to walk
        if CUTS:
            inner, last = last, frame
        frame = frame.f_back
        if frame is None and inner is not None and "thrown" not in BREAK \
                and inner.f_code.co_flags & SUSPENDS and last.f_code.co_flags & SUSPENDS:
            frame = thrown.around(last)
            if frame is None:                   # who called throw() can't be told
                # filled by Transition._look_at_threads
                return goal if ident in state.clean_threads else 1 - goal
        if frame is None:
            if greenlet is None or "parent" in BREAK:
                break
            if current is None:
                current = greenlet[1]()
            while frame is None:
                current = greenlet[0].parent.__get__(current)
                if current is None:
                    break
                frame = greenlet[0].gr_frame.__get__(current)
            if frame is None:
                break
            above = None
        code = _id(frame.f_code)
        side: Any = _get(side_of_code, code)
        if side is not None:
            if _type(side) is _int:
                return side     # type: ignore[no-any-return]
            if above not in side:               # it has entered no side yet, or has left it: it belongs to none
                undecided = True
                if "skip" in BREAK:
                    return 1 - goal
        above = code
    if root is None and not looping and greenlet is None and not state.strict and (not undecided or "loose" in BREAK):
        state.choices[ident] = goal
    return goal
