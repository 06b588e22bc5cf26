"""The messages between an agent and a coordinator: frames on a Unix stream socket, and the exact keys of every
message.

A frame is a length (4 bytes, little endian) and that many bytes of marshal data, format 2: a dict with the key 't',
made of plain types only (None bool int float str bytes list tuple dict; a dict's keys are str). Both sides distrust
each other's bytes: a frame is checked before it is unmarshalled (`check`), since marshal itself must not be given
hostile data: its cost is linear only if no key is an int, whose hash a sender can choose. `encode` and `Reader` do no
I/O.

All agents of a service listen in <runtime>/<service>/ (folder_layout.py), on <random>.sock. A coordinator connects, any
number may. The agent's first three messages on a connection are `hello`, a full `event`, a `report`.

To the agent
    {'t': 'record', 'r': RECORD}        the journal's present fields (below); lower `seq` than known: ignored
    {'t': 'content', 'sha256': str, 'data': bytes}          answer to `want`; data b'' : not to be had
    {'t': 'ask', 'id': int, 'what': str, 'tid': int|None}   what: 'stack' (tid) 'patch_state' (tid; None: the process)
                                        'tasks' 'blockers' 'status'
    {'t': 'set', 'id': int, 'module': str, 'param': str, 'text': str}
    {'t': 'check', 'id': int, 'name': str, 'path': str, 'data': bytes, 'params': {str: str|None}}   a dry run of a load
    {'t': 'kmsg', 'text': str, 'priority': int}  a line that a user wrote (no answer)

From the agent
    {'t': 'hello', 'version': 1, 'pid': int, 'comm': str, 'cmdline': [str], 'keep': bool, 'service': str, 'python': str,
        'started': int}                 started: usec of CLOCK_MONOTONIC, when the agent began
    {'t': 'ack', 'seq': int}            on arrival of a record, before any foreign code runs for it
    {'t': 'report', 'seen': int,        the highest seq that is followed to its end (-1: none yet)
        'n': int, 'phase': str,         the operation: phase '' (none; n 0) 'loading' 'prepared' 'started' 'finishing'
        'dir': int, 'turn': int, 'clean': bool,
        'over': int,                    n of the last operation finished (0: none)
        'refused': None | {'n': int, 'errno': int, 'text': str},      of a change; stays until the next load
        'not_applied': [int],           load numbers of patches this process goes without
        'prepared': None | {'n': int, 'livepatch': bool, 'replace': bool, 'size': int, 'uses': [str],
                            'fingerprints': str},             record_text.py's text of them
                                        the change n is prepared: its init() waits in enable_patch (livepatch True), or
                                        an ordinary module is loaded (False; also beside a started transition, which
                                        n, phase.. then describe). The coordinator decides by `prepared.n` == change.n
                                        and writes the rest into the journal (the agents of a service should agree).
                                        None again when the change is decided
        'working': None | {'what': str, 'since': int},   foreign code is running: 'init of X', 'exit of X' ..
        'blockers': [BLOCKER]}          as of the last look
    {'t': 'want', 'sha256': str}
    {'t': 'answer', 'id': int, 'data': ANSWER}   at once: a reader waits. Unknown tid: None
        'stack'        [str] lines 'file:line function', innermost first
        'patch_state'  int: -1 no transition, 0 unpatched, 1 patched
        'tasks'        [(tid, comm)], main thread first
        'blockers'     [BLOCKER]
        'status'       the same dict as a report
        of 'check'     {'errno': int, 'text': str: why it could not be looked at,
                        'found': None or SURVEY (cpython/looks/dry_run.py),
                        'unknown': bool, may be absent: that it could not says nothing of the livepatch};
                       it runs the file's top level, and takes as long as that takes, 5 s at most
    {'t': 'done', 'id': int, 'errno': int}   0: done. Answer to `set`
    {'t': 'event', ...}                 whole sections, each replaces the receiver's copy, any subset of:
        'patches': [{'name', 'enabled': bool, 'transition': bool, 'replace': bool, 'forced': bool,
                     'objects': [{'name': 'vmlinux' for the main program, 'patched': bool, 'loaded': bool,
                                  'dynamic': bool, 'funcs': 'name,position' of each, in lines}]}]
                                        as Engine.describe(): one text, since
                                        a large patch has thousands and each object costs the receiver a check
        'names': [str]                  with 'patches': those are only what differs from the last event, and these are
                                        the names of all; without 'names' (the first event of a connection) it is all
        'modules': [{'name', 'size': int, 'refcnt': int, 'livepatch': bool, 'state': 'Live'|'Loading'|'Unloading',
                     'holders': [str], 'params': [(name, type, text, mode)], 'forced': bool}]     text without a newline
        'module_names': [str]           with 'modules', where all do not fit one message: as 'names'
        'process': {'pid', 'comm', 'cmdline'}
        'log': [(seq, usec, priority, kind, text)] new records (on connection: all in the ring; one may come twice, take
                                        each seq once). seq is the agent's own, rising; kind 'engine' 'module' 'user'
                                        'agent' (once a process, as 'module')
    Events of a step are sent before its effect can be seen and before the report of the step.

BLOCKER  {'kind': str, 'task': int, 'name': str, 'frames': ['file:line function'], 'since': usec}
         kind: 'thread' 'task' 'greenlet' 'generator' 'collection' 'frozen heap' 'working' ..

RECORD (the journal's fields, record_text.py)
    {'service': str,                   whose it is: an agent of another one does not obey. A klpfs 0.1.0 that was made
                                        before the journal's version 2 does not say it
     'seq': int,
     'patches': [{'name', 'n': int, 'sha256', 'params': {str: str}, 'fingerprints': str}],
                                        sha256 of the content that has them, '' without any
     'modules': [{'name', 'sha256', 'params': {}, 'livepatch': bool, 'path': str, 'uses': [str], 'forced': bool}],
     'ftrace': bool,                    kernel.ftrace_enabled
     'change': None | {'n': int, 'name', 'sha256', 'params': {}, 'livepatch': bool, 'replace': bool, 'pid': int,
                       'path': str},
     'transition': None | {'n': int, 'patch': str, 'dir': 0|1, 'turn': int, 'step': 'start'|'finish', 'replace': bool,
                           'forced': bool}}
    Until an agent has reported 'prepared', `livepatch` and `replace` of the change may be False: only the load knows.
"""
from __future__ import annotations

from errno import EMSGSIZE, EPROTO
from marshal import dumps as _dumps
from marshal import loads as _loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

VERSION = 1
MAX_MESSAGE = 32 << 20      # bytes: the largest frame that is accepted or made
MESSAGE_SECONDS = 10        # from a frame's first byte to its last; slower peers are cut off (by who owns the socket)
MAX_DEPTH = 16
MAX_OBJECTS = 1 << 20       # in a message, keys and containers counted: what a message costs goes by them
MAX_KEYS = 4096             # of a dict; with PYTHONHASHSEED set a sender could choose even the hashes of str
FOREIGN_MESSAGE = 4 << 20   # the same limits for a sender who is neither root nor the receiver's own user
FOREIGN_OBJECTS = 1 << 18

_FIXED = {0x4E: 0, 0x54: 0, 0x46: 0, 0x69: 4, 0x67: 8}      # None True False int32 float
_BYTES, _STR, _LONG = 0x73, 0x75, 0x6C
_MOST_DIGITS = 5            # of 15 bits: an int of a message fits 64 bits (shapes.py has the exact bounds)
_TUPLE, _LIST, _DICT, _NULL = 0x28, 0x5B, 0x7B, 0x30
_FULL = -1 - 2 * MAX_KEYS   # of `check`: a dict that has all the keys that it may have


class WireError(OSError):
    """Bytes that are no message: EPROTO, or EMSGSIZE for one over the limit. The connection is of no more use."""


def encode(message: Message) -> bytes:
    """The frame of `message` (a dict of plain types). WireError(EMSGSIZE) when over the limit; ValueError: not
    plain."""
    body = _dumps(message, 2)
    if len(body) > MAX_MESSAGE:
        raise WireError(EMSGSIZE, f"message of {len(body)} bytes")
    return len(body).to_bytes(4, "little") + body


def check(body: bytes, objects: int = MAX_OBJECTS) -> None:
    """Raise WireError unless `body` is exactly one object of plain types, at most `objects` in all, whose lengths fit
    in its bytes. The cost is linear: each object is looked at once, and nothing is copied, hashed or compared."""
    left: list[int] = []     # of each container around the present one: `rest`
    rest = 1                 # objects still to come in the present container; below 0: a dict, ended by NULL
    at, end = 0, len(body)
    for _ in range(objects):
        if at >= end:
            raise WireError(EPROTO, "message ends early")
        kind = body[at]
        at += 1
        if kind == _STR:
            at += 4 + int.from_bytes(body[at:at + 4], "little")
        elif rest < 0 and rest & 1:      # where a key would begin
            if kind != _NULL:
                raise WireError(EPROTO, f"key of type {kind:#x} in a message")
            rest = left.pop()
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _BYTES:
            at += 4 + int.from_bytes(body[at:at + 4], "little")
        elif kind == _LONG:
            digits = abs(int.from_bytes(body[at:at + 4], "little", signed=True))
            if digits > _MOST_DIGITS:
                raise WireError(EPROTO, "a number of more than 64 bits in a message")
            at += 4 + 2 * digits
        elif kind == _TUPLE or kind == _LIST or kind == _DICT:
            count = -1
            if kind != _DICT:
                count = int.from_bytes(body[at:at + 4], "little")
                at += 4
                if count > end - at:
                    raise WireError(EPROTO, "list longer than its message")
            if count:
                if len(left) >= MAX_DEPTH:
                    raise WireError(EPROTO, "message nested too deeply")
                left.append(rest)
                rest = count
                continue
        else:
            raise WireError(EPROTO, f"type {kind:#x} in a message")
        if at > end:
            raise WireError(EPROTO, "message ends early")
        rest -= 1
        while not rest:          # an object is complete: it may complete those around it
            if not left:
                if at != end:
                    raise WireError(EPROTO, f"{end - at} bytes after a message")
                return
            rest = left.pop() - 1
        if rest < _FULL:
            raise WireError(EPROTO, f"a dict of more than {MAX_KEYS} keys in a message")
    raise WireError(EMSGSIZE, f"a message of more than {objects} objects")


def decode(body: bytes, objects: int = MAX_OBJECTS) -> Message:
    """The message in a frame's body. WireError(EPROTO) unless it is a dict of plain types with a str 't'; EMSGSIZE: of
    more than `objects`."""
    check(body, objects)
    try:
        message = _loads(body)
    except (ValueError, EOFError, TypeError) as e:
        raise WireError(EPROTO, f"bad message: {e}") from None
    if type(message) is not dict or type(message.get("t")) is not str:
        raise WireError(EPROTO, "a message without a type")
    return message


class Reader:
    """Cuts a byte stream into messages. One for each connection and direction. limit: bytes of a message; objects: in
    a message."""

    __slots__ = ("_parts", "_have", "_need", "limit", "objects")

    def __init__(self, limit: int = MAX_MESSAGE, objects: int = MAX_OBJECTS) -> None:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 4
        self.limit, self.objects = limit, objects

    @property
    def pending(self) -> bool:
        """True while a frame has begun and not ended: the owner measures MESSAGE_SECONDS from there."""
        return self._have > 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data`, as received, completes, oldest first. WireError: close the connection."""
        return [decode(body, self.objects) for body in self.bodies(data)]

    def bodies(self, data: bytes) -> list[bytes]:
        """The same messages before `decode`, for a receiver that says when it pays for each. WireError(EMSGSIZE)."""
        self._parts.append(data)
        self._have += len(data)
        out: list[bytes] = []
        if self._have < self._need:
            return out
        buffer = b"".join(self._parts)
        at = 0
        while True:
            if len(buffer) - at < 4:
                self._need = 4
                break
            size = int.from_bytes(buffer[at:at + 4], "little")
            if size > self.limit:
                raise WireError(EMSGSIZE, f"a message of {size} bytes is announced")
            if len(buffer) - at < 4 + size:
                self._need = 4 + size
                break
            out.append(buffer[at + 4:at + 4 + size])
            at += 4 + size
        rest = buffer[at:]
        self._parts = [rest] if rest else []
        self._have = len(rest)
        return out
