"""Members that a new version gives to an enumeration: made as the enum module makes them, and noted so that they go
again.

What maps a name or a value to its member has overlays, one for each patch. What the enum module derives from all
members (their list, the masks of a Flag, the names of its combinations) is derived again whenever members have come or
gone.
"""
from __future__ import annotations

import enum
import sys
from enum import Enum, Flag

from klpfs.cpython.import_time.dict_order import can_be_moved
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Field, Item, Order, known, own, pairs, put
from klpfs.cpython.raw import type_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MEMBER, _NONMEMBER = getattr(enum, "member", ()), getattr(enum, "nonmember", ())      # classes, from 3.11 on


def is_member_name(cls: type, name: str, value: object) -> bool:
    """Whether `name = value` in the block of an enumeration makes a member."""
    if not issubclass(cls, Enum) or name.startswith("_") or isinstance(value, (staticmethod, classmethod, property)):
        return False
    if isinstance(value, _NONMEMBER):
        return False
    return not any(hasattr(type(value), each) for each in ("__get__", "__set__", "__delete__"))


def unwrapped(cls: type, value: Any) -> Any:
    """What `name = value` in the block of an enumeration binds where it makes no member: enum.nonmember goes."""
    return value.value if issubclass(cls, Enum) and isinstance(value, _NONMEMBER) else value


def _inverts() -> bool:
    """Whether the enum module makes a negative value of a Flag the complement among the bits of the class's other
    members (3.15)."""
    probe: Any = enum.IntFlag("probe", {"ONE": 1, "ALL": -1})
    return bool(probe.ALL._value_ == 1)


_INVERTS = _inverts()


def add_member(owner: object, cls: Any, name: str, value: Any, block: Iterable[tuple[str, Any]] = ()) -> Any:
    """The member of that name and value; owner: as overlays.put's. block: (name, value) of what the class block gives
    with it. TypeError: it is there, with another value that it can't be given; or its value can't be told."""
    if isinstance(value, _MEMBER):
        value = value.value
    if _INVERTS and issubclass(cls, Flag):
        value = _inverted(owner, cls, name, value, dict(block))
    member, bound = cls._member_map_.get(name), []
    if member is not None:
        own_member = not known(Item(cls._member_map_, name))    # another patch's is to stay when that patch goes
        same = _is_value_of(cls, name, value)
        if own_member and (not same or known(Field(member, "_value_"))) and _can_have(cls, member, value):
            _put_value(owner, cls, member, value)
            return member
        if not same:
            raise TypeError(f"enum {cls.__qualname__}: the value of '{name}' can't be changed while others hold the "
                            "member")
        if own_member:
            return member
        bound = [value for value, kept in list(cls._value2member_map_.items())
                 if kept is member and known(Item(cls._value2member_map_, value))]
    elif isinstance(value, cls) and _is_among(cls, value):
        member = value
    else:
        # compared when it is made: its __new__ or its mixed-in type may make another value of what is written
        new, bound = _new_member(cls, name, value._value_ if isinstance(value, cls) else value)
        member = _member_of(cls, new._value_)
        if member is None:
            member = _in_place_of_combination(cls, new)
    put(owner, Item(cls._member_map_, name), member)
    put(owner, Attribute(cls, name), member)
    put(owner, Item(_written, (cls, name)), value._value_ if isinstance(value, cls) else value)
    if _is_hashable(member._value_):
        place = Item(cls._value2member_map_, member._value_)
        if place.get() is not member or known(place):
            put(owner, place, member)
    elif hasattr(cls, "_unhashable_values_map_"):
        put(owner, Item(cls._unhashable_values_map_, name), [member._value_])
    for value in bound:
        put(owner, Item(cls._value2member_map_, value), member)
    _given.setdefault(id(owner), []).append(cls)
    _derive(cls)
    return member


_given: dict[int, list[Any]] = {}  # id(owner) -> [enumerations that it has given members]


def forget_combinations(owner: object) -> None:
    """Values that were derived from an owner's members, combinations above all, are derived anew; after
    overlays.take."""
    for cls in _given.pop(id(owner), ()):
        _derive(cls)


_written: dict[tuple[Any, str], Any] = {}      # (enumeration, name that a patch has given) -> value as written


def _inverted(owner: object, cls: Any, name: str, value: Any, block: dict[str, Any]) -> Any:
    """The value that a class statement with the program's members and the owner's gives a member of a Flag. TypeError:
    it depends on members that another patch has given, or is made of a negative number by the class's own __new__."""
    if type(value) is tuple and value and isinstance(value[0], int) and value[0] < 0:
        raise TypeError(f"enum {cls.__qualname__}: the negative value of '{name}' can't be told")
    if not isinstance(value, int) or value >= 0:
        return value
    members = cls._member_map_
    own = {place.key for place, _, _ in pairs(owner) if type(place) is Item and place.holder is members} | block.keys()
    bits = others = 0
    for key, member in members.items():
        if key in own or not known(Item(members, key)):
            bits |= member._value_
        else:
            others |= member._value_
    for key, given in block.items():
        if is_member_name(cls, key, given):
            given = given.value if isinstance(given, _MEMBER) else given
            bits |= given if isinstance(given, int) and given > 0 else 0
    if others & ~bits:
        raise TypeError(f"enum {cls.__qualname__}: the value of '{name}' depends on members of another patch")
    return bits & value


def _is_value_of(cls: Any, name: str, value: Any) -> bool:
    """Whether `name = value` is what the member that has the name was made of. No __new__ of the program runs: it may
    note its members somewhere."""
    member = cls._member_map_[name]
    if isinstance(value, cls):
        return bool(value is member or value._value_ == member._value_)
    return bool(_written.get((cls, name), member._value_) == value)


def _can_have(cls: Any, member: Any, value: Any) -> bool:
    """Whether a member can get another value in place: the value is nothing but an attribute of it, nobody finds the
    member in a table by it, and no other member has it."""
    made_by = getattr(cls, "__new_member__", None) or cls._member_type_.__new__
    plain = not issubclass(cls, Flag) and cls._member_type_ is object and made_by is object.__new__ and (
        cls.__init__ is Enum.__init__ and cls.__hash__ is Enum.__hash__ and cls.__eq__ is Enum.__eq__)
    if not plain or isinstance(value, (Enum, enum.auto)) or not _is_hashable(value) or not _is_hashable(member._value_):
        return False
    names = [name for name, each in cls._member_map_.items() if each is member]
    return len(names) == 1 and cls._value2member_map_.get(value, member) is member


def _put_value(owner: object, cls: Any, member: Any, value: Any) -> None:
    """Gives a member another value, and the table of values the entry for it, in the place of the one before. The order
    is put first, so that it is the last to be taken back."""
    place, by_value = Field(member, "_value_"), cls._value2member_map_
    before = [key for key, each in by_value.items() if each is member and known(Item(by_value, key)) or (
        each is member and key == member._value_)] + [own(place)]
    if can_be_moved(by_value) and can_be_moved([value]):
        order = [value if by_value[key] is member else key for key in by_value]
        put(owner, Order(by_value), tuple(by_value))
    else:
        order = []
    for key in dict.fromkeys(before):
        if key != value:
            put(owner, Item(by_value, key), ABSENT)
    put(owner, Item(by_value, value), member)
    if order:
        put(owner, Order(by_value), tuple(order))
    put(owner, place, value)
    _given.setdefault(id(owner), []).append(cls)
    _derive(cls)


def _is_among(cls: Any, member: object) -> bool:
    return any(member is each for each in cls._member_map_.values())


def _member_of(cls: Any, value: Any) -> Any:
    """The member that the enum module gives a second name when a block makes that value again; None: a new member."""
    if sys.version_info < (3, 11) or not _is_hashable(value):
        return next((each for each in cls._member_map_.values() if each._value_ == value), None)
    member = cls._value2member_map_.get(value)
    if not _is_among(cls, member) or _is_complement(member, value):
        return None
    return member


def _is_complement(member: Any, value: Any) -> bool:
    """Whether a Flag keeps the member for a negative value that is only the complement of others' (from 3.11 on)."""
    return isinstance(member, Flag) and isinstance(value, int) and value < 0 and bool(member._value_ != value)


def _new_member(cls: Any, name: str, value: Any) -> tuple[Any, list[Any]]:
    """(a member that the enumeration doesn't know, [values that its __new__ has bound to it]: aliases of its value)."""
    by_value, member = cls._value2member_map_, None
    before = dict(by_value)
    try:
        member = _made(cls, name, value)
    finally:
        changed = {value: kept for value, kept in list(by_value.items()) if before.get(value) is not kept
                   and (kept is member or not issubclass(cls, Flag))}  # combinations that a thread has made stay
        for value in changed:
            if value in before:
                by_value[value] = before[value]
            else:
                del by_value[value]
    return member, [value for value, kept in changed.items() if kept is member]


def _made(cls: Any, name: str, value: Any) -> Any:
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


def _in_place_of_combination(cls: Any, member: Any) -> Any:
    if not issubclass(cls, Flag) or not _is_hashable(member._value_):
        return member
    combination = cls._value2member_map_.get(member._value_)
    if combination is None or combination._value_ != member._value_ or _is_among(cls, combination):
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
        kept = [value for value in cls._hashable_values_ if value in by_value and by_value[value]._name_ in members
                and not _is_complement(by_value[value], value)]
        kept += [each._value_ for each in members.values() if _is_hashable(each._value_) and each._value_ not in kept]
        if not issubclass(cls, Flag):           # a member that has got another value keeps its place
            places = {value: at for at, value in enumerate(by_value)}
            kept.sort(key=places.__getitem__)
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
        if id(member) in members and not _is_complement(member, value):
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
