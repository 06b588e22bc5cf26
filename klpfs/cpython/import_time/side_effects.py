"""Changes that statements make without binding a name: entries in registries, made by calls, metaclasses, decorators.

The tables that such code may reach are compared before and after it has run: those of the module itself, of the modules
and classes of the release that its names lead to, and what the objects that the livepatch names hold. So are the
attributes of modules that it sets by name, and the module's names that it does not bind itself, which functions that it
calls may bind. What another thread puts into a table in that moment is taken for the statements' work, too.
"""
from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType

from klpfs.cpython.code_names import attributes_stored, stores
from klpfs.cpython.diverted_names import PREFIX
from klpfs.cpython.import_time import overlays, registrations
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Contents, Item, Member
from klpfs.cpython.raw import module_dict, type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

_KINDS = (dict, list, set)
_NEVER = frozenset(("sys", "builtins", "os", "gc", "klpfs"))
_LARGE = 20000  # entries of a table that statements at import do not fill


class Watch:
    """The tables that code may reach, as they are before it runs. namespace: of the module. code: what is going to run.
    names: of objects whose attributes count as well. packages: the release's, beside the module's own."""

    __slots__ = ("attributes", "bound", "classes", "copies", "namespace", "registered", "stored")

    def __init__(self, namespace: dict[str, Any], code: CodeType, names: Collection[str],
                 packages: Collection[str] = ()) -> None:
        tables: dict[int, Any] = {}
        self.namespace, self.stored = namespace, stores(code)
        self.bound = dict(dict.items(namespace))

        def add(value: Any) -> None:
            if issubclass(type(value), _KINDS) and value is not namespace and _size(value) < _LARGE:
                tables[id(value)] = value
        for space in _spaces(namespace, code, names, {*packages, str(namespace.get("__name__")).partition(".")[0]}):
            for name, value in list(space.items()):
                if name[:2] != "__":
                    add(value)
        for name in names:
            value = namespace.get(name)
            add(value)
            own = _own_dict(value)
            for attribute in list(own.values()):
                add(attribute)
            if own and type(own) is dict:
                add(own)
        self.copies = [(table, _copy(table)) for table in tables.values()]
        used = _names(code)
        modules = [module_dict(value) for value in _unique(map(namespace.get, used))
                   if issubclass(type(value), ModuleType) and module_dict(value) is not namespace]
        stored = attributes_stored(code)
        self.attributes = [(space, {name: space.get(name, ABSENT) for name in stored}) for space in modules]
        candidates = [space.get(name) for space in (namespace, *modules) for name in used.union(names)]
        self.registered = [(value, before) for value in _unique(candidates)
                           for before in (registrations.places(value),) if before is not None]
        found: list[Any] = [namespace.get(name) for name in names]
        self.classes: list[tuple[type, dict[str, Any]]] = [
            (cls, dict(type_dict(cls))) for cls in found if issubclass(type(cls), type)
            and type_dict(cls).get("__module__") == namespace.get("__name__")]

    def note(self, owner: object) -> None:
        """Notes as an owner's what has changed since; but not the names that the code itself binds."""
        for name in {**self.bound, **self.namespace}.keys() - self.stored:
            value, was = dict.get(self.namespace, name, ABSENT), self.bound.get(name, ABSENT)
            if value is not was and name[:2] != "__" and not name.startswith(PREFIX) and (
                    not self._is_submodule(name, value)):
                overlays.note(owner, Item(self.namespace, name), was)
        for value, there in self.registered:
            now = registrations.places(value) or {}
            for key, (place, _) in {**there, **now}.items():
                was = there[key][1] if key in there else ABSENT
                if now.get(key, (place, ABSENT))[1] is not was:
                    overlays.note(owner, place, was)
        for space, before in self.attributes:
            for name, was in before.items():
                if space.get(name, ABSENT) is not was:
                    overlays.note(owner, Item(space, name), was)
        for cls, own in self.classes:
            for name in {**own, **type_dict(cls)}:
                if type_dict(cls).get(name, ABSENT) is not own.get(name, ABSENT) and not _is_interpreters(name):
                    overlays.note(owner, Attribute(cls, name), own.get(name, ABSENT))
        for table, before in self.copies:
            now = _copy(table)
            if isinstance(now, dict):
                for key, value in now.items():
                    if key not in before or before[key] is not value:
                        overlays.note(owner, Item(table, key), before.get(key, ABSENT))
                for key in before:
                    if key not in now:
                        overlays.note(owner, Item(table, key), before[key])
            elif isinstance(now, set):
                for key in now ^ before:
                    overlays.note(owner, Member(table, key), True if key in before else ABSENT)
            elif len(now) != len(before) or any(a is not b for a, b in zip(now, before)):
                overlays.note(owner, Contents(table), tuple(before))

    def _is_submodule(self, name: str, value: Any) -> bool:
        """Whether an import has bound the name in the package: a module that was imported stays."""
        return issubclass(type(value), ModuleType) and (
            sys.modules.get(f"{self.namespace.get('__name__')}.{name}") is value)


def _spaces(namespace: dict[str, Any], code: CodeType, names: Collection[str], packages: set[str]) -> list[Any]:
    """Dicts of modules and classes in which there may be such tables."""
    spaces: dict[int, Any] = {id(namespace): namespace}

    def add_module(name: str, of_any_package: bool = False) -> None:
        module = sys.modules.get(name)
        top = name.partition(".")[0]
        if module is not None and issubclass(type(module), ModuleType) and top not in _NEVER and (
                of_any_package or top in packages):
            spaces[id(module_dict(module))] = module_dict(module)
    for name in _names(code):
        value: Any = namespace.get(name)
        if issubclass(type(value), ModuleType):
            add_module(str(module_dict(value).get("__name__")), name in names)
        elif issubclass(type(value), type):
            for cls in type_mro(value) + type_mro(type(value)):
                if str(type_dict(cls).get("__module__")).partition(".")[0] in packages:
                    spaces[id(cls)] = type_dict(cls)
                    add_module(type_dict(cls)["__module__"])
        elif type(value) is FunctionType:
            add_module(str(value.__module__))
    return list(spaces.values())


def _unique(values: Iterable[Any]) -> list[Any]:
    return list({id(value): value for value in values if value is not None}.values())


def _is_interpreters(name: str) -> bool:
    """Whether the interpreter or abc keeps an attribute of a class for itself."""
    return name[:2] == "__" and name not in ("__hash__", "__doc__") or name[:5] == "_abc_"


def _names(code: CodeType) -> set[str]:
    """Names of globals and attributes that the code, or code in it, uses."""
    names = set(code.co_names)
    for const in code.co_consts:
        if type(const) is CodeType:
            names |= _names(const)
    return names


def _own_dict(value: Any) -> Any:
    """An object's own dict; a class's, in a proxy; {} where it has none."""
    if issubclass(type(value), ModuleType):
        return {}
    if issubclass(type(value), type):
        return type_dict(value)
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _size(table: Any) -> int:
    kind = next(kind for kind in _KINDS if isinstance(table, kind))
    return int(kind.__len__(table))


def _copy(table: Any) -> Any:
    """What a table holds, whatever its class says of it."""
    if isinstance(table, dict):
        return dict(dict.items(table))
    return list(list.__iter__(table)) if isinstance(table, list) else set(set.__iter__(table))
