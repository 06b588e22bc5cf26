"""What may run old code of a transition and is in no list: a call whose arguments are being matched, a generator that
dies (looks/hidden.py).

Asked when nothing else is in the way. Whatever runs a code refers to it: so, first, all codes of the other side have
their references counted in one C call, and those that have no more than klpfs's own tables, images and functions hold
run nowhere; that is nearly all of a large patch. The few others are looked for in the heap, some at a time.

Not seen: calls of plain functions while the heap is frozen (gc.freeze): there the collector does not tell who refers to
what, which would keep such programs from being patched at all.
"""
from __future__ import annotations

import sys
from weakref import ref

from klpfs.engine.target import Blocker

from .. import left_behind
from ..looks import hidden, names_for_people, reads, suspended
from ..looks.collection import FROZEN
from ..raw import SUSPENDS
from . import dispatcher
from .choice import greenlet_api
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FunctionType
    from typing import Any

    from . import live_dispatchers
    from .switching import Transition

_id, _len, _list, _tuple, _dict, _type, _map, _zip = id, len, list, tuple, dict, type, map, zip
_range, _enumerate, _refcount, _values, _compile = range, enumerate, sys.getrefcount, dict.values, compile
_set, _ref = set, ref
SLICE = 200         # functions between two breaths
# greenlet leaks its frames then, in most versions of CPython, which nothing tells from frames that run
ENDED = ", or a greenlet that was dropped after its thread had ended has left it"


def _counts(codes: tuple[CodeType, ...]) -> list[int]:
    """How many references each code has, all of one moment."""
    return _list(_map(_refcount, codes))


_OWN = _counts((_compile("0", "", "eval").replace(co_name="own"),))[0]         # the tuple's, and the count's


_alive: set[ref[Transition]] = _set()           # all transitions, finished ones that are garbage too: they hold codes


def note(transition: Transition) -> None:
    """A transition is made. Counterpart: its end."""
    _alive.add(_ref(transition, _alive.discard))


def counts() -> bool:
    """Whether references to codes are counted here."""
    # off with any rule, not just with "hidden" in BREAK: this one would stand in for others, which attacks switch off
    return not left_behind.are_here() and not BREAK


def blockers(transition: Transition) -> list[Blocker]:
    """Blockers for what may run code of the side that is not the goal, out of sight; []: nothing does. Notes which
    codes have references that are not klpfs's (Transition.unaccounted)."""
    if not counts():
        return []
    left, holders, ours = more_than_ours(transition, transition.state.goal)
    transition.unaccounted = _tuple(_map(_id, left))
    found: list[Blocker] = []
    for suspends in (True, False):
        of_kind = [code for code in left if (code.co_flags & SUSPENDS != 0) is suspends]
        for at in _range(0, _len(of_kind), suspended.FEW - 1):
            few = of_kind[at:at + suspended.FEW - 1]
            holders.update({_id(codes): codes for codes in (left, of_kind, few)})
            found += _looked_for(transition, few, holders, ours, suspends)
            transition.take_breath()
    return found


def more_than_ours(transition: Transition, goal: int, more: Iterable[tuple[Any, ...]] = ()) -> \
        tuple[list[CodeType], dict[int, Any], list[int]]:
    """(the codes of the side that is not the goal to which there are more references than klpfs's; {id: dict with codes
    as values, or tuple}, klpfs's holders of codes; the ids of codes, one for each other object of klpfs's that has it).
    more: other holders to reckon with."""
    codes = _tuple([code for key, code in transition.codes.items() if transition.side_of_code.get(key, goal) != goal])
    holders: dict[int, Any] = {}
    # what klpfs holds is counted before the moment: more that comes meanwhile is only looked for in vain
    expected = {_id(code): 0 for code in codes}
    objects, functions = _note_holders(transition, holders)
    holders.update((_id(constants), constants) for constants in more)
    for n, holder in _enumerate(holders.values()):
        _count(_values(holder) if _type(holder) is _dict else holder, expected)
        if n % SLICE == 0:
            transition.take_breath()
    ours = [_id(found.code) for found in objects]
    _count_ids(ours, expected)
    _count([function.__code__ for function in functions], expected)
    counts = _counts(codes)
    _count_ids(transition.rounds.codes_of_ended_threads(), expected)    # asked behind: they only get less
    return [code for code, count in _zip(codes, counts) if count > expected[_id(code)] + _OWN], holders, ours


def _count(codes: Iterable[Any], expected: dict[int, int]) -> None:
    _count_ids(_map(_id, codes), expected)


def _count_ids(ids: Iterable[int], expected: dict[int, int]) -> None:
    for key in ids:
        if key in expected:
            expected[key] += 1


def _note_holders(transition: Transition, holders: dict[int, Any]) -> tuple[list[Any], list[FunctionType]]:
    """Puts what holds codes into `holders`. (the objects of klpfs's with a `code`, the functions of
    transitions), each once."""
    objects: dict[int, Any] = {}
    functions: dict[int, FunctionType] = {}

    def note_all(*found: Any) -> None:
        for holder in found:
            if holder:                  # most are empty
                holders[_id(holder)] = holder

    def note_switch(switch: dispatcher.Switch) -> None:
        note_all(*switch.codes_by_side, switch.entry.older, switch.entry.newer)
        for image in (switch.before, switch.after, switch.found_image):
            objects[_id(image)] = image
        for function in (switch.function, *_sides(switch)):
            functions[_id(function)] = function
    note_all(*hidden.constants_of(transition.codes.values()))
    for holder in transition.holders():
        if _type(holder) is _dict or _type(holder) is _tuple:
            note_all(holder)
        else:
            objects[_id(holder)] = holder
    for reference in _list(_alive):
        other = reference()
        if other is None:
            continue
        note_all(other.codes, other.of_both)
        for n, switch in _enumerate(other.switches):
            note_switch(switch)
            note_all(switch.record.older_codes, switch.record.forced_over)
            if _len(switch.record.dispatchers) > 1:
                for stale in _switches_of(switch.record):
                    note_switch(stale)
            if n % SLICE == 0:
                transition.take_breath()
    return _list(objects.values()), _list(functions.values())


def _looked_for(transition: Transition, codes: list[CodeType], holders: dict[int, Any], ours: list[int],
                suspends: bool) -> list[Blocker]:
    """Blockers for a few codes, of generator-like functions or of others, to which there are more references than
    klpfs's. ours: as more_than_ours gives it."""
    counted = suspended.References()
    running: list[int] = []
    why, references, _ = suspended.find(codes, None, counted, running)
    if why is not None:
        return [] if why == FROZEN and not suspends else [Blocker(why, 0, why)]
    ids = [_id(code) for code in codes]
    there = running or [1 for r in references if suspended.has_frame(r)]
    ended = transition.rounds.codes_of_ended_threads()
    if reads.audited():         # else these objects are among those whose referents are read
        ended += ours
    left = ids if there else hidden.not_accounted_for(counted, ids, holders.values(), ended)
    if left and left is not ids:
        more = _dict(holders)
        more.update((_id(constants), constants) for constants in hidden.constants_on_stacks())
        left = hidden.not_accounted_for(counted, ids, more.values(), ended)
    found = []
    for key in left:
        functions = _list({_id(function): function for switch in transition.switches
                           if switch.has(key)
                           for function in (switch.function, *_sides(switch))}.values())
        if left is ids or hidden.may_run(counted, functions, suspends):
            name = names_for_people.function_name(transition.codes[key])
            found.append(Blocker("suspended", 0, f"{name}: something that is in no list may run it" + (
                ENDED if greenlet_api() is not None and not there else "")))
    return found


def _sides(switch: dispatcher.Switch) -> list[FunctionType]:
    """The function objects that were made of the sides so far."""
    made = switch.functions.values() if _type(switch.functions) is _dict else switch.functions
    return [function for function in made if function is not None]


def _switches_of(record: live_dispatchers.Record) -> list[dispatcher.Switch]:
    """The Switches of all dispatchers that may still run: constants of their code."""
    return [const for code in record.dispatchers.values() for const in code.co_consts
            if _type(const) is dispatcher.Switch]
