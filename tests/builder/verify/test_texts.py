"""Releases in which the text shows no change: what does not differ in syntax is nothing; all else is shown."""
import sys

import pytest

from klpfs.builder.build import build
from klpfs.builder.error import NothingToDo
from klpfs.builder.read.modules import pair
from klpfs.builder.verify.texts import texts_differ

REGISTRY = "R = []\ndef reg(f):\n    R.append(f.__name__)\n    return f\n" \
           "class B:\n    def __init_subclass__(cls): reg(cls)\n"
AB = ("{0}\n{1}\n", "{1}\n{0}\n")


@pytest.mark.parametrize("old, new, differ", [
    ("def f(): return 1  # x\n", "def f():\n    return 1\n", False),
    ("def f(): return 1\n", "def f():\n    'Said.'\n    return 1\n", False),
    ("def f():\n    'Said.'\n", "def f():\n    'Told.'\n    pass\n", False),
    ("def f():\n    'a'\ndef g(): return f.__doc__.split()\n",
     "def f():\n    'b'\ndef g(): return f.__doc__.split()\n", True),
    ("'a'\ndef g(): return __doc__\n", "'b'\ndef g(): return __doc__\n", True),
    ("a()\nb()\n", "b()\na()\n", True), ("def f(a: int): pass\n", "def f(a: str): pass\n", True),
    ("class C: x = 1; y = 2\n", "class C: y = 2; x = 1\n", True),
])
def test_what_python_reads_otherwise(releases, old, new, differ):
    assert texts_differ(pair(*releases.pair(old, new))) is differ


@pytest.mark.parametrize("path, differ", [("p/words.txt", True), ("README.txt", False)])
def test_data_beside_modules(releases, path, differ):
    old, new = releases.pair({"p/__init__.py": "", path: "1"}, {"p/__init__.py": "", path: "2"})
    assert texts_differ(pair(old, new)) is differ


def built(releases, old, new):
    return build(*releases.pair(old, new), [sys.executable], verify=True)


@pytest.mark.parametrize("one, other, path", [
    ("@reg\ndef a(): pass", "@reg\ndef b(): pass", "m:R"),
    ("class X(B): pass", "class Y(B): pass", "m:R"),
], ids=["decorators", "subclasses"])
def test_an_order_that_makes_something_is_carried(releases, one, other, path):
    result = built(releases, *(REGISTRY + text.format(one, other) for text in AB))
    assert result.refused == [] and [each for each in result.warned if each.startswith(f"carried: {path} becomes")]


@pytest.mark.parametrize("before, one, other, path", [
    ("import dataclasses\n@dataclasses.dataclass\nclass D:\n", "    a: int = 1", "    b: int = 1", "m:D.__init__!code"),
    ("import enum\nclass E(enum.Enum):\n", "    A = enum.auto()", "    B = enum.auto()", "m:E.A._value_"),
], ids=["fields", "members"])
def test_an_order_that_makes_what_can_not_be_carried_is_refused(releases, before, one, other, path):
    result = built(releases, *(before + text.format(one, other) for text in AB))
    assert result.text == "" and path in [each.what for each in result.refused]


def test_an_order_that_makes_nothing_is_nothing(releases):
    with pytest.raises(NothingToDo, match="no Python code differs$"):
        built(releases, *(text.format("def a(): return 1", "def b(): return 2") for text in AB))


def test_without_a_proof_it_is_said_that_nobody_has_verified(releases):
    old, new = releases.pair(*(text.format("def a(): return 1", "def b(): return 2") for text in AB))
    with pytest.raises(NothingToDo, match="as far as the text says, no Python code differs"):
        build(old, new, [sys.executable])
