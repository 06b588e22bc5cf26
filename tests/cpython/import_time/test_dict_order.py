"""The order of a dict's keys, changed in place."""
import collections.abc
import gc
import threading
from collections import OrderedDict, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.dict_order import can_be_moved, in_order, reorder
from klpfs.cpython.import_time.overlays import Item, Order
from klpfs.cpython.import_time.tables import merged

KEYS = st.one_of(st.integers(0, 5), st.text("ab", max_size=2), st.binary(max_size=1), st.none(),
                 st.tuples(st.integers(0, 2), st.text("a", max_size=1)))
TABLES = st.dictionaries(KEYS, st.integers(0, 2), max_size=7)


@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda table: defaultdict(int, table)])
def test_keys_come_in_the_order_and_others_stay_behind_those_that_they_follow(kind):
    table = kind({"/": 1, "mine": 2, "/admin": 3})
    reorder(table, ["/admin", "not there", "/"])
    assert list(table.items()) == [("/admin", 3), ("/", 1), ("mine", 2)]
    reorder(table, [])
    assert list(table) == ["/admin", "/", "mine"]


class Foreign(str):
    def __hash__(self):
        raise AssertionError("foreign code ran")


def test_keys_whose_hash_runs_code_stay_as_they_are():
    class Key:
        pass
    a, b = Key(), Key()
    table = {a: 1, b: 2}
    reorder(table, [b, a])
    assert list(table) == [a, b]
    assert not can_be_moved([Foreign("x")]) and not can_be_moved([("x", (Foreign("y"),))]) and can_be_moved([(1, ())])


def test_classes_and_functions_are_moved_but_for_those_of_a_metaclass_of_the_program_s():
    class Meta(type):
        def __hash__(cls):
            return 1

    class Made(metaclass=Meta):
        pass

    class Class:
        pass

    class Abstract(collections.abc.Sized):
        pass
    table = {object: 1, Class: 2, Abstract: 3, can_be_moved: 4}
    reorder(table, [can_be_moved, Abstract, Class])
    assert list(table) == [object, can_be_moved, Abstract, Class]
    assert not can_be_moved([Made])


def test_nobody_finds_a_key_missing():
    """Nor a collection, in which code of the program's may run."""
    table = {n: n for n in range(500)}
    missing, stop = [], threading.Event()

    def reads():
        while not stop.is_set():
            try:
                table[250], table[499]
            except KeyError as error:
                missing.append(error)

    def collected(phase, info):
        if len(table) != 500:
            missing.append(phase)
    thread = threading.Thread(target=reads)
    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    thread.start()
    try:
        for _ in range(100):
            reorder(table, list(table)[::-1])
    finally:
        stop.set()
        thread.join()
        gc.set_threshold(*before)
        gc.callbacks.remove(collected)
    assert missing == [] and gc.isenabled()


@settings(deadline=None)        # each looks through the heap for iterators
@given(TABLES, TABLES, TABLES)
def test_a_table_has_the_new_ones_order_and_gets_its_own_back(old, new, newest):
    """Whichever of two patches goes first, and though the program puts in an entry of its own."""
    for first, entry in ((0, False), (1, False), (0, True), (1, True)):
        table, owners = dict(old), [object(), object()]
        for owner, version in zip(owners, (new, newest)):
            for place, value in merged(table, dict(version)) or []:
                overlays.put(owner, place, value)
        assert repr(table) == repr(newest)
        if entry:
            table["mine"] = 1
        overlays.take(owners.pop(first))
        overlays.take(owners.pop())
        assert table.pop("mine", None) == (1 if entry else None)
        assert repr(table) == repr(old)


def test_an_order_that_the_program_has_changed_is_its_own():
    table, owner = {"a": 1, "b": 2, "c": 3}, object()
    overlays.put(owner, Order(table), ("c", "b", "a"))
    assert list(table) == ["c", "b", "a"]
    reorder(table, ("b", "c", "a"))
    overlays.take(owner)
    assert list(table) == ["b", "c", "a"]


def test_an_entry_that_the_program_has_put_behind_stays_behind():
    table, owner = {"a": 1, "mine": 3}, object()
    for place, value in merged(table, {"b": 2, "a": 1}, ()) or []:
        overlays.put(owner, place, value)
    assert list(table) == ["b", "a", "mine"]
    overlays.take(owner)
    assert list(table) == ["a", "mine"]


def test_what_stays_in_order_has_no_order_put_on_it():
    old = {"a": 1, "b": 2}
    assert [type(place) for place, _ in merged(old, {"a": 1, "b": 3, "c": 4})] == [Item, Item]
    assert [type(place) for place, _ in merged(old, {"b": 2, "a": 1})] == [Order, Order]
    assert [type(place) for place, _ in merged(old, {"b": 2})] == [Order, Item, Order]


def test_in_order():
    assert in_order("abcde", "dxb") == list("adebc") and in_order([], "a") == []


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("iterates", [iter, reversed, lambda table: iter(table.items()),
                                      lambda table: iter(table.values())])
def test_a_table_that_a_thread_iterates_over_stays_as_it_is(kind, iterates):
    table = kind([("a", 1), ("b", 2), ("c", 3)])
    under_way = iterates(table)
    next(under_way)
    with pytest.raises(RuntimeError, match="while a thread iterates"):
        reorder(table, ["c", "b", "a"])
    assert list(table) == ["a", "b", "c"]
    reorder(table, ["a", "b", "c"])
    del under_way
    reorder(table, ["c", "b", "a"])
    assert list(table) == ["c", "b", "a"] and gc.isenabled()


def test_key_objects_that_are_in_order_are_not_touched():
    table, under_way = {("a", 1): 1, ("b", 2): 2}, None
    under_way = iter(table)
    reorder(table, [tuple(["a", 1]), tuple(["b", 2])])
    assert next(under_way) == ("a", 1)
