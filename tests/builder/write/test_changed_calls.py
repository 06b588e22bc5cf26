"""What runs when the patch goes in calls NEW's functions, though the module has OLD's as yet."""
import pytest

from tests.builder.kit import there_and_back

F, F2 = "def f(a, b):\n    return a\n", "def f(a):\n    return a + 10\n"


@pytest.mark.parametrize("old, new, value", [
    (F + "X = f(1, 2)\n", F2 + "X = f(5)\n", "X"),
    (F + "def g(a): return f(a, a)\nX = g(1)\n", F2 + "def g(a): return f(a)\nX = g(5)\n", "X"),
    (F + "def g(a, *b): return f(a, 0)\ndef h(a): return g(a)\nX = 0\n",
     F2 + "def g(a, *b): return f(a)\ndef h(a): return g(a)\nX = [h(a) for a in range(2)]\n", "X"),
    (F + "try:\n    X = f(1, 2)\nexcept ValueError: pass\n",
     F2 + "try:\n    X = f(5)\nexcept ValueError: X = 1\n", "X"),
    (F + "X = f(1, 2); Y = 1\n", F2 + "X = f(5); Y = 1\n", "X"),
    (F + "class C:\n    x = f(1, 2)\n", F2 + "class C:\n    x = f(2)\n    y = [f(a) for a in (1, 2)]\n",
     "C.x, getattr(C, 'y', 0)"),
    (F + "def n(k): return k and n(k - 1) + f(k, k)\nX = 0\n",
     F2 + "def n(k): return k and n(k - 1) + f(k)\nX = n(3)\n",
     "X"),
], ids=["itself", "through a changed one", "through one that is the same", "in a compound", "beside another",
        "in a class", "by itself"])
def test_values_are_those_that_new_functions_compute(upgrade, old, new, value):
    there_and_back(upgrade, old, new, value)


def test_a_table_has_the_function_that_the_module_has(upgrade):
    """A function that is named, and not called, is the live one, which changes with the patch."""
    there_and_back(upgrade, F + "T = {}\n", F2 + "T = {'f': f, 'v': f(1)}\n", "T.get('f') in (None, f), T.get('v')")


def test_what_would_leave_a_part_of_itself_behind_is_called_in_the_module(upgrade):
    """A closure is to be one of the module's function, which has a Func of its own."""
    old = "def make(a):\n    def inner(): return a\n    return inner\nX = 1\n"
    new = old.replace("return a\n", "return a + 1\n").replace("X = 1", "X = make(1)")
    upgrade.write(old, new)
    assert "klp_new_" not in upgrade.build().text


def test_a_variable_of_a_functions_own_is_no_function_of_the_module(upgrade):
    there_and_back(upgrade, F + "def g(f): return f(1)\nX = 0\n", F2 + "def g(f): return f(2)\nX = g(abs)\n", "X")
