"""Code that the program itself gave to a function object while that was in transition. Code of the function's own, of
before or after, is known: a tool has put back what it had saved, and the dispatcher comes in again. A copy of a
dispatcher's code, or another function's dispatcher, is code that the transition has made (copies.py). Other code is
the program's, and is left alone.
"""
from __future__ import annotations

from operator import attrgetter

from ..images import image as images
from . import dispatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .dispatcher import Switch
    from .switching import Transition

_id, _list, _map, _zip, _len, _range = id, list, map, zip, len, range
_CODE_IDS = attrgetter("dispatcher_id")
_CODES = attrgetter("function.__code__")
SLICE = 1000            # functions asked for their codes between two breaths

MADE_BY_US, FOREIGN = "made by klpfs", "foreign"


def put_again(transition: Transition) -> bool:
    """Functions that have code of their own again, of before or after, get their dispatchers. Whether any did: then
    calls may have begun that no dispatcher saw."""
    found: list[tuple[Switch, int]] = []
    switches = transition.switches
    for at in _range(0, _len(switches), SLICE):
        some = switches[at:at + SLICE]
        ids = _list(_map(_id, _map(_CODES, some)))
        found += [(switch, own) for switch, code_id, own in _zip(some, ids, _list(_map(_CODE_IDS, some)))
                  if code_id != own and own is not None and not switch.gone and is_own(switch, code_id)]
        if at + SLICE < _len(switches):
            transition.take_breath()
    for switch, own in found:
        images.put_code(switch.function, switch.record.dispatchers[own])
    return found != []


def is_own(switch: Switch, code_id: int) -> bool:
    """Whether a code is of before or after, older ones and copies included."""
    return code_id in switch.codes_by_side[0] or code_id in switch.codes_by_side[1]


def end(switch: Switch, goal: int) -> str | None:
    """The function of a Switch whose transition ends gets the goal's image. What it held instead of its dispatcher, if
    that is worth a word: MADE_BY_US; FOREIGN, which stays."""
    function, image = switch.function, switch.after if goal else switch.before
    code = function.__code__
    if switch.gone or switch.before is switch.after:
        return None
    if switch.only_watched:
        if code is switch.before.code:
            images.put(function, image, switch.found_image)
        return None
    if _id(code) == switch.dispatcher_id or is_own(switch, _id(code)):
        images.put(function, image, switch.found_image)
        return None
    its = dispatcher.switch_of(code)
    if its is None:
        return FOREIGN
    if its.record is switch.record:
        images.put(function, image, switch.found_image)
    else:                       # the program has given it another function's code
        images.put_code_alone(function, (its.after if goal else its.before).code)
    return MADE_BY_US
