"""What `klpfs run` tells beforehand, and the environment that it makes."""
import errno
import os
import stat
import sys

import pytest

from klpfs.agent import run_command


@pytest.mark.parametrize("argv, name", [
    (["gunicorn", "-w", "8"], "gunicorn"), (["/usr/bin/celery"], "celery"),
    (["python3", "/srv/shop.py", "x"], "shop.py"), (["/opt/python3.11", "-m", "http.server"], "http.server"),
    (["python", "-c", "1"], "python"), (["python3", "dir/"], "dir"),
])
def test_the_services_name(argv, name):
    """The base name of the script or command."""
    assert run_command.service_name(argv) == name


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", ".x", "a\n", "a\x7f", "x" * 256, "\x00"])
def test_invalid_names_of_services(name):
    """EINVAL; the longest that goes is 255 bytes."""
    if name:
        with pytest.raises(OSError) as e:
            run_command.environment(["x"], name)
        assert e.value.errno == errno.EINVAL
    assert run_command.environment(["x"], "y" * 255)["KLPFS_SERVICE"] == "y" * 255


def test_the_environment():
    env = run_command.environment(["python3", "a.py"], None, True,
                                  {"PYTHONPATH": "/a:" + run_command.BOOT + ":/b", "X": "1", "KLPFS_RUNTIME_DIR": "rt"})
    assert env == {"KLPFS_MAIN": os.path.abspath("a.py"), "PYTHONPATH": run_command.BOOT + ":/a:/b", "X": "1",
                   "KLPFS_MAIN_PID": str(os.getpid()), "PYTHON_JIT": "0", "KLPFS_SERVICE": "a.py", "KLPFS_KEEP": "1", "KLPFS_RUNTIME_DIR": os.path.abspath("rt")}
    assert "KLPFS_KEEP" not in run_command.environment(["x"], "s", False, {"KLPFS_KEEP": "1"})


@pytest.mark.parametrize("argv, code, words", [
    (["/nowhere/x"], errno.ENOENT, "no such command"), (["no-such-command-at-all"], errno.ENOENT, "no such command"),
    (["/etc/passwd"], errno.EACCES, "can't be executed"),
    ([sys.executable, "-I", "a.py"], errno.EINVAL, "-I"), ([sys.executable, "-uE", "a.py"], errno.EINVAL, "-E"),
    ([sys.executable, "-S", "-m", "x"], errno.EINVAL, "-S"),
])
def test_what_cannot_work_is_said(argv, code, words):
    with pytest.raises(OSError) as e:
        run_command.check(argv, dict(os.environ))
    assert e.value.errno == code and words in e.value.strerror


def script(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_options_in_a_scripts_first_line(tmp_path):
    isolated = script(tmp_path / "tool", "#!%s -I\n" % sys.executable)
    with pytest.raises(OSError) as e:
        run_command.check([isolated], dict(os.environ))
    assert e.value.errno == errno.EINVAL and "first line" in e.value.strerror
    run_command.check([script(tmp_path / "good", "#!/usr/bin/env python3\n")], dict(os.environ))
    run_command.check([script(tmp_path / "shell", "#!/bin/sh -I\n")], dict(os.environ))


@pytest.mark.parametrize("told, words", [
    ("cpython 3 8 0 final 0", "3.9 or later"), ("pypy 3 10 0 final 0", "CPython"),
    ("cpython 3 13 1 final 0", "free-threaded"), ("cpython 3 15 0 beta 0", "this is 3.15 beta"),
    ("cpython 3 99 0 final 0", "this is 3.99: that takes a newer klpfs"),
])
def test_interpreters_that_cannot_be_patched(tmp_path, told, words):
    fake = script(tmp_path / "python3.99", "#!/bin/sh\necho %s\n" % told)
    with pytest.raises(OSError) as e:
        run_command.check([fake, "a.py"], dict(os.environ))
    assert e.value.errno == errno.ENOSYS and words in e.value.strerror
    run_command.check([script(tmp_path / "python3.98", "#!/bin/sh\necho cpython 3 9 0 final 0\n"), "a.py"], dict(os.environ))


def test_the_jit_is_refused_by_name(tmp_path):
    """Where the interpreter has it and PYTHON_JIT turns it on; unset, it is turned off for the program."""
    fake = script(tmp_path / "python3.99", "#!/bin/sh\necho cpython 3 14 0 final 1\n")
    without = script(tmp_path / "python3.98", "#!/bin/sh\necho cpython 3 13 0 final 0\n")
    for value in ("1", "yes"):
        with pytest.raises(OSError) as e:
            run_command.check([fake, "a.py"], {"PYTHON_JIT": value})
        assert e.value.errno == errno.EINVAL and f"PYTHON_JIT={value}: CPython's JIT crashes" in e.value.strerror
        assert run_command.environment([fake], "s", environ={"PYTHON_JIT": value})["PYTHON_JIT"] == value
        run_command.check([without, "a.py"], {"PYTHON_JIT": value})
    for environ in {}, {"PYTHON_JIT": "0"}, {"PYTHON_JIT": ""}:
        run_command.check([fake, "a.py"], environ)
        assert run_command.environment([fake], "s", environ=environ)["PYTHON_JIT"] == "0"
