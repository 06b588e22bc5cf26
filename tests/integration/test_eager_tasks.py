"""Eager tasks on the CPythons that have them: test_event_loops.py, run by each of these that is on this machine."""
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 200
NOT_HERE = 77       # exit code of scripts/test-python: no such CPython, or no environment
NO_FACTORY = "this uvloop does not know this asyncio's factory"


@pytest.mark.slow
@pytest.mark.parametrize("minor", [12, 13])
def test_eager_tasks(minor):
    """All hold; none is passed over but what early 3.13 itself can't do."""
    if sys.version_info[1] == minor:
        pytest.skip("test_event_loops.py itself runs here")
    done = subprocess.run([ROOT / "scripts" / "test-python", f"3.{minor}", "-n0", "-q", "-p", "no:cacheprovider", "-rs",
                           "tests/cpython/switch/test_event_loops.py"], cwd=ROOT, capture_output=True, text=True,
                          timeout=SECONDS)
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    skipped = re.findall(r"^SKIPPED \[(\d+)\] .*?: (.*)", done.stdout, re.M)
    assert done.returncode == 0 and re.search(r"^\d+ passed", done.stdout, re.M), done.stdout[-3000:] + done.stderr[-1000:]
    assert skipped in ([], [("1", NO_FACTORY)] if minor == 13 else [])
