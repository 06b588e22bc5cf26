"""Images: what a function object holds is taken and put as a whole, the very objects."""
import gc
import sys
import types

import pytest

from klpfs.cpython import raw
from klpfs.cpython.images import image, version_numbers
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from klpfs.engine.error import KlpError
from tests.cpython.programs import back, done, new_image, switched

ATTRIBUTES = ("__code__", "__defaults__", "__kwdefaults__", "__annotations__", "__doc__", "__closure__", "__globals__",
              "__name__", "__qualname__", "__module__")


def test_all_attributes_go_together(pair):
    """Code, defaults, keyword defaults, annotations and docstring are the new function's."""
    old, new = pair
    switched(old, new)
    assert old(1) == (1, 4, 5, 6, "new")
    for name in ("__defaults__", "__kwdefaults__", "__annotations__", "__doc__"):
        assert getattr(old, name) is getattr(new, name)
    assert old.__name__ == "f"


def test_a_full_revert_gives_the_very_same_objects_back(pair):
    """The version number, by which CPython's specialised call sites know the function, comes back, too."""
    old, new = pair

    def site():
        for i in range(100):
            old(1)
    site()
    was, number = [getattr(old, name) for name in ATTRIBUTES], version_numbers.number_of(old)
    t = switched(old, new)
    t = back(t)
    t.install()
    t.start()
    assert done(t)
    assert [a is b for a, b in zip(was, [getattr(old, name) for name in ATTRIBUTES])] == [True] * len(ATTRIBUTES)
    assert version_numbers.number_of(old) == number
    assert old(1) == (1, 2, 3)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are 3.12's")
def test_type_parameters_are_part_of_it():
    space = {}
    exec("def f[T](a: T): return 0\ndef g[S, U](a: U): return 1", space)
    was = space["f"].__type_params__
    t = switched(space["f"], space["g"])
    assert space["f"].__type_params__ is space["g"].__type_params__
    t = back(t)
    t.install()
    t.start()
    assert done(t) and space["f"].__type_params__ is was


def test_new_code_is_a_versions_own():
    """Two versions made of one function share no code object, nor do their generator expressions."""
    def new(x):
        return list(i for i in x)
    a, b = new_image(new), new_image(new)
    codes = [id(c) for made in (a, b) for c in raw.body_codes(made.code)]
    assert len(codes) == len(set(codes)) and len(codes) >= 4
    assert id(new.__code__) not in codes


def test_an_awaitable_generator_stays_one():
    """types.coroutine marks the code; new code, written without the decorator, is marked as well."""
    @types.coroutine
    def old():
        yield

    def new():
        yield
    assert new_image(new, old.__code__).code.co_flags & raw.ITERABLE_COROUTINE
    switched(old, new)

    async def user():
        await old()
    user().send(None)


@pytest.mark.parametrize("locked", [False, True])
def test_a_free_threaded_build_is_refused(monkeypatch, locked):
    """One C call is not one moment there; and with the lock on (PYTHON_GIL=1) counts of references are no proof."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: locked, raising=False)
    monkeypatch.setattr(image, "FREE_THREADED", True)
    with pytest.raises(KlpError) as error:
        Transition([])
    assert "free-threaded build" in str(error.value)


def test_a_patched_function_can_die(pair):
    """Nothing keeps a function object alive once its transition is over."""
    import weakref
    old, new = pair
    t = switched(old, new)
    alive = weakref.ref(old)
    del old, t
    pair.clear()
    gc.collect()
    assert alive() is None


def test_put_tells_the_programs_own_values(pair):
    """An attribute that is neither the old image's nor the new one's was set by the program: it stays."""
    old, new = pair
    held = image.capture(old)
    old.__doc__ = "mine"
    image.put(old, new_image(new), held)
    assert old.__doc__ == "mine" and old.__defaults__ is new.__defaults__
    assert Entry(old, held, held).older == {}


def test_code_that_needs_more_room_waits_for_a_collection_to_end(monkeypatch):
    """3.10 makes a call's frame for the code from before a collection, and runs the one from after it in that frame."""
    def small():
        return 1

    def large():
        return [1, 2, 3, 4, 5], {"a": 1, "b": 2}, max(1, 2, 3, 4, 5, 6, 7, 8)
    tries = []

    def exchange(function, code):
        tries.append(code)
        if len(tries) > 2:
            function.__code__ = code
        return len(tries) > 2
    monkeypatch.setattr(image, "READS_TWICE", True)
    monkeypatch.setattr(image, "exchange_code", exchange)
    code, less = large.__code__.replace(), small.__code__.replace()
    image.put_code(small, code)
    assert tries == [code] * 3 and small.__code__ is code
    image.put_code(small, less)
    assert len(tries) == 3 and small.__code__ is less
