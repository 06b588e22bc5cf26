"""Seeds: what a program makes of a package's classes is compared when somebody says how it makes it."""
import sys

import pytest

from klpfs.builder.build import build
from klpfs.builder.error import BuildError
from klpfs.builder.verify.seeds import seeds_of

TEXT = ("class Policy:\n    NAMES = frozenset({0})\n    def __init__(self, n):\n        self.n = n\n"
        "        self.names = self.NAMES\ndef f(): return {0}\n")


def refused(releases, *seeds):
    old, new = releases.pair(TEXT.format(["a"]), TEXT.format(["a", "b"]))
    return [f"{each.what}: {each.why}" for each in build(old, new, [sys.executable], verify=True, seeds=seeds).refused]


def test_an_object_that_the_program_made_keeps_what_it_was_made_with(releases, tmp_path):
    """Nothing of the package leads to such an object, so without a seed nobody sees it."""
    script = tmp_path / "made.py"
    script.write_text("from m import Policy\npolicies = {'three': Policy(3)}\n")
    assert refused(releases) == []
    for seed, path in (str(script), "seed_made:policies['three'].names"), ("m.Policy(4)", "seed_1:value.names"):
        wrong = refused(releases, seed)
        assert wrong and all(each.startswith(path) for each in wrong)


def test_what_is_right_is_not_accused(releases):
    text = "class C:\n    def __init__(self): self.a = 1\n    def f(self): return {}\n"
    old, new = releases.pair(text.format(1), text.format(2))
    result = build(old, new, [sys.executable], verify=True, seeds=["[m.C(), m.C().f]"])
    assert result.refused == [] and "seed" not in result.text


def test_a_seed_that_fails_is_named_with_its_line(releases):
    with pytest.raises(BuildError, match="the seed can't be made in OLD: seed_1:1: AttributeError: .*Nothing"):
        refused(releases, "m.Nothing()")


@pytest.mark.parametrize("word, text, words", [
    ("none.py", None, "none.py: No such file or directory"), ("bad.py", "x = (\n", r"bad.py:1: "),
    ("no expression here", None, "no such file, and no expression")])
def test_what_is_no_seed(tmp_path, monkeypatch, word, text, words):
    monkeypatch.chdir(tmp_path)
    if text:
        (tmp_path / word).write_text(text)
    with pytest.raises(BuildError, match=words):
        seeds_of([word])


def test_each_seed_is_a_module_of_its_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my-seed.py").write_text("x = 1\n")
    assert [name for name, _ in seeds_of([str(tmp_path / "a" / "my-seed.py"), str(tmp_path / "b" / "my-seed.py"),
                                          " f() "])] == ["seed_my_seed", "seed_my_seed_", "seed_3"]
