"""Values that patches put into the running program, each over the one before, and how they are taken back in any order.

A place is one value that can be read, set and deleted: an item of a dict, an attribute of a class, a member of a set,
the contents of a list, the order of a dict's keys. Over what the program has at a place itself lie the values of the
patches, each with its owner. When a patch goes from the middle (it was replaced), what lies above stays; when the
topmost goes, what is below is in force again. What the program itself has put there since is the program's, and stays.

Used by one thread at a time: callbacks run one after the other.
"""
from __future__ import annotations

from collections import OrderedDict
from types import FunctionType

from klpfs.cpython.import_time.dict_order import can_be_moved, in_order, reorder, told_apart
from klpfs.cpython.lazy_imports import stands_for
from klpfs.cpython.raw import type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "<absent>", "__slots__": ()})()


class Place:
    """A value of an object that can be read (ABSENT: it has none), set and deleted. holder: the object; key: which of
    its values."""

    __slots__ = ("holder", "key")

    def __init__(self, holder: Any, key: Any) -> None:
        self.holder, self.key = holder, key

    @property
    def identity(self) -> Hashable:
        """Equal for two Places that are the same place, as long as the holder lives."""
        return type(self).__name__, id(self.holder), self.key

    def get(self) -> Any:
        raise NotImplementedError

    def set(self, value: Any) -> None:
        """ABSENT deletes the value."""
        if value is ABSENT:
            self._delete()
        else:
            self._set(value)

    def _set(self, value: Any) -> None:
        raise NotImplementedError

    def _delete(self) -> None:
        raise NotImplementedError


class Item(Place):
    """An item of a dict. own_key: the key object that goes in again: the one that was taken out, which is the program's
    and need not be ours.

    Where a class has methods of its own for it, these are called, for they may keep more than the item (a list of the
    sorted keys, an index), and what they do elsewhere comes and goes with it. They may put another value in, or refuse:
    then the item is put in as dict does it, so that what was there is there again.
    """

    __slots__ = ("own_key",)

    def __init__(self, holder: Any, key: Any) -> None:
        Place.__init__(self, holder, key)
        self.own_key = key

    @property
    def identity(self) -> Hashable:
        return "Item", id(self.holder), type(self.key).__name__, self.key       # 1, 1.0 and True are not one place

    def get(self) -> Any:
        if isinstance(self.holder, dict):
            return dict.get(self.holder, self.key, ABSENT)
        return self.holder.get(self.key, ABSENT)

    def _set(self, value: Any) -> None:
        if not isinstance(self.holder, dict):
            self.holder[self.key] = value
        elif not _by_own_method(self.holder, "__setitem__", self.own_key, value) or self.get() is not value:
            _base(self.holder).__setitem__(self.holder, self.own_key, value)

    def _delete(self) -> None:
        if not isinstance(self.holder, dict):
            self.holder.pop(self.key, None)
        elif self.get() is not ABSENT:
            self.own_key = _key_in(self.holder, self.key)
            if not _by_own_method(self.holder, "__delitem__", self.own_key) or self.get() is not ABSENT:
                _base(self.holder).__delitem__(self.holder, self.own_key)


def _base(table: dict[Any, Any]) -> Any:
    return OrderedDict if isinstance(table, OrderedDict) else dict


def _by_own_method(table: dict[Any, Any], name: str, *args: Any) -> bool:
    """Whether a dict's class has a method of its own of that name, and it was called. Its error is no matter."""
    method = next((type_dict(cls)[name] for cls in type_mro(type(table)) if name in type_dict(cls)), None)
    if type(method) is not FunctionType:
        return False
    try:
        method(table, *args)
    except Exception:
        return False
    return True


def _key_in(table: dict[Any, Any], key: Any) -> Any:
    """The key object of a dict that is equal to one that is in it."""
    number = hash(key)
    return next((each for each in dict.keys(table) if each is key or hash(each) == number and each == key), key)


class Attribute(Place):
    """An attribute of a class's own dict. The metaclass is not asked: type's own way, which tells the caches."""

    __slots__ = ()

    def get(self) -> Any:
        return type_dict(self.holder).get(self.key, ABSENT)

    def _set(self, value: Any) -> None:
        type.__setattr__(self.holder, self.key, value)

    def _delete(self) -> None:
        type.__delattr__(self.holder, self.key)


class Field(Place):
    """An attribute of an object that is no class, through object's own way; '__bases__' and the like of a class,
    too."""

    __slots__ = ()

    @property
    def _kind(self) -> Any:
        return type if isinstance(self.holder, type) else object

    def get(self) -> Any:
        try:
            return self._kind.__getattribute__(self.holder, self.key)
        except AttributeError:
            return ABSENT

    def _set(self, value: Any) -> None:
        self._kind.__setattr__(self.holder, self.key, value)

    def _delete(self) -> None:
        self._kind.__delattr__(self.holder, self.key)


class Member(Place):
    """Whether something is in a set: True or ABSENT."""

    __slots__ = ()

    def get(self) -> Any:
        return True if self.key in self.holder else ABSENT

    def _set(self, value: Any) -> None:
        self.holder.add(self.key)

    def _delete(self) -> None:
        self.holder.discard(self.key)


class _Elements(tuple):
    """Compared by the identity of each element."""

    __slots__ = ()

    def same(self, other: _Elements) -> bool:
        return len(self) == len(other) and all(a is b for a, b in zip(self, other))


class _Keys(tuple):
    """Compared by the order of those keys that both have."""

    __slots__ = ()

    def same(self, other: _Keys) -> bool:
        return not can_be_moved(self) or told_apart(in_order(self, other)) == told_apart(self)


class _Whole(Place):
    """All that an object holds, as a tuple of the type `values`; never ABSENT."""

    __slots__ = ()
    values: Any

    def __init__(self, holder: Any) -> None:
        Place.__init__(self, holder, None)

    def get(self) -> Any:
        return self.values(self.holder)


class Contents(_Whole):
    """All elements of a list (or what has slices like a list)."""

    __slots__ = ()
    values = _Elements

    def _set(self, value: Any) -> None:
        self.holder[:] = value


class Order(_Whole):
    """The order of a dict's keys. Keys that are not in the tuple stay where they are."""

    __slots__ = ()
    values = _Keys

    def _set(self, value: Any) -> None:
        reorder(self.holder, value)


def _same(a: Any, b: Any) -> bool:
    return a is b or type(a) is type(b) and type(a) in (_Elements, _Keys) and a.same(b)


class _Stack:
    """The values at a place. values: [[owner, value]], the newest last; the first is the program's own, its owner
    None."""

    __slots__ = ("place", "values")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.values: list[list[Any]] = [[None, place.get()]]

    def meanwhile(self, now: Any) -> None:
        """What is there now: if the program has set it, that is what will be there again."""
        if not _same(now, self.values[-1][1]):
            self.values[-1][1] = now

    def lay(self, owner: object, value: Any) -> None:
        """An owner's value comes to the top."""
        for layer in self.values[1:]:
            if layer[0] is owner:
                layer[1] = value
                if layer is not self.values[-1]:
                    self.values.remove(layer)
                    self.values.append(layer)
                return
        self.values.append([owner, value])


_stacks: dict[Hashable, _Stack] = {}    # a place's identity -> _Stack; it holds the place, so that its id stays its own


def put(owner: object, place: Place, value: Any) -> None:
    """Lays a value over what is in force at a place. owner: any object; a second value of an owner at a place replaces
    its first. Counterpart: take."""
    if isinstance(place, _Whole):
        value = place.values(value)
    stack = _stacks.get(place.identity) or _Stack(place)
    stack.meanwhile(place.get())
    stack.place.set(value)
    _stacks[place.identity] = stack
    stack.lay(owner, value)


def note(owner: object, place: Place, before: Any) -> None:
    """Notes a value that is at the place already as put() would have laid it there; `before` is what was there. What
    put() has laid there itself is known."""
    now = place.get()
    if isinstance(place, _Whole):
        before = place.values(before)
    stack = _stacks.get(place.identity)
    if stack is None:
        stack = _Stack(place)
        stack.values[0][1] = before
    elif stack.values[-1][0] is owner and _same(stack.values[-1][1], now):
        return
    stack.meanwhile(before)
    _stacks[place.identity] = stack
    stack.lay(owner, now)


def take(owner: object) -> list[Exception]:
    """Takes all values of an owner away, the last put first. Returns the errors of places that could not be set.
    Counterpart: put."""
    errors = []
    for identity, stack in reversed(list(_stacks.items())):
        for at, (whose, value) in enumerate(stack.values):
            if at and whose is owner:
                del stack.values[at]
                now = stack.place.get()
                if at == len(stack.values) and (_same(now, value) or stands_for(value, now)):
                    try:
                        stack.place.set(stack.values[-1][1])
                    except Exception as error:
                        errors.append(error)
                break
        if len(stack.values) == 1:
            _stacks.pop(identity, None)
    return errors


def leave(owner: object, place: Place) -> None:
    """Makes the owner's value permanent: it becomes the program's own, and take(owner) no longer removes it."""
    stack = _stacks.get(place.identity)
    if stack is not None:
        stack.values[0][1] = next((value for whose, value in stack.values[1:] if whose is owner), stack.values[0][1])
        stack.values = [layer for at, layer in enumerate(stack.values) if not at or layer[0] is not owner]
        if len(stack.values) == 1:
            del _stacks[place.identity]


def pairs(owner: object) -> list[tuple[Place, Any, Any]]:
    """[(place, value below, the owner's value)] of the places that hold a value of an owner."""
    return [(stack.place, below, value) for stack in list(_stacks.values())
            for (_, below), (whose, value) in zip(stack.values, stack.values[1:]) if whose is owner]


def own(place: Place) -> Any:
    """The value that the program itself has at a place, below what patches have put there."""
    stack, now = _stacks.get(place.identity), place.get()
    return stack.values[0][1] if stack is not None and _same(now, stack.values[-1][1]) else now


def known(place: Place) -> bool:
    """Whether a patch has put a value there."""
    return place.identity in _stacks


def has_put(owner: object, place: Place) -> bool:
    """Whether the value in force at a place is an owner's."""
    stack = _stacks.get(place.identity)
    return stack is not None and stack.values[-1][0] is owner and _same(place.get(), stack.values[-1][1])
