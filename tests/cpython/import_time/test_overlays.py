"""Values over one another: each patch's goes when its patch goes, whatever lies above or below."""
import sys
from collections import OrderedDict

import pytest

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Contents, Field, Item, Member
from klpfs.cpython.lazy_imports import stand_in


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


lazily = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `lz_app` with a module `lz_app.part` that has the name `value`; neither is imported."""
    folder = tmp_path / "lz_app"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "part.py").write_text("value = object()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("lz_app", "lz_app.part"):
        sys.modules.pop(name, None)


IMPORTS = ["import lz_app as x", "import lz_app.part as x", "import lz_app.part", "from lz_app import part as x",
           "from lz_app.part import value as x"]


@lazily
@pytest.mark.parametrize("statement", IMPORTS)
def test_taking_back_imports_nothing(package, statement):
    """The program has bound the name itself, the patch's stand-in was never used."""
    space, owner = {"__name__": "app", "x": 1}, object()
    overlays.put(owner, Item(space, "x"), stand_in(statement, space))
    space["x"] = "mine"
    overlays.take(owner)
    assert space["x"] == "mine" and not [name for name in sys.modules if name.startswith("lz_app")]


@lazily
@pytest.mark.parametrize("statement", IMPORTS)
def test_a_stand_in_that_was_used_goes_with_its_patch(package, statement):
    """And what the program binds then is its own, be it the package of what the patch has imported."""
    space, owner = {"__name__": "app", "x": 1}, object()
    overlays.put(owner, Item(space, "x"), stand_in(statement, space))
    space["x"] = dict.get(space, "x").resolve()
    overlays.take(owner)
    assert space["x"] == 1
    overlays.put(owner, Item(space, "x"), stand_in(statement, space))
    other = sys.modules["lz_app"] if " as x" in statement and "lz_app as" not in statement else sys
    space["x"] = other
    overlays.take(owner)
    assert space["x"] is other


@lazily
def test_a_stand_in_for_nothing_is_not_its_module(package):
    space, owner = {"__name__": "app", "x": 1}, object()
    overlays.put(owner, Item(space, "x"), stand_in("from lz_app import missing as x", space))
    import lz_app
    space["x"] = lz_app
    overlays.take(owner)
    assert space["x"] is lz_app


class Sorted(dict):
    """A dict with more than its items: as packages of sorted tables have it."""

    def __init__(self, *args):
        dict.__init__(self, *args)
        self.order = sorted(self)

    def __setitem__(self, key, value):
        if key not in self:
            self.order = sorted([*self.order, key])
        dict.__setitem__(self, key, value)

    def __delitem__(self, key):
        dict.__delitem__(self, key)
        self.order.remove(key)


def test_a_dicts_own_methods_keep_what_it_has_beside_its_items():
    table, owner = Sorted({"b": 1}), object()
    overlays.put(owner, Item(table, "a"), 2)
    assert table.order == ["a", "b"]
    overlays.put(owner, Item(table, "b"), ABSENT)
    assert table.order == ["a"]
    overlays.take(owner)
    assert table == {"b": 1} and table.order == ["b"]


def test_a_dicts_own_methods_can_neither_change_a_value_nor_refuse():
    class Doubling(dict):
        def __setitem__(self, key, value):
            dict.__setitem__(self, key, value * 2)

    class Once(dict):
        def __setitem__(self, key, value):
            raise KeyError("it is there")
        __delitem__ = None
    for kind in (Doubling, Once):
        table, owner = kind({"a": 1, "b": 2}), object()
        overlays.put(owner, Item(table, "a"), 3)
        overlays.put(owner, Item(table, "b"), ABSENT)
        assert table == {"a": 3}
        overlays.take(owner)
        assert table == {"a": 1, "b": 2}


def test_an_ordered_dict_has_what_is_put_in():
    table, owner = type("Mine", (OrderedDict,), {})(a=1, b=2), object()
    overlays.put(owner, Item(table, "c"), 3)
    overlays.put(owner, Item(table, "a"), ABSENT)
    assert list(table.items()) == [("b", 2), ("c", 3)]
    overlays.take(owner)
    assert list(table.items()) == [("b", 2), ("a", 1)]


def test_the_programs_own_key_is_there_again():
    class Name(str):
        __slots__ = ()
    name, owner = Name("a"), object()
    table = {name: 1}
    overlays.put(owner, Item(table, "a"), ABSENT)
    overlays.take(owner)
    assert next(iter(table)) is name


def test_what_is_there_already_is_noted_and_not_touched():
    """Who put it there has done all that belongs to it."""
    class Told(dict):
        def __setitem__(self, key, value):
            calls.append(key)
            dict.__setitem__(self, key, value)
    calls, owner, table = [], object(), Told(a=2, b=3)
    overlays.note(owner, Item(table, "a"), 1)
    assert not calls and list(table.items()) == [("a", 2), ("b", 3)]
    overlays.take(owner)
    assert calls == ["a"] and table == {"a": 1, "b": 3}
