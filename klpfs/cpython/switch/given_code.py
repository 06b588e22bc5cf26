"""Code that the program itself gave to a function object while that was in transition. Code of the function's own, of
before or after, is known: a tool has put back what it had saved, and the dispatcher comes in again; for code of another
function of the transition that one's. A copy of a dispatcher's code is code that the transition has made (copies.py).
Other code is the program's, and is left alone.
"""
from __future__ import annotations

from operator import attrgetter

from ..images import image as images
from . import dispatcher
from .choice import CLEAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from .dispatcher import Switch
    from .switching import Transition

_id, _list, _map, _zip, _len, _range, _type, _int = id, list, map, zip, len, range, type, int
_DISPATCHER_IDS = attrgetter("dispatcher_id")
_CODES = attrgetter("function.__code__")
SLICE = 1000            # functions asked for their codes between two breaths

MADE_BY_US, UNKNOWN = "made by klpfs", "unknown"


def put_again(transition: Transition) -> tuple[bool, list[Switch]]:
    """(whether functions have got their dispatchers again, which had code of their own, of before or after, or code of
    another function of the transition; the Switches of those that have other code). Calls may have begun meanwhile that
    no dispatcher saw. Those that have none yet get theirs."""
    others: list[Switch] = []
    switches = transition.switches
    for at in _range(0, _len(switches), SLICE):
        some = switches[at:at + SLICE]
        ids = _list(_map(_id, _map(_CODES, some)))
        others += [switch for switch, code_id, own in _zip(some, ids, _list(_map(_DISPATCHER_IDS, some)))
                   if code_id != own and not switch.only_watched and not switch.gone]
        if at + SLICE < _len(switches):
            transition.take_breath()
    without = [switch for switch in others if switch.dispatcher_id is None]
    late = [switch for switch in without if _is_late(transition, switch)]
    if without:
        transition.give_dispatchers(without)
    put, strangers = [1 for switch in without if switch.dispatcher_id is not None] != [], []
    transition.put_back += [switch.function for switch in late if switch.dispatcher_id is not None]
    for switch in others:
        code = switch.function.__code__
        if _id(code) == switch.dispatcher_id:
            continue
        if dispatcher.switch_of(code) is not None and not is_stale(switch, code):
            continue                    # a copy of this transition's: it chooses
        its = switch if is_own(switch, code) else _owner(transition, code)
        if its is None:
            strangers.append(switch)
        else:                           # of another function: as that one's dispatcher it would be known in the end
            if _is_late(transition, switch):
                transition.put_back.append(switch.function)
            images.put_code(switch.function, _dispatcher(its))
            put = True
    return put, strangers


def _is_late(transition: Transition, switch: Switch) -> bool:
    """Whether a function has got code of the side that is not the goal when all else had the goal's already."""
    return transition.state.mode == CLEAN and switch.is_of(_id(switch.function.__code__), 1 - transition.state.goal)


def _dispatcher(switch: Switch) -> CodeType:
    code_id = switch.dispatcher_id
    assert code_id is not None
    return switch.record.dispatchers[code_id]


def _owner(transition: Transition, code: CodeType) -> Switch | None:
    """The Switch of the function that has a code on a side, or None."""
    if _type(transition.side_of_code.get(_id(code))) is not _int:
        return None
    found = [switch for switch in transition.switches
             if switch.dispatcher_id is not None and (switch.before.code is code or switch.after.code is code)]
    return found[0] if found else None


def is_stale(switch: Switch, code: CodeType) -> bool:
    """Whether a code is a dispatcher of the function's, or a copy, of an earlier transition."""
    its = dispatcher.switch_of(code)
    return its is not None and its is not switch and its.record is switch.record


def is_own(switch: Switch, code: CodeType) -> bool:
    """Whether a code is of before or after, older ones and copies included, or a dispatcher of an earlier
    transition."""
    return switch.has(_id(code)) or is_stale(switch, code)


def end(switch: Switch, goal: int) -> str | None:
    """The function of a Switch whose transition ends gets the goal's image. What it held instead of its dispatcher, if
    that is worth a word: MADE_BY_US; UNKNOWN, which stays."""
    function, image = switch.function, switch.after if goal else switch.before
    code = function.__code__
    if switch.before is switch.after or code is switch.before.code and not goal:
        return None             # as it was: nothing is set, which an audit hook may refuse
    if switch.only_watched:
        if code is switch.before.code:
            images.put(function, image, switch.found_image)
        return None
    if _id(code) == switch.dispatcher_id or is_own(switch, code):
        images.put(function, image, switch.found_image)
        return None
    its = dispatcher.switch_of(code)
    if its is None:
        return UNKNOWN
    if its.record is switch.record:
        images.put(function, image, switch.found_image)
    else:                       # the program has given it another function's code
        images.put_code_alone(function, dispatcher.code_of_calls(its))
    return MADE_BY_US
