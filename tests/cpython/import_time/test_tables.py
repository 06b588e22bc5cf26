"""Tables changed in place: what makes an old table like a new one, and when two values are the same."""
import re
import subprocess
import sys
from collections import OrderedDict, defaultdict

import pytest

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.tables import equal, is_data, merged


def become(old, new, gone=None):
    """The old table with the changes made, and taken back afterwards."""
    before, owner = type(old)(old) if type(old) is not defaultdict else old.copy(), object()
    for place, value in merged(old, new, gone):
        overlays.put(owner, place, value)
    result = old.copy()
    overlays.take(owner)
    assert old == before
    return result


@pytest.mark.parametrize("old, new", [
    ({"a": 1, "b": 2}, {"a": 1, "c": 3}), (OrderedDict(a=1), OrderedDict(b=2)),
    (defaultdict(int, a=1), defaultdict(int, a=2)), ({1, 2}, {2, 3}), ([1, 2], [3]), ([], [1])])
def test_a_table_becomes_the_new_one_in_place(old, new):
    assert become(old, new) == new


def test_only_keys_that_the_new_version_dropped_go():
    """All other keys that the new table has not are entries of the program's own."""
    assert become({"a": 1, "b": 2, "mine": 3}, {"a": 1}, ["b", "never there"]) == {"a": 1, "mine": 3}
    assert become({1, 2, 3}, {1}, [2, 9]) == {1, 3}
    assert become({"a": 1, "b": 2}, {"a": 1, "b": 5}, ["b"]) == {"a": 1, "b": 5}, (
        "it is there again, with another value"
    )


@pytest.mark.parametrize("old, new", [({"a": 1}, {"a": 1}), ([1], [1]), ({1}, {1}), ((1, 2), (1, 2)), (1, 1),
                                      ("x", "x")])
def test_equal_values_need_no_change(old, new):
    assert merged(old, new) == []


@pytest.mark.parametrize("old, new", [(1, 2), ((1,), (2,)), ({"a": 1}, [1]), (1, True), (object(), object())])
def test_what_is_no_table_or_another_kind_of_table_is_rebound(old, new):
    assert merged(old, new) is None


class Foreign:
    def __eq__(self, other):
        raise AssertionError("foreign code ran")

    __hash__ = object.__hash__


@pytest.mark.parametrize("a, b, same", [
    (1, 1, True), (1, True, False), (1.0, 1, False), (0.0, -0.0, False), (float("nan"), float("nan"), False),
    ((1, "a"), (1, "a"), True), ((1,), (1.0,), False), ([1, [2]], [1, [2]], True),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False), ({"a": [1]}, {"a": [1]}, True), ({1, 2}, {2, 1}, True),
    (frozenset("ab"), frozenset("ba"), True), (re.compile("a"), re.compile("a"), True),
    (re.compile("a"), re.compile("a", re.I), False), (re.compile("a"), re.compile(b"a"), False), (None, None, True),
    ({1: 1}, {True: 1}, False), ({1}, {True}, False), ({"a": 1}, {b"a": 1}, False), ({"a"}, {b"a"}, False)])
def test_equal(a, b, same):
    """As far as can be told without running foreign code: type, value, order of a dict's keys."""
    assert equal(a, b) is same


@pytest.mark.parametrize("value, other", [("{'a': 1}", "{b'a': 1}"), ("{'a'}", "{b'a'}"), ("('a',)", "(b'a',)"),
                                          ("re.compile('a')", "re.compile(b'a')")])
def test_bytes_are_never_compared_with_str(value, other):
    """Python warns of it under -b."""
    code = f"import re; from klpfs.cpython.import_time.tables import equal; print(equal({value}, {other}))"
    done = subprocess.run([sys.executable, "-bb", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="frozendict is new in 3.15")
def test_frozen_dicts_are_data_and_are_rebound():
    frozen = __builtins__["frozendict"]
    assert is_data(frozen()) and merged(frozen(a=1), frozen(a=1)) == [] and merged(frozen(a=1), frozen(a=2)) is None
    assert merged({"a": 1}, frozen(a=1)) is None and not equal(frozen({Foreign(): 1}), frozen({Foreign(): 1}))
    assert equal((frozen(a=[1]),), (frozen(a=[1]),)) and not equal(frozen(a=1), frozen(a=True))


def test_objects_are_equal_to_themselves_alone_and_are_not_asked():
    one = Foreign()
    assert equal(one, one) and not equal(one, Foreign()) and not equal([Foreign()], [Foreign()])
    assert not equal({one: 1}, {one: 1}), "its hash may be foreign code"


def test_data_says_all_about_itself():
    assert all(map(is_data, (1, "a", None, ..., (1,), [Foreign()], {}, {1}, frozenset(), re.compile("a"),
                             OrderedDict())))
    assert not any(map(is_data, (Foreign(), Foreign, len, object(), iter(()))))


def test_sets_are_not_compared_where_a_member_of_either_could_run_code():
    class Odd:
        def __hash__(self):
            return hash("a")
        def __eq__(self, other):
            raise ZeroDivisionError
    assert equal({"a"}, {"a"}) and not equal({"a"}, {Odd()}) and not equal({Odd()}, {"a"})
