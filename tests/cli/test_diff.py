"""diff: what the file was built of is found again, or must be said."""
import pytest

from klpfs.cli import main as front
from klpfs.cli.diff import coloured


@pytest.fixture
def releases(tmp_path):
    for version, number in (("old", 1), ("new", 2)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.py").write_text(f"def f():\n    return {number}\n")
    return str(tmp_path / "old"), str(tmp_path / "new")


def test_it_finds_what_the_file_was_built_of(releases, tmp_path, capfd):
    fix = str(tmp_path / "fix.py")
    assert front.main(["build", *releases, "-o", fix]) == 0
    capfd.readouterr()
    assert front.main(["diff", fix]) == 0
    assert capfd.readouterr().out.splitlines() == ["=== m", "--- function f", "@@ -1,2 +1,2 @@", " def f():",
                                                   "-    return 1", "+    return 2"]


def test_a_file_that_does_not_say(releases, tmp_path, capfd):
    fix = tmp_path / "fix.py"
    fix.write_text("from klpfs import Patch\npatch = Patch([])\n")
    assert front.main(["diff", str(fix)]) == 1
    assert (
        capfd.readouterr().err
        == f"klpfs diff: {fix} does not say what it was built of; give both: klpfs diff {fix} OLD NEW\n"
    )
    assert front.main(["diff", str(fix), *releases]) == 0
    assert "not in the patch" in capfd.readouterr().out


def test_colours_are_for_terminals():
    assert (
        coloured("+x") == "\033[32m+x\033[0m"
        and coloured(" x") == " x"
        and coloured("--- function f").startswith("\033[1m")
    )
