"""Members that a patch gives to an enumeration: as the enum module would have made them, and gone afterwards."""
import sys

import pytest

from klpfs.cpython.import_time.enum_members import is_member_name

ENUMS = """
    from enum import Enum, Flag, IntEnum
    class Colour(Enum):
        RED = 1
        def shown(self): return self.name.lower()
    class Number(IntEnum):
        ONE = 1
    class Right(Flag):
        READ = 1
        WRITE = 2
    class Pair(Enum):
        A = (1, 2)
        def __init__(self, left, right): self.left, self.right = left, right
"""


def part(name, *lines):
    return f"def run(klp):\n global {name}\n class {name}(metaclass=klp.part):\n" + "".join(
        f"  {line}\n" for line in lines
    )


def test_a_member_comes_and_goes(module, livepatch):
    live = module(ENUMS)
    patch = livepatch(live, part("Colour", "BLUE = 2"))
    patch.enable()
    blue = live.Colour.BLUE
    assert isinstance(blue, live.Colour) and (blue.name, blue.value, blue.shown()) == ("BLUE", 2, "blue")
    assert live.Colour(2) is blue and live.Colour["BLUE"] is blue and list(live.Colour) == [live.Colour.RED, blue]
    patch.disable()
    assert list(live.Colour) == [live.Colour.RED] and not hasattr(live.Colour, "BLUE")
    with pytest.raises(ValueError):
        live.Colour(2)


def test_members_of_a_mixed_in_type_and_with_an_init(module, livepatch):
    live = module(ENUMS)
    number, pair = livepatch(live, part("Number", "TWO = 2")), livepatch(live, part("Pair", "B = (3, 4)"))
    number.enable()
    pair.enable()
    assert live.Number.TWO == 2 and live.Number.TWO + 1 == 3 and (live.Pair.B.left, live.Pair.B.right) == (3, 4)
    pair.disable()
    number.disable()


def test_a_name_for_a_value_that_has_one_is_an_alias(module, livepatch):
    live = module(ENUMS)
    patch = livepatch(live, part("Colour", "CRIMSON = 1"))
    patch.enable()
    assert live.Colour.CRIMSON is live.Colour.RED and list(live.Colour) == [live.Colour.RED]
    patch.disable()
    assert "CRIMSON" not in live.Colour.__members__


def test_a_value_that_can_not_be_hashed(module, livepatch):
    live = module(ENUMS)
    patch = livepatch(live, part("Colour", "MIXED = [1, 2]"))
    patch.enable()
    assert live.Colour([1, 2]) is live.Colour.MIXED
    if sys.version_info >= (3, 13):
        assert [1, 2] in live.Colour
    patch.disable()
    assert not hasattr(live.Colour, "MIXED")
    with pytest.raises(ValueError):
        live.Colour([1, 2])
    if sys.version_info >= (3, 13):
        assert [1, 2] not in live.Colour


def test_a_member_gets_another_value_in_place(module, livepatch):
    """Who holds the member sees it, as with any attribute; it is found by its new value alone, at its old place."""
    live = module(ENUMS + "\n    class Size(Enum):\n        S = 1\n        M = 5\n")
    small = live.Size.S
    patch, again = livepatch(live, part("Size", "S = 3")), livepatch(live, part("Size", "S = 3"))
    patch.enable()
    assert live.Size.S is small is live.Size(3) and small.value == 3 and list(live.Size._value2member_map_) == [3, 5]
    with pytest.raises(ValueError):
        live.Size(1)
    if sys.version_info >= (3, 13):
        assert 3 in live.Size and 1 not in live.Size
    again.enable()
    patch.replaced()
    assert live.Size.S is small is live.Size(3) and small.value == 3 and list(live.Size._value2member_map_) == [3, 5]
    again.disable()
    assert live.Size(1) is live.Size.S is small and small.value == 1 and list(live.Size._value2member_map_) == [1, 5]
    if sys.version_info >= (3, 13):
        assert 1 in live.Size and 3 not in live.Size


@pytest.mark.parametrize("bases, head, old, new", [
    ("IntEnum", "pass", "A = 1", "A = 2"),                  # the member itself is the number
    ("Flag", "pass", "A = 1", "A = 2"), ("Enum", "B = 2", "A = 1", "A = 2"), ("Enum", "pass", "A = B = 1", "A = 2"),
    ("Enum", "def __init__(self, n): self.n = n", "A = 1", "A = 2"),
    ("Enum", "def __hash__(self): return hash(self.value)", "A = 1", "A = 2"), ("Enum", "pass", "A = 1", "A = []"),
])
def test_a_member_that_is_more_than_its_value_keeps_it(module, livepatch, bases, head, old, new):
    live = module(f"from enum import *\nclass E({bases}):\n    {head}\n    {old}\n")
    with pytest.raises(TypeError, match="enum E: the value of 'A' can't be changed while others hold the member"):
        livepatch(live, part("E", new)).enable()
    patch = livepatch(live, part("E", "A = 1"))
    patch.enable()
    assert live.E.A.value == 1
    patch.disable()


def test_a_flag_takes_part_in_combinations_and_complements(module, livepatch):
    """And is in none of them afterwards: what the enum module and members keep of them (3.11) is forgotten both
    times."""
    live = module(ENUMS)
    both, right = live.Right.READ | live.Right.WRITE, live.Right
    assert ~right.READ == right.WRITE
    patch = livepatch(live, part("Right", "RUN = 4"))
    patch.enable()
    every = right.READ | right.RUN
    assert every.value == 5 and right.RUN in every and right(4) is right.RUN
    assert right.RUN in ~right.READ and right.RUN in ~both
    patch.disable()
    assert ~right.READ == right.WRITE and (right.READ | right.WRITE).value == both.value == 3


def test_a_combination_of_flags_with_a_name_of_its_own(module, livepatch):
    """Iterating gives what it gives in an enumeration that was written so."""
    live = module(ENUMS)
    written = module(ENUMS.replace("WRITE = 2", "WRITE = 2\n        BOTH = 3")).Right
    patch = livepatch(live, part("Right", "BOTH = 3"))
    patch.enable()
    assert [flag.name for flag in live.Right] == [flag.name for flag in written]
    assert live.Right.READ | live.Right.WRITE is live.Right.BOTH and live.Right["BOTH"].value == 3
    patch.disable()
    assert [flag.name for flag in live.Right] == ["READ", "WRITE"] and not hasattr(live.Right, "BOTH")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")
def test_member_and_nonmember_are_wrappers_alone(module, livepatch):
    live = module(ENUMS + "    import enum\n")
    patch = livepatch(live, part("Colour", "BLUE = enum.member(2)", "LIMIT = enum.nonmember(3)"))
    patch.enable()
    assert live.Colour.BLUE.value == 2 and live.Colour.LIMIT == 3 and list(live.Colour.__members__) == ["RED", "BLUE"]
    patch.disable()
    assert list(live.Colour.__members__) == ["RED"] and not hasattr(live.Colour, "LIMIT")


def test_what_makes_a_member():
    from enum import Enum
    Colour = Enum("Colour", "RED")
    assert is_member_name(Colour, "BLUE", 2)
    assert not any(is_member_name(Colour, name, value) for name, value in (
        ("_x", 1), ("f", lambda self: 1), ("p", property()), ("s", staticmethod(len)), ("c", classmethod(len))))
    assert not is_member_name(int, "BLUE", 2)
