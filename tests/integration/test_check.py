"""klpfs check on a running program: what a livepatch would do, and that asking changes nothing."""

import subprocess
import sys

import pytest

from tests.harness import HERE

pytestmark = pytest.mark.fuse

BAD = '''
from klpfs import Func, Object, Patch
def one(): return unknown
def gone(): pass
patch = Patch([Object(None, [Func("one", one), Func("gone", gone)])])
'''


def check(live, path):
    done = subprocess.run([sys.executable, "-m", "klpfs", "check", "-m", str(live.mount.root), str(path)],
                          capture_output=True, text=True, cwd=HERE.parent)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_good_patch_is_described_and_not_loaded(live, lp):
    live.program.do("held = Held('sitter')")
    code, lines, err = check(live, lp("lp1", "hold", "one"))
    assert (code, lines[0], lines[-1], err) == (0, "livepatch lp1", "would be loaded", "")
    assert any(line.startswith("  one,1: ") and "program.py:" in line for line in lines)
    assert any(line.startswith("   inside: thread") and "sitter" in line for line in lines)
    assert live.tree.patches() == [] and live.tree.modules() == [] and live.tree.lines() == []
    assert live.program.do("pair()") == ("one original", "two original")
    live.program.do("held.let_go()")


def test_every_refusal_is_named_at_once(live, lp):
    code, lines, err = check(live, lp("bad", text=BAD))
    assert code == 1 and lines[-1].startswith("would be refused: ")
    assert sum(": refused: " in line for line in lines) == 2
    assert live.tree.modules() == [] and live.tree.lines() == []


def test_a_shell_can_ask(live, lp):
    path = lp("lp1")
    script = f"exec 3<>{live.tree.path}/check && echo {path} >&3 && cat <&3"
    assert subprocess.run(["sh", "-ec", script], capture_output=True, text=True).stdout.endswith("would be loaded\n")


def test_a_loaded_one_would_be_refused(live, lp):
    path = lp("lp1")
    live.tree.insmod(path)
    live.tree.settle()
    code, lines, err = check(live, path)
    assert code == 1 and "already loaded" in lines[-1] or "File exists" in lines[-1]
    assert live.program.do("one()") == "one by lp1"


def test_a_top_level_that_never_ends_is_stopped(live, lp):
    """The program runs on, and the service takes other questions afterwards. It is no refusal: what is slow here may
    be quick on a machine that is less busy."""
    live.expect("was stopped")
    code, lines, err = check(live, lp("loops", text="while True: pass\nfrom klpfs import Patch\npatch = Patch([])\n"))
    assert code == 3 and lines[-1].startswith("could not tell: checking 'loops' was stopped at ")
    assert check(live, lp("lp1"))[0] == 0


def test_a_file_that_is_not_there(live, tmp_path):
    live.expect("No such file")
    code, lines, err = check(live, tmp_path / "none.py")
    assert (code, lines) == (1, []) and "No such file" in err
    assert "check" in "".join(line for line in live.tree.lines())
