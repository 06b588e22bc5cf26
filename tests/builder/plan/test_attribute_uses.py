"""Whether code does more with an attribute than ask if it is true; whether it shows its name."""
import ast
import sys

import pytest

from klpfs.builder.plan.attribute_uses import shown, uses


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


@pytest.mark.parametrize("text, found", [
    ("f'{a.x}'", False), ("f'{a.x=}'", True), ("f'{a.x = :>{w}}'", True), ("f'x={a.x}'", True), ("f'y={a.x}'", False),
    ("f'{b:{a.x}}'", False), ("'{a.x=}'", False),
    *((text, found) for text, found in [("t'{a.x}'", True), ("t'{b}{f(a.x)!r}'", True), ("t'{a.y}x'", False)]
      if sys.version_info >= (3, 14))])
def test_strings_that_show_their_text(text, found):
    string = shown(ast.parse(f"def g(): return 1, {text}"), "x")
    assert (string is not None) == found
