"""The first argument of a running function, told by its frame: for a method mostly the object that it is called on.

`f_locals` would keep all that the function has alive (up to 3.12), so the frame's memory is read, or CPython's
PyFrame_GetVar asked; without an audit event, but on 3.11.
"""
from __future__ import annotations

import sys
from types import CellType, FrameType

from .. import c_api
from ..raw import VARARGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, Callable

_type, _int, _getframe, _next, _tuple = type, int, sys._getframe, next, tuple
_ORDER, _POINTER = sys.byteorder, c_api.POINTER
_ADDRESS = 19                   # descrobject.h: Py_T_PYSSIZET
_F_FRAME, _LOCALS = 24, 72      # 3.11: of a PyFrameObject, of an _PyInterpreterFrame (pycore_frame.h)


def _by_name() -> Callable[[FrameType, CodeType, int], Any]:
    """3.12 and later."""
    get: Any = c_api.method("PyFrame_GetVar", 1)

    def variable(frame: FrameType, code: CodeType, n: int) -> Any:
        try:
            return get(frame, code.co_varnames[n])
        except NameError:       # deleted
            return None
    return variable


def _in_cell(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:          # deleted
        return None


def _by_pointers() -> Callable[[FrameType, CodeType, int], Any]:
    """3.11, where a frame object leads to the frame."""
    inner: Any = c_api.member(FrameType, _F_FRAME, _ADDRESS)[0]

    def pointer(place: int) -> int:
        for text in c_api.bytes_of(place, _POINTER):
            return _int.from_bytes(text, _ORDER)
        return 0

    def variable(frame: FrameType, code: CodeType, n: int) -> Any:
        place = pointer(inner(frame) + _LOCALS + n * _POINTER)
        found: Any = _next(c_api.objects_at((place,))) if place else None
        return _in_cell(found) if _type(found) is CellType and code.co_varnames[n] in code.co_cellvars else found
    return variable


def _by_place() -> Callable[[FrameType, CodeType, int], Any]:
    """Up to 3.10, where a frame object has its variables, and behind them its cells."""
    readers: dict[int, Callable[[Any], Any]] = {}

    def at(frame: FrameType, n: int) -> Any:
        read = readers.get(n)
        if read is None:
            place = FrameType.__basicsize__ + (n - 1) * _POINTER
            read = readers[n] = c_api.member(FrameType, place, c_api.OBJECT)[0]
        return read(frame)

    def variable(frame: FrameType, code: CodeType, n: int) -> Any:
        name = code.co_varnames[n]
        if name not in code.co_cellvars:
            return at(frame, n)
        return _in_cell(at(frame, code.co_nlocals + code.co_cellvars.index(name)))
    return variable


def _find() -> Callable[[FrameType, CodeType, int], Any] | None:
    """The function for this CPython, tried; None: a build that is made otherwise."""
    if not c_api.AVAILABLE:
        return None
    try:
        variable = _by_name() if sys.version_info >= (3, 12) else _by_pointers() if sys.version_info >= (3, 11) else \
            _by_place()

        def plain(wanted: object, more: object = None) -> bool:
            frame = _getframe()
            return variable(frame, frame.f_code, 0) is wanted and variable(frame, frame.f_code, 1) is more

        def with_cell(wanted: object) -> bool:
            frame = _getframe()
            return (lambda: wanted) is not None and variable(frame, frame.f_code, 0) is wanted
        return variable if plain(object(), object()) and with_cell(object()) else None
    except (OSError, ValueError, AttributeError):
        return None


_variable = _find()
KNOWN = _variable is not None
OF_OTHERS = KNOWN and sys.version_info[:2] != (3, 11)
"""Whether frames of other threads may be asked: in 3.11 not in one C call, so such a frame may end meanwhile."""


def first_argument(frame: FrameType, code: CodeType) -> Any:
    """The value that the first parameter of the function that runs in the frame, with that code, has by now; None: it
    has none, or that can't be told."""
    if _variable is None:
        return None
    if code.co_argcount:
        return _variable(frame, code, 0)
    rest = _variable(frame, code, code.co_kwonlyargcount) if code.co_flags & VARARGS else None
    return rest[0] if _type(rest) is _tuple and rest else None
