"""The version numbers by which specialised call sites know function objects (CPython 3.12 and later).

Setting `__code__` clears a function's number. 3.12 then draws a new number from another counter than the one that
functions are made with, and the two collide: a call site takes one function for another and crashes; 3.13 and 3.14 give
none at all, and the call sites stay slow for ever. So the number is put right after each change
(docs/FACTS-python.md#traps, T0; https://github.com/python/cpython/issues/114388).

`renumber` and `set_number` run inside the program's calls as well (image.clone): C functions captured here, and no
others; and none that raises an audit event (c_api.py).
"""
from __future__ import annotations

import sys
from types import CodeType, FunctionType

from .. import c_api

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable
    Numbers = tuple[Callable[[FunctionType], int], Callable[[FunctionType, int], None], Callable[[CodeType], int],
                    int]

_address, _peek, _new_code = c_api.address, c_api.peek, c_api.new_code


def _find_numbers() -> Numbers | None:
    """(read, write, code_number) for functions' and codes' version numbers, and the number that means that a function
    has none; None where they can't be told for certain.

    3.12 to 3.14 keep func_version in a function's last eight bytes and co_version somewhere in the code. Both are found
    by what they must do: equal in fresh functions, counting up with each code, cleared when __code__ is set
    (Objects/funcobject.c).
    """
    if sys.version_info < (3, 12) or sys.implementation.name != "cpython" or not c_api.AVAILABLE:
        return None
    last = FunctionType.__basicsize__ - 8
    probes = [eval(compile(f"lambda: {i}", "<klpfs probe>", "eval", dont_inherit=True), {}) for i in range(8)]
    offsets = [o for o in range(16, CodeType.__basicsize__ - 3, 4)
               if all(_peek(_address(f.__code__) + o) == _peek(_address(f) + last) for f in probes)]
    if len(offsets) != 1 or len({_peek(_address(f) + last) for f in probes}) != len(probes):
        return None
    offset = offsets[0]
    a, b = probes[0].__code__.replace(), probes[1].__code__.replace()
    step = _peek(_address(b) + offset) - _peek(_address(a) + offset)
    probes[0].__code__ = a
    cleared = _peek(_address(probes[0]) + last)
    if step < 1 or cleared > 1:                 # 0; 3.14: 0 or 1, FUNC_VERSION_CLEARED (pycore_function.h)
        return None

    read, write = c_api.member(FunctionType, last)
    code_number, _ = c_api.member(CodeType, offset)
    probe = probes[1]
    write(probe, 12345)
    if read(probe) != 12345:
        return None
    write(probe, code_number(probe.__code__))
    return read, write, code_number, cleared


_numbers = _find_numbers()
REPAIRS = _numbers is not None      # this interpreter's numbers can be put right
_read, _write, _code_number, _cleared = _numbers or (None, None, None, 0)


def number_of(function: FunctionType) -> int | None:
    """The function's version number; None where it can't be read."""
    return _read(function) if _read else None


def number_of_code(code: CodeType) -> int | None:
    """The version number that a function freshly made of the code has; None where it can't be read."""
    return _code_number(code) if _code_number else None


def set_number(function: FunctionType, code: CodeType, number: int | None = None) -> None:
    """Gives the function object, whose code is `code`, a version number; None: its code's, as if it were freshly made.
    Where numbers can't be written it does nothing.

    The code is not read from the function: that raises an audit event, whose hook may call patched functions, for which
    a dispatcher then makes a clone (image.clone), and so on for ever.
    """
    if _write:
        _write(function, _code_number(code) if number is None else number)      # type: ignore[misc]


def take_number(function: FunctionType) -> None:
    """Gives the function object, which is called for a transition alone, no number of any other: a new code's, or none
    where that can't be had without an audit event: calls of it are not specialised then."""
    if c_api.LOUD and _write:
        _write(function, _cleared)
    else:
        renumber(function)


def new_number() -> int | None:
    """A version number that no function has: a new code's. None where numbers can't be written."""
    return _code_number(_new_code()) if _write else None        # type: ignore[misc]


def renumber(function: FunctionType) -> None:
    """Gives the function object a version number that no other has: a new code's."""
    if _write:
        _write(function, new_number())      # type: ignore[arg-type]
