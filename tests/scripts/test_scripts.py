"""A few of the shell scripts here, as `make scripts` runs them all: unmodified, through `klpfs exec`, on a fresh
program."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
pytestmark = pytest.mark.fuse


@pytest.mark.parametrize("script", ["replace", "ftrace", "state"])
def test_script(script):
    environ = {**os.environ, "KLPFS": f"{sys.executable} -m klpfs", "PYTHON": sys.executable, "VERBOSE": "1"}
    done = subprocess.run([HERE / "run", script], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert done.returncode == 0 and "\nok - " in done.stdout, done.stdout
