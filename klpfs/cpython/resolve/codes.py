"""Code objects as a tree of definitions: which functions lie in a code object, their qualified names, their order.

Functions and class bodies lie in the constants of the code around them, in source order. Comprehensions, generator
expressions and the scopes of type parameters are parts of the code around them.
"""
from __future__ import annotations

import sys
from opcode import EXTENDED_ARG, opmap
from types import CodeType

from klpfs.cpython.raw import ASYNC_GENERATOR, COROUTINE, GENERATOR, SUSPENDS, inner, is_definition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HAS_QUALNAME = sys.version_info >= (3, 11)
_LOAD_CONST = opmap["LOAD_CONST"]
_FLAVOURS = {0: "function", GENERATOR: "generator", COROUTINE: "coroutine", ASYNC_GENERATOR: "async generator"}


def flavour(code: CodeType) -> str:
    """The kind of a function by its code: 'function', 'generator', 'coroutine' or 'async generator'."""
    return _FLAVOURS[code.co_flags & SUSPENDS]


def nested(code: CodeType) -> list[tuple[CodeType, str]]:
    """[(code, qualified name)] of the definitions that lie directly in a code object, in source order.

    Directly: through class bodies and comprehensions, but not through another definition.
    """
    found: list[tuple[CodeType, str]] = []
    names: dict[int, str] | None = None
    for const in inner(code):
        if not is_definition(const):
            found += nested(const)
            continue
        if _HAS_QUALNAME:
            name = const.co_qualname  # type: ignore[attr-defined, unused-ignore]
        else:
            names = _qualnames(code) if names is None else names
            name = names.get(id(const), const.co_name)
        found.append((const, name))
    return found


def _qualnames(code: CodeType) -> dict[int, str]:
    """Qualified names before 3.11, where they are the constants that are loaded just behind the codes: id(code) ->
    name."""
    names: dict[int, str] = {}
    last: Any = None
    argument, raw = 0, code.co_code
    for at in range(0, len(raw), 2):
        opcode, argument = raw[at], argument << 8 | raw[at + 1]
        if opcode == EXTENDED_ARG:
            continue
        value = code.co_consts[argument] if opcode == _LOAD_CONST else None
        if type(last) is CodeType and type(value) is str:
            names[id(last)] = value
        last, argument = value, 0
    return names


def tree(code: CodeType) -> list[tuple[CodeType, str, CodeType]]:
    """[(code, qualified name, code it lies in)] of all definitions in a module's code, in source order."""
    found = []
    for definition, name in nested(code):
        found.append((definition, name, code))
        found += tree(definition)
    return found


def positions(code: CodeType) -> tuple[Any, ...]:
    """Where a code object lies in its file, finer than by its first line; () before 3.11."""
    get = getattr(code, "co_positions", None)
    return tuple(get()) if get is not None else ()
