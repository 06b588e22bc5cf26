"""The command line's front: errors are one line on stderr and an exit code, never a traceback."""
import os
import subprocess
import sys

import pytest

from klpfs.cli import main as front


def test_no_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as e:
        front.main([])
    assert e.value.code == 2 and "usage: klpfs" in capsys.readouterr().err


def test_an_error_names_the_command_and_the_next_step(tmp_path, capsys):
    assert front.main(["lsmod", "-m", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "klpfs lsmod: no service is running; start one with: klpfs run -- COMMAND\n"


def test_a_reader_that_leaves_is_no_error(made):
    """klpfs lsmod | head -0"""
    made.service("shop", "lp1 16384 1 - Live 0x0000000000000000\n" * 10000)
    r, w = os.pipe()
    os.close(r)
    done = subprocess.run([sys.executable, "-m", "klpfs", "lsmod", "-m", str(made.path)], stdout=w, stderr=subprocess.PIPE)
    os.close(w)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_commands_that_ask_load_nothing_of_the_rest():
    """A mounted tree is all they need: no FUSE, no sockets, no agent."""
    code = "import sys; import klpfs.cli.main; print([m for m in sys.modules if m.startswith(('klpfs.fs', 'klpfs.service', 'klpfs.agent', 'fuse'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
