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

import gc
import sys
from itertools import chain, compress, repeat, starmap
from operator import and_, attrgetter, countOf, eq, is_, is_not, itemgetter, mod, mul, ne, not_, truth
from types import AsyncGeneratorType, CellType, CoroutineType, FunctionType, GeneratorType

from .. import c_api
from ..switch.rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import CodeType, FrameType
    from typing import Any

_map, _filter, _id, _type, _getattr, _slice, _int, _list, _frozenset = \
    map, filter, id, type, getattr, slice, int, list, frozenset
_head, _generator_code, _function_code = c_api.head, c_api.generator_code, c_api.function_code
_referents, _zip, _dict, _values = gc.get_referents, zip, dict, dict.values
_ORDER = sys.byteorder
_WORD = c_api.POINTER
_ALL = 2 ** (8 * _WORD) - 1
_SIZE = GeneratorType.__basicsize__
_CODE, _FUNCTION_CODE = attrgetter("f_code"), attrgetter("__code__")

KINDS = (GeneratorType, "gi"), (CoroutineType, "cr"), (AsyncGeneratorType, "ag")
"""The generator-like types, each with the prefix of its attributes."""
_TELLS = sys.version_info >= (3, 11)        # one byte tells a generator's state

key = object.__hash__
"""A number that no other living object has: id() with its lowest four bits on top. Asks no method of the object's."""

_hooks = [False]


def audited() -> bool:
    """Whether an audit hook is about: hooks stay for good, so this asks until there is one."""
    if "gather" in BREAK:       # that rule is for hooks that hear a look
        return False
    if not _hooks[0]:
        _hooks[0] = c_api.is_audited()
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

def _of_type(every: Callable[[], Iterator[Any]], kind: type) -> Iterator[Any]:
    return compress(every(), _map(is_, _map(_type, every()), repeat(kind)))


def referents(every: Callable[[], Iterator[Any]]) -> Iterator[int]:
    """The ids of what objects refer to, each as often as they do; where hooks are about only what dicts, functions and
    cells refer to, of functions their codes alone. every: makes an iterator over the objects."""
    if not audited() or _function_code is None:
        return ids(chain.from_iterable(starmap(_referents, _zip(every()))))
    keys = chain.from_iterable(_of_type(every, _dict))
    return ids(chain(keys, chain.from_iterable(_map(_values, _of_type(every, _dict))),
                     _map(_function_code, _of_type(every, FunctionType)),
                     _map(_getattr, _of_type(every, CellType), repeat("cell_contents"), repeat(None))))


def references(every: Callable[[], Iterator[Any]], to: int) -> Iterator[int]:
    """How often each of some objects refers to the object with the id `to`, which each does at least once, in any
    order; where hooks are about, what is no dict counts as one. every: makes an iterator over the objects."""
    if not audited() or _function_code is None:
        return _map(countOf, ids_of_each(starmap(_referents, _zip(every()))), repeat(to))
    return chain(_map(countOf, ids_of_each(_of_type(every, _dict)), repeat(to)),
                 _map(countOf, ids_of_each(_map(_values, _of_type(every, _dict))), repeat(to)),
                 _filter(None, _map(is_not, _map(_type, every()), repeat(_dict))))


def function_codes(functions: Iterable[FunctionType]) -> Iterator[CodeType]:
    """The code of each function."""
    return _map(_FUNCTION_CODE if not audited() or _function_code is None else _function_code, functions)


# ---------------------------------------------------------------------------------------------------------- generators
# All three kinds of generators begin with the same members (genobject.h: _PyGenObject_HEAD).

def _samples() -> tuple[Any, Any, Any]:
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
        found.append(_head(made, _SIZE))        # type: ignore[misc]
        yield
    made = generator()
    next(made)
    return found[0][at]


def _states_of_ended(at: int) -> frozenset[int]:
    """What a byte of a generator may be when it has ended: 3.12 and 3.13 tell what was closed before it began, or while
    it handled nothing, from what ran to its end (gen_close in Objects/genobject.c)."""
    closed, new, ended = _samples()
    closed.close()
    new.close()
    return _frozenset(_head(each, _SIZE)[at] for each in (closed, new, ended))   # type: ignore[misc]


def _find() -> tuple[int, int, int] | None:
    """(where a generator's pointer to its code is, -1 where PyGen_GetCode gives that; where its frame's state or
    pointer is; the size of that in bytes); None: not to be told for certain."""
    if _head is None:
        return None
    suspended, new, ended = samples = _samples()
    states = _STATES[sys.version_info >= (3, 15)]
    texts = [_head(sample, _SIZE) for sample in samples]
    pointers = range(2 * _WORD, _SIZE - _WORD + 1, _WORD)
    # the first: on 3.11 the frame, which follows, has its own
    code = [at for at in pointers if all(_number(text, at, _WORD) == id(suspended.gi_code) for text in texts)][:1]
    if _generator_code is not None:
        code = [-1]
    if sys.version_info >= (3, 11):
        more = [_head(sample, _SIZE) for sample in _samples()]      # what is alike in both is no accident
        frame = [at for at in range(2 * _WORD, _SIZE)
                 if (texts[1][at], texts[0][at], texts[2][at]) in states
                 and all(first[at] == second[at] for first, second in zip(texts, more))]
    else:
        frame = [at for at in pointers if _number(texts[2], at, _WORD) == 0
                 and all(_number(text, at, _WORD) == id(made.gi_frame) for text, made in zip(texts[:2], samples))]
    if len(code) != 1 or len(frame) != 1:
        return None
    return code[0], frame[0], 1 if sys.version_info >= (3, 11) else _WORD


_found = _find()
SILENT = _found is not None     # looks are unheard here
_code_at, _frame_at, _frame_size = _found or (0, 0, 0)


# of `object`: whoever asks does not know which of the kinds it has
_state = c_api.byte_member(object, _frame_at) if SILENT and _frame_size == 1 else None


_running = _running_state(_frame_at) if _state is not None else -1
_ended: frozenset[int] = _states_of_ended(_frame_at) if _state is not None else frozenset()


def _numbers(objects: Iterable[Any], at: int, size: int) -> Iterator[int]:
    """The numbers that the objects have in memory, `at` bytes from their beginning."""
    return _map(_int.from_bytes, _map(itemgetter(_slice(at, at + size)),
                 _map(_head, objects, repeat(_SIZE))),       # type: ignore[arg-type]  # only where SILENT
                repeat(_ORDER))


def generator_codes(generators: Iterable[Any], prefix: str) -> Iterator[int]:
    """The id of the code of each generator, coroutine or asynchronous generator; prefix: of their attributes."""
    if not SILENT or not audited():
        return ids(_map(attrgetter(prefix + "_code"), generators))
    if _generator_code is not None:
        return ids(_map(_generator_code, generators))
    return _numbers(generators, _code_at, _WORD)


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


def last(generators: Iterable[Any], prefix: str) -> Iterator[bool]:
    """Whether each generator, coroutine or asynchronous generator outlives this look: one that runs may be dying. True
    where that can't be told, as of asynchronous generators up to 3.10. prefix: of their attributes."""
    if _state is None and (_TELLS or prefix == "ag"):
        return _map(is_not, generators, repeat(None))
    return rest(generators, prefix)


def _with(objects: Sequence[Any], name: str, wanted: bool) -> Iterator[Any]:
    """Those of the objects whose attribute `name`, behind the prefix of their kind, is true, or is not."""
    kinds = [(_list(compress(objects, _map(is_, _map(_type, objects), repeat(kind)))), attrgetter(prefix + name))
             for kind, prefix in KINDS]
    return chain.from_iterable([compress(found, _map(truth if wanted else not_, _map(attribute, found)))
                                for found, attribute in kinds])


def that_run(objects: Sequence[Any]) -> Iterator[Any]:
    """Those of the generators, coroutines and asynchronous generators that are just running; up to 3.10 also
    asynchronous generators that wait."""
    if _state is not None:
        return compress(objects, _map(eq, _map(_state, objects), repeat(_running)))
    return _with(objects, "_running", True)


def that_have_ended(objects: Sequence[Any]) -> Iterator[Any]:
    """Those of the generators, coroutines and asynchronous generators that have run to their end."""
    if _state is not None:
        return compress(objects, _map(_ended.__contains__, _map(_state, objects)))
    return _with(objects, "_frame", False)


GONE, DYING, THERE = range(3)       # what memory says of a generator, coroutine or asynchronous generator
_MANY = 1 << 30         # references that nothing has


def _raw_code() -> int:
    """Where a generator that has not ended has the address of its code, in bytes from its beginning; -1: not to be
    told. 3.14 and later: the address has flags in its lowest bits."""
    if not SILENT:
        return -1
    suspended, new, _ = _samples()
    texts = [_head(each, _SIZE) for each in (suspended, new)]       # type: ignore[misc]
    for at in range(2 * _WORD, _SIZE - _WORD + 1, _WORD):
        if all(_number(text, at, _WORD) & ~3 == id(suspended.gi_code) for text in texts):
            return at
    return -1


_raw_code_at = _raw_code()
_KIND_IDS = _frozenset(id(kind) for kind, _ in KINDS)


def there(address: int, codes: set[int]) -> int:
    """What is at an address at which there was a generator, coroutine or asynchronous generator of a code with one of
    these ids: THERE; DYING, without a reference, so it must not be touched; or GONE, ended or never to be told."""
    text = c_api.bytes_at(address, _SIZE) if _raw_code_at >= 0 else b""
    if not text or _number(text, _WORD, _WORD) not in _KIND_IDS or \
            _number(text, _raw_code_at, _WORD) & ~3 not in codes or _has_ended(text):
        return GONE         # and the memory may be another object's
    references = _number(text, 0 if _ORDER == "little" else _WORD - 4, 4)
    return GONE if references > _MANY else THERE if references else DYING


def _has_ended(text: bytes) -> bool:
    """Whether memory of a generator says that it has run to its end."""
    return text[_frame_at] in _ended if _frame_size == 1 else not _number(text, _frame_at, _WORD)
