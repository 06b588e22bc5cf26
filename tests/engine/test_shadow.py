"""Shadow variables: by identity, with their object, constructed once."""
import errno
import gc
import threading
import weakref

import pytest

from klpfs import KlpError, shadow
from klpfs.engine.log import Log
from klpfs.testing import ManualClock, Sequencer


class Thing:
    """Equal to all others, which must not matter."""

    def __eq__(self, other):
        return True

    __hash__ = None


class Slots:
    __slots__ = ()


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """Nothing is left in the table, nor in the log of another test."""
    monkeypatch.setattr(shadow, "log", Log(ManualClock()))
    yield shadow._table
    for id in range(10):
        shadow.free_all(id)
    assert not shadow._table


def lines():
    return shadow.log.texts()


def code(attempt, *args, **kwargs):
    with pytest.raises(KlpError) as caught:
        attempt(*args, **kwargs)
    return caught.value.errno


def test_alloc_get_free():
    """A variable is there from its alloc to its free."""
    thing = Thing()
    assert shadow.get(thing, 1) is None
    assert shadow.alloc(thing, 1, None, "data") == "data" == shadow.get(thing, 1)
    assert shadow.get(thing, 2) is None and shadow.get(Thing(), 1) is None
    freed = []
    shadow.free(thing, 1, lambda obj, data: freed.append((obj is thing, data, shadow.get(obj, 1))))
    assert freed == [(True, "data", None)]
    shadow.free(thing, 1, lambda obj, data: freed.append("twice"))
    assert len(freed) == 1


def test_constructor():
    """Gets the object and ctor_data; what it returns is the data."""
    thing = Thing()
    data = shadow.alloc(thing, 1, lambda obj, number: [obj, number], 5)
    assert data[0] is thing and data[1] == 5 and shadow.get(thing, 1) is data
    shadow.free_all(1)


def test_second_alloc():
    """None and a warning; get_or_alloc gives what is there."""
    thing = Thing()
    shadow.alloc(thing, 1, None, "first")
    assert shadow.alloc(thing, 1, None, "second") is None
    assert lines() == ["livepatch: Duplicate shadow variable <%x, 1>" % id(thing)]
    assert shadow.get_or_alloc(thing, 1, lambda *args: pytest.fail("constructed twice")) == "first"


def test_constructor_fails():
    """Nothing is attached, one line, the error is the caller's; the next one may succeed."""
    thing = Thing()
    for error, number in ((ValueError("x"), errno.EINVAL), (OSError(errno.ENOMEM, "x"), errno.ENOMEM)):
        def ctor(obj, data):
            raise error
        with pytest.raises(type(error)):
            shadow.get_or_alloc(thing, 1, ctor)
        assert lines()[-1] == "livepatch: Failed to construct shadow variable <%x, 1> (%d)" % (id(thing), -number)
        assert shadow.get(thing, 1) is None and not shadow._table
    assert shadow.alloc(thing, 1, None, 7) == 7


@pytest.mark.parametrize("value", [None, True, 0, 10 ** 30, 1.5, 1j, "", "text", b"bytes", type("S", (str,), {})("x")])
def test_values_have_no_identity(value):
    """EINVAL: numbers, strings and None are shared, or made anew at will."""
    for attempt in (shadow.get, shadow.alloc, shadow.get_or_alloc, shadow.free):
        assert code(attempt, value, 1) == errno.EINVAL


def test_id_is_a_number():
    """EINVAL for anything else."""
    assert code(shadow.alloc, Thing(), "1") == errno.EINVAL
    assert code(shadow.get, Thing(), None) == errno.EINVAL


def test_goes_with_its_object():
    """And so does its data, in a cycle too."""
    thing, data = Thing(), type("Data", (), {})()
    gone = weakref.ref(data)
    shadow.alloc(thing, 1, None, data)
    del data
    thing.me = thing
    del thing
    gc.collect()
    assert gone() is None and not shadow._table


def test_object_without_weak_references_is_held():
    """Until its variable is freed."""
    thing = Slots()
    number = id(thing)
    shadow.alloc(thing, 1, None, "data")
    del thing
    gc.collect()
    freed = []
    shadow.free_all(1, lambda obj, data: freed.append((id(obj), data)))
    assert freed == [(number, "data")]


def test_free_all():
    """Of one id, of every object; a failing destructor does not keep the others."""
    things = [Thing() for _ in range(3)]
    for thing in things:
        shadow.alloc(thing, 1, None, "one")
        shadow.alloc(thing, 2, None, "two")
    freed = []

    def dtor(obj, data):
        freed.append(data)
        raise ValueError("x")

    with pytest.raises(ValueError):
        shadow.free_all(1, dtor)
    assert freed == ["one"] * 3
    assert [shadow.get(thing, 1) for thing in things] == [None] * 3
    assert [shadow.get(thing, 2) for thing in things] == ["two"] * 3


def test_constructor_of_the_same_variable():
    """EDEADLK when a constructor asks for what it constructs; another variable is fine."""
    thing, other = Thing(), Thing()
    seen = []

    def ctor(obj, data):
        seen.append((code(shadow.get_or_alloc, obj, 1), code(shadow.alloc, obj, 1), shadow.get(obj, 1)))
        shadow.free(obj, 1)
        return shadow.get_or_alloc(other, 1, None, "inner")

    assert shadow.get_or_alloc(thing, 1, ctor) == "inner" == shadow.get(thing, 1)
    assert seen == [(errno.EDEADLK, errno.EDEADLK, None)]


def in_thread(*work):
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_race_constructs_once():
    """Who comes second waits for the first one's constructor, and gets its data."""
    thing, seq, got = Thing(), Sequencer(), {}

    def ctor(obj, data):
        with seq(0):
            pass
        with seq(2):
            pass
        return "first's"

    def first():
        got["first"] = shadow.get_or_alloc(thing, 1, ctor)

    def second():
        with seq(1):
            got["get"] = shadow.get(thing, 1)  # not there yet
        got["second"] = shadow.get_or_alloc(thing, 1, lambda *args: "second's")

    in_thread(first, second)
    assert got == {"get": None, "first": "first's", "second": "first's"}


def test_race_after_a_failure():
    """The constructor failed: who waited constructs."""
    thing, seq, got = Thing(), Sequencer(), {}

    def ctor(obj, data):
        with seq(0):
            pass
        with seq(2):
            raise ValueError("x")

    def first():
        with pytest.raises(ValueError):
            shadow.get_or_alloc(thing, 1, ctor)

    def second():
        with seq(1):
            pass
        got["second"] = shadow.get_or_alloc(thing, 1, lambda *args: "second's")

    in_thread(first, second)
    assert shadow.get(thing, 1) == "second's" == got["second"]


def test_many_threads():
    """One constructor runs for each object, all get its data."""
    things = [Thing() for _ in range(50)]
    built, got = [], []

    def work():
        for thing in things:
            got.append(shadow.get_or_alloc(thing, 3, lambda obj, data: built.append(id(obj)) or object()))

    in_thread(*[work] * 8)
    assert len(built) == 50 and len(set(map(id, got))) == 50 and len(got) == 400


def test_free_in_a_race_frees_once():
    """Whoever gets it calls the destructor."""
    things = [Thing() for _ in range(200)]
    freed = []
    for thing in things:
        shadow.alloc(thing, 4, None, "data")

    def work():
        for thing in things:
            shadow.free(thing, 4, lambda obj, data: freed.append(id(obj)))
        shadow.free_all(4, lambda obj, data: freed.append(id(obj)))

    in_thread(*[work] * 4)
    assert sorted(freed) == sorted(map(id, things))


def test_fork_in_a_constructor():
    """In the child nobody waits for a constructor that another thread of the parent was running."""
    thing, seq, got = Thing(), Sequencer(), []

    def ctor(obj, data):
        with seq(0):
            pass
        with seq(2):
            pass
        return "parent's"

    def child():
        with seq(1):
            shadow.after_fork()
            got.append(shadow.get_or_alloc(thing, 1, None, "child's"))

    in_thread(lambda: shadow.get_or_alloc(thing, 1, ctor), child)
    assert got == ["child's"]
