"""Shapes of messages: what each message between an agent and a coordinator must hold. Both sides check with this code.

The keys and their meaning are written down in wire.py. A shape is a function that says whether a value fits: its type,
and its bounds, so that whatever fits can be stored, compared, shown and sent on. A message may have keys that its shape
does not name: a newer sender may say more. Nothing is imported here but what the patched process may use.
"""
from __future__ import annotations

from klpfs.engine.error import MAX_ERRNO, errno_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable
    Shape = Callable[[Any], bool]

INT64 = 1 << 63             # a number n of a message: -INT64 <= n < INT64
MAX_PID = 1 << 30           # above the kernel's PID_MAX_LIMIT
MAX_LIST = 1 << 16          # members of a list, where no closer bound is given
MAX_NAME = 4096             # characters of a name or a path
MAX_COMM = 64               # characters of a process's name; the kernel has 16 bytes


def is_(*kinds: type) -> Shape:
    """A value of exactly these types (a bool is no int)."""
    return lambda value: type(value) in kinds


def whole(least: int, most: int) -> Shape:
    """An int from `least` to `most`."""
    return lambda value: type(value) is int and least <= value <= most


def text(most: int) -> Shape:
    """A str of at most `most` characters."""
    return lambda value: type(value) is str and len(value) <= most


def encodes(value: str) -> bool:
    """Whether the text can be bytes: a name with a surrogate that os.fsdecode does not make can be shown nowhere."""
    if value.isascii():
        return True
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def name(value: Any) -> bool:
    """A str that can be the name of a file, a module or a function, or a path."""
    return type(value) is str and len(value) <= MAX_NAME and encodes(value)


def words(value: Any) -> bool:
    """A str that can be bytes, in a file or in the journal."""
    return type(value) is str and encodes(value)


def plain(value: Any) -> bool:
    """A str of ASCII characters."""
    return type(value) is str and value.isascii()


def flag(value: Any) -> bool:
    """A bool, or the int of the same meaning."""
    return value is True or value is False or type(value) is int and 0 <= value <= 1


def list_of(shape: Shape, most: int = MAX_LIST) -> Shape:
    """A list or tuple of at most `most` members, which all fit."""
    return lambda value: type(value) in (list, tuple) and len(value) <= most and all(map(shape, value))


def table_of(shape: Shape) -> Shape:
    """A dict from names to values that fit. (wire.py bounds how many.)"""
    return lambda value: (
        type(value) is dict and all(name(key) and shape(member) for key, member in value.items())
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


def both(one: Shape, other: Shape) -> Shape:
    """What has both shapes."""
    return lambda value: one(value) and other(value)


def either(one: Shape, other: Shape) -> Shape:
    """A value that fits one of two shapes."""
    return lambda value: one(value) or other(value)


def one_of(*values: object) -> Shape:
    """A value that equals one of these and is of its type."""
    return lambda value: any(type(value) is type(known) and value == known for known in values)


number, string, data = whole(-INT64, INT64 - 1), is_(str), is_(bytes)
natural, pid, errno = whole(0, INT64 - 1), whole(1, MAX_PID), number        # errno: see settled
count = whole(-1 << 48, 1 << 48)       # the sums of many fit 64 bits, too
params = table_of(maybe(words))
names = list_of(name, 4096)

# ---- the journal's record

RECORD = has(
    seq=natural, ftrace=flag,
    patches=list_of(has(name=name, n=natural, sha256=name, params=params, fingerprints=name), 4096),
    modules=list_of(has(name=name, sha256=name, params=params, livepatch=flag, path=name, uses=names, forced=flag),
                    4096),
    change=maybe(has(n=natural, name=name, sha256=name, params=params, livepatch=flag, replace=flag,
                     pid=whole(0, MAX_PID), path=name)),
    transition=maybe(has(n=natural, patch=name, dir=one_of(0, 1), turn=natural, step=one_of("start", "finish"),
                         replace=flag, forced=flag)))

# ---- to the agent

TO_AGENT = {
    "record": has(r=RECORD),
    "content": has(sha256=name, data=data),
    "ask": has(id=natural, what=name, tid=maybe(whole(0, MAX_PID))),
    "set": has(id=natural, module=name, param=name, text=words),
    "check": has(id=natural, name=name, path=name, data=data, params=params),
    "kmsg": has(text=text(MAX_NAME), priority=natural),
}

# ---- from the agent

cmdline = list_of(words)
frames = list_of(string, 4096)
BLOCKER = has(kind=name, task=maybe(number), name=maybe(string), frames=frames, since=maybe(number))
PREPARED = has(n=natural, livepatch=flag, replace=flag, uses=names, fingerprints=plain)
REPORT = has(
    seen=whole(-1, INT64 - 1), n=number, phase=one_of("", "loading", "prepared", "started", "finishing"),
    dir=one_of(0, 1), turn=natural, clean=flag, over=natural, not_applied=list_of(number, 4096),
    refused=maybe(has(n=number, errno=errno, text=maybe(string))), blockers=list_of(BLOCKER),
    working=maybe(has(what=string, since=number)), prepared=maybe(PREPARED))
EVENT = may_have(
    patches=list_of(has(name=name, replace=flag, objects=list_of(
        has(name=maybe(name), patched=flag, loaded=flag, funcs=string))), 4096),
    names=names, module_names=names,
    modules=list_of(has(name=name, size=count, refcnt=count, params=list_of(
        row(name, text(64), string, natural), 4096)), 4096),
    process=has(pid=pid, comm=text(MAX_COMM), cmdline=cmdline),
    log=list_of(row(natural, natural, natural, text(64), string)))

FROM_AGENT = {
    "hello": has(version=natural, pid=pid, comm=text(MAX_COMM), cmdline=cmdline, keep=flag, started=natural),
    "ack": has(seq=natural),
    "report": REPORT,
    "want": has(sha256=text(64)),
    "answer": has(id=natural, data=lambda value: True),     # its data: ANSWERS, by the question
    "done": has(id=natural, errno=errno),
    "event": EVENT,
}

# ---- the data of an answer: by `what` of an 'ask', and of a 'check'

ANSWERS = {
    "tasks": list_of(row(natural, string)),
    "patch_state": maybe(one_of(-1, 0, 1)),
    "stack": maybe(frames),
    "blockers": list_of(BLOCKER),
    "status": is_(dict),
}
SURVEYED_FUNC = has(name=string, refused=string, warnings=list_of(string), where=string, count=natural,
                    fingerprint=string, inside=list_of(row(string, maybe(number), string, frames)))
SURVEY = both(has(livepatch=flag, replace=flag, refused=string,
                  objects=list_of(has(name=string, loaded=flag, funcs=list_of(SURVEYED_FUNC)))),
              may_have(python=has(executable=string, level=string, path=list_of(string, 4096))))
CHECKED = either(has(errno=one_of(0), text=string, found=SURVEY),       # it was looked at, or it could not be
                 both(has(errno=whole(1, MAX_ERRNO), text=string, found=one_of(None)), may_have(unknown=flag)))


def settled(message: dict[str, Any]) -> dict[str, Any]:
    """The message, of a shape of FROM_AGENT, with an errno that the kernel takes wherever it has one. (A livepatch may
    have raised OSError(600), and an agent that does not look at that itself is right in all else.)"""
    kind = message["t"]
    if kind == "report" and message["refused"]:
        message["refused"]["errno"] = errno_from(message["refused"]["errno"])
    elif kind == "done" and message["errno"]:
        message["errno"] = errno_from(message["errno"])
    elif kind == "answer" and type(message["data"]) is dict and message["data"].get("errno"):
        message["data"]["errno"] = errno_from(message["data"]["errno"])
    return message


# Bytes of a message, for those that have no reason to be as long as wire.py allows.
MOST_BYTES = {"hello": 1 << 18, "ack": 1 << 12, "want": 1 << 12, "done": 1 << 12}


def fits(table: dict[str, Shape], message: dict[str, Any]) -> bool:
    """Whether a message (a dict with a string under 't', as wire.Reader gives it) has a shape of this table."""
    shape = table.get(message["t"])
    return shape is not None and shape(message)
