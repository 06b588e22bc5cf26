"""Eager tasks on the CPythons that have them: test_event_loops.py, run by each of these that is on this machine."""
import configparser
import pathlib
import re
import subprocess
import sys

import pytest

from tests.pythons import find

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 200
NO_FACTORY = "this uvloop does not know this asyncio's factory"


def environment(python, minor):
    """An environment of this CPython with all that tests need, made once; its interpreter. Skips where it can't be."""
    made = ROOT / ".venvs" / f"test-3.{minor}" / "bin" / "python"
    if subprocess.run([made, "-c", "import uvloop, anyio, greenlet, pytest, attrs"], capture_output=True).returncode \
            if made.exists() else True:
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        packages = (setup["options"]["install_requires"] + setup["options.extras_require"]["test"]).split()
        for words in ("venv", "--clear", str(made.parents[1])), ("pip", "install", "-q", *packages):
            done = subprocess.run([python, "-m", *words], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no environment of CPython 3.{minor}: {done.stderr.strip()[-200:]}")
            python = made
    return made


@pytest.mark.slow
@pytest.mark.parametrize("minor", [12, 13])
def test_eager_tasks(minor):
    """All hold; none is passed over but what early 3.13 itself can't do."""
    if sys.version_info[1] == minor:
        pytest.skip("test_event_loops.py itself runs here")
    python = find(minor)
    if python is None:
        pytest.skip(f"no CPython 3.{minor} on this machine")
    done = subprocess.run([environment(python, minor), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs",
                           "tests/cpython/switch/test_event_loops.py"], cwd=ROOT, capture_output=True, text=True,
                          timeout=SECONDS)
    skipped = re.findall(r"^SKIPPED \[(\d+)\] .*?: (.*)", done.stdout, re.M)
    assert done.returncode == 0 and re.search(r"^\d+ passed", done.stdout, re.M), done.stdout[-3000:] + done.stderr[-1000:]
    assert skipped in ([], [("1", NO_FACTORY)] if minor == 13 else [])
