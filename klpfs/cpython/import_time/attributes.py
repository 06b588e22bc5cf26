"""Attributes that objects made before a patch lack, or hold in another form than its code wants: what stands for them.

Put on a class as attributes of it by a livepatch's callbacks. Old code and new code run side by side while a transition
is under way, and after a revert old code meets objects that new code has made: so what an object holds is always of a
form that the old code takes, or is something that it never looks at.
"""
from __future__ import annotations

from zlib import crc32

from klpfs.engine import shadow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable


class Default:
    """An attribute of the class, put there only if the class has none of that name, itself or inherited."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _id(owner: type, name: str) -> int:
    """The id of an attribute's shadow variables."""
    return crc32(f"{owner.__module__}.{owner.__qualname__}.{name}".encode())


class FirstUse:
    """An attribute that is made when it is first read: make(object). For classes whose objects have a dict."""

    __slots__ = ("name", "make")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            raise AttributeError(self.name)     # of the class itself: as if it were not there
        return object.__getattribute__(obj, "__dict__").setdefault(self.name, self.make(obj))


class Slot:
    """An attribute for objects that have no place for it (`__slots__`): kept in shadow variables.

    make(object): the attribute's value where none was set; None: there is none then, AttributeError. A class that takes
    no weak reference keeps its objects alive from the first time that such an attribute is set to another value than
    make() gives; free() lets go of all of them.
    """

    __slots__ = ("name", "id", "make")

    def __init__(self, make: Callable[[Any], Any] | None = None) -> None:
        self.make = make
        self.name, self.id = "", 0

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.id = name, _id(owner, name)

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        box = shadow.get(obj, self.id)          # a list of the value
        if box is not None:
            return box[0]
        if self.make is None:
            raise AttributeError(self.name)
        return self.make(obj)

    def __set__(self, obj: Any, value: Any) -> None:
        box = shadow.get(obj, self.id)
        if box is not None:
            box[0] = value
        elif self.make is None or not _same(value, self.make(obj)):
            shadow.get_or_alloc(obj, self.id, lambda obj, data: [value])[0] = value

    def __delete__(self, obj: Any) -> None:
        if shadow.get(obj, self.id) is None:
            raise AttributeError(self.name)
        shadow.free(obj, self.id)

    def free(self) -> None:
        """Forgets the values of all objects."""
        shadow.free_all(self.id)


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and isinstance(value, (int, str, bytes, type(None))) and value == default


class Form:
    """An attribute whose values the new code wants in another form: what the object holds stays as the old code has it.

    name: of the attribute that holds the value. values: pairs (old, new) of values that stand for each other. part: the
    old form counts what is left of the new form (its end): 2 stands for b'\\r\\n', 1 for b'\\n'. A value that no rule
    names is the same in both forms.
    """

    __slots__ = ("name", "values", "part")

    def __init__(self, name: str, values: Iterable[tuple[Any, Any]], part: bool = False) -> None:
        self.name, self.values, self.part = name, tuple(values), part

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        return self.new(getattr(obj, self.name))

    def __set__(self, obj: Any, value: Any) -> None:
        setattr(obj, self.name, self.old(value))

    def __delete__(self, obj: Any) -> None:
        delattr(obj, self.name)

    def new(self, value: Any) -> Any:
        """The new form of what an object holds."""
        for old, new in self.values:
            if type(old) is type(value) and old == value:
                return new
        if self.part and type(value) is int and value > 0:
            ends = {new[-value:] for _, new in self.values if len(new) >= value}
            if len(ends) == 1:
                return ends.pop()
        return value

    def old(self, value: Any) -> Any:
        """The old form, which an object is to hold, of a value of the new form."""
        for old, new in self.values:
            if type(new) is type(value) and new == value:
                return old
        if self.part and any(type(new) is type(value) and new[len(new) - len(value):] == value
                             for _, new in self.values):
            return len(value)
        return value
