"""klpfs check --against on a program that runs: by its own interpreter, its level of -O and its modules."""
import subprocess
import sys

import pytest

from tests.harness import HERE

pytestmark = pytest.mark.fuse

TEXT = "def f():\n    assert f\n    return {}\n"


def klpfs(*words):
    done = subprocess.run([sys.executable, "-m", "klpfs", *map(str, words)], capture_output=True, text=True,
                          cwd=HERE.parent)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_what_the_livepatch_does_here_of_what_the_release_does(program, mount, tmp_path):
    for version, number in (("old", 1), ("new", 2), ("newer", 3)):
        (tmp_path / version / "wares").mkdir(parents=True)
        (tmp_path / version / "wares" / "__init__.py").write_text(TEXT.format(number))
    fix = tmp_path / "fix.py"
    assert klpfs("build", tmp_path / "old", tmp_path / "new", "-o", fix)[0] == 0
    there = program("prog", flags=("-O",), environ={"PYTHONPATH": str(tmp_path / "old")})
    there.do("import wares")
    mount.service("prog")
    code, lines, err = klpfs("check", "-m", mount.root, fix, "--against", tmp_path / "new")
    assert (code, lines[-1], err) == (0, "would be loaded", "")
    assert any(line.startswith("against ") and f" -O as process {there.pid} has it" in line for line in lines)
    code, lines, err = klpfs("check", "-m", mount.root, fix, "--against", tmp_path / "newer")
    assert code == 1 and lines[-1].startswith("would not do what NEW does: wares:")
    assert " differs: wares:f!code: its code is not NEW's" in lines
    code, lines, err = klpfs("check", "-m", mount.root, fix, "--against", tmp_path / "none")
    assert code == 3 and lines[-1].startswith("could not tell: ")
    assert there.do("wares.f()") == 1
