"""The choice: which side runs where a dispatcher is entered, 0 (before) or 1 (after). The stack is the state.

On the caller's own stack the nearest frame of a side of a function under transition decides: that side. No such frame:
the transition's goal. So a frame and all that it calls on its stack agree, without a lock. A dispatcher's frame decides
nothing. The stack of an asyncio task ends at the loop's own frame (event_loops.py); after a greenlet's bottom it goes
on in its nearest ancestor that has a frame. An object that has handed a throw() or close() on to what it waits for is
on no stack, and counts as if it were (delegation.py).

A choice is remembered for a thread (State.choices, which the dispatcher reads first) only if it was taken at the bottom
of the thread, above no undecided dispatcher, with no greenlets about and no function under transition that can be
suspended or lies in another function: a clean task can become dirty again by resuming a suspended frame, and by calling
an inner function that an old frame has made meanwhile.

Whatever interrupts a choice and calls patched functions, to any depth, gets a choice of its own: a signal handler, a
finalizer, a callback of the collector or of a weak reference, a trace function. The frames of the choices under way are
klpfs's, and the undecided dispatchers below them decide nothing, so the inner choice finds what the outer one will. An
audit hook interrupts the very reads of which a choice is made: so an inner choice reads what raises no event
(c_api.py), and calls no hook.

All this runs inside the program's calls: nothing but C functions captured here and klpfs's own code.
"""
from __future__ import annotations

import _thread
import sys
from types import BuiltinFunctionType, CoroutineType, GetSetDescriptorType

from .. import c_api
from ..c_originals import original
from ..looks.reads import audited
from ..looks.threads import CUTS
from ..raw import COROUTINE, ITERABLE_COROUTINE, SUSPENDS, line_table, module_dict, type_dict
from . import delegation, thrown
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType, FunctionType
    from typing import Any

    from .dispatcher import Switch
    from .entry import State
    from .switching import Transition

get_ident = original(_thread, "get_ident")
_getframe, _modules, _get = sys._getframe, sys.modules, dict.get
_id, _type, _issubclass, _int, _dict = id, type, issubclass, int, dict
_callers_frame, _frame_code, _address = c_api.callers_frame, c_api.frame_code, c_api.address
_line_table = line_table
_Module = type(sys)

PREPARE, RUN, CLEAN, OVER = range(4)        # modes of a Transition
_ELSEWHERE = 2          # added to a side that is not the goal and was found on no stack that stays below the dispatcher
_STEPPED = COROUTINE | ITERABLE_COROUTINE   # flags of the code of a task's root


def module_value(module: str, name: str) -> Any:
    """An attribute of an imported module, by its dict: None if there is no such module or attribute. Imports
    nothing, and runs nothing of the module's: reading an attribute of a LazyLoader's imports the module."""
    found: Any = _modules.get(module)
    return _get(module_dict(found), name) if _issubclass(_type(found), _Module) else None


_greenlet: list[Any] = [None, None]         # the module that was looked into last, and what it has


def greenlet_api() -> Any:
    """(greenlet type, getcurrent) if the program has greenlets, else None."""
    module = _get(_modules, "greenlet._greenlet") or _get(_modules, "greenlet")
    if module is None:
        return None
    if module is _greenlet[0]:
        return _greenlet[1]
    name = "greenlet._greenlet" if _get(_modules, "greenlet._greenlet") is module else "greenlet"
    kind, current = module_value(name, "greenlet"), module_value(name, "getcurrent")
    if _type(kind) is not _type or _type(current) is not BuiltinFunctionType or \
            [1 for each in ("gr_frame", "parent") if _type(type_dict(kind).get(each)) is not GetSetDescriptorType]:
        return None             # not fully imported, so there are no greenlets yet; or a module of the program's own
    _greenlet[:] = module, (kind, current)
    return _greenlet[1]


def _stepped() -> Any:
    """The root of the asyncio task that the loop of this thread steps, a coroutine that nothing waits for; or None."""
    running, kind = module_value("_asyncio", "_get_running_loop"), module_value("_asyncio", "Task")
    loop = running() if running is not None else None
    if loop is None or kind is None:
        return None
    current, tasks = module_value("_asyncio", "current_task"), module_value("_asyncio", "_current_tasks")
    task = current(loop) if current is not None else _get(tasks, loop) if _type(tasks) is _dict else None
    if task is None or not _issubclass(_type(task), kind):
        return None
    coroutine = kind.get_coro(task)
    return coroutine if _type(coroutine) is CoroutineType else None


def _is_stepped(frame: FrameType) -> bool:
    """Whether the frame is the root's of the task that the loop of this thread steps."""
    root = _stepped()
    return root is not None and root.cr_frame is frame


def is_dispatcher(code: CodeType, kind: type[Switch]) -> bool:
    """Whether a code object is a dispatcher's, or a copy of that. kind: the type of Switches."""
    return [1 for const in code.co_consts if _type(const) is kind] != []


def _note_copy(transition: Transition, switch: Switch, code: CodeType, inner: bool) -> None:
    """Looks must know a copy of a dispatcher's code, which the program has made, for a dispatcher before it has a
    side."""
    if (_address(code) if inner else _id(code)) not in transition.side_of_code:
        transition.note_copy(switch, code)


def choose(switch: Switch) -> FunctionType:
    """The function object to call for the dispatcher of `switch`, whose frame is this function's caller."""
    if "stale" not in BREAK:
        # a dispatcher of an earlier transition asks the newest Switch, which Transition.give_dispatchers stores; none
        # is left when a copy that the program made of a dispatcher's code is called later
        switch = switch.record.switch or switch
    transition = switch.transition
    state = transition.state                    # exchanged by flip, in one store: what follows is about one state
    if state.mode == PREPARE or state.blind:
        if not audited():           # no event: a hook may refuse it
            _note_copy(transition, switch, _getframe(1).f_code, False)
        return switch.function_of(0)
    if state.mode == CLEAN:
        return switch.function_of(state.goal)
    if state.mode == OVER:                      # whatever the function holds by now, but not another dispatcher
        function = switch.function
        if not is_dispatcher(function.__code__, _type(switch)):
            return function
        return switch.function_of(state.goal) if "stale" in BREAK else switch.function_in_force()
    ident, walks = get_ident(), state.walks
    under_way = _get(walks, ident, 0)
    if under_way > 1 and "deep" in BREAK:
        return switch.function_of(1 - state.goal)
    # An exception of a signal handler's may leave the count too high: then later walks are inner ones, and as right
    walks[ident] = under_way + 1
    inner = under_way != 0 and "busy" not in BREAK
    try:
        frame = _callers_frame() if inner else _getframe(1)
        _note_copy(transition, switch, _frame_code(frame) if inner else frame.f_code, inner)
        side = _walk(transition, state, ident, frame, inner)
        if side >= _ELSEWHERE:
            side -= _ELSEWHERE
            if greenlet_api() is not None and "elsewhere" not in BREAK:
                # Noted before the walk that counts: a look that finds no note, and nothing of that side, is followed
                # by a walk that finds nothing either. Counterpart: Rounds._look_at_all
                state.elsewhere[ident] = _get(state.elsewhere, ident, 0) + 1
                side = _walk(transition, state, ident, frame, inner) % _ELSEWHERE
        return switch.function_of(side)
    finally:
        walks[ident] = under_way


def _side_of_copy(sides: dict[tuple[int, int, int], int], code: CodeType, inner: bool) -> int | None:
    """The side of a copy that a tool of the program's has made of a code since looks noted copies last; None of other
    code. sides: Transition.sides_of_copies."""
    constants, lines = code.co_consts, _line_table(code)
    side = _get(sides, (_address(constants), _address(lines), code.co_firstlineno) if inner else
                (_id(constants), _id(lines), code.co_firstlineno))
    # lambdas of a line may share all that was compared
    return None if side is None or code.co_name[:1] == "<" or "copy" in BREAK else side


def _walk(transition: Transition, state: State, ident: int, frame: Any, inner: bool) -> int:
    """The side, 0 or 1, with _ELSEWHERE. frame: the dispatcher's. inner: inside another choice, whose audit event this
    may be."""
    unsure: list[tuple[FrameType, CodeType]] | None = None      # may have been entered by delegation, innermost first
    if transition.waiting.ids and "delegation" not in BREAK:
        unsure = []
    side = _side_on_stack(transition, state, ident, frame, inner, unsure)
    if unsure:
        greenlet = greenlet_api()
        around = delegation.side(transition, unsure, ident, inner, greenlet[0] if greenlet is not None else None)
        if around is not None:
            return around if around == state.goal else around + _ELSEWHERE
    return side


def _side_on_stack(transition: Transition, state: State, ident: int, frame: Any, inner: bool,
                   unsure: list[tuple[FrameType, CodeType]] | None) -> int:
    """The side by the frames that are on the stack, with _ELSEWHERE."""
    if "nostack" in BREAK:
        return state.goal
    # filled by Transition._enter and _add_dispatcher, before a dispatcher can be met that asks for it
    side_of_code, goal, copies = transition.side_of_code, state.goal, transition.sides_of_copies
    stepping = transition.stepping_codes        # exchanged by Rounds.look, in one store
    greenlet, first = greenlet_api(), frame
    current, undecided = None, False            # undecided: a dispatcher without a side is on the stack
    above: CodeType | None = _frame_code(frame) if inner else frame.f_code     # of the frame that was passed last
    above_id = _address(above) if inner else _id(above)
    # where stacks are cut: the code of the frame before that, the same a frame ago, the frame that was passed last
    before: CodeType | None = None
    previous: CodeType | None = None
    last: Any = None
    cuts = CUTS
    while True:
        if cuts:
            before, previous, last = previous, above, frame
        passed, frame = frame, frame.f_back
        code: Any = None if frame is None else _frame_code(frame) if inner else frame.f_code
        if unsure is not None and above is not None:
            if not above.co_flags & SUSPENDS:
                if above.co_name in delegation.HANDED_ON:       # also a dispatcher's
                    unsure.append((passed, above))
            elif passed is not first and above_id not in side_of_code \
                    and delegation.may_be(transition.waiting, above, above_id, passed, code,
                                          -1 if frame is None else frame.f_lasti) \
                    and (inner or not _is_stepped(passed)):     # its reads are events
                unsure.append((passed, above))
        if frame is None and before is not None and above is not None and "thrown" not in BREAK \
                and before.co_flags & SUSPENDS and above.co_flags & SUSPENDS:
            root = _stepped()
            if root is not None and root.cr_frame is last:
                return goal
            frame = thrown.around(last, root)
            code = None
            if frame is None:                   # who called throw() can't be told
                # filled by Rounds._look_at_threads, but with greenlets about: a thread that is settled chooses the goal
                return goal if ident in state.clean_threads else 1 - goal + _ELSEWHERE
            if unsure and unsure[-1][0] is last:
                unsure.pop()                    # it was entered from there
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
            code = None
        if code is None:            # of another greenlet, or behind a cut
            code = _frame_code(frame) if inner else frame.f_code
        code_id = _address(code) if inner else _id(code)
        side: Any = _get(side_of_code, code_id)
        if side is None:
            side = _side_of_copy(copies, code, inner)
        if side is None:
            if code_id in stepping and above is not None and above.co_flags & _STEPPED:
                return goal                     # a task's root above the loop: what is below is the loop's caller's
        elif _type(side) is _int:
            return side + _ELSEWHERE if current is not None and side != goal else side  # type: ignore[no-any-return]
        elif above is None or above_id not in side:
            undecided = True                    # it has entered no side yet, or has left it: it belongs to none
            if "skip" in BREAK:
                return 1 - goal
        above, above_id = code, code_id
    if greenlet is None and not state.strict and (not undecided or "loose" in BREAK):
        state.choices[ident] = goal
    return goal
