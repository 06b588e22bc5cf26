"""Members given to an enumeration: afterwards it answers as the new version's own would, and without them as before."""
import enum
import sys
import textwrap

import pytest

from klpfs.cpython.import_time import enum_members, overlays

FLAGS, BOUNDARIES = ("Flag", "IntFlag"), ("KEEP", "CONFORM", "EJECT", "STRICT") if sys.version_info >= (3, 11) else ()
CASES = [       # (kind, members, new members)
    ("Enum", "X = 2", "Y = 'a'\nZ = 2"),
    ("Enum", "X = 2", "Y = [1]\nZ = {1}"),
    ("Enum", "X = [1]\nW = 3", "Y = [1]\nZ = [2]"),
    ("Enum", "X = 2", "Y = (1, 2)"),
    ("IntEnum", "X = 2", "Y = 1\nZ = 2"),
    *((kind, "X = 2", new) for kind in FLAGS for new in (
        "Y = 1", "XY = 3", "Y = 4\nXY = 6", "Z = 0", "Z = 8\nT = 13", "Y = 1\nZ = 9", "XY = 6\nY = 4")),
    *(("IntFlag", old, "ALL = -1") for old in ("X = 1", "X = 1\nY = 2", "X = 4")),
    *((kind, "X = 1\nY = 2", "NOTX = -2\nZ = 8") for kind in FLAGS if enum_members._INVERTS),
    *((kind, "X = 4\nY = 1", "Z = 2") for kind in FLAGS),
    *((kind, "A = 1\nB = 2\nAB = 3", "Z = 4\nABZ = 7\nN = 0") for kind in FLAGS),
    *((f"IntFlag, boundary=enum.{boundary}", "X = 2", new) for boundary in BOUNDARIES
      for new in ("Y = 12", "Y = 4\nZ = 1")),
]
REPLACED = [    # (members of a patch, those of the patch that replaces it)
    ("Y = 2", "Y = 2"), ("Y = 2", "Y = 2\nZ = 4"), ("Y = 2\nW = 8", "Y = 2\nZ = 4"), ("Y = 2", "Z = 4"),
    ("Y = 2", "Y = 2\nB = 2\nN = 0"), ("W = 2\nN = 0", "N = 0\nZ = 4\nXZ = 5"),
]
KEPT = ("_flag_mask_", "_singles_mask_", "_all_bits_", "_unhashable_values_", "_unhashable_values_map_",
        "_hashable_values_")
ASKED = [
    "len(E)", "list(E)", "list(reversed(E))", "list(E.__members__)", "E._member_names_", "dir(E)", "sorted(vars(E))",
    "[repr(member) for member in E.__members__.values()]", "[vars(member)['_value_'] for member in E]",
    "[member.__reduce_ex__(2) for member in E]", "E([1])", "E([2])", "E('a')", "E['Y']", "E.X | E.Y",
    "getattr(E, '_iter_member_', len).__name__", *(f"getattr(E, '{name}', None)" for name in KEPT),
    *(f"{value} in E" for value in ("[1]", "[2]", "'a'")),
    *(text.format(number) for number in range(-17, 18)
      for text in ("repr(E({}))", "E({}).name", "list(E({}))", "{} in E", "~E({})")),
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")      # of `value in E`, before 3.12


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    overlays._stacks.clear()


def enumeration(kind, *blocks):
    space = {"__name__": "m", "enum": enum}
    exec(f"class E(enum.{kind}):\n" + textwrap.indent("\n".join(blocks), "    "), space)
    return space["E"]


def answers(E):
    """Of an enumeration that knows its combinations: `list` of an IntFlag shows None for those that it doesn't."""
    combinations(E)
    found = {}
    for text in ASKED:
        try:
            found[text] = repr(eval(text, {"E": E}))
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            found[text] = type(e).__name__
    return found


def give(owner, E, block):
    space = {}
    exec(block, space)
    del space["__builtins__"]
    for name, value in space.items():
        enum_members.add_member(owner, E, name, value, space.items())


def take(owner):
    overlays.take(owner)
    enum_members.forget_combinations(owner)


def combinations(E):
    """{value: what the enumeration keeps for it}, their complements asked for."""
    made = {}
    for value in range(32) if issubclass(E, enum.Flag) else ():
        try:
            made[value] = E(value)
            ~made[value]
        except ValueError:
            pass
    return {value: member for value, member in made.items()
            if isinstance(member, E) and member.value == value and E(value) is member}


@pytest.mark.parametrize("kind, old, new", CASES, ids=lambda text: text.replace("\n", "; "))
def test_it_answers_as_the_new_version_s_own_and_as_before_without_them(kind, old, new):
    E, owner = enumeration(kind, old), object()
    held = combinations(E)
    give(owner, E, new)
    assert answers(E) == answers(enumeration(kind, old, new))
    for value, member in held.items():         # the program may have them anywhere, and compare them by identity
        assert E(value) is member
    take(owner)
    assert answers(E) == answers(enumeration(kind, old))
    for value, member in held.items():
        assert E(value) is member


@pytest.mark.parametrize("kind", ["Enum", "IntEnum", "Flag", "IntFlag"])
@pytest.mark.parametrize("former, latter", REPLACED)
def test_a_patch_that_replaces_another_has_its_own_members_alone(kind, former, latter):
    E, one, two = enumeration(kind, "X = 1"), object(), object()
    give(one, E, former)
    kept = E.Y if "Y" in former and "Y" in latter else None
    give(two, E, latter)
    take(one)
    assert answers(E) == answers(enumeration(kind, "X = 1", latter)) and (kept is None or E.Y is kept)
    take(two)
    assert answers(E) == answers(enumeration(kind, "X = 1"))


@pytest.mark.skipif(not enum_members._INVERTS, reason="a negative value of a Flag stays (before 3.15)")
def test_a_negative_value_that_depends_on_another_patch_is_refused():
    E, one, two = enumeration("IntFlag", "X = 1"), object(), object()
    give(one, E, "Z = 8")
    with pytest.raises(TypeError, match="the value of 'ALL' depends on members of another patch"):
        give(two, E, "ALL = -1")
    take(one)
    assert answers(E) == answers(enumeration("IntFlag", "X = 1"))
