"""Members that a new version gives to an enumeration: made as the enum module makes them, and noted so that they go
again.

What maps a name or a value to its member has overlays, one for each patch. What the enum module derives from all
members (their list, the masks of a Flag, the names of its combinations) is derived again whenever members have come or
gone.
"""
from __future__ import annotations

import sys
from enum import Enum, Flag

from klpfs.cpython.import_time.overlays import Attribute, Item, known, put
from klpfs.cpython.raw import type_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_member_name(cls: type, name: str, value: object) -> bool:
    """Whether `name = value` in the block of an enumeration makes a member."""
    if not issubclass(cls, Enum) or name.startswith("_") or isinstance(value, (staticmethod, classmethod, property)):
        return False
    return not any(hasattr(type(value), each) for each in ("__get__", "__set__", "__delete__"))


def add_member(owner: object, cls: Any, name: str, value: Any) -> Any:
    """The member of that name and value; owner: as overlays.put's. TypeError: it is there, with another value."""
    member = cls._member_map_.get(name)
    if member is not None:
        if member._value_ != value:
            raise TypeError(f"enum {cls.__qualname__}: the value of '{name}' can't be changed while others hold the "
                            "member")
        if not known(Item(cls._member_map_, name)):
            return member                      # the program's own; another patch's is to stay when that patch goes
    else:
        if isinstance(value, cls):
            value = value._value_
        member = next((each for each in cls._member_map_.values() if each._value_ == value), None)
        if member is None:
            member = _new_member(cls, name, value)
    put(owner, Item(cls._member_map_, name), member)
    put(owner, Attribute(cls, name), member)
    if _is_hashable(member._value_):
        place = Item(cls._value2member_map_, member._value_)
        if place.get() is not member or known(place):
            put(owner, place, member)
    elif hasattr(cls, "_unhashable_values_map_"):
        put(owner, Item(cls._unhashable_values_map_, name), [member._value_])
    _given.setdefault(id(owner), []).append(cls)
    _derive(cls)
    return member


_given: dict[int, list[Any]] = {}  # id(owner) -> [enumerations that it has given members]


def forget_combinations(owner: object) -> None:
    """Values that were derived from an owner's members, combinations above all, are derived anew; after
    overlays.take."""
    for cls in _given.pop(id(owner), ()):
        _derive(cls)


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
    combination = cls._value2member_map_.get(member._value_) if issubclass(cls, Flag) else None
    if combination is None:
        return member
    # the program may hold the combination, and a Flag is compared by identity
    attributes = object.__getattribute__(combination, "__dict__")
    attributes.update(object.__getattribute__(member, "__dict__"))
    return combination


def _derive(cls: Any) -> None:
    """Tables that the enum module made of all members are made again."""
    members = cls._member_map_
    names = [name for name in cls._member_names_ if name in members]
    names += [name for name, member in members.items()
              if name not in names and member._name_ == name and not _is_alias(cls, member._value_)]
    cls._member_names_[:] = names
    if hasattr(cls, "_unhashable_values_map_"):
        cls._unhashable_values_[:] = [value for values in cls._unhashable_values_map_.values() for value in values]
    elif hasattr(cls, "_unhashable_values_"):
        cls._unhashable_values_[:] = [each._value_ for each in members.values() if not _is_hashable(each._value_)]
    if hasattr(cls, "_hashable_values_"):      # later releases of 3.13: `value in cls` looks at these
        by_value = cls._value2member_map_
        kept = [value for value in cls._hashable_values_ if value in by_value and by_value[value]._name_ in members]
        kept += [each._value_ for each in members.values() if _is_hashable(each._value_) and each._value_ not in kept]
        cls._hashable_values_[:] = kept
    if issubclass(cls, Flag):
        if "_flag_mask_" in type_dict(cls):  # from 3.11 on; before, combinations are compared with all members
            _masks(cls, [member._value_ for member in members.values()], [members[name]._value_ for name in names])
        _name_combinations(cls)


def _masks(cls: Any, values: list[int], listed: list[int]) -> None:
    mask = singles = 0
    for value in values:
        mask |= value
        singles |= value if _is_one_bit(value) else 0
    if "_singles_mask_" in type_dict(cls):
        _set(cls, "_flag_mask_", mask)
        _set(cls, "_singles_mask_", singles)
    else:                                      # the first releases of 3.11 have one mask, of single bits
        _set(cls, "_flag_mask_", singles)
    _set(cls, "_all_bits_", 2 ** mask.bit_length() - 1)
    if listed != sorted(listed):
        _set(cls, "_iter_member_", cls._iter_member_by_def_)
    elif "_iter_member_" in type_dict(cls):
        type.__delattr__(cls, "_iter_member_")


_set = type.__setattr__


def _name_combinations(cls: Any) -> None:
    """Combinations get the names that they would be given now, impossible ones go, and so do known complements."""
    members = set(map(id, cls._member_map_.values()))
    made = cls._value2member_map_
    for value, member in list(made.items()):
        of_member = object.__getattribute__(member, "__dict__")
        of_member.pop("_inverted_", None)
        if id(member) in members and value == member._value_:
            continue
        del made[value]
        if value != member._value_:            # it was found by a negative value, which is the complement of others
            continue
        try:
            new = cls(value)
        except ValueError:
            continue
        if made.get(value) is new:
            of_member.pop("__objclass__", None)
            of_member.pop("_sort_order_", None)
            of_member.update(object.__getattribute__(new, "__dict__"))
            made[value] = member


def _is_alias(cls: type, value: Any) -> bool:
    """Whether the enum module takes a value of a Flag for a name of others: what is not one bit, from 3.11 on."""
    return sys.version_info >= (3, 11) and issubclass(cls, Flag) and not _is_one_bit(value)


def _is_one_bit(value: int) -> bool:
    return value > 0 and not value & value - 1


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
