"""The rewrite of global names in new code: the file's own are live, local names hide them, every way to bind one."""
import sys

import pytest

from tests.cpython.names_kit import patch


def test_own_state_is_one_and_live(program):
    """New functions, helpers, callbacks and parameters see one value, `global` included; the module's dict stays
    clean."""
    module = program.module("def f(): pass\ndef g(): pass")
    before = set(module.__dict__)
    found = patch(program, module, """
COUNT = 0
def helper():
    global COUNT
    COUNT += 10
def f():
    global COUNT
    COUNT += 1
    helper()
    return COUNT
def g():
    return COUNT
def pre(obj):
    return COUNT
""", "f", "g")
    assert (module.f(), module.g(), found.namespace["COUNT"]) == (11, 11, 11)
    found.namespace["COUNT"] = 5
    assert (module.g(), module.f(), found.namespace["pre"](None)) == (5, 16, 16)
    assert set(module.__dict__) == before


def test_module_globals_are_live(program):
    module = program.module("LIMIT = 1\ndef f(): pass")
    patch(program, module, "def f(): return LIMIT", "f")
    assert module.f() == 1
    module.LIMIT = 2
    assert module.f() == 2


def test_global_of_the_module_stores_in_the_module(program):
    module = program.module("N = 1\ndef f(): pass")
    patch(program, module, "def f():\n global N\n N += 1\n return N", "f")
    assert module.f() == 2 and module.N == 2


def test_every_binding_and_use_of_a_global(program):
    module = program.module("def f(): pass")
    found = patch(program, module, """
A = B = C = D = E = None
L = []
def f():
    global A, B, C, D, E
    A, (B, *C) = 1, (2, 3, 4)
    for D in range(3): pass
    with open("/dev/null") as E: pass
    E = None
    if (A := 7): L.append(A)
    A += 1
    del C
    C = [A for _ in range(2)]
    return A, B, C, D, E, L, [B + x for x in C], {A: B}, (lambda: A + B)()
""", "f")
    assert module.f() == (8, 2, [8, 8], 2, None, [7], [10, 10], {8: 2}, 10)
    assert found.namespace["A"] == 8


def test_local_names_hide_own_ones(program):
    module = program.module("def f(x): pass\nclass K: pass")
    patch(program, module, """
x = y = z = w = v = e = m = 'file'
def f(x):
    y = 1
    def inner(z):
        nonlocal y
        y += 1
        return x, y, z, w
    import os as v
    try: raise ValueError
    except ValueError as e: kind = type(e)
    class Local:
        m = 2
        def get(self): return m
    return inner(3), v.__name__, kind, [w for w in (5,)], Local.m, Local().get(), {m: m for m in (6,)}
""", "f")
    assert module.f(0) == ((0, 2, 3, "file"), "os", ValueError, [5], 2, "file", {6: 6})


# -- helpers


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is new in 3.10")
def test_match_statements(program):
    module = program.module("def f(x): pass")
    patch(program, module, """
POINT = 1
class Own:
    A = 'a'
def f(x):
    match x:
        case Own.A: return POINT
        case {'k': v, **rest}: return v, rest
        case [POINT_, *others]: return POINT_, others
        case other: return other
""", "f")
    assert [module.f(each) for each in ("a", {"k": 1, "l": 2}, [1, 2], 5)] == [1, (1, {"l": 2}), (1, [2]), 5]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters(program):
    module = program.module("def f[T](x: T) -> T:\n  return x\nclass C: pass")
    patch(program, module, "own = 1\ndef f[T: C](x: T) -> T:\n  return x, own", "f")
    assert module.f(1) == (1, 1) and module.f.__type_params__[0].__name__ == "T"


def test_private_names_of_the_file_in_class_blocks(program):
    """A name of the file that a method can only mean mangled."""
    module = program.module("class C:\n  def m(self): pass")
    patch(program, module, "_C__own = 7\nclass C:\n  def m(self): return __own", "C.m")
    assert module.C().m() == 7


# -- scopes, against the compiler's own analysis
