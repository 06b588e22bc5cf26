"""Members that a new version gives to an enumeration: made as the enum module makes them, and noted so that they go
again."""
from __future__ import annotations

import sys
from enum import Enum, Flag

from klpfs.cpython.import_time.overlays import Attribute, Contents, Item, put
from klpfs.cpython.raw import type_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any



def is_member_name(cls: type, name: str, value: Any) -> bool:
    """Whether `name = value` in the block of an enumeration makes a member."""
    if not issubclass(cls, Enum) or name.startswith("_") or isinstance(value, (staticmethod, classmethod, property)):
        return False
    return not any(hasattr(type(value), method) for method in ("__get__", "__set__", "__delete__"))


def add_member(owner: object, cls: Any, name: str, value: Any) -> Any:
    """The member of that name and value; owner: as overlays.put's. TypeError: the enumeration has it with another
    value."""
    now = cls._member_map_.get(name)
    if now is not None:
        if now._value_ == value:
            return now
        raise TypeError(f"enum {cls.__qualname__}: the value of '{name}' can't be changed while others hold the member")
    if isinstance(value, cls):
        value = value._value_
    same = next((member for member in cls._member_map_.values() if member._value_ == value), None)
    member = same if same is not None else _new_member(cls, name, value)
    if same is None:
        if _is_canonical(cls, value):
            put(owner, Contents(cls._member_names_), list(cls._member_names_) + [name])
        try:
            put(owner, Item(cls._value2member_map_, value), member)
        except TypeError:
            _note_unhashable(owner, cls, name, value)
    put(owner, Item(cls._member_map_, name), member)
    put(owner, Attribute(cls, name), member)
    if same is None and issubclass(cls, Flag):
        _widen_masks(owner, cls, value)
    return member


def _is_canonical(cls: Any, value: Any) -> bool:
    """Whether iterating gives a member with a new value: from 3.11 on no combination of flags."""
    if sys.version_info < (3, 11) or not issubclass(cls, Flag):
        return True
    return isinstance(value, int) and value > 0 and not value & value - 1


def _note_unhashable(owner: object, cls: Any, name: str, value: Any) -> None:
    """Notes a value that can't be hashed where the enum module looks for it: in a list (3.11), in a table (3.13)."""
    values, by_name = getattr(cls, "_unhashable_values_", None), getattr(cls, "_unhashable_values_map_", None)
    if values is not None:
        put(owner, Contents(values), [*values, value])
    if by_name is not None:
        put(owner, Item(by_name, name), [*by_name.get(name, ()), value])


def _new_member(cls: Any, name: str, value: Any) -> Any:
    args = value if isinstance(value, tuple) else (value,)
    if cls._member_type_ is tuple:
        args = (args,)
    new = getattr(cls, "__new_member__", None) or cls._member_type_.__new__
    member = new(cls) if new is object.__new__ else new(cls, *args)
    if not hasattr(member, "_value_"):
        member._value_ = value if cls._member_type_ is object else cls._member_type_(*args)
    member._name_ = name
    member.__objclass__ = cls
    if sys.version_info >= (3, 11):
        member._sort_order_ = len(cls._member_names_)
    init = cls.__init__
    if init is not object.__init__:
        init(member, *args)
    return member


_flags: dict[int, list[Any]] = {}  # id(owner) -> [Flag classes that it has given members]


def forget_combinations(owner: object) -> None:
    """Forgets what the enum module has made of several members, and keeps: it is named after the members of that
    time."""
    for cls in _flags.pop(id(owner), ()):
        _purge(cls)


def _purge(cls: Any) -> None:
    """Combinations are made anew, and so are complements, which members keep (3.11: `_inverted_`)."""
    members = set(map(id, cls._member_map_.values()))
    for value, member in list(cls._value2member_map_.items()):
        object.__getattribute__(member, "__dict__").pop("_inverted_", None)
        if id(member) not in members:
            del cls._value2member_map_[value]


def _widen_masks(owner: object, cls: Any, value: int) -> None:
    """The masks that a Flag class keeps of its members' bits (3.11) get the new member's bits."""
    _flags.setdefault(id(owner), []).append(cls)
    own = type_dict(cls)
    if "_flag_mask_" in own:
        mask = own["_flag_mask_"] | value
        put(owner, Attribute(cls, "_flag_mask_"), mask)
        if value and not value & value - 1:
            put(owner, Attribute(cls, "_singles_mask_"), own["_singles_mask_"] | value)
        put(owner, Attribute(cls, "_all_bits_"), 2 ** mask.bit_length() - 1)
    _purge(cls)
