"""Defaults of new functions that the file cannot evaluate: unchanged, and evaluated in the patched module."""
import pytest

from klpfs.cpython.resolve.defaults import Later, defaults_by_name, has_open_defaults, unchanged
from klpfs.engine.target import Change
from tests.cpython.names_kit import patch, refused, resolved


def test_a_default_that_stays_what_it_was(program):
    module = program.module("D = object()\ndef f(a, b=D, *, c=2): return a, b, c")
    patch(program, module, """
from klpfs import unchanged
def f(a, b=unchanged, *, c=unchanged): return 'new', a, b, c""", "f")
    assert module.f(1) == ("new", 1, module.D, 2)


def test_a_default_that_is_evaluated_in_the_patched_module(program):
    """After the pre_patch callbacks: it may use what those add."""
    module = program.module("LIMIT = 1\ndef f(a=0): return a")
    found = program.load("""
from klpfs import later
LIMIT = 'the file'
def f(a=later(lambda: LIMIT), *, b=later(lambda: LIMIT + 1)): return a, b
patch = Patch([Object(%r, [Func('f', f)])])""" % module.__name__)
    resolved(program, found.patch.objects[0])
    module.LIMIT = 7
    func, = found.patch.objects[0].funcs
    program.target.apply([Change(func.definition, None, func)])
    assert module.f() == (7, 8)


def test_names_of_the_class_block_come_first(program):
    """As for a default that is written there."""
    module = program.module("""
        SIZE = 'module'
        OTHER = 2
        class C:
            SIZE = 'class'
            def m(self, size=None): return size
    """)
    patch(program, module, """
from klpfs import later
class C:
    def m(self, size=later(lambda: (SIZE, OTHER))): return size""", "C.m")
    assert module.C().m() == ("class", 2)


@pytest.mark.parametrize("default, why", [
    ("unchanged", "its parameter 'b' had no default that could stay unchanged"),
    ("later(lambda: nowhere)", "the default of 'b': NameError: name 'nowhere' is not defined")])
def test_a_default_that_cannot_be_had_refuses_the_patch(program, default, why):
    module = program.module("def f(a=1, *, b): return a")
    text = f"from klpfs import later, unchanged\ndef f(a=1, *, b={default}): return a"
    errno, line = refused(program, module, text, "f")
    assert errno == "EINVAL"
    assert line == f"livepatch: function 'f' in object '{module.__name__}' cannot be replaced: {why}"


@pytest.mark.parametrize("function", [len, lambda x: x, (lambda x: lambda: x)(1), None])
def test_what_later_takes(function):
    with pytest.raises(TypeError):
        Later(function)


LATER = Later(lambda: 1)


def test_defaults_that_are_no_values_yet():
    def f(a, b=unchanged): pass
    def g(a, *, b=LATER): pass
    def h(a, b=None, *, c=1): pass
    assert [has_open_defaults(each) for each in (f, g, h)] == [True, True, False]
    assert defaults_by_name(h) == {"b": None, "c": 1}
    assert (repr(unchanged), repr(LATER)) == ("unchanged", "later(...)")
