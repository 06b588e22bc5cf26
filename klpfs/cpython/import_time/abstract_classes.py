"""Abstract methods of classes that are changed in place, and what the library remembers of their subclasses.

A class says in `__abstractmethods__` which of its methods have to be written before objects can be made of it; CPython
computes that when a class is made, of the class and of its bases. So it is computed anew for a class that got or lost
methods, and for all classes below it; what had been there comes back with the methods. An abstract class also remembers
the answers of its `__subclasshook__`: they are forgotten when that is another.
"""
from __future__ import annotations

from abc import ABCMeta

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.overlays import Attribute, Place
from klpfs.cpython.raw import type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_HOOK = "__subclasshook__"
_clear: Any = getattr(ABCMeta, "_abc_caches_clear")     # noqa: B009 (no stub has it)


class _AbstractMethods(Place):
    """The names of a class's abstract methods. They are set as an attribute: the class has a flag besides."""

    __slots__ = ()

    def __init__(self, holder: Any) -> None:
        Place.__init__(self, holder, "__abstractmethods__")

    def get(self) -> Any:
        return type_dict(self.holder)["__abstractmethods__"]

    def _set(self, value: Any) -> None:
        self.holder.__abstractmethods__ = value


def settle(owner: object) -> None:
    """Computes the abstract methods of all classes that an owner has changed, and forgets answers of hooks. What
    changes is the owner's as well, and goes with what it has put."""
    for cls in hooked(owner):
        forget(cls)
    below: dict[type, None] = {}
    for cls in _changed(owner):
        below.update(dict.fromkeys(_with_subclasses(cls)))
    for cls in sorted(below, key=lambda each: len(type_mro(each))):        # bases first
        if "__abstractmethods__" in type_dict(cls):
            names = _abstract(cls)
            if names != type_dict(cls)["__abstractmethods__"]:
                overlays.put(owner, _AbstractMethods(cls), names)


def hooked(owner: object) -> list[type]:
    """The abstract classes whose `__subclasshook__` an owner has changed: forget() is for when it was taken back."""
    return [cls for cls, names in _changed(owner).items() if _HOOK in names]


def forget(cls: Any) -> None:
    """Forgets what an abstract class, and those above it, which have asked it, remember of other classes. cls: whatever
    is found under a class's name."""
    for each in type_mro(cls) if issubclass(type(cls), ABCMeta) else ():
        if issubclass(type(each), ABCMeta):
            _clear(each)


def _changed(owner: object) -> dict[Any, set[str]]:
    """{abstract class: names of attributes that an owner has put}."""
    found: dict[Any, set[str]] = {}
    for place, _, _ in overlays.pairs(owner):
        if type(place) is Attribute and issubclass(type(place.holder), ABCMeta):
            found.setdefault(place.holder, set()).add(place.key)
    return found


def _with_subclasses(cls: Any) -> Iterator[type]:
    yield cls
    for below in type.__subclasses__(cls):
        yield from _with_subclasses(below)


def _abstract(cls: Any) -> frozenset[str]:
    """The names of a class's abstract methods, as ABCMeta computes them when it makes a class."""
    names = {name for base in cls.__bases__ for name in getattr(base, "__abstractmethods__", ())
             if getattr(getattr(cls, name, None), "__isabstractmethod__", False)}
    return frozenset(names | {name for name, value in list(type_dict(cls).items())
                              if getattr(value, "__isabstractmethod__", False)})
