"""Whether code does more with an attribute than ask if it is true."""
import ast

import pytest

from klpfs.builder.plan.attribute_uses import uses


@pytest.mark.parametrize("text, found", [
    ("if a.x: pass", [True]), ("while not a.x: pass", [True]), ("b if a.x and c else d", [True]),
    ("[b for b in c if b.x]", [True]),
    ("if a.x == 1: pass", [False]), ("print(a.x)", [False]), ("if f(a.x): pass", [False]), ("not a.x", [False]),
    ("if a.x: print(a.x)", [True, False]), ("a.x = 1", []), ("a.y", []), ("del a.x", []),
])
def test_every_place_that_reads_it(text, found):
    assert sorted(uses([ast.parse(text)], "x"), reverse=True) == found


def test_all_trees_count():
    assert uses([ast.parse("if a.x: pass"), ast.parse("a.x()")], "x") == [True, False]
