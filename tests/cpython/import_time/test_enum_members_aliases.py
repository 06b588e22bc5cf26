"""Members given to an enumeration whose values are made by `__new__` or a mixed-in type, and negative members."""
import datetime
import enum
import sys
import textwrap

import pytest

from klpfs.cpython.import_time import enum_members, overlays

LABELLED = """
    def __new__(cls, value, label):
        member = int.__new__(cls, value)
        member._value_, member.label = value, label
        return member
"""
TWICE = """
    def __new__(cls, value):
        member = object.__new__(cls)
        member._value_ = value * 2
        return member
"""
COUNTED = """
    def __new__(cls, *args):
        member = object.__new__(cls)
        member._value_ = len(cls.__members__) + 1
        return member
"""
BY_TEXT = """
    def __new__(cls, value, text):
        member = object.__new__(cls)
        member._value_ = value
        cls._value2member_map_[text] = member
        return member
"""
CASES = [       # (bases, what the block begins with, members, new members)
    ("int, enum.Enum", LABELLED, "B = (2, 'y')", "C = (2, 'y')\nD = (3, 'z')\nF = (3, 'z')"),
    ("enum.Enum", TWICE, "A = 1", "B = 2\nC = 1"),
    ("enum.Enum", COUNTED, "A = ()", "B = ()\nC = 1"),
    ("enum.Enum", BY_TEXT, "A = (1, 'a')", "B = (2, 'b')"),
    ("str, enum.Enum", "", "A = (b'a', 'ascii')", "B = 'a'\nC = (b'a', 'ascii')\nD = 'd'"),
    ("bytes, enum.Enum", "", "A = ('a', 'ascii')", "B = b'a'\nC = ('a', 'ascii')"),
    ("float, enum.Enum", "", "A = '1.5'", "B = 1.5\nC = '1.5'\nD = '2'\nE = 2"),
    ("datetime.date, enum.Enum", "", "A = (2020, 1, 2)", "B = (2020, 1, 2)\nC = (2020, 1, 3)"),
    ("tuple, enum.Enum", "", "A = (1, 2)", "B = (1, 2)\nC = [1, 2]\nD = (2,)"),
]
if sys.version_info >= (3, 11):
    CASES += [("enum.Enum", "", "A = 1", "B = enum.member(1)\nC = enum.member(2)")]
ALIASED = BY_TEXT.replace("cls._value2member_map_[text] = member", "member._add_value_alias_(text)")
if sys.version_info >= (3, 13):
    CASES += [("enum.Enum", ALIASED, "A = (1, 'a')", "B = (2, 'b')"),
              ("enum.Flag", ALIASED, "A = (1, 'a')", "B = (2, 'b')")]


def block(text):
    space = {}
    exec(text, {"enum": enum}, space)
    return space


def enumeration(bases, *blocks):
    space = {"__name__": "m", "enum": enum, "datetime": datetime}
    exec(f"class E({bases}):\n" + "\n".join(textwrap.indent(textwrap.dedent(each), "    ") for each in blocks), space)
    return space["E"]


def answers(E):
    return (repr(list(E)), {name: (member.name, repr(member.value)) for name, member in E.__members__.items()},
            {repr(value): member.name for value, member in E._value2member_map_.items()},
            {name: getattr(E, name) is member for name, member in E.__members__.items()})


@pytest.mark.parametrize("bases, head, old, new", CASES)
def test_a_value_is_compared_as_the_enum_module_makes_it(bases, head, old, new):
    E, owner = enumeration(bases, head, old), object()
    members = dict(E.__members__)
    for name, value in block(new).items():
        enum_members.add_member(owner, E, name, value)
    assert answers(E) == answers(enumeration(bases, head, old, new))
    take(owner)
    assert answers(E) == answers(enumeration(bases, head, old))
    assert all(E.__members__[name] is member for name, member in members.items())


@pytest.mark.parametrize("bases, head, old, new", CASES)
def test_a_patch_that_gives_the_same_members_again_has_the_same(bases, head, old, new):
    E, former, latter = enumeration(bases, head, old), object(), object()
    for owner in (former, latter):
        for name, value in block(new).items():
            enum_members.add_member(owner, E, name, value)
    take(former)
    assert answers(E) == answers(enumeration(bases, head, old, new))
    take(latter)
    assert answers(E) == answers(enumeration(bases, head, old))


def test_a_member_that_is_there_keeps_what_its_new_has_made():
    E, owner = enumeration("int, enum.Enum", LABELLED, "B = (2, 'y')"), object()
    enum_members.add_member(owner, E, "C", (3, "y"))
    for name, value in (("B", (2, "z")), ("B", (3, "y")), ("C", (3, "z")), ("C", (2, "y")), ("C", 3)):
        with pytest.raises(TypeError, match=f"the value of '{name}' can't be changed"):
            enum_members.add_member(object(), E, name, value)
    assert [(member.value, member.label) for member in E] == [(2, "y"), (3, "y")]
    take(owner)
    assert not enum_members._written


def test_a_member_of_the_enumeration_gets_another_name():
    E, owner = enumeration("int, enum.Enum", LABELLED, "B = (2, 'y')"), object()
    for value in (E.B, E.B, 2):
        enum_members.add_member(owner, E, "C", value)
    assert E.C is E.B and list(E) == [E.B]
    take(owner)
    assert list(E.__members__) == ["B"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")
def test_what_is_no_member_is_an_attribute_without_its_wrapper():
    E = enumeration("enum.Enum", "A = 1")
    assert not enum_members.is_member_name(E, "N", enum.nonmember(3))
    assert enum_members.unwrapped(E, enum.nonmember(3)) == 3 and enum_members.unwrapped(E, len) is len


def take(owner):
    overlays.take(owner)
    enum_members.forget_combinations(owner)


def test_a_name_for_a_value_that_new_makes_is_another_name_of_the_member():
    class E(int, enum.Enum):
        def __new__(cls, value, label):
            member = int.__new__(cls, value)
            member._value_, member.label = value, label
            return member
        B = (2, "y")

    owner, known = object(), E.B
    try:
        enum_members.add_member(owner, E, "C", (2, "y"))
        assert (E.C, E(2), list(E)) == (known, known, [known]) and E(2) is known
    finally:
        take(owner)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="complements are kept by their negative value from 3.11 on")
def test_a_negative_member_leaves_the_program_s_own_member_alone():
    class E(enum.IntFlag):
        R = 1

    E(-1)
    owner, known = object(), E.R
    enum_members.add_member(owner, E, "ALL", -1)
    take(owner)
    assert (known.name, known.value, E(1) is known) == ("R", 1, True)
