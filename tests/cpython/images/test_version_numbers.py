"""Version numbers: call sites that know a function object are right, and fast again, after its code was set."""
import dis
import os
import subprocess
import sys

import pytest

from klpfs.cpython import c_api
from klpfs.cpython.images import version_numbers
from klpfs.cpython.images.image import Image, capture, clone
from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks import attack_kit
from tests.cpython.programs import back, done, entry, make, new_image, switched


def specialised(function):
    """Names of the instructions that calls of Python functions in it have become."""
    return [i.opname for i in dis.get_instructions(function, adaptive=True) if i.opname.startswith("CALL")
            and "_PY_" in i.opname]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="call sites specialise from 3.11 on")
@pytest.mark.skipif(sys.version_info >= (3, 12) and not version_numbers.REPAIRS,
                    reason="this Python's version numbers can't be put right")
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


@pytest.mark.skipif(not version_numbers.REPAIRS, reason="no version numbers to put right before 3.12")
def test_without_the_repair_call_sites_do_not_come_back_or_numbers_collide(monkeypatch):
    """The counterpart: what CPython gives to a function whose code was set is none (3.13), or from another counter
    (3.12)."""
    d = make("def f(a): return {v}\ndef site(n):\n for i in range(n): f(i)")
    monkeypatch.setattr(version_numbers, "_write", None)
    site = d[0]["site"]
    t = Transition([entry(d[0]["f"], d[1]["f"])])
    t.install()
    t.start()
    assert done(t)
    site(20000)
    assert version_numbers.number_of(d[0]["f"]) != version_numbers.number_of_code(d[0]["f"].__code__)
    if sys.version_info >= (3, 13):
        assert not specialised(site)


@pytest.mark.skipif(not version_numbers.REPAIRS, reason="no version numbers to put right before 3.12")
def test_what_the_program_changed_gets_a_number_of_its_own(pair):
    """Defaults that the program sets in mid-transition make the code's number wrong for this function."""
    old, new = pair
    t = Transition([entry(old, new)])
    t.install()
    t.start()
    old.__defaults__ = None
    assert done(t)
    assert old.__defaults__ is None and version_numbers.number_of(old) not in (
        0,
        version_numbers.number_of_code(old.__code__),
    )


@pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="the two counters collide on 3.12 only")
def test_polymorphic_call_sites_with_defaults_survive():
    """Trap T0: one site, many functions whose code was switched often and fresh ones; without the repair it crashes."""
    program = r'''
from klpfs.cpython.images import image
from tests.cpython.programs import *
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
d = make("\n".join("def f%d(a, b=1, c=2): return {v}" % i for i in range(30)))
fs = [d[0]["f%d" % i] for i in range(30)]
images = [[image.capture(f) for f in fs], [new_image(d[1]["f%d" % i]) for i in range(30)]]
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
    parts = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    run = subprocess.run([sys.executable, "-c", program], stdout=-1, stderr=-2, timeout=60,
                         env=dict(os.environ, PYTHONPATH=os.pathsep.join((parts, os.path.join(parts, "tests")))))
    assert run.stdout.decode().strip() == "survived"


@pytest.mark.skipif(not version_numbers.REPAIRS, reason="no version numbers to put right before 3.12")
def test_a_clone_has_its_codes_number_unless_the_program_changed_what_the_code_does_not_say(pair):
    """As a freshly made function; with defaults that were set later a number of its own, or none where that would be an
    audit event."""
    old, new = pair
    made = new_image(new)
    assert version_numbers.number_of(clone(old, made)) == version_numbers.number_of_code(made.code)
    old(1)
    fresh = eval("lambda a=1: a")
    same = clone(fresh, capture(fresh))
    assert version_numbers.number_of(same) == version_numbers.number_of_code(fresh.__code__)
    changed = Image(fresh.__code__, capture(fresh).values, 0)
    numbers = {version_numbers.number_of(clone(fresh, changed)) for _ in range(5)}
    assert len(numbers) == (1 if c_api.LOUD else 5) and not numbers & {0, version_numbers.number_of_code(fresh.__code__)}


def test_a_clone_is_made_without_a_read_that_an_audit_hook_sees():
    """Its hook may call patched functions, for which a dispatcher makes clones."""
    program = r"""
import sys
from klpfs.cpython.images.image import capture, clone
def f(a, b=1, *, c=2): return a
image, seen, on = capture(f), [], []
sys.addaudithook(lambda event, args: on and event == "object.__getattr__" and seen.append(args[1]))
on.append(1)
clone(f, image)
on.clear()
print(seen)
"""
    assert attack_kit.outside(program + "#%r") == "[]"


BORN = r"""
import pathlib, sys, tempfile, types
from klpfs.cpython.switch.switching import Transition
from klpfs.engine.target import Change
from tests.cpython.programs import done, entry, make
from tests.programs import Program
program = Program(pathlib.Path(tempfile.mkdtemp()))
name = program.name("numbers")
module = program.module("def f(x=1, y=2): return 0, x, y\ndef mk():\n def inner(a=1, b=2): return 0, a, b\n return inner\ni = mk()", name)
loaded = program.load("def f(x=1, y=2): return 1, x, y\ndef inner(a=1, b=2): return 1, a, b\n"
                      "patch = Patch([Object(%r, [Func('f', f), Func('mk.<locals>.inner', inner)])])" % name)
changes = []
for obj in loaded.patch.objects:
    for func in obj.funcs:
        program.target.resolve(obj, func)
        changes.append(Change(func.definition, None, func))

def site(f): return f()

def change(changes):
    t = program.target.begin(changes)
    t.start(1)
    while t.look(): pass
    t.finish()

def called(f):
    try: return site(f)
    except TypeError: return "missing"
space = make("def f(x=1, y=2): return {v}, x, y")
meanwhile = Transition([entry(space[0]["f"], space[1]["f"])])
meanwhile.install()
meanwhile.start()
copy = types.FunctionType(space[0]["f"].__code__, space[0])
assert done(meanwhile)
for _ in range(3000): site(space[0]["f"])
print(called(space[0]["f"]), called(copy))
change(changes)
born, made = module.mk(), types.FunctionType(module.f.__code__, vars(module))
born.__defaults__ = None
change([Change(each.definition, each.after, None) for each in changes])
for first, second in (module.f, made), (module.i, born):
    for _ in range(3000): site(first)
    print(called(first), called(second))
"""


def test_a_function_whose_defaults_are_its_own_has_no_number_of_others():
    """Copies of a dispatcher's code, functions of new code: with the code's number CPython 3.12 would read defaults that
    are not there."""
    done = subprocess.run([sys.executable, "-c", BORN], stdout=-1, stderr=-2, timeout=60, env=dict(
        os.environ, PYTHONPATH=os.pathsep.join((attack_kit.PARTS, os.path.join(attack_kit.PARTS, "tests")))))
    assert done.stdout.decode().split("\n") == ["(1, 1, 2) missing", "(0, 1, 2) missing", "(0, 1, 2) missing", ""]
