"""Signs of what a code object does, which two processes can compare; lines, files and docstrings are left out.

`exact` is of its bytes and constants. `loose` is of its instructions by the names and values that they use: a function
of a livepatch is compiled alone, so its constants have other numbers, and a name of the livepatch's file is led through
a constant (cpython/load/name_rewriter.py). `own` is loose without the functions in it: klpfs patches f.<locals>.g as
itself, and f keeps the g of OLD's among its constants.
"""
from __future__ import annotations

import opcode
import sys
from types import CodeType, ModuleType
from typing import Any

try:
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]    # from 3.12 on: it loads no OpenSSL
except ImportError:
    from hashlib import sha256

PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented)))
_numbers = opcode.opmap


def _all(*names: str) -> frozenset[int]:
    return frozenset(_numbers[name] for name in names if name in _numbers)


_EXTENDED, _LOAD_CONST = _numbers["EXTENDED_ARG"], _numbers["LOAD_CONST"]
_NO_WORK = _all("CACHE", "NOP", "RESUME", "PUSH_NULL", "PRECALL", "COPY_FREE_VARS", "MAKE_CELL", "NOT_TAKEN")
_ATTRIBUTE = _all("LOAD_ATTR", "LOAD_METHOD")
_CALLS = _all("CALL_METHOD", "CALL_FUNCTION", "CALL")       # f(x) is one or the other, by how f was found
_GLOBAL = _all("LOAD_GLOBAL", "LOAD_NAME")
_SMALL_INT = _all("LOAD_SMALL_INT")
_CONSTANT, _NAMED, _LOCAL, _FREE = (frozenset(each) for each in (
    opcode.hasconst, opcode.hasname, opcode.haslocal, opcode.hasfree))
_JUMPS = frozenset((*opcode.hasjrel, *opcode.hasjabs))

# Loads and stores of local variables, by what they do: which are put together or borrowed depends on what is around.
_OF_LOCALS = {number: name.replace("_BORROW", "").split("_FAST") for name, number in _numbers.items()
              if name.replace("_BORROW", "") in ("LOAD_FAST", "STORE_FAST", "LOAD_FAST_LOAD_FAST",
                                                 "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST")}
_SHIFT: dict[int, int] = {}     # of the argument, by the instruction: the bits below say something else
if sys.version_info >= (3, 11):
    _SHIFT[_numbers["LOAD_GLOBAL"]] = 1
if sys.version_info >= (3, 12):
    _SHIFT[_numbers["LOAD_ATTR"]] = 1
    _SHIFT[_numbers["LOAD_SUPER_ATTR"]] = 2
if sys.version_info >= (3, 15):
    _SHIFT[_numbers["IMPORT_NAME"]] = 2     # lazily, or not
_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING, from 3.13 on
_KEPT_FLAGS = 0x2AC     # *args, **kwargs, generator, coroutine, asynchronous generator
_LED = "<led>"


def digest(text: str) -> str:
    """A hash of a text, short."""
    return str(sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:20])


def _has_docstring(code: CodeType) -> bool:
    if not code.co_consts or type(code.co_consts[0]) is not str:
        return False
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & _DOCSTRING)
    return bool(code.co_flags & 2)      # CO_NEWLOCALS: a function's


def _local(code: CodeType, place: int) -> str:
    """A local variable's name; of a cell its place (from 3.11 on they lie behind the others)."""
    return code.co_varnames[place] if place < len(code.co_varnames) else str(place)


class CodeSigns:
    """The signs of all codes of one description, each worked out once."""

    def __init__(self) -> None:
        self._exact: dict[int, str] = {}
        self._loose: dict[int, str] = {}
        self._kept: list[CodeType] = []         # ids mean something as long as the codes live

    def exact(self, code: CodeType) -> str:
        """The sign of the code's bytes and constants."""
        found = self._exact.get(id(code))
        if found is None:
            constants = [self._constant(each, self.exact) for each in code.co_consts]
            if _has_docstring(code):
                constants[0] = "None"
            found = digest(repr((
                code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
                code.co_flags & ~(_DOCSTRING | 0x110), code.co_code, code.co_names, code.co_varnames, code.co_freevars,
                code.co_cellvars, constants)))
            self._exact[id(code)] = found
            self._kept.append(code)
        return found

    def _constant(self, value: Any, sign: Any) -> str:
        if type(value) is CodeType:
            return str(sign(value))
        if type(value) is tuple:
            return repr([self._constant(each, sign) for each in value])
        if type(value) is frozenset:
            return repr(sorted(self._constant(each, sign) for each in value))
        if type(value) is slice:                # a constant from 3.14 on
            return repr([self._constant(each, sign) for each in (value.start, value.stop, value.step)])
        return repr(value) if type(value) in PLAIN else type(value).__name__

    def loose(self, code: CodeType) -> str:
        """The sign of its instructions by what they name."""
        found = self._loose.get(id(code))
        if found is None:
            found = self._loose[id(code)] = digest(repr(self._instructions(code, self.loose)))
            self._kept.append(code)
        return found

    def own(self, code: CodeType) -> str:
        """As loose, without the functions in it; '' where there are none."""
        if not any(type(each) is CodeType for each in code.co_consts):
            return ""
        return digest(repr(self._instructions(code, lambda inner: inner.co_name)))

    def _instructions(self, code: CodeType, sign: Any) -> list[Any]:
        arguments = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        found: list[Any] = [arguments, code.co_flags & _KEPT_FLAGS]
        extended, bytecode = 0, code.co_code
        for at in range(0, len(bytecode), 2):
            number, argument = bytecode[at], bytecode[at + 1] | extended
            if number == _EXTENDED:
                extended = argument << 8
                continue
            extended = 0
            if number not in _NO_WORK:
                self._instruction(code, number, argument, sign, found)
        return found

    def _instruction(self, code: CodeType, number: int, argument: int, sign: Any, found: list[Any]) -> None:
        if number in _CONSTANT:
            value = code.co_consts[argument]
            led = type(value) in (dict, ModuleType) or not (
                type(value) in PLAIN or type(value) in (tuple, frozenset, slice, CodeType))
            found.append(_LED if led else self._constant(value, sign))
            if number != _LOAD_CONST:
                found.append(number)
        elif number in _SMALL_INT:
            found.append(repr(argument))
        elif number in _NAMED:
            name = code.co_names[argument >> _SHIFT.get(number, 0)]
            if number in _ATTRIBUTE and found[-1] == _LED:
                found[-1] = f"global {name}"
            elif number in _GLOBAL:
                found.append(f"global {name}")
            elif number in _ATTRIBUTE:
                found.append(f"attribute {name}")
            else:
                found.append(f"{number} {name}")
        elif number in _OF_LOCALS:
            what = _OF_LOCALS[number]           # ["LOAD", ""], ["STORE", "_LOAD", ""]
            places = [argument] if len(what) == 2 else [argument >> 4, argument & 15]
            found += [f"{each.strip('_')} {_local(code, place)}" for each, place in zip(what, places)]
        elif number in _LOCAL and argument < len(code.co_varnames):
            found.append(f"{number} {code.co_varnames[argument]}")
        elif number in _JUMPS or number in _FREE:
            found.append(number)        # targets move; which free variable, the function's closure says
        else:
            found.append("call" if number in _CALLS else (number, argument))
