"""Values over one another: each patch's goes when its patch goes, whatever lies above or below."""
from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Contents, Field, Item, Member


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


def test_a_second_value_of_an_owner_replaces_its_first_and_comes_to_the_top():
    space, one, two = {"x": 1}, object(), object()
    overlays.put(one, Item(space, "x"), 2)
    overlays.put(two, Item(space, "x"), 3)
    overlays.put(one, Item(space, "x"), 4)
    assert space == {"x": 4} and overlays.pairs(one) == [(overlays.pairs(one)[0][0], 3, 4)]
    overlays.take(one)
    assert space == {"x": 3}
    overlays.take(two)
    assert space == {"x": 1}


def test_what_is_left_is_the_programs_own():
    """leave(): nobody takes it away again."""
    space, one, two = {}, object(), object()
    overlays.put(one, Item(space, "x"), 2)
    overlays.put(two, Item(space, "x"), 3)
    overlays.leave(one, Item(space, "x"))
    overlays.take(one)
    assert space == {"x": 3}
    overlays.take(two)
    assert space == {"x": 2}
    overlays.leave(one, Item(space, "x"))
    assert not overlays.known(Item(space, "x"))


def test_places_that_can_not_be_set_are_errors_and_all_others_are_taken():
    class Stubborn(Item):
        def _set(self, value):
            raise TypeError("not now")
    space, owner = {"x": 1, "y": 1}, object()
    place = Stubborn(space, "y")
    overlays.put(owner, Item(space, "x"), 2)
    Item(space, "y").set(2)
    overlays._stacks[place.identity] = overlays._Stack(place)
    overlays._stacks[place.identity].values = [[None, 1], [owner, 2]]
    errors = overlays.take(owner)
    assert [str(error) for error in errors] == ["not now"] and space == {"x": 1, "y": 2}


def test_keys_that_are_equal_and_of_other_types_are_other_places():
    space = {}
    assert len({Item(space, key).identity for key in (1, 1.0, True, "1")}) == 4
    assert Item(space, 1).identity == Item(space, 1).identity != Item({}, 1).identity


def test_a_dict_that_says_something_else_of_itself_is_read_by_its_items():
    class Table(dict):
        def get(self, key, default=None):
            raise AssertionError("it is not asked")
    assert Item(Table(a=1), "a").get() == 1 and Item(Table(), "a").get() is ABSENT
