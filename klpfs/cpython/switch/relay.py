"""Relays: what the dispatcher of a generator or coroutine waits for, so that the side's object sees the very calls that
the program makes; and the first step of a side's asynchronous generator.

`yield from` and `await` close what they wait for when GeneratorExit is thrown in (PEP 380): what a generator yields or
returns then would be lost. A Relay has no close(), so the exception arrives in the dispatcher, which throws it into the
side's object. What GeneratorExit does there is what it does where close() raises it.

An asynchronous generator's dispatcher awaits without a Relay, which would double its cost: GeneratorExit that somebody
throws by hand into an awaitable of it ends the dispatcher, not the side's object.

All this runs inside the program's calls. A step goes through C alone: no frame of klpfs's lies between the dispatcher's
and the side's.
"""
from __future__ import annotations

import sys
from functools import partial
from itertools import chain, islice, repeat
from types import GeneratorType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_type, _map, _list, _id = type, map, list, id
_hooks, _set_hooks = sys.get_asyncgen_hooks, sys.set_asyncgen_hooks
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


def first_step(inner: Any) -> Any:
    """The first __anext__() of an asynchronous generator, of which the thread's hooks are not told: they know the
    dispatcher's, which is in the program's hands. An event loop closes all that it knows at its end, at the same time.
    A generator that a closed loop's hook drops takes no step more: so does the dispatcher's, and so does this one."""
    hooks = _hooks()
    finalizer: Any = None if hooks[1] is None else _id      # which does nothing
    if hooks[0] is None and finalizer is None:
        return inner.__anext__()
    restore = partial(_set_hooks, *hooks)
    try:                # within one call, so that no signal handler comes between
        return _list(_map(_call, (partial(_set_hooks, None, finalizer), partial(inner.__anext__), restore)))[1]
    except BaseException:               # an audit hook's
        restore()
        raise
