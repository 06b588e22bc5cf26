"""Types, modules, code objects and syntax nodes by their plain fields: nothing of the program's own is asked.

A class may have a `__dict__`, `__name__` or `__class__` of its own making; the getters here read what CPython keeps.
Imports nothing of klpfs, so that every room may use it.
"""
from __future__ import annotations

from types import (
    BuiltinFunctionType,
    CodeType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MARK = "__klpfs__"      # attribute of function objects that are klpfs's own
LEVELS = ("", "-O", "-OO")      # names of the levels that compile() and sys.flags call optimize

type_dict: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
type_name: Callable[[type], str] = type.__dict__["__name__"].__get__
type_qualname: Callable[[type], str] = type.__dict__["__qualname__"].__get__
type_module: Callable[[type], str] = type.__dict__["__module__"].__get__
type_mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
module_dict: Callable[[ModuleType], dict[str, Any]] = vars(ModuleType)["__dict__"].__get__

# co_flags (Include/cpython/code.h)
OPTIMIZED = 0x1         # functions have it, class bodies and modules have not
VARARGS, VARKEYWORDS = 0x4, 0x8
NESTED = 0x10           # defined in another function
GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200
ITERABLE_COROUTINE = 0x100      # types.coroutine has set it
SUSPENDS = GENERATOR | COROUTINE | ASYNC_GENERATOR      # what the code's calls return can be suspended

# which line each instruction is of: an object that code.replace() takes over
line_table: Callable[[CodeType], bytes] = \
    vars(CodeType)["co_linetable" if hasattr(CodeType, "co_linetable") else "co_lnotab"].__get__

COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")

_COMPILED = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType)


def isinstance_of(value: object, kinds: tuple[type, ...]) -> bool:
    """isinstance() by the real type of a value, without a look at its `__class__`."""
    return any(issubclass(type(value), kind) for kind in kinds)


def object_dict(value: object) -> Mapping[str, Any]:
    """The attributes that an object itself has, past a `__dict__` that a subclass has of its own making; {} where the
    class gives its objects none."""
    for kind in type_mro(type(value)):
        getter = type_dict(kind).get("__dict__")
        if isinstance_of(getter, (GetSetDescriptorType, MemberDescriptorType)):     # the second: of C's own types
            values: Mapping[str, Any] = getter.__get__(value)  # type: ignore[union-attr]
            return values
    return {}


def is_compiled(value: object) -> bool:
    """Whether a value is a function that was compiled from C or Cython."""
    name = type_name(type(value))
    return any(type(value) is kind for kind in _COMPILED) or "cyfunction" in name or "cython" in name


def value_at(namespace: dict[str, Any], path: str) -> Any:
    """The value that a dotted name leads to, through a module's dict and class dicts; None if it leads nowhere."""
    first, *rest = path.split(".")
    value: Any = namespace.get(first)
    for name in rest:
        if not isinstance_of(value, (type,)):
            return None
        value = type_dict(value).get(name)
    return value


def class_at(namespace: dict[str, Any], path: str) -> type | None:
    """The class that a dotted name leads to, or None."""
    value = value_at(namespace, path)
    return value if isinstance_of(value, (type,)) else None


def inner(code: CodeType) -> list[CodeType]:
    """The code objects among a code's constants, in order."""
    return [const for const in code.co_consts if type(const) is CodeType]


def body_codes(code: CodeType) -> list[CodeType]:
    """The code, and those of its comprehensions and generator expressions at any depth: the same body, though they may
    run on when its frame is gone."""
    codes = [code]
    for const in code.co_consts:
        if type(const) is CodeType and const.co_name in COMPREHENSIONS:
            codes += body_codes(const)
    return codes


def is_definition(code: CodeType) -> bool:
    """Whether a code object is a function's or a lambda's; not a class body's, a comprehension's, a scope of type
    parameters."""
    return bool(code.co_flags & OPTIMIZED) and (code.co_name[:1] != "<" or code.co_name == "<lambda>")


def first_line(node: Any) -> int:
    """The line at which a definition begins, its decorators included: its code's co_firstlineno."""
    lines: list[int] = [part.lineno for part in (*getattr(node, "decorator_list", ()), node)]
    return min(lines)
