"""The demonstration is the acceptance test: make run, with a real service of several processes, must end well."""
import pathlib
import re
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).parents[2]


@pytest.mark.fuse
@pytest.mark.slow
def test_make_run():
    done = subprocess.run([sys.executable, "-m", "demo"], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not one request lost" in done.stdout
    steps = done.stdout.split("\n== ")[1:]
    asked = [len(set(re.findall(r"^  worker (\d+):", step, re.M))) for step in steps]
    assert asked == [2, 2, 2, 3, 3], "each worker was asked in each step"
    assert "Traceback" not in done.stdout + done.stderr
