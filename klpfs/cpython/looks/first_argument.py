"""The first argument of a running function, told by its frame: for a method mostly the object that it is called on.

`f_locals` would keep all that the function has alive (up to 3.12), so the frame's memory is read, or CPython's
PyFrame_GetVar asked; without an audit event, but on 3.11.
"""
from __future__ import annotations

import sys
from types import CellType, FrameType

from .. import c_api

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, Callable

_type, _int, _getframe, _next = type, int, sys._getframe, next
_ORDER, _POINTER = sys.byteorder, c_api.POINTER
_ADDRESS = 19                   # descrobject.h: Py_T_PYSSIZET
_F_FRAME, _LOCALS = 24, 72      # 3.11: of a PyFrameObject, of an _PyInterpreterFrame (pycore_frame.h)


def _by_name() -> Callable[[FrameType, CodeType], Any]:
    """3.12 and later."""
    get: Any = c_api.method("PyFrame_GetVar", 1)

    def first(frame: FrameType, code: CodeType) -> Any:
        try:
            return get(frame, code.co_varnames[0])
        except NameError:       # deleted
            return None
    return first


def _by_pointers() -> Callable[[FrameType, CodeType], Any]:
    """3.11, where a frame object leads to the frame."""
    inner: Any = c_api.member(FrameType, _F_FRAME, _ADDRESS)[0]

    def pointer(place: int) -> int:
        for text in c_api.bytes_of(place, _POINTER):
            return _int.from_bytes(text, _ORDER)
        return 0

    def first(frame: FrameType, code: CodeType) -> Any:
        place = pointer(inner(frame) + _LOCALS)
        found: Any = _next(c_api.objects_at((place,))) if place else None
        return found.cell_contents if _type(found) is CellType and code.co_varnames[0] in code.co_cellvars else found
    return first


def _by_place() -> Callable[[FrameType, CodeType], Any]:
    """Up to 3.10, where a frame object has its variables, and behind them its cells."""
    readers: dict[int, Callable[[Any], Any]] = {}

    def at(frame: FrameType, n: int) -> Any:
        read = readers.get(n)
        if read is None:
            place = FrameType.__basicsize__ + (n - 1) * _POINTER
            read = readers[n] = c_api.member(FrameType, place, c_api.OBJECT)[0]
        return read(frame)

    def first(frame: FrameType, code: CodeType) -> Any:
        name = code.co_varnames[0]
        if name not in code.co_cellvars:
            return at(frame, 0)
        return at(frame, code.co_nlocals + code.co_cellvars.index(name)).cell_contents
    return first


def _find() -> Callable[[FrameType, CodeType], Any] | None:
    """The function for this CPython, tried; None: a build that is made otherwise."""
    if not c_api.AVAILABLE:
        return None
    try:
        first = _by_name() if sys.version_info >= (3, 12) else _by_pointers() if sys.version_info >= (3, 11) else \
            _by_place()

        def plain(wanted: object, more: object = None) -> bool:
            frame = _getframe()
            return first(frame, frame.f_code) is wanted

        def with_cell(wanted: object) -> bool:
            frame = _getframe()
            return (lambda: wanted) is not None and first(frame, frame.f_code) is wanted
        return first if plain(object()) and with_cell(object()) else None
    except (OSError, ValueError, AttributeError):
        return None


_first = _find()
KNOWN = _first is not None


def is_first_argument(frame: FrameType, code: CodeType, wanted: object) -> bool:
    """Whether the first argument of the function that runs in the frame, with that code, is `wanted`; True, too, where
    it takes none, or that can't be told."""
    if _first is None or not code.co_argcount:
        return True
    found = _first(frame, code)
    return found is wanted or found is None
