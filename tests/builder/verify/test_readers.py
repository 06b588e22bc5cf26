"""What NEW's code reads, each beside what is like it and reads nothing."""
import pytest

from klpfs.builder.verify.readers import Readers


def readers(releases, text):
    return Readers(releases.write("new", {"p/__init__.py": "", "p/m.py": text}))


@pytest.mark.parametrize("text, read", [
    ("def f(o): return o.x\n", True), ("def f(o): return getattr(o, 'x', 1)\n", True),
    ("def f(o): o.x = 1\n", False), ("x = 1\n", False), ("def f(o): return o.xx  # .x\n", False),
])
def test_an_attribute(releases, text, read):
    assert readers(releases, text).attribute("x") is read


@pytest.mark.parametrize("text, read", [
    ("def f(): return open\n", True), ("class C: y = open\n", True), ("def f(): return m.open\n", True),
    ("from p.m import open\n", True), ("def f(open): return open\n", False),
    ("def f():\n    import open\n    return open\n", False),
    ("from __future__ import annotations\ndef f(a: open): pass\n", False), ("def f(o): return o.open\n", False),
])
def test_a_name_of_a_module(releases, text, read):
    assert readers(releases, text).name("p.m", "open") is read
    assert not readers(releases, "def f(): return x if HAS_X else 1\n").name("p.m", "x"), "no builtin's"


@pytest.mark.parametrize("text, docs, own", [
    ("def f(o): return o.__doc__.split()\n", True, False), ("import docopt\n", True, False),
    ("from ply import yacc\n", True, False), ("def f(o): return parse(o.__doc__)\n", True, False),
    ("def f(o): return [line for line in inspect.getdoc(o)]\n", True, False),
    ("def f(o, p):\n    p.__doc__ = o.__doc__\n", False, False), ("def f(o): 'docopt'\n", False, False),
    ("def f(): return parse(__doc__)\n", False, True), ("__doc__ = 'x'\n", False, False),
])
def test_docstrings(releases, text, docs, own):
    found = readers(releases, text)
    assert (found.docs, "p.m" in found.own_docs) == (docs, own)


@pytest.mark.parametrize("text, which", [
    ("def f(o): return vars(o)\n", "own_dicts"), ("def f(o): return o.__dict__\n", "own_dicts"),
    ("def f(o): return o.__annotations__\n", "annotations"), ("def f(o): return o.__subclasses__()\n", "subclasses"),
])
def test_whole_objects(releases, text, which):
    assert getattr(readers(releases, text), which) and not getattr(readers(releases, "x = 1\n"), which)
