"""Source text is moved, not rewritten."""
import ast
import sys

import pytest

from klpfs.builder.read.source_text import Source, replace

TEXT = '''\
class A:
    def f(self, a=1,
          b="x"):
        """Doc.

    less indented
        """
        text = f"""
  {a} raw
"""
        # a comment
        return text  # é
'''


def test_strings_keep_their_lines():
    node = ast.parse(TEXT).body[0].body[0]
    moved = Source(TEXT).block(node.lineno, node.end_lineno, 0)
    assert moved.startswith("def f(self, a=1,\n      b=")
    assert "\n    less indented\n" in moved and "\n  {a} raw\n" in moved
    one, other = ast.parse(moved).body[0], node
    assert [ast.dump(each) for each in one.body[1:]] == [ast.dump(each) for each in other.body[1:]]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings are new in 3.14")
def test_template_strings_keep_their_lines():
    text = ("class A:\n    def f(self, a):\n        return t\"\"\"one\n  {t'''{a}\n   b'''} raw {\n        a}\n"
            "\"\"\", 1\n")
    node = ast.parse(text).body[0].body[0]
    moved = ast.parse(Source(text).block(node.lineno, node.end_lineno, 0)).body[0]
    assert ast.dump(moved) == ast.dump(node)


def test_parts_are_replaced():
    node = ast.parse(TEXT).body[0].body[0]
    source = Source(TEXT)
    moved = source.block(node.lineno, node.end_lineno, 4, [replace(each, "unchanged") for each in node.args.defaults])
    assert "a=unchanged,\n          b=unchanged):" in moved and "# é" in moved


def test_statements_that_share_a_line():
    source = Source("x = 1; y = 2\nz = 3  # alone\n")
    assert [source.has_own_lines(each) for each in ast.parse(source.text).body] == [False, False, True]


def test_an_elif_that_stands_alone_is_an_if():
    """What stands before it is for type checkers alone."""
    text = "if TYPE_CHECKING:\n    T = int\nelif a:\n    T = str\nelif b:\n    T = bytes\nelse:\n    T = list\n"
    node = ast.parse(text).body[0].orelse[0]
    for indent in (0, 4):
        moved = Source(text).statement(node, indent)
        assert moved.startswith(" " * indent + "if a:\n") and f"\n{' ' * indent}elif b:\n" in moved
        assert ast.dump(ast.parse("if 1:\n" + Source(text).statement(node, 1)).body[0].body[0]) == ast.dump(node)
