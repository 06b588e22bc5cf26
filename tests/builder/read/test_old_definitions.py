"""Definitions of OLD, with a fingerprint for every Python."""
import ast
import sys

import pytest

from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import Module
from klpfs.builder.read.old_definitions import definitions, free_variables
from klpfs.builder.read.source_listing import python_version
from klpfs.builder.read.source_text import Source


def test_a_patch_for_another_python_says_so(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    module = upgrade.module()
    text = upgrade.build().text
    here = f"{python_version()}:"
    assert here in text
    with pytest.raises(Exception, match="made for Python 3.7, this is"):
        upgrade.insmod(text.replace(here, "3.7:"))
    assert module.f() == 1
    patch = upgrade.insmod(text.replace(f"'{here}", f"'3.7:0000 {here}"))
    assert module.f() == 2
    upgrade.disable(patch)


def test_functions_of_one_name_are_numbered(tmp_path):
    (tmp_path / "m.py").write_text("def f(): return 1\ndef g(): pass\ndef f(): return 2\n")
    found = definitions({"m": str(tmp_path / "m.py")}, [sys.executable])["m"]
    assert [(each.name, each.line, each.sympos, each.count) for each in found] == [("f", 1, 1, 2), ("g", 2, 1, 1),
                                                                                   ("f", 3, 2, 2)]
    assert found[0].fingerprint == f"{python_version()}:{found[0].prints[python_version()]}"


def test_another_python_is_asked_in_a_process_of_its_own(tmp_path):
    """A link is another path: the same version answers, with the same fingerprints."""
    (tmp_path / "m.py").write_text("def f(): return 1\n")
    (tmp_path / "python").symlink_to(sys.executable)
    paths = {"m": str(tmp_path / "m.py")}
    assert definitions(paths, [str(tmp_path / "python")]) == definitions(paths, [sys.executable])


@pytest.mark.parametrize("script, words", [
    (None, "No such file"),
    ("#!/bin/sh\necho what a pity >&2; exit 1\n", "what a pity"),
    ("#!/bin/sh\necho klpfs asks:; echo '[\"3.7\", {\"m\": []}]'\n", "do not see the same functions"),
])
def test_an_interpreter_that_can_t_be_used_is_named(tmp_path, script, words):
    (tmp_path / "m.py").write_text("def f(): return 1\n")
    if script:
        (tmp_path / "python").write_text(script)
        (tmp_path / "python").chmod(0o755)
    with pytest.raises(BuildError, match=words):
        definitions({"m": str(tmp_path / "m.py")}, [sys.executable, str(tmp_path / "python")])


def test_free_variables_by_line_and_name():
    tree = ast.parse("def f(a):\n    @dec\n    def g(): return a\n    return g\n")
    found = free_variables(Module("m", "new: m.py", Source(""), tree, False))
    assert found[2, "g"] == {"a"} and found[1, "f"] == set()
