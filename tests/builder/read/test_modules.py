"""The files of two versions, paired."""
import ast
import sys

import pytest

from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import pair
from klpfs.builder.read.source_listing import python_version
from klpfs.builder.read.sources import Release
from klpfs.cpython.load import known_syntax


def test_broken_syntax_is_named(upgrade):
    upgrade.write("def f(): return 1\n", "def f(: return 1\n")
    with pytest.raises(BuildError, match=r"__init__\.py:1: "):
        upgrade.build()


def pairs(tmp_path, old, new, pythons=()):
    """old, new: {file: content}."""
    for version, files in (("old", old), ("new", new)):
        for name, content in files.items():
            path = tmp_path / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    releases = [Release(version, {name: str(tmp_path / version / name) for name in files})
                for version, files in (("old", old), ("new", new))]
    return pair(*releases, pythons)


SAME = {"p/__init__.py": b""}


def test_every_kind_of_file_that_differs(tmp_path):
    found = pairs(tmp_path,
                  {**SAME, "p/a.py": b"1", "p/gone.py": b"", "p/b.txt": b"1", "p/fast.so": b"1", "p/fast.py": b"1",
                   "p/c.txt": b""},
                  {**SAME, "p/a.py": b"2", "p/fresh/__init__.py": b"", "p/b.txt": b"2", "p/fast.so": b"2",
                   "p/fast.py": b"2", "p/d.txt": b""})
    assert [(each.name, each.old is not None, each.new is not None) for each in found.changed] == [
        ("p.a", True, True), ("p.fresh", False, True), ("p.gone", True, False)]
    assert list(found.common) == ["p.a"] and found.changed[1].new.is_package
    assert found.data == ["p/b.txt", "p/c.txt (removed)", "p/d.txt (added)"]
    assert (found.rebuilt, found.compiled) == (["p/fast.so"], ["p/fast.py"])     # nobody runs fast.py: fast.so hides it


def test_a_compiled_module_hides_its_source_whatever_its_suffix(tmp_path):
    for name in ("fast.cpython-311-x86_64-linux-gnu.so", "fast.abi3.so", "fast.pyd"):
        assert pairs(tmp_path, {**SAME, "fast.py": b"1", name: b""},
                     {**SAME, "fast.py": b"2", name: b""}).compiled == ["fast.py"]


def test_releases_without_a_file_in_common(tmp_path):
    with pytest.raises(BuildError, match="no Python file in common"):
        pairs(tmp_path, {"a.py": b""}, {"b.py": b""})


def test_a_file_s_own_encoding(tmp_path):
    text = "# coding: latin-1\nNAME = '\xe9'\r\n"
    found = pairs(tmp_path, {"a.py": b""}, {"a.py": text.encode("latin-1")}).changed[0].new
    assert found.source.lines[1] == "NAME = '\xe9'\n" and found.file == "a.py" and found.path == "new: a.py"


# -- syntax that this Python, or klpfs, does not know


@pytest.mark.parametrize("answer, words", [
    ("echo klpfs asks:; echo 3 99", "klpfs runs on {here}; build with a klpfs on 3.99"),
    ("exit 1", "klpfs runs on {here}; what is syntax of a later Python takes a klpfs on that one")])
def test_what_this_python_cannot_read_says_which_klpfs_to_use(tmp_path, answer, words):
    """Asked of the service's interpreters."""
    later = tmp_path / "python3.99"
    later.write_text(f"#!/bin/sh\ncat >> {tmp_path}/asked\n{answer}\n")
    later.chmod(0o755)
    with pytest.raises(BuildError) as e:
        pairs(tmp_path, SAME, {"p/__init__.py": b"\nnew syntax"}, [sys.executable, str(later), "/no/such/python"])
    assert str(e.value).startswith("new: p/__init__.py:2: ")
    assert str(e.value).endswith(words.format(here=python_version()))
    assert (tmp_path / "asked").read_bytes() == b"\nnew syntax"


def test_what_klpfs_does_not_know_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(known_syntax, "UNKNOWN", {ast.Await: ["later"]})
    monkeypatch.setattr(ast.Await, "later", 1, raising=False)
    with pytest.raises(BuildError, match=r"^new: p/__init__\.py:2: klpfs does not know the syntax Await\.later$"):
        pairs(tmp_path, SAME, {"p/__init__.py": b"async def f():\n  await f()"})
