"""The command line's front: errors are one line on stderr and an exit code, never a traceback."""
import os
import pathlib
import subprocess
import sys

import pytest

import klpfs
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
    done = subprocess.run([sys.executable, "-m", "klpfs", "lsmod", "-m", str(made.path)], stdout=w,
                          stderr=subprocess.PIPE)
    os.close(w)
    assert (done.returncode, done.stderr) == (0, b"")


# -- what a command imports

ROOT = str(pathlib.Path(__file__).parents[2])
FRONT = {"klpfs", "klpfs.cli", "klpfs.cli.main", "klpfs.cli.streams", "klpfs.cli.tree", "klpfs.cli.kmod",
         "klpfs.cli.terminal", "klpfs.service", "klpfs.service.mountinfo", "klpfs.service.shown_text",
         "klpfs.engine", "klpfs.engine.data", "klpfs.engine.error", "klpfs.engine.names", "klpfs.engine.plain"}
NAMES = {"klpfs.protocol", "klpfs.protocol.names", "klpfs.engine.names"}
WITHOUT_AGENT = {"klpfs.service", "klpfs.protocol", "klpfs.service.agentless", "klpfs.protocol.folder_layout",
                 "klpfs.protocol.process_identity", "klpfs.protocol.python_command"}
SLOW = {"ast", "asyncio", "attr", "attrs", "ctypes", "dataclasses", "importlib.metadata", "inspect", "json", "logging",
        "pathlib", "shlex", "socket", "subprocess", "tempfile", "tokenize"}


def of_argparse():
    """What argparse itself imports for a parser with commands: that of 3.14 takes dataclasses, for its colours."""
    code = ("import argparse, sys; argparse.ArgumentParser().add_subparsers().add_parser('x').add_argument('y'); "
            "print(*sys.modules)")
    return set(subprocess.run([sys.executable, "-S", "-c", code], env={}, capture_output=True, text=True,
                              check=True).stdout.split())


def imported(*words):
    """The modules that a command has imported at its end. No site-packages: what is none of ours is the standard
    library's."""
    code = "import sys; from klpfs.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-S", "-c", code, *map(str, words)], env={"PYTHONPATH": ROOT},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words, ours, slow", [
    ("lsmod", {"klpfs.cli.modules", *NAMES}, set()),
    ("rmmod lp1", {"klpfs.cli.modules", *NAMES}, set()),
    ("insmod /dev/null", {"klpfs.cli.modules", *NAMES}, {"shlex"}),
    ("check /dev/null", {"klpfs.cli.check"}, {"shlex"}),
    ("dmesg", {"klpfs.cli.log", "klpfs.cli.kmsg"}, set()),
    ("status", {"klpfs.cli.status", *WITHOUT_AGENT}, set()),
    ("status --json", {"klpfs.cli.status", *WITHOUT_AGENT}, {"json"}),
    ("blockers", {"klpfs.cli.status"}, set()),
    ("wait", {"klpfs.cli.wait"}, set()),
    ("modinfo lp1", {"klpfs.cli.modinfo"}, set()),
])
def test_a_command_imports_its_own_module_and_what_that_needs(made, words, ours, slow):
    """A script may run them a hundred times: no parser of Python, no FUSE, no agent, nothing that is not the standard
    library's."""
    made.service("shop", "lp1 16384 1 - Live 0x0000000000000000\n")
    command, *rest = words.split()
    found = imported(command, "-m", made.path, *rest)
    assert {name for name in found if name.startswith("klpfs")} == FRONT | ours
    assert found & SLOW - of_argparse() == slow - of_argparse()


def test_a_command_imports_no_more_where_nothing_is_mounted(tmp_path):
    found = imported("lsmod", "-m", tmp_path)
    assert {name for name in found if name.startswith("klpfs")} == {*FRONT, *NAMES, "klpfs.cli.modules"}
    assert not found & SLOW - of_argparse()


@pytest.mark.parametrize("command", ["build", "diff", "run", "mount", "umount", "exec"])
def test_the_other_commands_import_no_command_beside_their_own(command):
    code = "import sys; from klpfs.cli.main import parser; parser(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, command], env={"PYTHONPATH": ROOT}, capture_output=True,
                          text=True)
    commands = {f"klpfs.cli.{name}" for name in front.MODULES.values()}
    assert commands & set(done.stdout.split()) == {f"klpfs.cli.{front.MODULES[command]}"}
    assert not any(name.startswith(("klpfs.builder", "klpfs.fs", "klpfs.agent", "klpfs.cpython", "fuse"))
                   for name in done.stdout.split())


def test_every_command_is_of_the_module_that_the_table_names():
    """The help of all of them, and each alone, know the same commands."""
    def commands(parser):
        return {name: sub.format_help() for action in parser._actions if action.dest == "command"
                for name, sub in action.choices.items()}
    whole = commands(front.parser())
    assert list(whole) == list(front.MODULES)
    for name in front.MODULES:
        assert commands(front.parser(name))[name] == whole[name]


def test_the_version(capsys):
    with pytest.raises(SystemExit) as e:
        front.main(["--version"])
    assert (e.value.code, capsys.readouterr().out) == (0, f"klpfs {klpfs.__version__}\n")
