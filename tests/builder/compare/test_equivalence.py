"""What makes no patch, and what does."""
import ast

import pytest

from klpfs.builder.compare.equivalence import same


def equal(one, other, fields=False):
    return same(ast.parse(one).body, ast.parse(other).body, fields)


@pytest.mark.parametrize("one, other", [
    ("def f(): return 1", "def f():\n    '''Doc.'''\n    return (1)  # comment"),
    ("def f(a): return a", "def f(a: int) -> str: return a"),
    ("x = 1", "x: int = 1"),
    ("def f(): pass", "def f(): '''Doc.'''"),
    ("class A: pass", "class A:\n    x: int\n"),
    ("x = y", "x = cast('T', y)"),
    ("pass", "if TYPE_CHECKING:\n    import a"),
    ("x = 'a' 'b'", "x = 'ab'"),
])
def test_the_same(one, other):
    assert equal(one, other)


@pytest.mark.parametrize("one, other", [
    ("x = 1", "x = 1.0"), ("x = 1", "x = True"), ("x = 'a'", "x = b'a'"), ("x = 0.0", "x = -0.0"),
    ("def f(a): pass", "def f(*a): pass"), ("def f(a, /): pass", "def f(a): pass"),
    ("def f(*, a): pass", "def f(a): pass"),
    ("def f(): pass", "async def f(): pass"), ("def f(): return", "def f(): yield"),
    ("x = a and b", "x = a or b"), ("x = a < b", "x = a <= b"), ("del x", "x"), ("x += 1", "x -= 1"),
    ("import a", "import a as b"), ("from . import a", "from .. import a"),
    ("x = [a for a in b]", "x = [a for a in b if a]"),
    ("global x", "global y"), ("x = a[1:]", "x = a[:1]"), ("x = a[1:2]", "x = a[1::2]"), ("f(*a)", "f(**a)"),
    ("try:\n    a\nexcept B:\n    c", "try:\n    a\nexcept D:\n    c"), ("x = f'{a}'", "x = f'{a!r}'"),
    ("x = f'{a:1}'", "x = f'{a:2}'"),
    ("with a: pass", "with b: pass"), ("raise a from b", "raise a"), ("x = lambda: 1", "x = lambda: 2"),
])
def test_not_the_same(one, other):
    assert not equal(one, other)


def test_fields_of_a_dataclass_count():
    assert not equal("class A:\n    x: int\n", "class A:\n    x: int\n    y: int\n", True)
    assert equal("class A:\n    x: int\n", "class A:\n    x: str\n", True)
    assert not equal("class A:\n    x: int\n", "class A:\n    x: ClassVar[int]\n", True)
