"""Values that the builder found to differ, put in place: what an import of the new version would have made otherwise,
in objects that are alive.

    ImportTime(carried=[("D.l", 1, 2), ("cfg.s['strict']", ABSENT, True), ("T.table", Keys("b", "a"), Keys("a", "b"))])

or, of a set that has the code of a function, ("internal", ABSENT, CodeOf("m:f")): it gets the new code when the
transition is complete.

Each is (path, was, becomes). The path begins at a name of the module, and leads by attributes, keys of dicts and
indexes; nothing of the program is asked on the way. A value is put in only where the live one is still what it was in
the old version: else the program has made it its own, and the log says that it stays.
"""
from __future__ import annotations

import ast
import sys
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.dict_order import can_be_moved, in_order, told_apart
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Contents, Item, Member, Order, Place
from klpfs.cpython.import_time.tables import equal
from klpfs.cpython.load.parse import parse
from klpfs.cpython.raw import module_dict, object_dict, type_dict, type_mro, value_at
from klpfs.cpython.switch.dispatcher import in_force
from klpfs.engine import shadow
from klpfs.engine.log import pr_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Carried = tuple[str, Any, Any]      # path, was, becomes


class Keys(tuple):
    """An order of a dict's keys: Keys("a", "b")."""

    __slots__ = ()

    def __new__(cls, *keys: Any) -> Keys:
        return tuple.__new__(cls, keys)


class Named:
    """A class or function of the program's, by its module and qualified name: Named("p.error:E"). The module is
    imported where it is not there yet."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self) -> Any:
        """The object. NameError: it is not there."""
        import importlib  # few patches need it
        module, _, path = self.name.partition(":")
        found = value_at(_space(module) or module_dict(importlib.import_module(module)), path)
        if found is None:
            raise NameError(f"{self.name} is not there")
        return found


class CodeOf:
    """The code object of a function of the program's, by its module and qualified name: CodeOf("m:f")."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Own(Place):
    """An attribute that an object itself has, not its class."""

    __slots__ = ()

    def get(self) -> Any:
        return own_attribute(self.holder, self.key)

    def _set(self, value: Any) -> None:
        own = self._past_a_descriptor()
        if own is None:
            object.__setattr__(self.holder, self.key, value)
        else:
            own[self.key] = value

    def _delete(self) -> None:
        own = self._past_a_descriptor()
        if own is None:
            object.__delattr__(self.holder, self.key)
        else:
            del own[self.key]

    def _past_a_descriptor(self) -> Any:
        """The object's dict where its class has a descriptor under that name that would be called; else None."""
        for cls in type_mro(type(self.holder)):
            found = type_dict(cls).get(self.key)
            if found is not None:
                called = type(found) is not MemberDescriptorType and any(
                    "__set__" in type_dict(base) or "__delete__" in type_dict(base) for base in type_mro(type(found)))
                return object_dict(self.holder) if called else None
        return None


def own_attribute(obj: Any, name: str) -> Any:
    """What an object itself has under that name, in its dict or a slot; ABSENT: nothing."""
    own = object_dict(obj)
    if name in own:
        return own[name]
    for cls in type_mro(type(obj)):
        found = type_dict(cls).get(name)
        if type(found) is MemberDescriptorType:
            try:
                return found.__get__(obj, type(obj))
            except AttributeError:
                return ABSENT
    return ABSENT


def put(owner: object, module: str | None, namespace: dict[str, Any], carried: Iterable[Carried]) -> None:
    """Puts the values into a module's objects, as an owner's (overlays.take). NameError: a Named that is not there.
    AttributeError, TypeError: a value that can't be set; the text says which."""
    for path, was, becomes in carried:
        if type(becomes) is CodeOf:
            continue
        place = _place(namespace, path)
        try:
            placed = place is not None and _put(owner, place, _value(was), _value(becomes))
        except (AttributeError, TypeError) as error:
            raise type(error)(f"'{path}' of '{module or 'vmlinux'}' can't be set: {error}") from error
        if not placed:
            pr_info(shadow.log, f"'{path}' of '{module or 'vmlinux'}' "     # type: ignore[arg-type]
                                f"is not what it was in the old version: it stays as it is")


def codes(namespace: dict[str, Any], carried: Iterable[Carried]) -> list[tuple[set[Any], FunctionType, CodeType]]:
    """[(set, function, its code)] of the sets that have the code of a function which is going to change."""
    found = []
    for path, _, becomes in carried:
        if type(becomes) is CodeOf:
            place, function = _place(namespace, path), Named(becomes.name).value()
            table = place.get() if place is not None else None
            if type(table) is set and type(function) is FunctionType and in_force(function.__code__) in table:
                found.append((table, function, in_force(function.__code__)))
    return found


def put_codes(owner: object, found: list[tuple[set[Any], FunctionType, CodeType]]) -> None:
    """Puts the functions' codes of now into the sets, in the place of those of before."""
    for table, function, before in found:
        overlays.put(owner, Member(table, in_force(function.__code__)), True)
        if before is not in_force(function.__code__):
            overlays.put(owner, Member(table, before), ABSENT)


def _value(value: Any) -> Any:
    return value.value() if type(value) is Named else value


def _put(owner: object, place: Place, was: Any, becomes: Any) -> bool:
    """Puts one value in; False: the program's value, below those of patches, is not what it was."""
    now = place.get()
    if type(becomes) is Keys:
        if not isinstance(now, dict) or not can_be_moved(now):
            return False
        before = overlays.own(Order(now))
        if told_apart(in_order(before, was)) != told_apart(before):
            return False
        overlays.put(owner, Order(now), becomes)
    elif type(becomes) is set and type(now) is set:
        for member in was - becomes:
            if member in now:
                overlays.put(owner, Member(now, member), ABSENT)
        for member in becomes - was:
            overlays.put(owner, Member(now, member), True)
    elif type(becomes) is list and type(now) is list:
        if not equal(list(overlays.own(Contents(now))), was):
            return False
        overlays.put(owner, Contents(now), becomes)
    elif not equal(overlays.own(place), was) and not (overlays.has_put(owner, place) and equal(now, was)):
        return False                # neither the program's value nor one that `run` has put there is what it was
    else:
        overlays.put(owner, place, becomes)
    return True


def _place(namespace: dict[str, Any], path: str) -> Place | None:
    """The place that a path leads to; None: it leads nowhere."""
    return _step(namespace, parse(path, mode="eval").body)


def _step(namespace: dict[str, Any], node: Any) -> Place | None:
    if type(node) is ast.Name:
        return Item(namespace, node.id)
    above = _step(namespace, node.value)
    holder = ABSENT if above is None else above.get()
    if holder is ABSENT:
        return None
    if type(node) is ast.Attribute and node.attr == "__dict__" and not issubclass(type(holder), type):
        return _OwnDict(holder, None)
    if type(node) is ast.Attribute:
        return Attribute(holder, node.attr) if issubclass(type(holder), type) else Own(holder, node.attr)
    key = ast.literal_eval(node.slice)
    if issubclass(type(holder), dict):
        return Item(holder, key)
    if issubclass(type(holder), (list, tuple)) and type(key) is int and key < len(holder):
        return _Index(holder, key)
    return None


class _OwnDict(Place):
    """The attributes of an object, for names that are no identifiers."""

    __slots__ = ()

    def get(self) -> Any:
        return object_dict(self.holder)


class _Index(Place):
    """An element of a list or tuple, on the way to what it holds."""

    __slots__ = ()

    def get(self) -> Any:
        base = list if issubclass(type(self.holder), list) else tuple
        return base.__getitem__(self.holder, self.key)


def _space(module: str) -> dict[str, Any] | None:
    found = sys.modules.get(module)
    return module_dict(found) if found is not None and issubclass(type(found), ModuleType) else None
