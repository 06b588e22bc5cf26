"""Differences that are put right in place, and those that are not."""
import sys

import pytest

from klpfs.builder.build import build
from klpfs.builder.verify.carry import Carrier
from klpfs.builder.verify.compare import Comparison
from tests.builder.verify.test_verify import KEPT, REGISTER

C = "class C:\n    L = 1\n    def __init__(self): self.l = self.L\n"
C2 = C.replace("L = 1", "L = 2")
LOCKED = "class C:\n    L = 1\n    def __init__(self): self.l, self.lock = self.L, threading.Lock()\n"


def built(releases, old, new):
    """(the lines of the livepatch that say what is carried, what is refused)"""
    result = build(*releases.pair(old, new), [sys.executable], verify=True)
    lines = [line.strip().rstrip(",") for line in result.text.splitlines() if line.startswith(" " * 12 + "('")
             or line.startswith(" " * 12 + '("')]
    return lines, [(each.what, each.why) for each in result.refused]


@pytest.mark.parametrize("old, new, lines", [
    (C + "D = C()\n", C2 + "D = C()\n", ["('D.l', 1, 2)"]),
    (C.replace("self.l =", "self.__dict__['e-h'] =") + "D = C()\n",
     C2.replace("self.l =", "self.__dict__['e-h'] =") + "D = C()\n", ["(\"D.__dict__['e-h']\", 1, 2)"]),
    (C + "T = {'a': (C(),), ('b', 1): C()}\n", C2 + "T = {'a': (C(),), ('b', 1): C()}\n",
     ["(\"T['a'][0].l\", 1, 2)", "(\"T[('b', 1)].l\", 1, 2)"]),
    (KEPT + "cfg = Config()\n",
     KEPT + "class Strict(Setting):\n    name, default = 'strict', True\ncfg = Config()\n",
     ["(\"cfg.s['strict']\", ABSENT, True)"]),
    (REGISTER + "@reg('y')\ndef y(): pass\n", REGISTER + "@reg('x')\ndef y(): pass\n", ["(\"R['y']\", 'y', ABSENT)"]),
    ("class A:\n    T = {'a': 1}\nclass Q:\n    T = sorted(A.T)\n    U = frozenset(A.T)\n",
     "class A:\n    T = {'a': 1, 'b': (2,)}\nclass Q:\n    T = sorted(A.T)\n    U = frozenset(A.T)\n",
     ["('Q.T', ['a'], ['a', 'b'])", "('Q.U', frozenset(['a']), frozenset(['a', 'b']))"]),
    ("class P:\n    def __init__(self, names): self.names, self.all = sorted(names), frozenset(names)\n"
     "class B:\n    NAMES = {'a'}\ndef made(): return P(B.NAMES)\nX = made()\n",
     "class P:\n    def __init__(self, names): self.names, self.all = sorted(names), frozenset(names)\n"
     "class B:\n    NAMES = {'a', 'b'}\ndef made(): return P(B.NAMES)\nX = made()\n",
     ["('X.all', frozenset(['a']), frozenset(['a', 'b']))", "('X.names', ['a'], ['a', 'b'])"]),
    ("import collections\ndef v(): return 'ab'\nT = collections.Counter(v())\n",
     "import collections\ndef v(): return 'ba'\nT = collections.Counter(v())\n",
     ["('T', Keys('a', 'b'), Keys('b', 'a'))"]),
    ("class C:\n    def __init__(self): self.a, self.b = 1, 2\n    def all(self): return list(vars(self))\nD = C()\n",
     "class C:\n    def __init__(self): self.b, self.a = 2, 1\n    def all(self): return list(vars(self))\nD = C()\n",
     ["('D.__dict__', Keys('a', 'b'), Keys('b', 'a'))"]),
    ("def rule():\n    'a : b'\ndef all(): return rule.__doc__.split()\n",
     "def rule():\n    'a : c'\ndef all(): return rule.__doc__.split()\n", ["('rule.__doc__', 'a : b', 'a : c')"]),
], ids=["attribute", "no identifier", "in containers", "item", "item that is no more", "of other classes",
        "list and frozenset", "order of a subclass of dict", "order of attributes", "docstring that is read"])
def test_what_differs_is_carried(releases, old, new, lines):
    found, refused = built(releases, old, new)
    assert (found, refused) == (lines, [])


def test_by_all_names_that_modules_have_for_the_object(releases):
    """A service may have imported any of them; a module that does not change has an Object for it alone."""
    files = {"p/__init__.py": "from p.base import D\n", "p/user.py": "from p.base import D as mine\n"}
    found, refused = built(releases, {**files, "p/base.py": C + "D = C()\n"}, {**files, "p/base.py": C2 + "D = C()\n"})
    assert refused == [] and found == ["('D.l', 1, 2)", "('D.l', 1, 2)", "('mine.l', 1, 2)"]


def test_classes_and_functions_are_carried_by_name(releases):
    kept = "class A: pass\nclass B: pass\n"
    holder = "class H:\n    def __init__(self): self.kind = K\nh = H()\n"
    found, refused = built(releases, kept + "K = A\n" + holder, kept + "K = B\n" + holder)
    assert refused == [] and "('h.kind', Named('m:A'), Named('m:B'))" in found


def test_each_carried_value_is_named(releases):
    """The builder sees whether it is of this machine."""
    result = build(*releases.pair(C + "D = C()\n", C2 + "D = C()\n"), [sys.executable], verify=True)
    assert result.warned == ["carried: m:D.l becomes 2"] and "\n- carried: m:D.l becomes 2\n" in result.text


def test_codes_in_a_set_are_carried_by_their_functions(releases):
    """jinja2's `internalcode`."""
    text = "internal = set()\ndef mark(f):\n    internal.add(f.__code__)\n    return f\n@mark\ndef f(): return {}\n" \
           "class C:\n    @mark\n    def m(self): return {}\n"
    found, refused = built(releases, text.format(1, 1), text.format(2, 2))
    assert refused == [] and sorted(found) == [
        "('internal', ABSENT, CodeOf('m:C.m'))", "('internal', ABSENT, CodeOf('m:f'))"]


def test_names_that_have_moved_to_a_new_module_stay(releases):
    """httplib2 0.19.0."""
    lines, refused = built(
        releases, {"p/__init__.py": "class E(Exception): pass\ndef f(x): return 1\n"},
        {"p/__init__.py": "from .error import *\ndef f(x): return 2\n", "p/error.py": "class E(Exception): pass\n"})
    assert (lines, refused) == ([], [])


@pytest.mark.parametrize("old, new, path", [
    ("import threading\n" + LOCKED + "D = C()\n", "import threading\n" + LOCKED.replace("= 1", "= 2") + "D = C()\n",
     "m:D.l"),
    (C + "D = [C()]\n", C2 + "D = [C()]\n", "m:D[0].l"),
    (C + "    def __hash__(self): return self.l\nD = C()\n", C2 + "    def __hash__(self): return self.l\nD = C()\n",
     "m:D.l"),
    ("import argparse\nD = argparse.Namespace(x=1)\ndef f(): return D\nf().l = 1\n".replace("f().l = 1\n", "")
     + C.replace("self.l =", "D.y =") + "C()\n", "import argparse\nD = argparse.Namespace(x=1)\ndef f(): return D\n"
     + C2.replace("self.l =", "D.y =") + "C()\n", "m:D.y"),
    ("import os\n" + C + "D = C()\n", "import os\n" + C.replace("self.L", "os.environ.get('M', 'a')") + "D = C()\n",
     "m:D.l"),
    ("class S(str): pass\n" + C.replace("self.L", "S(self.L)") + "D = C()\n",
     "class S(str): pass\n" + C2.replace("self.L", "S(self.L)") + "D = C()\n", "m:D.l"),
    ("import functools\ndef v(): return 1\nclass P(functools.partial): pass\nD = P(int, v())\n",
     "import functools\ndef v(): return 2\nclass P(functools.partial): pass\nD = P(int, v())\n", "m:D.args[0]"),
    ("import ssl\ndef made():\n    c = ssl.create_default_context()\n    return c\nD = made()\n",
     "import ssl\ndef made():\n    c = ssl.create_default_context()\n    c.minimum_version = ssl.TLSVersion.TLSv1_3\n"
     "    return c\nD = made()\n", "m:D!minimum_version"),
    ("from builtins import sum as open\ndef f(): return open\n", "def f(): return open\n", "m:open"),
], ids=["beside a lock", "in a list", "hashed", "another package's", "of the machine", "no literal", "read only",
        "state of C", "a name that hides a builtin"])
def test_what_can_not_be_carried_is_refused_by_its_path(releases, old, new, path):
    _, refused = built(releases, old, new)
    assert path in [what for what, _ in refused]


def carried(modules, old, new, name="klp_carried"):
    mine, wanted = modules.describe(old, name), modules.describe(new, name)
    return [(each.path, each.was, each.becomes)
            for each in Carrier(mine, wanted).carried(Comparison(mine, wanted).run())]


@pytest.mark.parametrize("old, new, expected", [
    ("X = 1", "X = 2.5", [("X", "1", "2.5")]),
    ("X = [1, 2]", "X = [1, 3]", [("X", "[1, 2]", "[1, 3]")]),
    ("X = [1]", "X = [1, (2,)]", [("X", "[1]", "[1, (2,)]")]),
    ("X = (1, [2])", "X = (1, [3])", [("X[1]", "[2]", "[3]")]),
    ("X = (1, (2, 4))", "X = (1, (3, 4))", [("X", "(1, (2, 4))", "(1, (3, 4))")]),
    ("X = {1}", "X = {1, 'b'}", [("X", "{1}", "{'b', 1}")]),
    ("X = {1}", "X = set()", [("X", "{1}", "set()")]),
    ("X = {'a': {1: 'x'}}", "X = {'a': {1: 'y'}}", [("X['a'][1]", "'x'", "'y'")]),
    ("X = {'a': 1, (1, 'b'): 2}", "X = {(1, 'b'): 2, 'a': 1}", [("X", "Keys('a', (1, 'b'))", "Keys((1, 'b'), 'a')")]),
    ("X = {'a': 1}", "X = {}", [("X['a']", "1", "ABSENT")]),
    ("X = float('inf')", "X = 1", []), ("X = object()", "X = 1", []), ("X = 1", "X = ...", []),
    ("X = '%s'" % ("a" * 5000), "X = 1", []), ("X = 1", "X = print", []),
    ("X = {'a': [1]}", "X = {'b': [1]}", [("X['b']", "ABSENT", "[1]"), ("X['a']", "[1]", "ABSENT")]),
    ("X = lambda: 1", "X = lambda: 2", []),
    ("X = '%s'" % ("a" * 500), "X = 1", [("X", repr("a" * 500), "1")]),
], ids=lambda text: str(text)[:40])
def test_what_is_written_for_a_difference(modules, old, new, expected):
    assert carried(modules, old, new) == expected
