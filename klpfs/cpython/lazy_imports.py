"""Lazy imports (PEP 810, CPython 3.15): the stand-ins that modules' dicts hold for what was not imported yet.

A module's code and the module's own attributes turn a stand-in into what it stands for, and put that into its place;
whoever reads the dict gets the stand-in itself. Imports nothing of klpfs, so that every room may use it.
"""
from __future__ import annotations

import gc
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

LAZY: Any = getattr(types, "LazyImportType", None)
"""The type of stand-ins; None before 3.15, where there are none."""


def is_lazy(value: object) -> bool:
    """Whether a value is a stand-in."""
    return LAZY is not None and type(value) is LAZY


def stands_for(value: Any, real: object) -> bool:
    """Whether a value is a stand-in, and its use gives the object `real`. Imports nothing and runs nothing of the
    program's: a stand-in whose module nobody has imported stands for no object yet, and what a module's own __getattr__
    would give counts as another object."""
    if not is_lazy(value) or is_lazy(real):
        return False
    whole = repr(value).partition("'")[2].rpartition("'")[0]        # <lazy_import 'a.b'>
    if any(type(part) is str and part == whole for part in gc.get_referents(value)):
        return sys.modules.get(whole.partition(".")[0]) is real     # import a.b: binds a
    parent, _, name = whole.rpartition(".")                         # from a import b; import a.b as c
    module = sys.modules.get(parent)
    if not isinstance(module, types.ModuleType):
        return False
    space = object.__getattribute__(module, "__dict__")
    return bool(dict.get(space, name, sys.modules.get(whole, value)) is real)


def stand_in(statement: str, namespace: dict[str, Any]) -> Any:
    """What an import statement of one name binds in a module with this namespace: a stand-in; before 3.15 what it
    imports."""
    names = ("__name__", "__package__", "__spec__", "__path__", "__builtins__")
    space = {name: namespace[name] for name in names if name in namespace}
    text = f"lazy {statement}" if LAZY is not None else statement
    exec(compile(text, "<klpfs>", "exec", dont_inherit=True), space)
    return next(value for name, value in space.items() if name not in names)


def use(namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Imports what these names of a module stand for, as the module's code would when it uses them. What can't be
    imported stays as it is: whoever uses it gets the exception."""
    if LAZY is None:
        return
    for name in list(names):
        value: Any = dict.get(namespace, name)
        if type(value) is LAZY:
            try:
                real = value.resolve()
            except Exception:
                continue
            if dict.get(namespace, name) is value:
                namespace[name] = real


def import_own(name: str | None = None) -> None:
    """Imports what klpfs's modules import lazily (-X lazy_imports=all): never in the middle of the program's calls.
    name: of one module; None: all that are loaded, and all that these bring."""
    if LAZY is None:
        return
    if name is not None:
        module = sys.modules.get(name)
        if module is not None:
            space = vars(module)
            use(space, list(space))
        return
    seen: set[str] = set()
    while True:
        new = [key for key in list(sys.modules) if key.partition(".")[0] == "klpfs" and key not in seen]
        if not new:
            return
        for key in new:
            seen.add(key)
            import_own(key)
