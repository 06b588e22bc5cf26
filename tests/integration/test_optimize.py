"""Programs that are run with -O, -OO or PYTHONOPTIMIZE: one livepatch of klpfs build's fits them all, and its new code
is compiled as their imports are."""
import subprocess
import sys

import pytest

from tests.harness import HERE, until

pytestmark = pytest.mark.fuse

OLD = '''
def price(n):
    """What it costs."""
    assert n > 0, "no number"
    return "old", __debug__


def label(n):
    """What it is called."""
    return "old label"


def plain(n):
    return "old plain"
'''
ASK = "m.price(1), m.label(1), m.plain(1), m.price.__doc__"


@pytest.fixture(scope="module")
def fix(tmp_path_factory):
    """The livepatch, and the folder with OLD's module in it."""
    folder = tmp_path_factory.mktemp("optimize")
    for version, text in (("old", OLD), ("new", OLD.replace('"old', '"new'))):
        (folder / version).mkdir()
        (folder / version / "m.py").write_text(text)
    subprocess.run([sys.executable, "-O", "-m", "klpfs", "build", "--no-verify", str(folder / "old"),
                    str(folder / "new"), "-o", str(folder / "fix.py")], check=True, cwd=HERE.parent,
                   stdout=subprocess.DEVNULL)      # how the builder itself is run makes no difference
    return folder / "fix.py", folder / "old"


@pytest.mark.parametrize("flags, environ, level", [
    ((), {}, 0), (("-O",), {}, 1), (("-OO",), {}, 2), ((), {"PYTHONOPTIMIZE": "1"}, 1),
    ((), {"PYTHONOPTIMIZE": "2"}, 2)], ids=["none", "O", "OO", "PYTHONOPTIMIZE=1", "PYTHONOPTIMIZE=2"])
def test_a_built_livepatch_fits_the_level_that_the_program_is_run_at(program, mount, fix, flags, environ, level):
    path, folder = fix
    there = program("prog", flags=flags, environ={**environ, "PYTHONPATH": str(folder)})
    there.do("import m")
    doc = None if level == 2 else "What it costs."
    old = ("old", level == 0), "old label", "old plain", doc
    assert there.do("sys.flags.optimize") == level and there.do(ASK) == old
    tree = mount.service("prog")
    tree.insmod(path)
    tree.settle()
    assert there.do(ASK) == (("new", level == 0), "new label", "new plain", doc)
    there.do("def asserts():\n    try:\n        m.price(0)\n    except AssertionError:\n        return True\n"
             "    return False")
    assert there.do("asserts()") is (level == 0)       # new code's assert, too
    tree.set("fix/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    assert there.do(ASK) == old
