"""A snapshot of everything that a patch could leave changed in a package: module and class dicts, functions, tables.

Runs in the patched process, standard library alone. Values are told apart by identity and kept alive by the snapshot;
containers also by what they hold, so that a table changed in place is seen. Nothing of the program is called.
"""
from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Collection, Iterable
from typing import Any

# place ('module:C.name') -> (token, short text, value or None)
Places = dict[str, tuple[Any, str, Any]]

_CACHED = type(functools.lru_cache(len))
DEPTH = 4           # how deep containers within containers are followed
_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__", "__doc__", "__closure__", "__name__", "__qualname__",
             "__module__")
_PYTHONS_OWN = ("__builtins__", "__weakref__", "__dict__", "__warningregistry__", "__annotate_func__",
                "__annotations_cache__")
_class_dict = type.__dict__["__dict__"].__get__
_class_bases = type.__dict__["__bases__"].__get__


class Snapshot:
    """The state of modules whose first name is in `roots`, at one moment. changed(): what is otherwise now."""

    def __init__(self, roots: Iterable[str]) -> None:
        self.roots = tuple(roots)
        self.kept: list[Any] = []   # keeps ids unique as long as they are compared
        self.held = self._take()

    def changed(self) -> list[str]:
        """Sorted texts: 'module:C.name: was X' ..., of all that is not as it was.

        Modules that came count apart: came().
        """
        now, found = self._take(), []
        for where in self.held.keys() | now.keys():
            was, is_ = self.held.get(where), now.get(where)
            if where.partition(":")[0] not in self.modules:
                continue
            if was is None:
                found.append(f"{where}: came")
            elif is_ is None:
                found.append(f"{where}: gone")
            elif was[0] != is_[0] and not _made_anew(was[2], is_[2]):
                found.append(f"{where}: was {was[1]}, is {is_[1]}")
        return sorted(found)

    def came(self) -> list[str]:
        """Names of the package's modules that were not imported yet."""
        return sorted(set(self._modules()) - set(self.modules))

    def _modules(self) -> dict[str, types.ModuleType]:
        return {name: module for name, module in list(sys.modules.items())
                if name.partition(".")[0] in self.roots and isinstance(module, types.ModuleType)}

    def _take(self) -> Places:
        found: Places = {}
        modules = self._modules()
        if not self.kept:
            self.modules = frozenset(modules)
        seen: set[int] = set()
        for name, module in modules.items():
            if name in self.modules:
                self._space(found, name + ":", module.__dict__, seen, set(modules))
        return found

    def _space(self, found: Places, prefix: str, space: Any, seen: set[int], modules: Collection[str]) -> None:
        """Adds what the dict of a module or a class holds."""
        for key, value in sorted(space.items(), key=lambda item: str(item[0])):
            where = f"{prefix}{key}"
            if f"{space.get('__name__')}.{key}" in sys.modules:
                continue    # a submodule, once it is imported: came() tells
            if key in _PYTHONS_OWN:
                continue
            found[where] = self._token(value, DEPTH), _short(value), value
            self._inside(found, where, value, seen, modules)

    def _inside(self, found: Places, where: str, value: Any, seen: set[int], modules: Collection[str]) -> None:
        """Adds what a function, a class of the package or a wrapper holds."""
        if id(value) in seen:
            return
        if type(value) is types.FunctionType:
            seen.add(id(value))
            for name in _FUNCTION:
                held = getattr(value, name)
                found[f"{where}.{name}"] = self._token(held, 2), _short(held), None
            for name, cell in zip(value.__code__.co_freevars, value.__closure__ or ()):
                try:
                    held = cell.cell_contents
                except ValueError:
                    continue        # an empty cell
                found[f"{where}.<{name}>"] = self._token(held, DEPTH), _short(held), None
                self._inside(found, f"{where}.<{name}>", held, seen, modules)
            self._attributes(found, where, value, seen, modules)
        elif isinstance(value, type):
            if getattr(value, "__module__", None) in modules:
                seen.add(id(value))
                found[where + ".__bases__"] = self._token(_class_bases(value), 1), _short(_class_bases(value)), None
                self._space(found, where + ".", _class_dict(value), seen, modules)
        elif isinstance(value, (staticmethod, classmethod)):
            self._inside(found, where, value.__func__, seen, modules)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                self._inside(found, where, function, seen, modules)
        elif type(value) is _CACHED:
            self._attributes(found, where, value, seen, modules)

    def _attributes(self, found: Places, where: str, value: Any, seen: set[int], modules: Collection[str]) -> None:
        found[where + ".__dict__"] = self._token(value.__dict__, 2), "its __dict__", None
        self._inside(found, where + ".__wrapped__", value.__dict__.get("__wrapped__"), seen, modules)

    def _token(self, value: Any, depth: int) -> Any:
        """What tells a value from any other: its identity, and the same of what a plain container holds."""
        self.kept.append(value)
        if depth and type(value) in (dict, types.MappingProxyType):
            return id(value), tuple((self._token(k, depth - 1), self._token(v, depth - 1))
                                    for k, v in list(value.items()))
        if depth and type(value) in (list, tuple):
            return id(value), tuple(self._token(each, depth - 1) for each in list(value))
        if depth and type(value) in (set, frozenset):
            return id(value), frozenset(self._token(each, depth - 1) for each in list(value))
        if type(value) in (int, float, bool, str, bytes, type(None), complex):
            return type(value).__name__, value
        return id(value)


def _made_anew(was: Any, now: Any) -> bool:
    """A private table that the package computes when it needs it may be another object, if it says the same."""
    return was is not now and type(was) is type(now) is dict and bool(was) and _same(was, now)


def _same(one: Any, other: Any) -> bool:
    """Whether two values say the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) in (types.BuiltinMethodType, type(re.compile("").match)):
        return one.__name__ == other.__name__ and _same(one.__self__, other.__self__)
    return type(one) in (str, bytes, int, re.Pattern) and one == other


def _short(value: Any) -> str:
    try:
        return repr(value)[:80]
    except Exception:
        return f"<{type(value).__name__}>"
