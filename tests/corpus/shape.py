"""The looks of a package from inside, as text that two processes compare: names, signatures, code, constants, bases.

Runs in the program, standard library alone. A patched OLD should look like NEW: compare() lists where it does not. Line
numbers, docstrings, annotations and object identities are left out; so is what a release says of itself.
"""
from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Collection
from typing import Any

OF_RELEASE = re.compile(
    r"version|^__date__$|^__author__$|^__copyright__$|^__license__$|^__build__$|^__cached__$|^__file__$|^__doc__$|^__all__$",
    re.I,
)
_SKIP = {"__builtins__", "__dict__", "__weakref__", "__module__", "__spec__", "__loader__", "__path__",
         "__annotations__", "__qualname__", "__firstlineno__", "__static_attributes__", "__warningregistry__",
         "__annotate_func__", "__annotations_cache__", "__annotate__", "__conditional_annotations__", "__orig_bases__",
         "__parameters__", "__abstractmethods__", "__slots__", "_abc_impl", "__package__", "__name__"}
_PLAIN = (int, float, complex, bool, str, bytes, type(None), type(Ellipsis))


def shape(roots: Collection[str]) -> dict[str, str]:
    """{'module:C.name': text} of the modules whose first name is in roots."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in roots and isinstance(module, types.ModuleType):
            found[name + ":"] = "module"
            _space(found, name + ":", vars(module), seen, name)
    return found


def compare(patched: dict[str, str], new: dict[str, str]) -> list[str]:
    """Texts of what the patched package has otherwise than NEW. What it has besides is left out: old names may stay."""
    found = []
    for where in sorted(new):
        if where not in patched:
            found.append(f"{where}: missing ({new[where][:60]})")
        elif patched[where] != new[where]:
            mine, wanted = patched[where], new[where]
            at = next((i for i, (a, b) in enumerate(zip(mine, wanted)) if a != b), min(len(mine), len(wanted)))
            near = slice(max(at - 20, 0), at + 40)
            found.append(f"{where}: ...{mine[near]} instead of ...{wanted[near]}")
    return found


def _space(found: dict[str, str], prefix: str, space: Any, seen: set[int], module: str) -> None:
    """Adds what the dict of a module or a class holds."""
    for key, value in list(space.items()):
        if key in _SKIP or OF_RELEASE.search(key):
            continue
        where = prefix + key
        found[where] = _text(value, 4)
        _inside(found, where, value, seen, module)


def _inside(found: dict[str, str], where: str, value: Any, seen: set[int], module: str) -> None:
    """Adds what a class of this module, a wrapped function or a property holds."""
    if isinstance(value, type):
        if value.__module__ == module and id(value) not in seen:
            seen.add(id(value))
            _space(found, where + ".", type.__dict__["__dict__"].__get__(value), seen, module)
    elif isinstance(value, (staticmethod, classmethod)):
        _inside(found, where, value.__func__, seen, module)
    elif isinstance(value, property):
        for name in ("fget", "fset", "fdel"):
            if getattr(value, name) is not None:
                found[f"{where}.{name}"] = _text(getattr(value, name), 4)


def _text(value: Any, depth: int) -> str:
    """A value's text. depth: how far containers are followed."""
    kind = type(value).__name__
    if isinstance(value, types.FunctionType):
        return f"def {_signature(value)}{_code(value.__code__)}"
    if isinstance(value, (staticmethod, classmethod)):
        return f"{kind} {_text(value.__func__, depth)}"
    if isinstance(value, type):
        bases = ", ".join(base.__module__ + "." + base.__qualname__ for base in value.__bases__)
        return f"class {value.__qualname__}({bases})"
    if isinstance(value, types.ModuleType):
        return "module " + value.__name__
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"re {value.pattern!r} {value.flags}"
    if depth and type(value) in (list, tuple, set, frozenset):
        inner = [_text(each, depth - 1) for each in list(value)]
        return f"{kind}[{', '.join(sorted(inner) if type(value) in (set, frozenset) else inner)}]"
    if depth and type(value) is dict:
        pairs = sorted(f"{_text(k, depth - 1)}: {_text(v, depth - 1)}" for k, v in list(value.items()))
        return f"{{{', '.join(pairs)}}}"
    wrapped = getattr(value, "__wrapped__", None) if callable(value) else None
    return f"{kind} of {_text(wrapped, depth)}" if isinstance(wrapped, types.FunctionType) else kind


def _signature(function: Callable[..., Any]) -> str:
    """Parameters and defaults, as types where the values have no text of their own."""
    parts = []
    for parameter in inspect.signature(function, follow_wrapped=False).parameters.values():
        stars = "*" * (parameter.kind == parameter.VAR_POSITIONAL) + "**" * (parameter.kind == parameter.VAR_KEYWORD)
        default = "" if parameter.default is parameter.empty else f"={_text(parameter.default, 2)}"
        parts.append(f"{stars}{parameter.name}{default}")
    return f"({', '.join(parts)})"


def _code(code: types.CodeType) -> str:
    """What a function's code names and holds: the same whether or not a name was led to the livepatch's file."""
    inner = "; ".join(_code(each) for each in code.co_consts if isinstance(each, types.CodeType))
    plain = sorted({_text(each, 4) for each in code.co_consts if isinstance(each, _PLAIN + (tuple, frozenset))
                    and not _documents(code, each) and each is not None})
    return f" {code.co_name} {code.co_varnames} names {sorted(set(code.co_names))} consts {plain} inner [{inner}]"


def _documents(code: types.CodeType, value: object) -> bool:
    """Whether a constant is the code's docstring."""
    return isinstance(value, str) and bool(code.co_consts) and value is code.co_consts[0]
