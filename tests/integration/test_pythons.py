"""Any CPython from 3.9 on, with nothing of klpfs installed in it: every one that is on this machine."""
import re

import pytest

from tests.harness import until
from tests.pythons import MINORS, find

pytestmark = pytest.mark.fuse


@pytest.mark.parametrize("minor", MINORS)
def test_a_session_on_each_python(minor, program, mount, lp):
    """Threads, generators and coroutines: patched, kept apart, taken back."""
    python = find(minor)
    if python is None:
        pytest.skip(f"no CPython 3.{minor} on this machine")
    there = program("prog", python=python)
    assert re.match(rf"3\.{minor}\.", there.do("sys.version"))
    tree = mount.service("prog")
    there.do("def numbers():\n    yield one()\n    yield two()\nsuspended = numbers()\nfirst = next(suspended)")
    tree.insmod(lp("lp1", "one", "two"))
    tree.settle()
    assert there.do("(first, next(suspended))") == ("one original", "two by lp1"), (
        "numbers() itself is not patched: its frame decides nothing"
    )
    there.do("held = Held('sitter')")
    tree.insmod(lp("lp2", "one", "two", "hold"))
    assert tree.get("lp2/transition") == "1"
    assert there.do("pair()") == ("one by lp2", "two by lp2") and there.do("held.let_go()") == (
        "one by lp1",
        "two by lp1",
    )
    tree.settle()
    for name in ("lp1", "lp2"):
        tree.set(f"{name}/enabled", "0")
        until(lambda: name not in tree.patches(), f"the way back of {name}")
    assert there.do("pair()") == ("one original", "two original")
