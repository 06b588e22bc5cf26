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


STRICT = ("-bb", "-X", "dev", "-X", "warn_default_encoding", "-W", "error")


@pytest.mark.parametrize("minor", MINORS)
def test_klpfs_gives_no_cause_for_a_warning(minor, program, mount, lp):
    """All that Python can warn of is an error: comparing bytes with str, a file that is left open, an encoding that is
    left to the locale. In `klpfs run` and in a program of two processes, from its start until the patch is gone."""
    python = find(minor)
    if python is None:
        pytest.skip(f"no CPython 3.{minor} on this machine")
    there = program("prog", python=python, processes=2, flags=STRICT)
    assert there.do("sys.flags.bytes_warning, sys.flags.dev_mode, 'error' in sys.warnoptions") == (2, True, True)
    tree = mount.service("prog")
    there.do("held = Held('sitter')")
    tree.insmod(lp("lp1", "one", "two", "hold"))
    assert tree.get("lp1/transition") == "1"
    there.do("held.let_go()")
    tree.settle()
    assert [each.do("pair()") for each in there.each] == [("one by lp1", "two by lp1")] * 2
    tree.set("lp1/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    assert [each.do("pair()") for each in there.each] == [("one original", "two original")] * 2
    tree.rmmod("lp1")
    assert not there.errors()
