"""Registrations that the library keeps where no name leads: virtual subclasses of abstract base classes, and the
functions of functools.singledispatch, with the caches of both."""
from __future__ import annotations

import gc
from abc import ABCMeta
from types import FunctionType, MappingProxyType, MethodType

from klpfs.cpython.import_time.overlays import ABSENT, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _abc import _get_dump, _reset_caches, _reset_registry  # type: ignore[import-not-found]
except ImportError:                 # an interpreter without it: nothing is noted
    _get_dump = None


class Registered(Place):
    """Whether a class (key) is registered as a subclass of an abstract one (holder): True or ABSENT."""

    __slots__ = ()

    def get(self) -> Any:
        return True if any(each is self.key for each in registered(self.holder)) else ABSENT

    def _set(self, value: Any) -> None:
        ABCMeta.register(self.holder, self.key)

    def _delete(self) -> None:
        rest = [each for each in registered(self.holder) if each is not self.key]
        _reset_registry(self.holder)
        for each in rest:
            ABCMeta.register(self.holder, each)
        for each in [self.holder, *(other for other in type.mro(self.holder) if isinstance(other, ABCMeta))]:
            _reset_caches(each)


class Dispatched(Place):
    """The function for a class (key) of a singledispatch function (holder)."""

    __slots__ = ()

    def get(self) -> Any:
        return dispatched(self.holder).get(self.key, ABSENT)

    def _set(self, value: Any) -> None:
        dispatched(self.holder)[self.key] = value
        self.holder.__dict__["_clear_cache"]()

    def _delete(self) -> None:
        dispatched(self.holder).pop(self.key, None)
        self.holder.__dict__["_clear_cache"]()


def registered(cls: Any) -> list[type]:
    """The classes that are registered as subclasses of an abstract class."""
    found = [reference() for reference in _get_dump(cls)[0]]
    return [each for each in found if each is not None]


def dispatched(function: Any) -> dict[Any, Any]:
    """The table of a singledispatch function."""
    return gc.get_referents(function.__dict__["registry"])[0]    # type: ignore[no-any-return]


def places(value: Any) -> dict[Any, tuple[Place, Any]] | None:
    """{id: (place, what is there)} of all registrations of an object; None: it has none of these."""
    if isinstance(value, ABCMeta) and _get_dump is not None:
        return {id(each): (Registered(value, each), True) for each in registered(value)}
    own = value.__dict__ if type(value) is FunctionType else {}
    if type(own.get("registry")) is MappingProxyType and type(own.get("_clear_cache")) is MethodType:
        return {id(key): (Dispatched(value, key), found) for key, found in dispatched(value).items()}
    return None
