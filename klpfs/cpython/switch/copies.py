"""Copies of a dispatcher's code, which the program has made while a transition ran: `f.__code__.replace(...)`, or
function objects that it made of `f.__code__`. They get the goal's code when the transition is over.

Until then a copy in another function object runs as the function itself, with its closure and, in tasks that have been
switched, its globals (README, Limits).
"""
from __future__ import annotations

import gc
from itertools import chain
from types import FunctionType

from ..images import image as images
from ..looks import reads
from . import dispatcher, live_dispatchers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType

_referrers, _list, _type, _id, _get = gc.get_referrers, list, type, id, dict.get


def _functions(codes: Sequence[CodeType]) -> Iterator[FunctionType]:
    box: list[list[object]] = []
    box.append(_referrers(*codes))
    return reads.of_type(lambda: chain.from_iterable(box), FunctionType)


def give_back(switches: Sequence[dispatcher.Switch], goal: int) -> list[FunctionType]:
    """The function objects that had a copy of the dispatcher of one of the switches, which are over; they have the
    goal's code now."""
    by_code = {}
    for switch in switches:
        for key, count in live_dispatchers.counts(switch.record.dispatchers):
            if count > live_dispatchers.ALONE:
                by_code[key] = switch
    if not by_code:
        return []
    found = []
    for function in _list(_functions([switch.record.dispatchers[key] for key, switch in by_code.items()])):
        concerned = _get(by_code, _id(function.__code__))
        if concerned is not None and function is not concerned.function:
            images.put_code(function, (concerned.after if goal else concerned.before).code)
            found.append(function)
    return found
