"""Relays: what the dispatcher of a generator or coroutine waits for, so that the side's object sees the very calls that
the program makes.

`yield from` and `await` close what they wait for when GeneratorExit is thrown in (PEP 380): what a generator yields or
returns then would be lost. A Relay has no close(), so the exception arrives in the dispatcher, which throws it into the
side's object. What GeneratorExit does there is what it does where close() raises it.

All this runs inside the program's calls. A step goes through C alone: no frame of klpfs's lies between the dispatcher's
and the side's.
"""
from __future__ import annotations

from functools import partial
from itertools import chain, islice, repeat
from types import GeneratorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_type, _map = type, map
_call: Any = partial.__call__


class Relay(islice):
    """An awaitable iterator over all that a generator or coroutine gives; the value that it returns arrives as well.

    inner: the generator or coroutine. send, throw: its own.
    """

    __slots__ = ("inner", "send", "throw")

    __await__ = islice.__iter__     # returns the iterator itself

    inner: Any
    send: Any
    throw: Any


def _relay(inner: Any, steps: Any) -> Relay:
    relay = Relay(steps, None)
    relay.inner, relay.send, relay.throw = inner, inner.send, inner.throw
    return relay


def relay(inner: Any) -> Relay:
    """The Relay of a generator or coroutine that has just been made."""
    return _relay(inner, inner if _type(inner) is GeneratorType else inner.__await__())


def going_on(inner: Any, value: object) -> Relay:
    """The Relay of a generator or coroutine that has yielded `value` to the dispatcher, which gives that first. Nothing
    keeps the value longer."""
    return _relay(inner, _map(_call, chain((partial([value].pop),), repeat(partial(inner.send, None)))))
