"""The choice: which version runs where a dispatcher is entered. The stack is the state.

On the caller's own stack the nearest frame of a version of a function under transition decides: that version. None: the
transition's goal. So a frame and all that it calls on its stack agree, without a lock. A dispatcher's frame decides
nothing. The stack of an asyncio task ends at its root coroutine's frame; after a greenlet's bottom it goes on in its
nearest ancestor that has a frame.

A choice is remembered for a thread (State.sel, which the dispatcher reads first) only if it was taken at the bottom of
the thread, above no undecided dispatcher, with no event loop and no greenlets about and no function under transition that
can be suspended or lies in another function: a clean task can become dirty again by resuming a suspended frame, and by
calling an inner function that an old frame has made meanwhile.

All this runs inside the program's calls: nothing but C functions captured here and klpfs's own code.
"""
import _thread
import sys
from types import CoroutineType, GeneratorType

from ..c_originals import original
from .rules import BREAK

get_ident = original(_thread, "get_ident")
_getframe, _modules, _get, _vars = sys._getframe, sys.modules, dict.get, vars
_id, _type, _issubclass, _int = id, type, issubclass, int
_Module = type(sys)

PREPARE, RUN, CLEAN, OVER = range(4)


def module_value(module, name):
    """An attribute of an imported module, by its dict: None if there is no such module or attribute. Imports nothing."""
    found = _modules.get(module)
    return _get(_vars(found), name) if _issubclass(_type(found), _Module) else None


_lets = [None, None]            # the module that was looked into last, and what it has


def greenlets():
    """(greenlet type, getcurrent) if the program has greenlets, else None."""
    module = _get(_modules, "greenlet._greenlet") or _get(_modules, "greenlet")
    if module is None:
        return None
    if module is _lets[0]:
        return _lets[1]
    name = "greenlet._greenlet" if _get(_modules, "greenlet._greenlet") is module else "greenlet"
    kind, current = module_value(name, "greenlet"), module_value(name, "getcurrent")
    if _type(kind) is not _type or current is None:
        return None             # not fully imported: there are none yet
    _lets[:] = module, (kind, current)
    return _lets[1]


_loops = [None, None]


def _asyncio():
    """(get_running_loop, Task, current_task or None, table of current tasks or None) of asyncio's C accelerator, which every
    loop tells what it runs; None if the program has no asyncio. Before 3.12 current_task is Python code, so the table that
    it reads is read."""
    module = _get(_modules, "_asyncio")
    if module is None:
        return None
    if module is not _loops[0]:
        running, kind = module_value("_asyncio", "_get_running_loop"), module_value("_asyncio", "Task")
        if running is None or kind is None:
            return None
        current, table = module_value("_asyncio", "current_task"), module_value("_asyncio", "_current_tasks")
        _loops[:] = module, (running, kind, current, table)
    return _loops[1]


def _root_frame(module):
    """(whether an event loop runs in this thread, frame of its current task's root coroutine or None).

    A task that is not a C task has no root that we know: the walk goes to the thread's end, which is sound, only wide.
    """
    running, kind, current, table = module
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


def choose(switch):
    """The function object to call for the dispatcher of `switch`, whose frame is our caller's."""
    if "stale" not in BREAK:
        switch = switch.record.switch           # a dispatcher of an earlier transition asks the newest one
    t = switch.t
    state = t.state
    if state.mode == PREPARE:
        return switch.version(0)
    if state.mode == CLEAN:
        return switch.version(state.goal)
    if state.mode == OVER:                      # whatever the function holds by now, but not another dispatcher
        function = switch.function
        return switch.version(state.goal) if _id(function.__code__) in switch.record.dispatchers else function
    me = get_ident()
    nested = _get(state.walks, me, 0)
    if nested > 1 and "busy" not in BREAK:      # an audit hook calls patched functions out of a walk: no walk to be had
        return switch.version(state.goal if me in state.seen else 1 - state.goal)
    state.walks[me] = nested + 1
    try:
        return switch.version(_walk(t, state, me, _getframe(1)))
    finally:
        state.walks[me] = nested


def _walk(t, state, me, frame):
    """0 or 1. frame: the dispatcher's."""
    if "nostack" in BREAK:
        return state.goal
    marks, goal = t.marks, state.goal           # marks: id(code) -> 0, 1, or a dispatcher's set of ids of its own versions
    module = _asyncio()
    looping, root = _root_frame(module) if module is not None else (False, None)
    lets = greenlets()
    current, loose = None, False
    above = _id(frame.f_code)
    while frame is not root:                    # a task whose root is a dispatcher: nothing to walk
        frame = frame.f_back
        if frame is None:
            if lets is None or "parent" in BREAK:
                break
            if current is None:
                current = lets[1]()
            while frame is None:
                current = lets[0].parent.__get__(current)
                if current is None:
                    break
                frame = lets[0].gr_frame.__get__(current)
            if frame is None:
                break
            above = None
        code = _id(frame.f_code)
        mark = _get(marks, code)
        if mark is not None:
            if _type(mark) is _int:
                return mark
            if above not in mark:               # entered no version yet, or no more: it belongs to none
                loose = True
                if "skip" in BREAK:
                    return 1 - goal
        above = code
    if root is None and not looping and lets is None and not state.strict and (not loose or "loose" in BREAK):
        state.sel[me] = goal
    return goal
