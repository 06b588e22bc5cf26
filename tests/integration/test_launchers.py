"""The service's main program behind launchers: what the process that `klpfs run` has become runs in the end."""
import os
import subprocess
import sys

import pytest

from tests.harness import HERE, until

pytestmark = pytest.mark.fuse
APP = """
import sys, time
def one(): return "old"
while True:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(one())
    import os; os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.05)
"""
# how a launcher comes to its program: in its own place, or in its own process
LAUNCHERS = {
    "exec": "import os, sys\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
    "exec by a module": "import os, sys\nos.execv(sys.executable, [sys.executable, '-m', 'app', *sys.argv[2:]])",
    "runpy": "import runpy, sys\ndel sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')",
    "a module of its own": ("import sys, types\ndel sys.argv[0]\nmain = types.ModuleType('__main__')\n"
                            "main.__file__ = sys.argv[0]\nsys.modules['__main__'] = main\n"
                            "exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'), main.__dict__)"),
}
HIDES = """
import os, sys
os.environ["PYTHONPATH"] = os.path.abspath("hides") + os.pathsep + os.environ["PYTHONPATH"]
os.execl(sys.executable, sys.executable, *sys.argv[1:])
"""
FIX = """
from klpfs import Func, Object, Patch
def one(): return "new"
patch = Patch([Object(None, [Func("one", one)])])
"""


LAUNCHERS["with a sitecustomize of its own"] = HIDES


@pytest.mark.parametrize("how", LAUNCHERS)
def test_its_functions_are_patched_and_taken_back(how, mount, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "launcher.py").write_text(LAUNCHERS[how])
    (tmp_path / "fix.py").write_text(FIX)
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "sitecustomize.py").write_text(f"open({str(tmp_path / 'flag')!r}, 'w')")
    says, flag = tmp_path / "says", tmp_path / "flag"
    words = [sys.executable, "-m", "klpfs", "run", "-s", "shop", "--", sys.executable, "launcher.py", "app.py", str(says)]
    environ = dict(os.environ, KLPFS_RUNTIME_DIR=str(mount.runtime), PYTHONPATH=str(HERE.parent))
    with subprocess.Popen(words, cwd=tmp_path, env=environ) as process:
        try:
            until(lambda: says.exists() and says.read_text() == "old", "the program runs")
            tree = mount.service("shop")
            tree.insmod(tmp_path / "fix.py")
            tree.settle()
            assert tree.get("fix/vmlinux/patched") == "1"
            until(lambda: says.read_text() == "new", "the new code")
            tree.set("fix/enabled", "0")
            until(lambda: says.read_text() == "old", "the old code")
            assert flag.exists() == (LAUNCHERS[how] is HIDES)       # the launcher's own sitecustomize has run
        finally:
            process.kill()
