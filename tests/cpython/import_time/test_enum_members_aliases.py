"""Members given to an enumeration whose values are made by `__new__` or a mixed-in type, and negative members."""
import enum
import sys

import pytest

from klpfs.cpython.import_time import enum_members, overlays


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
