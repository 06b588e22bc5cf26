"""Shapes of messages: what each message between an agent and a coordinator must hold. Both sides check with this code.

The keys and their meaning are written down in wire.py. A shape is a function that says whether a value fits. A message
may have keys that its shape does not name: a newer sender may say more. Nothing is imported here but what the patched
process may use.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
    Shape = Callable[[Any], bool]


def is_(*kinds: type) -> Shape:
    """A value of exactly these types (a bool is no int)."""
    return lambda value: type(value) in kinds


def list_of(shape: Shape) -> Shape:
    """A list or tuple whose members all fit."""
    return lambda value: type(value) in (list, tuple) and all(map(shape, value))


def table_of(shape: Shape) -> Shape:
    """A dict from strings to values that fit."""
    return lambda value: (
        type(value) is dict and all(type(key) is str and shape(member) for key, member in value.items())
    )


def maybe(shape: Shape) -> Shape:
    """None, or a value that fits."""
    return lambda value: value is None or shape(value)


def row(*shapes: Shape) -> Shape:
    """A list or tuple of exactly these members."""
    return lambda value: type(value) in (list, tuple) and len(value) == len(shapes) and all(
        shape(member) for shape, member in zip(shapes, value))


def has(**shapes: Shape) -> Shape:
    """A dict that has all these keys."""
    return lambda value: (
        type(value) is dict and all(key in value and shape(value[key]) for key, shape in shapes.items())
    )


def may_have(**shapes: Shape) -> Shape:
    """A dict that has any of these keys."""
    return lambda value: (
        type(value) is dict and all(key not in value or shape(value[key]) for key, shape in shapes.items())
    )


def one_of(*values: object) -> Shape:
    """A value that equals one of these and is of its type."""
    return lambda value: any(type(value) is type(known) and value == known for known in values)


number, string, flag, data = is_(int), is_(str), is_(bool, int), is_(bytes)
params = table_of(maybe(string))

# ---- the journal's record

RECORD = has(
    seq=number, ftrace=flag,
    patches=list_of(has(name=string, n=number, sha256=string, params=params, fingerprints=string)),
    modules=list_of(has(name=string, sha256=string, params=params, livepatch=flag, path=string, uses=list_of(string),
                        forced=flag)),
    change=maybe(has(n=number, name=string, sha256=string, params=params, livepatch=flag, replace=flag, pid=number,
                     path=string)),
    transition=maybe(has(n=number, patch=string, dir=one_of(0, 1), turn=number, step=one_of("start", "finish"),
                         replace=flag, forced=flag)))

# ---- to the agent

TO_AGENT = {
    "record": has(r=RECORD),
    "content": has(sha256=string, data=data),
    "ask": has(id=number, what=string, tid=maybe(number)),
    "set": has(id=number, module=string, param=string, text=string),
    "check": has(id=number, name=string, path=string, data=data, params=params),
    "kmsg": has(text=string, priority=number),
}

# ---- from the agent

BLOCKER = has(kind=string, task=maybe(number), name=maybe(string), frames=list_of(string), since=maybe(number))
PREPARED = has(n=number, livepatch=flag, replace=flag, uses=list_of(string), fingerprints=string)
REPORT = has(
    seen=number, n=number, phase=string, dir=number, turn=number, clean=flag, over=number, not_applied=list_of(number),
    refused=maybe(has(n=number, errno=number, text=maybe(string))), blockers=list_of(BLOCKER),
    working=maybe(has(what=string, since=number)), prepared=maybe(PREPARED))
EVENT = may_have(
    patches=list_of(has(name=string, replace=flag, objects=list_of(
        has(name=maybe(string), patched=flag, loaded=flag, funcs=string)))),
    names=list_of(string),
    modules=list_of(has(name=string, size=number, refcnt=number, params=list_of(row(string, string, string, number)))),
    process=has(pid=number, comm=string, cmdline=list_of(string)),
    log=list_of(row(number, number, number, string, string)))

FROM_AGENT = {
    "hello": has(version=number, pid=number, comm=string, cmdline=list_of(string), keep=flag, started=number),
    "ack": has(seq=number),
    "report": REPORT,
    "want": has(sha256=string),
    "answer": has(id=number, data=lambda value: True),      # its data: ANSWERS, by the question
    "done": has(id=number, errno=number),
    "event": EVENT,
}

# ---- the data of an answer: by `what` of an 'ask', and of a 'check'

ANSWERS = {
    "tasks": list_of(row(number, string)),
    "patch_state": maybe(number),
    "stack": maybe(list_of(string)),
    "blockers": list_of(BLOCKER),
    "status": is_(dict),
}
SURVEYED_FUNC = has(name=string, refused=string, warnings=list_of(string), where=string, count=number,
                    fingerprint=string, inside=list_of(row(string, maybe(number), string, list_of(string))))
SURVEY = has(livepatch=flag, replace=flag, refused=string,
             objects=list_of(has(name=string, loaded=flag, funcs=list_of(SURVEYED_FUNC))))
CHECKED = has(errno=number, text=string, found=maybe(SURVEY))


def fits(table: dict[str, Shape], message: dict[str, Any]) -> bool:
    """Whether a message (a dict with a string under 't', as wire.Reader gives it) has a shape of this table."""
    shape = table.get(message["t"])
    return shape is not None and shape(message)
