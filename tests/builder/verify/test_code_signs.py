"""Signs of codes: what is the same function, however it was compiled, and what is not."""
import types

import pytest

from klpfs.builder.verify.code_signs import CodeSigns


def code(text, name="f"):
    space = {}
    exec(compile(text, "<test>", "exec", dont_inherit=True), space)
    return space[name].__code__


def signs(*texts):
    made = CodeSigns()
    return [(made.exact(each), made.loose(each), made.own(each)) for each in map(code, texts)]


@pytest.mark.parametrize("one, other", [
    ("def f(x): return x + 1", "\n\n# later\ndef f(x):\n    return x + 1"),
    ("def f(): return (1, 'a', frozenset((1, 2)))", "def f(): return (1, 'a', frozenset((1, 2)))"),
])
def test_lines_do_not_count(one, other):
    first, second = signs(one, other)
    assert first == second


@pytest.mark.parametrize("one, other", [
    ("def f(x):\n    yield 0\n    yield x", "def f(x):\n    'said'\n    yield 0\n    yield x"),
    ("def f(x):\n    'said'\n    return [0, x]", "def f(x):\n    'otherwise'\n    return [0, x]"),
    ("def f(x):\n    return 'a' + x, 'b'", "def f(x):\n    if False: ('b',)\n    return 'a' + x, 'b'"),
])
def test_loose_does_not_mind_other_constants(one, other):
    (_, first, _), (_, second, _) = signs(one, other)
    assert first == second


@pytest.mark.parametrize("one, other", [
    ("def f(x): return x < 1", "def f(x): return x <= 1"),
    ("def f(x): return x + 1", "def f(x): return x - 1"),
    ("def f(x): return x.a", "def f(x): return x.b"),
    ("def f(x): return A", "def f(x): return B"),
    ("def f(x): return 1", "def f(x): return 2"),
    ("def f(x): return 300", "def f(x): return 301"),
    ("def f(x): return 'a'", "def f(x): return b'a'"),
    ("def f(x): return 1", "def f(x): return True"),
    ("def f(x): return 0.0", "def f(x): return -0.0"),
    ("def f(x, y): return x", "def f(x, y): return y"),
    ("def f(x): return x", "def f(*x): return x"),
    ("def f(x): return x", "async def f(x): return x"),
    ("def f(x): return x", "def f(x): yield x"),
    ("def f(x, y): return y, x", "def f(x, y): return x, y"),
    ("def f(x):\n    def g(): return 1\n    return g", "def f(x):\n    def g(): return 2\n    return g"),
    ("def f(x): return x and 1", "def f(x): return x or 1"),
    ("def f(x): return x is None", "def f(x): return x is not None"),
    ("def f(x): return x in y", "def f(x): return x not in y"),
])
def test_what_a_function_does_counts(one, other):
    first, second = signs(one, other)
    assert first[0] != second[0] and first[1] != second[1]


def test_own_leaves_out_the_functions_in_it():
    first, second, third = signs("def f(x):\n    def g(): return 1\n    return g, x",
                                 "def f(x):\n    def g(): return 2\n    return g, x",
                                 "def f(x):\n    def g(): return 1\n    return x, g")
    assert first[2] == second[2] != third[2] and first[1] != second[1]
    assert signs("def f(): return 1")[0][2] == ""


def test_a_name_that_is_led_through_a_constant_is_that_name():
    """As load/name_rewriter.py leads it: an attribute of a constant that is a module."""
    plain, led = code("def f(x): return helper(x)"), code("def f(x): return 'MARK'.helper(x)")
    led = led.replace(co_consts=tuple(types.ModuleType("fix") if each == "MARK" else each for each in led.co_consts))
    read, led_read = code("def f(): return helper"), code("def f(): return 'MARK'.helper")
    led_read = led_read.replace(co_consts=tuple(types.ModuleType("fix") if each == "MARK" else each
                                                for each in led_read.co_consts))
    made = CodeSigns()
    assert made.loose(read) == made.loose(led_read)
    assert made.loose(plain) != made.loose(code("def f(x): return other(x)"))
    assert made.loose(led) != made.loose(led_read)
