"""What importing changes of a process, beside its objects."""
import atexit
import sys
import warnings

import pytest

from klpfs.builder.build import build
from klpfs.builder.verify.process_state import differences, taken


def test_a_process_is_like_itself():
    assert differences(taken("/tree"), taken("/tree")) == []


def test_the_releases_folder_has_one_name(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/one/x"])
    one = taken("/one")
    monkeypatch.setattr(sys, "path", [*sys.path[:-1], "/other/x"])
    assert differences(one, taken("/other")) == []


def test_what_differs_is_named(monkeypatch):
    before, number = taken("/tree"), atexit._ncallbacks()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "klpfs-words")
        monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere"])
        atexit.register(test_a_process_is_like_itself)
        try:
            found = differences(taken("/tree"), before)
        finally:
            atexit.unregister(test_a_process_is_like_itself)
    assert found[0] == f"atexit has {number + 1} functions and lacks {number} functions"
    assert found[1] == "sys.path has /somewhere"
    assert found[2].startswith("warnings.filters has error klpfs-words")


@pytest.mark.parametrize("gone, refused", [
    ("R['x'] = 1\n", []), ("A.register(int)\n", ["m:A!registered[weak builtins.int]"]),
    ("sys.path.append('/x')\n", ["the livepatch"]),
    ("atexit.register(f)\n", ["the livepatch"]),
    ("codecs.register(f)\n", ["the statement `codecs.register(f)` is no more"]),
    ("f()\n", []),
])
def test_statements_that_are_no_more(releases, gone, refused):
    """The proof sees what is left of them; without a proof, or of modules that it can't import, they are refused."""
    text = "import abc, atexit, codecs, sys\nR = {}\nclass A(abc.ABC): pass\ndef f(name=''): return 1\n"
    old, new = releases.pair(text + gone, text.replace("return 1", "return 2"))
    result = build(old, new, [sys.executable], verify=True)
    assert [each.what for each in result.refused] == refused, result.refused
    if gone == "f()\n":
        unproved = build(old, new, [sys.executable])
        assert [each.what for each in unproved.refused] == ["the statement `f()` is no more"]
        assert any("`f()` is no more in m" in note for note in result.notes)
