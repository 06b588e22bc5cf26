"""Generator-like objects of which only the address is known: those that ran, or may have been dying, when they were
found. No weak reference may be made to them, and memory of objects may be another object's by now, or given back.

So their memory is read as bytes (c_api.bytes_of), and an object is taken out of it only where its bytes say, in the
same C call, that it is generator-like, has a code that is asked for, has not ended, and has references.

Not where that would be heard: an audit hook in the middle of it lets other threads run, which free the object.
"""
from __future__ import annotations

import sys
from itertools import chain, compress, repeat
from operator import and_, itemgetter, lt

from .. import c_api
from . import reads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

_map, _list, _slice, _int = map, list, slice, int
_ORDER, _WORD = sys.byteorder, c_api.POINTER
GONE, DYING, THERE = range(3)       # what memory says of an object
_MANY = 1 << 30                     # references that nothing has
_KIND_IDS = frozenset(map(id, dict(reads.KINDS)))
_NO_FLAGS = -4                      # 3.14 and later: the address of a frame's code has flags in its lowest bits


def _code_place() -> int:
    """Where a generator that has not ended has the address of its code, in bytes from its beginning; -1: not to be
    told."""
    if not reads.SILENT:
        return -1
    suspended, new, _ = reads.samples()
    texts = [c_api.head(each, reads.SIZE) for each in (suspended, new)]     # type: ignore[misc]
    for at in range(2 * _WORD, reads.SIZE - _WORD + 1, _WORD):
        if all(_number(text[at:at + _WORD]) & _NO_FLAGS == id(suspended.gi_code) for text in texts):
            return at
    return -1


def heard() -> bool:
    """Whether reading memory raises events that a hook hears: then nothing may be asked of this file."""
    return c_api.LOUD and _code_at >= 0 and reads.audited()


def _number(text: bytes) -> int:
    return _int.from_bytes(text, _ORDER)


_code_at = _code_place()
_references = _slice(0, 4) if _ORDER == "little" else _slice(_WORD - 4, _WORD)


def there(address: int, codes: Collection[int]) -> int:
    """What is at an address at which there was a generator, coroutine or asynchronous generator of a code with one of
    these ids: THERE; DYING, without a reference; or GONE, ended or never to be told."""
    if _code_at < 0:
        return GONE
    texts: list[bytes] = []
    for fine in _list(_says(address, codes, texts)):
        count = _number(texts[0][_references])
        return GONE if not fine or count >= _MANY else THERE if count else DYING
    return GONE


def objects(addresses: Iterable[int], codes: Collection[int]) -> Iterator[Any]:
    """Iterator over the objects that are THERE, at some addresses. To be run in one C call with whatever they are used
    for."""
    return chain.from_iterable([_object(address, codes) for address in addresses] if _code_at >= 0 else ())


def _numbers(texts: list[bytes], place: slice) -> Iterator[int]:
    return _map(_int.from_bytes, _map(itemgetter(place), texts), repeat(_ORDER))


def _says(address: int, codes: Collection[int], texts: list[bytes]) -> Iterator[bool]:
    """Iterator that puts the memory there into `texts`, and gives whether it says that it is of a generator-like object
    of these codes that has not ended, references apart; gives nothing where there is no memory any more."""
    kinds = _map(_KIND_IDS.__contains__, _numbers(texts, _slice(_WORD, 2 * _WORD)))
    flagged = _numbers(texts, _slice(_code_at, _code_at + _WORD))
    known = _map(codes.__contains__, _map(and_, flagged, repeat(_NO_FLAGS)))
    read = compress(_map(texts.append, c_api.bytes_of(address, reads.SIZE)), repeat(0))
    return chain(read, _map(and_, _map(and_, kinds, known), reads.have_not_ended(texts)))


def _object(address: int, codes: Collection[int]) -> Iterator[Any]:
    texts: list[bytes] = []
    says = _says(address, codes, texts)         # run first: it fills `texts`
    counts = _map(and_, _map(lt, repeat(0), _numbers(texts, _references)),
                  _map(lt, _numbers(texts, _references), repeat(_MANY)))
    return c_api.objects_at(compress((address,), _map(and_, says, counts)))
