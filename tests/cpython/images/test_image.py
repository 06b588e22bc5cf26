"""What a function object holds: taken and put as a whole, the very objects; and call sites that are fast again."""
import dis
import gc
import subprocess
import sys
import types

import pytest

from klpfs.engine.error import KlpError
from klpfs.cpython.images import image
from klpfs.cpython.switch.switching import Entry, Transition
from tests.cpython.programs import back, done, entry, make

ATTRIBUTES = ("__code__", "__defaults__", "__kwdefaults__", "__annotations__", "__doc__", "__closure__", "__globals__",
              "__name__", "__qualname__", "__module__")


def f(a: int, b=2, *, c=3) -> str:
    "of f"
    return a, b, c


def g(a: str, b=4, *, c=5, d=6) -> int:
    "of g"
    return a, b, c, d, "new"


@pytest.fixture
def pair():
    """(a function, another one), fresh copies of f and g."""
    found = []
    for of in (f, g):
        made = types.FunctionType(of.__code__, globals(), of.__name__, of.__defaults__)
        made.__kwdefaults__, made.__annotations__, made.__doc__ = dict(of.__kwdefaults__), dict(of.__annotations__), of.__doc__
        found.append(made)
    return found


def switched(function, new):
    t = Transition([entry(function, new)])
    t.install()
    t.start()
    assert done(t)
    return t


def test_all_attributes_go_together(pair):
    """Code, defaults, keyword defaults, annotations and docstring are the new function's."""
    old, new = pair
    switched(old, new)
    assert old(1) == (1, 4, 5, 6, "new")
    for name in ("__defaults__", "__kwdefaults__", "__annotations__", "__doc__"):
        assert getattr(old, name) is getattr(new, name)
    assert old.__name__ == "f"


def test_a_full_revert_gives_the_very_same_objects_back(pair):
    """Also the version number, by which CPython's specialised call sites know the function."""
    old, new = pair

    def site():
        for i in range(100):
            old(1)
    site()
    was, number = [getattr(old, name) for name in ATTRIBUTES], image.number(old)
    t = switched(old, new)
    t = back(t)
    t.install()
    t.start()
    assert done(t)
    assert [a is b for a, b in zip(was, [getattr(old, name) for name in ATTRIBUTES])] == [True] * len(ATTRIBUTES)
    assert image.number(old) == number
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
    a, b = image.new_version(new), image.new_version(new)
    codes = [id(c) for made in (a, b) for c in image.body_codes(made.code)]
    assert len(codes) == len(set(codes)) and len(codes) >= 4
    assert id(new.__code__) not in codes


def test_an_awaitable_generator_stays_one():
    """types.coroutine marks the code; new code, written without the decorator, is marked as well."""
    @types.coroutine
    def old():
        yield

    def new():
        yield
    assert image.new_version(new, old.__code__).code.co_flags & image.ITERABLE_COROUTINE
    switched(old, new)

    async def user():
        await old()
    user().send(None)


def specialised(function):
    """Names of the instructions that calls of Python functions in it have become."""
    return [i.opname for i in dis.get_instructions(function, adaptive=True) if i.opname.startswith("CALL") and "_PY_" in i.opname]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="call sites specialise from 3.11 on")
@pytest.mark.skipif(image.NEEDS_REPAIR and not image.REPAIRS, reason="this Python's version numbers can't be put right")
def test_call_sites_are_specialised_again():
    """After a transition, and after its revert, a call site becomes what it was: CALL_PY_EXACT_ARGS and the like."""
    d = make("def f(a): return {v}\ndef site(n):\n for i in range(n): f(i)")
    space, site = d[0], d[0]["site"]
    site(2000)
    expected = specialised(site)
    assert expected
    t = switched(space["f"], d[1]["f"])
    site(20000)
    assert specialised(site) == expected
    t = back(t)
    t.install()
    t.start()
    assert done(t)
    site(20000)
    assert specialised(site) == expected


@pytest.mark.skipif(not image.REPAIRS, reason="no version numbers to put right before 3.12")
def test_without_the_repair_call_sites_do_not_come_back_or_numbers_collide(monkeypatch):
    """The counterpart: what CPython gives to a function whose code was set is none (3.13), or from another counter (3.12)."""
    d = make("def f(a): return {v}\ndef site(n):\n for i in range(n): f(i)")
    monkeypatch.setattr(image, "_write", None)
    site = d[0]["site"]
    t = Transition([entry(d[0]["f"], d[1]["f"])])
    t.install()
    t.start()
    assert done(t)
    site(20000)
    assert image.number(d[0]["f"]) != image._code_number(d[0]["f"].__code__)
    if sys.version_info >= (3, 13):
        assert not specialised(site)


@pytest.mark.skipif(not image.REPAIRS, reason="no version numbers to put right before 3.12")
def test_what_the_program_changed_gets_a_number_of_its_own(pair):
    """Defaults that the program sets in mid-transition make the code's number wrong for this function."""
    old, new = pair
    t = Transition([entry(old, new)])
    t.install()
    t.start()
    old.__defaults__ = None
    assert done(t)
    assert old.__defaults__ is None and image.number(old) not in (0, image._code_number(old.__code__))


@pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="the two counters collide on 3.12 only")
def test_polymorphic_call_sites_with_defaults_survive():
    """Trap T0: one site, many functions whose code was switched often and fresh ones; without the repair it crashes."""
    program = r'''
from klpfs.cpython.images import image
from tests.cpython.programs import *
from klpfs.cpython.switch.switching import Entry, Transition
d = make("\n".join("def f%d(a, b=1, c=2): return {v}" % i for i in range(30)))
fs = [d[0]["f%d" % i] for i in range(30)]
images = [[image.capture(f) for f in fs], [image.new_version(d[1]["f%d" % i]) for i in range(30)]]
def site(f): return f(1)
for turn in range(60):
    old, new = turn & 1, 1 - (turn & 1)
    t = Transition([Entry(f, images[old][i], images[new][i]) for i, f in enumerate(fs)])
    t.install(); t.start()
    assert done(t)
    fresh = [eval("lambda a: %d" % i) for i in range(40)]
    for _ in range(20):
        for f in fs: assert site(f) == new
        for f in fresh: site(f)
print("survived")
'''
    import os
    parts = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    run = subprocess.run([sys.executable, "-c", program], stdout=-1, stderr=-2, timeout=60,
                         env=dict(os.environ, PYTHONPATH=os.pathsep.join((parts, os.path.join(parts, "tests")))))
    assert run.stdout.decode().strip() == "survived"


def test_a_build_without_the_lock_is_refused(monkeypatch):
    """A free-threaded interpreter: one C call is not one moment there."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(KlpError) as error:
        Transition([])
    assert "without the global interpreter lock" in str(error.value)


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
    image.put(old, image.new_version(new), held)
    assert old.__doc__ == "mine" and old.__defaults__ is new.__defaults__
    assert Entry(old, held, held).older == ()


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
