"""Values over one another: each patch's goes when its patch goes, whatever lies above or below."""
import pytest

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Contents, Field, Item, Member


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    assert not overlays._stacks


def test_the_top_goes_and_what_was_below_is_there_again():
    space, one, two = {"x": 1}, object(), object()
    overlays.put(one, Item(space, "x"), 2)
    overlays.put(two, Item(space, "x"), 3)
    overlays.take(two)
    assert space == {"x": 2}
    overlays.take(one)
    assert space == {"x": 1}


def test_what_goes_from_the_middle_changes_nothing():
    space, one, two = {}, object(), object()
    overlays.put(one, Item(space, "x"), 2)
    overlays.put(two, Item(space, "x"), 3)
    overlays.take(one)
    assert space == {"x": 3}
    overlays.take(two)
    assert space == {}


def test_what_the_program_has_set_is_its_own():
    space, one, two = {"x": 1}, object(), object()
    overlays.put(one, Item(space, "x"), 2)
    space["x"] = "mine"
    overlays.put(two, Item(space, "x"), 3)
    overlays.take(two)
    assert space == {"x": "mine"}
    overlays.take(one)
    assert space["x"] in ("mine", 1)
    overlays.put(one, Item(space, "y"), 2)
    space["y"] = "mine"
    overlays.take(one)
    assert space["y"] == "mine"


class Meta(type):
    def __setattr__(cls, name, value):
        raise AssertionError("the metaclass is not asked")


class Plain(metaclass=Meta):
    x = 1


def test_every_kind_of_place():
    owner, held, members = object(), [1, 2], {1}
    obj = type("Obj", (), {})()
    overlays.put(owner, Attribute(Plain, "x"), 2)
    overlays.put(owner, Attribute(Plain, "y"), 3)
    overlays.put(owner, Contents(held), [3])
    overlays.put(owner, Member(members, 1), ABSENT)
    overlays.put(owner, Member(members, 2), True)
    overlays.put(owner, Field(obj, "z"), 4)
    assert (Plain.x, Plain.y, held, members, obj.z) == (2, 3, [3], {2}, 4)
    overlays.take(owner)
    assert (Plain.x, hasattr(Plain, "y"), held, members, hasattr(obj, "z")) == (1, False, [1, 2], {1}, False)


def test_noting_what_is_there_already():
    space, owner = {"x": 2}, object()
    overlays.note(owner, Item(space, "x"), 1)
    assert space == {"x": 2}
    overlays.take(owner)
    assert space == {"x": 1}
