"""What a process tells of its interpreter: paths alone, whatever the program has made of sys."""
import os
import sys

import pytest

from klpfs.cpython.looks.run_by import run_by
from klpfs.engine import bounds


def test_the_interpreter_its_level_and_its_path(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/a", "", "b"])
    assert run_by() == {"executable": sys.executable, "level": "", "path": ["/a", os.getcwd(), f"{os.getcwd()}/b"]}


class Text(str):
    def __str__(self):
        raise AssertionError

    def __getitem__(self, place):
        raise AssertionError


@pytest.mark.parametrize("path, told", [
    ([7, None, Text("/t"), "/a"], ["/a"]), (("/a",), []), (None, []), (["/" + "x" * bounds.MAX_PATH_CHARS], []),
    (["/a"] * 1000, ["/a"] * bounds.MAX_PATHS)])
def test_what_is_no_path_is_left_out(monkeypatch, path, told):
    monkeypatch.setattr(sys, "path", path)
    monkeypatch.setattr(sys, "executable", None)
    found = run_by()
    monkeypatch.undo()
    assert found == {"executable": "", "level": "", "path": told}
