"""Global names that code objects use: read from their instructions.

`dis` would say the same in a hundred times the time. Imports nothing of klpfs but raw.py, so that every room may use
it.
"""
from __future__ import annotations

import sys
from opcode import EXTENDED_ARG, opmap
from types import CodeType

from klpfs.cpython.raw import OPTIMIZED, inner

# From 3.11 on the lowest bit of its argument says whether a NULL is pushed as well.
_LOAD_GLOBAL_SHIFT = int(sys.version_info >= (3, 11))


def _operations(*names: str) -> dict[int, int]:
    """Opcodes of these instructions -> the number of bits by which their arguments are shifted before they count
    names."""
    return {opmap[name]: _LOAD_GLOBAL_SHIFT if name == "LOAD_GLOBAL" else 0 for name in names if name in opmap}


_STORES_GLOBAL = _operations("STORE_GLOBAL", "DELETE_GLOBAL")
_STORES_NAME = _operations("STORE_NAME", "DELETE_NAME")
_LOADS_NAME = _operations("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_GLOBALS = {**_STORES_GLOBAL, **_LOADS_NAME, **_operations("LOAD_GLOBAL")}
_STORES_ATTRIBUTE = _operations("STORE_ATTR", "DELETE_ATTR")
_STORES = {**_STORES_GLOBAL, **_operations("STORE_NAME")}


def _names_of(code: CodeType, operations: dict[int, int]) -> set[str]:
    """The names that a code object itself gives to these instructions."""
    raw = code.co_code
    if not operations.keys() & set(raw[::2]):
        return set()
    names, argument = set(), 0
    for opcode, low in zip(raw[::2], raw[1::2]):
        argument |= low
        if opcode == EXTENDED_ARG:
            argument <<= 8
            continue
        shift = operations.get(opcode)
        if shift is not None:
            names.add(code.co_names[argument >> shift])
        argument = 0
    return names


def stores(code: CodeType) -> set[str]:
    """Names that a code object, or code nested in it, stores as globals; those of a module's code are its own names."""
    names = _names_of(code, _STORES_GLOBAL if code.co_flags & OPTIMIZED else _STORES)
    for nested in inner(code):
        names |= stores(nested) if nested.co_flags & OPTIMIZED else _stores_of_class(nested)
    return names


def attributes_stored(code: CodeType) -> set[str]:
    """Names of attributes that a code object, or code nested in it, sets or deletes, of whatever objects."""
    names = _names_of(code, _STORES_ATTRIBUTE)
    for nested in inner(code):
        names |= attributes_stored(nested)
    return names


def _stores_of_class(code: CodeType) -> set[str]:
    names = _names_of(code, _STORES_GLOBAL)
    for nested in inner(code):
        names |= stores(nested) if nested.co_flags & OPTIMIZED else _stores_of_class(nested)
    return names


def globals_of(code: CodeType) -> set[str]:
    """Names that a function's code, or code nested in it, loads, stores or deletes as globals; also those that a class
    body reads and binds, since where it has not bound one yet a read is the global's."""
    names = _names_of(code, _GLOBALS)
    for nested in inner(code):
        names |= globals_of(nested)
    return names


def globals_at_once(code: CodeType) -> set[str]:
    """Names that a function's code, or class bodies in it, load as globals, but not those that only functions in it
    do."""
    names = _names_of(code, _GLOBALS)
    if not code.co_flags & OPTIMIZED:
        names -= _names_of(code, _STORES_NAME)
    for nested in inner(code):
        if not nested.co_flags & OPTIMIZED:
            names |= globals_at_once(nested)
    return names


def mentions(code: CodeType, name: str) -> bool:
    """Whether a code object, or code nested in it, uses `name` as a global."""
    return (name in code.co_names and name in _names_of(code, _GLOBALS)
            or any(mentions(nested, name) for nested in inner(code)))
