"""klpfs's folder stays first in the PYTHONPATH that children get."""
import os
import subprocess
import sys

import pytest

from klpfs.agent.python_path import with_boot_first
from klpfs.protocol.python_command import BOOT

PROGRAM = """
import os, subprocess, sys
from klpfs.agent.python_path import keep_first
keep_first()
os.environ["PYTHONPATH"] = sys.argv[1]
print(os.environ["PYTHONPATH"], flush=True)
subprocess.run(["printenv", "PYTHONPATH"])
"""


@pytest.mark.parametrize("value, first", [
    (f"/a:{BOOT}:/b", f"{BOOT}:/a:/b"), (f"{BOOT}:/a", f"{BOOT}:/a"), ("/a:/b", "/a:/b"), ("", ""),
    (f"/a:{BOOT}:/b:{BOOT}", f"{BOOT}:/a:/b"),
])
def test_text_and_bytes(value, first):
    assert with_boot_first(value) == first
    assert with_boot_first(os.fsencode(value)) == os.fsencode(first)


def test_what_is_no_text_is_left_to_python():
    """putenv() says itself what is wrong with it."""
    assert with_boot_first(7) == 7


@pytest.mark.parametrize("value, child", [(f"/a:{BOOT}", f"{BOOT}:/a"), ("/a", "/a")])
def test_the_program_sees_what_it_has_written_and_children_get_klpfs_first(value, child):
    done = subprocess.run([sys.executable, "-c", PROGRAM, value], capture_output=True, text=True)
    assert done.stdout.splitlines() == [value, child], done.stderr
