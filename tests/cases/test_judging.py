"""What is said of a pair of releases: right, refused, needlessly refused or wrong; and random pairs of every kind."""
import sys

import pytest

from tests.cases.judging import NEEDLESS, REFUSED, RIGHT, WRONG, batches, judged
from tests.cases.kinds import KINDS
from tests.cases.kinds.kind import Kind, number_in
from tests.cases.random_kinds import random_kinds

FUNCTION = Kind("a function", "def f(): return 1\n", "def f(): return 2\n", ("m.f()",), carried=True)
CLOSURE = Kind("a closure", "def mk(x):\n    def h(): return x\n    return h\nh = mk(1)\n",
               "def mk(x, y=2):\n    def h(): return x, y\n    return h\nh = mk(1)\n", ("m.h()",))
MODULE = Kind("a module", {"p/__init__.py": "", "p/a.py": "def f(): return 1\n"},
              {"p/__init__.py": "", "p/a/__init__.py": "def f(): return 2\n"}, ("p.a.f()",))


def said(*kinds):
    return {verdict.kind.name: verdict.what for verdict in judged(kinds, sys.executable)}


def test_several_pairs_in_one_release():
    """What is refused of one is nothing to the others; what must be carried and is refused is told."""
    wrong = Kind("another answer", FUNCTION.old, FUNCTION.new, FUNCTION.asks, meanwhile={"m.f()": "3"})
    needless = Kind("needless", MODULE.old, MODULE.new, MODULE.asks, carried=True)
    assert said(FUNCTION, MODULE, wrong, needless) == {
        "a function": RIGHT, "a module": REFUSED, "another answer": WRONG, "needless": NEEDLESS}


@pytest.mark.parametrize("kind", [
    Kind("no start", "raise ValueError\n", "def f(): return 1\n", ("1",)),
    Kind("changed by questions", "L = []\ndef f(): return 1\n", "L = []\ndef f(): return 2\n",
         ("m.L.append(1)", "m.L")),
    Kind("nothing to do", "import os\nX = os.environ.get('KLP_NONE', id)\n",
         "import os\nX = os.environ.get('KLP_NONE', id)  # x\n", ("m.X is id",), meanwhile={"m.X is id": "False"}),
], ids=lambda kind: kind.name)
def test_a_wrong_pair(kind):
    assert said(kind) == {kind.name: WRONG}


def test_a_pair_among_others_has_modules_of_its_own():
    kind = Kind("x", {"p/__init__.py": "import c\nfrom c import A\n", "c.py": "import p.b\nA = 1\n"},
                {"p/__init__.py": "import c\nfrom c import A\n", "c.py": "import p.b\nA = 1\n"}, ()).numbered(7)
    assert kind.files[0] == {"p_k7/__init__.py": "import c_k7 as c\nfrom c_k7 import A\n",
                             "c_k7.py": "import p_k7.b; import p_k7 as p\nA = 1\n"}
    assert kind.names == {"p": "p_k7", "c": "c_k7"} and kind.modules_of("old") == ["p_k7", "c_k7"]
    assert number_in("NEW: p_k7/a.py: p_k7.a") == 7 and number_in("m_k1 m_k2") is None is number_in("m")


def test_batches():
    kinds = [Kind(name, "", "", (), needs=needs, alone=alone) for name, needs, alone in (
        ("a", (), False), ("b", ("x",), False), ("c", (), True), ("d", (), False), ("e", (), False))]
    assert [[kind.name for kind in each] for each in batches(kinds, 2)] == [["a", "d"], ["e"], ["b"], ["c"]]


def test_the_names_of_kinds_are_their_own():
    assert len(KINDS) > 200 and all(kind.asks for kind in KINDS.values())


def test_random_pairs_of_every_kind():
    """Each answers as NEW while the livepatch is in, and as OLD before and after, its graph the same; or is refused by
    its place. What is not exotic is carried."""
    kinds = random_kinds(1, 16).values()
    found = list(judged(list(kinds), sys.executable))
    assert [each for each in found if each.what not in (RIGHT, REFUSED)] == []
    assert sum(each.what == RIGHT for each in found) > len(found) / 2 > 5
