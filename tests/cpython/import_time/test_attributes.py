"""Stand-ins for attributes that old objects lack or hold in another form."""
import gc
import weakref

import pytest

from klpfs.cpython.import_time.attributes import FirstUse, Form, Slot
from klpfs.engine import shadow


def put(cls, name, attribute):
    """Puts an attribute into a class as its class statement would have done."""
    setattr(cls, name, attribute)
    attribute.__set_name__(cls, name)


class TestFirstUse:
    class Server:
        pass

    def test_it_is_made_once_for_each_object(self):
        one, other = self.Server(), self.Server()
        put(self.Server, "queue", FirstUse(lambda self: [self]))
        assert one.queue is one.queue and one.queue == [one] and other.queue == [other]

    def test_what_an_object_has_itself_stays(self):
        one = self.Server()
        one.queue = 1
        put(self.Server, "queue", FirstUse(lambda self: 2))
        assert one.queue == 1

    def test_the_class_itself_has_none(self):
        put(self.Server, "queue", FirstUse(lambda self: 2))
        assert not hasattr(self.Server, "queue")


class Key:
    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n


class Weak:
    __slots__ = ("__weakref__",)


@pytest.fixture
def slot():
    made = Slot(lambda self: -1)
    yield made
    made.free()
    for owner in (Key, Weak):
        if "factor" in owner.__dict__:
            del owner.factor


class TestSlot:
    def test_old_objects_have_the_default_and_keep_what_is_set(self, slot):
        one, other = Key(1), Key(2)
        put(Key, "factor", slot)
        one.factor = 5
        assert (one.factor, other.factor) == (5, -1)
        one.factor = -1
        assert one.factor == -1

    def test_without_a_default_it_is_as_an_empty_slot(self):
        put(Key, "factor", Slot())
        try:
            one = Key(1)
            assert not hasattr(one, "factor")
            one.factor = 1
            del one.factor
            assert not hasattr(one, "factor")
            with pytest.raises(AttributeError):
                del one.factor
        finally:
            del Key.factor

    def test_nothing_is_kept_for_an_object_with_the_default(self, slot):
        put(Key, "factor", slot)
        before = len(shadow._table)
        one = Key(1)
        one.factor = -1
        assert len(shadow._table) == before

    def test_an_object_that_takes_weak_references_goes_when_nobody_has_it(self, slot):
        put(Weak, "factor", slot)
        one = Weak()
        one.factor = 5
        gone = weakref.ref(one)
        del one
        gc.collect()
        assert gone() is None

    def test_free_forgets_all_values(self, slot):
        put(Key, "factor", slot)
        one = Key(1)
        one.factor = 5
        slot.free()
        assert one.factor == -1


class Reader:
    def __init__(self, rest):
        self.rest = rest


class TestForm:
    @pytest.fixture(autouse=True)
    def form(self):
        Reader.klp_rest = Form("rest", [(0, b""), (2, b"\r\n")], part=True)
        yield
        del Reader.klp_rest

    @pytest.mark.parametrize("old, new", [(0, b""), (1, b"\n"), (2, b"\r\n")])
    def test_both_codes_see_their_own_form(self, old, new):
        one = Reader(old)
        assert one.klp_rest == new
        one.klp_rest = new
        assert one.rest == old and type(one.rest) is int

    @pytest.mark.parametrize("value", [3, -1, False, "x", None])
    def test_what_no_rule_names_is_the_same_in_both(self, value):
        one = Reader(value)
        assert one.klp_rest is value
        one.klp_rest = value
        assert one.rest is value
