"""Fingerprints: equal for equal code, whatever the file, the line, the run; different for any change of what it
does."""
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klpfs.cpython.resolve.fingerprint import fingerprint


def code(text, filename="a.py"):
    return compile(text, filename, "exec").co_consts[0]


def test_file_name_and_lines_do_not_count():
    text = "def f(x):\n  def g(): return [x for _ in y]\n  return g"
    assert fingerprint(code(text)) == fingerprint(code("\n\n\n" + text, "other.py"))


@pytest.mark.parametrize("other", [
    "def f(x): return x + 2", "def f(x): return x - 1", "def f(y): return y + 1", "def f(x, /): return x + 1",
    "def f(*x): return x + 1", "def f(*, x): return x + 1", "async def f(x): return x + 1", "def f(x): yield x + 1",
    "def f(x): return x + 1.0", "def f(x): return x + True", "def f(x):\n 'doc'\n return x + 1",
    "def g(x): return x + 1",
    "def f(x): return z + 1", "def f(x): return lambda: x + 1",
])
def test_any_change_of_the_code_counts(other):
    assert fingerprint(code("def f(x): return x + 1")) != fingerprint(code(other))


def test_code_nested_in_it_counts():
    assert fingerprint(code("def f():\n return lambda: 1")) != fingerprint(code("def f():\n return lambda: 2"))


@pytest.mark.parametrize("one, other", [
    ("1", "True"), ("0.0", "-0.0"), ("1", "1.0"), ("'a'", "b'a'"), ("(1, 2)", "(1, 2.0)"), ("1j", "-1j"),
    ("None", "False"), ("('ab', 'c')", "('a', 'bc')"), ("...", "'Ellipsis'")])
def test_constants_that_compare_equal_are_told_apart(one, other):
    text = "def f(): return x is %s"
    assert fingerprint(code(text % one)) != fingerprint(code(text % other))


def test_running_a_function_does_not_change_it():
    """3.11 and later rewrite the bytecode of warm functions."""
    space = {}
    exec("def f(x):\n n = 0\n for i in range(x): n += i\n return n", space)
    before = fingerprint(space["f"].__code__)
    for _ in range(200):
        space["f"](50)
    assert fingerprint(space["f"].__code__) == before


def test_the_same_in_every_run():
    """Sets of strings have another order in each run."""
    text = ("from klpfs.cpython.resolve.fingerprint import fingerprint as f\n"
            "print(f(compile('def g(x): return x in {\"a\", \"b\", \"c\", 1, (2, \"d\")}', 'x', 'exec').co_consts[0]))")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    found = {subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60,
                            env=dict(os.environ, PYTHONHASHSEED=seed, PYTHONPATH=root)).stdout for seed in "123"}
    assert len(found) == 1 and len(found.pop()) == 65


@given(st.recursive(st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.booleans(),
                              st.none(),
                              st.complex_numbers(allow_nan=False)), lambda each: st.tuples(each, each), max_leaves=6))
def test_every_constant_has_one(value):
    like = code("def f(): return 'x'")
    one = like.replace(co_consts=tuple(value if each == "x" else each for each in like.co_consts))
    assert fingerprint(one) == fingerprint(one.replace(co_filename="z"))
    if value != "x":
        assert fingerprint(one) != fingerprint(like)
