"""One exception at any line of klpfs's, in the middle of any operation of the engine on a Python program: its functions
run what the engine says.

LINES_TRIED=n tries n lines of each operation (1 in 1,000 by default, which `make test` has time for)."""
import os
import subprocess
import sys

import pytest

from tests.cpython.cut_off_program import OPERATIONS


@pytest.mark.parametrize("operation", [each.__name__ for each in OPERATIONS])
def test_cut_off_anywhere(operation):
    argv = [sys.executable, "-m", "tests.cpython.cut_off_program", operation, os.environ.get("LINES_TRIED", "0")]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout == "tried\n"
