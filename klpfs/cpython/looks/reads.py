"""Reads of frames, codes and generators that no audit hook hears, as C iterators.

Reading `f_code` or `gi_frame`, asking for id() or for referents: each raises an audit event, in which a hook of Python
runs the program's code and lets other threads run. In the middle of a look that tears what is seen, and klpfs holds the
program's objects meanwhile: finalizers would run in klpfs's thread, and a tuple that another thread fills would have
one holder too many, a SystemError there (gh-59313). So, where hooks are about, all that is read while a look holds
objects is read by what is below: by functions of CPython's C API (c_api.py) and by the first bytes of a generator.
Without hooks by Python's own ways, which are quicker.

Where a Python shows no C functions, or keeps generators otherwise, Python's own ways are all there is (SILENT).
"""
from __future__ import annotations

import _thread
import gc
import sys
from itertools import chain, compress, repeat, starmap
from operator import and_, attrgetter, countOf, eq, is_, is_not, itemgetter, mod, mul, ne, not_, truth
from types import AsyncGeneratorType, CellType, CoroutineType, FunctionType, GeneratorType

from .. import c_api
from ..c_originals import original
from ..switch.rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any

_map, _filter, _id, _type, _getattr, _slice, _int, _list, _frozenset, _range = \
    map, filter, id, type, getattr, slice, int, list, frozenset, range
_head, _generator_code, _function_code = c_api.head, c_api.generator_code, c_api.function_code
_referents, _zip, _dict, _values = gc.get_referents, zip, dict, dict.values
_ORDER = sys.byteorder
_WORD = c_api.POINTER
_ALL = 2 ** (8 * _WORD) - 1
SIZE = GeneratorType.__basicsize__
_CODE, _FUNCTION_CODE = attrgetter("f_code"), attrgetter("__code__")

KINDS = (GeneratorType, "gi"), (CoroutineType, "cr"), (AsyncGeneratorType, "ag")
"""The generator-like types, each with the prefix of its attributes."""
_TELLS = sys.version_info >= (3, 11)        # one byte tells a generator's state

key = object.__hash__
"""A number that no other living object has: id() with its lowest four bits on top. Asks no method of the object's."""

KIND_KEYS = frozenset(key(kind) for kind, _ in KINDS)

get_ident = original(_thread, "get_ident")
_hooks = [False]
_asking: set[int] = set()       # idents of threads that just ask


def audited() -> bool:
    """Whether an audit hook is about: hooks stay for good, so this asks until there is one. True within the question: a
    hook that hears it may call patched functions; a signal handler has that answer, too, and what it means is right
    without a hook, only slower."""
    if "gather" in BREAK:       # that rule is for hooks that hear a look
        return False
    if not _hooks[0]:
        ident = get_ident()
        if ident in _asking:
            return True
        _asking.add(ident)
        try:
            _hooks[0] = c_api.is_audited()
        finally:
            _asking.discard(ident)
    return _hooks[0]


def ids(objects: Iterable[Any]) -> Iterator[int]:
    """The id() of each."""
    if not audited():
        return _map(_id, objects)
    return _map(mod, _map(mul, _map(and_, _map(key, objects), repeat(_ALL)), repeat(16)), repeat(_ALL))


def id_of(found: object) -> int:
    """The id() of an object of CPython's own types, without an event, and without ctypes, whose calls make an
    ArgumentError of the program's RecursionError."""
    number: int = (key(found) & _ALL) * 16 % _ALL
    return number


def codes(stacks: Iterable[Iterable[FrameType]]) -> Iterator[Iterator[CodeType]]:
    """For each stack of frames its codes."""
    return _map(_map, repeat(c_api.frame_code if audited() else _CODE), stacks)


def ids_of_each(groups: Iterable[Iterable[Any]]) -> Iterator[Iterator[int]]:
    """For each group of objects their id()s."""
    if not audited():
        return _map(_map, repeat(_id), groups)
    low = _map(_map, repeat(and_), _map(_map, repeat(key), groups), repeat(repeat(_ALL)))
    return _map(_map, repeat(mod), _map(_map, repeat(mul), low, repeat(repeat(16))), repeat(repeat(_ALL)))


# ----------------------------------------------------------------------------------------------------------- referents
# Of lists and tuples nothing is read where hooks are about: other threads' may be half made, with NULL among the items,
# which gc.get_referents alone passes over.

def of_type(every: Callable[[], Iterator[Any]], kind: type) -> Iterator[Any]:
    """The objects of exactly that type. every: makes an iterator over them all."""
    return compress(every(), _map(is_, _map(_type, every()), repeat(kind)))


def referents(every: Callable[[], Iterator[Any]]) -> Iterator[int]:
    """The ids of what objects refer to, each as often as they do; where hooks are about only what dicts, functions and
    cells refer to, of functions their codes alone. every: makes an iterator over the objects."""
    if not audited() or _function_code is None:
        return ids(chain.from_iterable(starmap(_referents, _zip(every()))))
    keys = chain.from_iterable(of_type(every, _dict))
    return ids(chain(keys, chain.from_iterable(_map(_values, of_type(every, _dict))),
                     _map(_function_code, of_type(every, FunctionType)),
                     _map(_getattr, of_type(every, CellType), repeat("cell_contents"), repeat(None))))


def references(every: Callable[[], Iterator[Any]], to: int) -> Iterator[int]:
    """How often each of some objects refers to the object with the id `to`, which each does at least once, in any
    order; where hooks are about, what is no dict counts as one. every: makes an iterator over the objects."""
    if not audited() or _function_code is None:
        return _map(countOf, ids_of_each(starmap(_referents, _zip(every()))), repeat(to))
    return chain(_map(countOf, ids_of_each(of_type(every, _dict)), repeat(to)),
                 _map(countOf, ids_of_each(_map(_values, of_type(every, _dict))), repeat(to)),
                 _filter(None, _map(is_not, _map(_type, every()), repeat(_dict))))


def function_codes(functions: Iterable[FunctionType]) -> Iterator[CodeType]:
    """The code of each function."""
    return _map(_FUNCTION_CODE if not audited() or _function_code is None else _function_code, functions)


# ---------------------------------------------------------------------------------------------------------- generators
# All three kinds of generators begin with the same members (genobject.h: _PyGenObject_HEAD).

def samples() -> tuple[Any, Any, Any]:
    """A generator that is suspended, one that has not begun, one that has ended."""
    def generator() -> Any:
        yield
    suspended, new, ended = generator(), generator(), generator()
    next(suspended)
    list(ended)
    return suspended, new, ended


# of 3.11 and later: the states, in a byte, of a generator that has not begun, is suspended, has ended
# (pycore_frame.h; 3.11 and 3.12, 3.13 and 3.14; 3.15)
_STATES = ((0xfe, 0xff, 4), (0xfd, 0xfe, 4)), ((0, 1, 5),)


def _number(text: bytes, at: int, size: int) -> int:
    return int.from_bytes(text[at:at + size], _ORDER)


def _running_state(at: int) -> int:
    """The byte that a generator has at that place while it runs."""
    found: list[bytes] = []

    def generator() -> Any:
        found.append(_head(made, SIZE))        # type: ignore[misc]
        yield
    made = generator()
    next(made)
    return found[0][at]


def _states_of_ended(at: int) -> frozenset[int]:
    """What a byte of a generator may be when it has ended: 3.12 and 3.13 tell what was closed before it began, or while
    it handled nothing, from what ran to its end (gen_close in Objects/genobject.c)."""
    closed, new, ended = samples()
    closed.close()
    new.close()
    return _frozenset(_head(each, SIZE)[at] for each in (closed, new, ended))   # type: ignore[misc]


def _find() -> tuple[int, int, int] | None:
    """(where a generator's pointer to its code is, -1 where PyGen_GetCode gives that; where its frame's state or
    pointer is; the size of that in bytes); None: not to be told for certain."""
    if _head is None:
        return None
    suspended, new, ended = made = samples()
    states = _STATES[sys.version_info >= (3, 15)]
    texts = [_head(sample, SIZE) for sample in made]
    pointers = range(2 * _WORD, SIZE - _WORD + 1, _WORD)
    # the first: on 3.11 the frame, which follows, has its own
    code = [at for at in pointers if all(_number(text, at, _WORD) == id(suspended.gi_code) for text in texts)][:1]
    if _generator_code is not None:
        code = [-1]
    if sys.version_info >= (3, 11):
        more = [_head(sample, SIZE) for sample in samples()]      # what is alike in both is no accident
        frame = [at for at in range(2 * _WORD, SIZE)
                 if (texts[1][at], texts[0][at], texts[2][at]) in states
                 and all(first[at] == second[at] for first, second in zip(texts, more))]
    else:
        frame = [at for at in pointers if _number(texts[2], at, _WORD) == 0
                 and all(_number(text, at, _WORD) == id(each.gi_frame) for text, each in zip(texts[:2], made))]
    if len(code) != 1 or len(frame) != 1:
        return None
    return code[0], frame[0], 1 if sys.version_info >= (3, 11) else _WORD


_found = _find()
SILENT = _found is not None     # looks are unheard here
_code_at, _frame_at, _frame_size = _found or (0, 0, 0)


# of `object`: whoever asks does not know which of the kinds it has
_state = c_api.byte_member(object, _frame_at) if SILENT and _frame_size == 1 else None


_running = _running_state(_frame_at) if _state is not None else -1
_new = _head(samples()[1], SIZE)[_frame_at] if _state is not None else -1      # type: ignore[misc]
_ended: frozenset[int] = _states_of_ended(_frame_at) if _state is not None else frozenset()


def _numbers(objects: Iterable[Any], at: int, size: int) -> Iterator[int]:
    """The numbers that the objects have in memory, `at` bytes from their beginning."""
    return _map(_int.from_bytes, _map(itemgetter(_slice(at, at + size)),
                 _map(_head, objects, repeat(SIZE))),       # type: ignore[arg-type]  # only where SILENT
                repeat(_ORDER))


def codes_of_generators(generators: Iterable[Any], prefix: str) -> Iterator[CodeType]:
    """The code of each generator, coroutine or asynchronous generator; where hooks are about without an event, as far
    as this CPython lets it."""
    if audited() and _generator_code is not None:
        return _map(_generator_code, generators)
    return _map(attrgetter(prefix + "_code"), generators)


def generator_codes(generators: Iterable[Any], prefix: str) -> Iterator[int]:
    """The id of the code of each generator, coroutine or asynchronous generator; prefix: of their attributes."""
    if SILENT and audited() and _generator_code is None:
        return _numbers(generators, _code_at, _WORD)
    return ids(codes_of_generators(generators, prefix))


def have_frames(generators: Iterable[Any], prefix: str) -> Iterator[bool]:
    """Whether each generator, coroutine or asynchronous generator has not run to its end; prefix: of their
    attributes. False for None."""
    if not SILENT or not audited():
        return _map(truth, _map(_getattr, generators, repeat(prefix + "_frame"), repeat(None)))
    if _state is not None:
        return _map(not_, _map(_ended.__contains__, _map(_state, _filter(None, generators))))
    return _map(truth, _numbers(_filter(None, generators), _frame_at, _frame_size))


def do_not_run(generators: Iterable[Any]) -> Iterator[bool]:
    """Whether each generator, coroutine or asynchronous generator is not just running. From 3.11 on; False for
    all where that can't be told."""
    if _state is None:
        return _map(is_, generators, repeat(None))
    return _map(ne, _map(_state, generators), repeat(_running))


def rest(generators: Iterable[Any], prefix: str) -> Iterator[bool]:
    """Whether each generator, coroutine or asynchronous generator surely is not just running; prefix: of their
    attributes. Up to 3.10 an asynchronous generator that waits counts as running."""
    if _TELLS:
        return do_not_run(generators)
    return _map(not_, _map(attrgetter(prefix + "_running"), generators))


def last(every: Callable[[], Iterator[Any]], prefix: str) -> Iterator[bool]:
    """Whether each generator, coroutine or asynchronous generator is surely not dying; prefix: of their attributes;
    every: makes an iterator over them. Dying may be what runs; and of what rests a coroutine that was never awaited,
    while the program shows the warning of that, or an asynchronous generator that has begun, in its finalizer hook
    (_PyGen_Finalize in Objects/genobject.c, which does nothing with what has ended)."""
    if prefix == "gi" or _TELLS and _state is None:
        return rest(every(), prefix)
    if _state is not None:
        surely = _ended | {_new} if prefix == "ag" else _frozenset(_range(256)) - {_new, _running}
        return _map(surely.__contains__, _map(_state, every()))
    if audited():           # asking for a frame is an event
        return _map(not_, have_frames(every(), prefix))
    # up to 3.10: a frame that has not begun stands at -1
    default = -1 if prefix == "ag" else 0
    places = _map(_getattr, _map(_getattr, every(), repeat(prefix + "_frame"), repeat(None)), repeat("f_lasti"),
                  repeat(default))
    return _map(eq, places, repeat(-1)) if prefix == "ag" else _map(and_, rest(every(), prefix),
                                                                   _map(ne, places, repeat(-1)))


def _with(every: Callable[[], Iterator[Any]], name: str, wanted: bool) -> Iterator[Any]:
    """Those of the objects whose attribute `name`, behind the prefix of their kind, is true, or is not."""
    test = truth if wanted else not_
    return chain.from_iterable([compress(of_type(every, kind), _map(test, _map(attrgetter(prefix + name),
                                                                                of_type(every, kind))))
                                for kind, prefix in KINDS])


def that_run(every: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Those of some generators, coroutines and asynchronous generators that are just running; up to 3.10 also
    asynchronous generators that wait. every: makes an iterator over them."""
    if _state is not None:
        return compress(every(), _map(eq, _map(_state, every()), repeat(_running)))
    return _with(every, "_running", True)


def that_have_ended(every: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Those of some generators, coroutines and asynchronous generators that have run to their end. every: makes an
    iterator over them."""
    if _state is not None:
        return compress(every(), _map(_ended.__contains__, _map(_state, every())))
    return _with(every, "_frame", False)


def have_not_ended(texts: Iterable[bytes]) -> Iterator[bool]:
    """Whether the generators, coroutines or asynchronous generators, of which these are the first SIZE bytes in memory,
    have not run to their end. Only where SILENT."""
    if _frame_size == 1:
        return _map(not_, _map(_ended.__contains__, _map(itemgetter(_frame_at), texts)))
    places = _map(itemgetter(_slice(_frame_at, _frame_at + _WORD)), texts)
    return _map(truth, _map(_int.from_bytes, places, repeat(_ORDER)))
