"""scripts/pythons, find-python, test-python: a CPython that can't be had is said in one line, and what needs it is
skipped by name."""
from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import time

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
NEVER = "3.99"      # on no machine


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project of these scripts alone."""
    shutil.copytree(SCRIPTS, tmp_path / "project" / "scripts")
    (tmp_path / "project" / "setup.cfg").touch()
    return tmp_path / "project"


def run(project: pathlib.Path, script: str, *arguments: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run([project / "scripts" / script, *arguments], capture_output=True, text=True, timeout=100,
                          env={**os.environ, "HOME": str(project.parent / "home"), **environ})
    return done.returncode, done.stdout, done.stderr


def executable(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_cpython_that_is_not_there(project: pathlib.Path) -> None:
    assert run(project, "find-python", NEVER) == (1, "", "")


@pytest.mark.parametrize("place", ["home/.pyenv/versions/3.99.1/bin/python3", "bin/python3.99",
                                   "project/.venvs/pythons/3.99/bin/python3.99",
                                   "home/.local/share/uv/python/cpython-3.99.0-linux/bin/python3"])
def test_where_it_looks(project: pathlib.Path, place: str) -> None:
    executable(project.parent / place, f"echo {place}")
    path = f"{project.parent / 'bin'}:{os.environ['PATH']}"
    assert run(project, "find-python", NEVER, PATH=path) == (0, f"{place}\n", "")


def test_what_does_not_work_is_passed_over(project: pathlib.Path) -> None:
    """A pyenv shim of a version that is not chosen, another version under that name."""
    executable(project.parent / "bin" / "python3.99", "echo pyenv: not here >&2; exit 127")
    (project.parent / "home/.pyenv/versions/3.99.1/bin").mkdir(parents=True)
    (project.parent / "home/.pyenv/versions/3.99.1/bin/python3").symlink_to(shutil.which("python3") or "")
    assert run(project, "find-python", NEVER, PATH=f"{project.parent / 'bin'}:{os.environ['PATH']}") == (1, "", "")


def test_what_can_not_be_had_is_one_line_and_the_next_is_tried(project: pathlib.Path) -> None:
    executable(project / "scripts" / "get-python", f"""
        [ $1 != {NEVER} ] || {{ echo much; echo "no way to the archive" >&2; exit 1; }}
        mkdir -p $2/bin; echo 'echo here' > $2/bin/python$1; chmod +x $2/bin/python$1""")
    status, output, errors = run(project, "pythons", NEVER, "3.98")
    assert (status, errors) == (
        1, "scripts/pythons: no CPython 3.99: no way to the archive (.venvs/pythons/3.99.log)\n")
    assert (project / ".venvs/pythons/3.99.log").read_text() == "much\nno way to the archive\n"
    assert os.listdir(project / ".venvs/pythons/3.98") == ["bin"]
    assert not (project / ".venvs/pythons/3.98.log").exists()


def test_what_is_here_is_not_fetched(project: pathlib.Path) -> None:
    executable(project / "scripts" / "get-python", "echo called >&2; exit 1")
    executable(project.parent / "home/.pyenv/versions/3.99.1/bin/python3", "echo here")
    assert run(project, "pythons", NEVER) == (0, "", "")


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get")
def test_an_archive_that_can_not_be_reached(project: pathlib.Path) -> None:
    """The real scripts/get-python: exit code 1, apt's words, and no interpreter in the folder."""
    status, output, errors = run(project, "get-python", NEVER, str(project / "python"), ARCHIVE="file:///nonexistent")
    assert status == 1 and "nonexistent" in errors
    assert not (project / "python" / "bin").exists() and not (project / "python" / "packages").exists()


def test_tests_of_a_cpython_that_is_not_there_are_skipped_by_name(project: pathlib.Path) -> None:
    assert run(project, "test-python", NEVER, "tests/engine") == (
        77, "", "scripts/test-python: skipped: no CPython 3.99 is here (make pythons)\n")


def test_they_are_skipped_where_their_environment_can_not_be_made(project: pathlib.Path) -> None:
    executable(project.parent / "home/.pyenv/versions/3.99.1/bin/python3", "echo here")
    executable(project / "scripts" / "setup", "exit 1")
    status, output, errors = run(project, "test-python", NEVER, "tests/engine")
    assert (status, errors) == (77, "scripts/test-python: skipped: .venvs/test-3.99 can't be made\n")


PYTHON = """
case "$1$*" in
-c*) echo 3.11 ;;
*--version) ;;
*) echo "$0 $*"; [ "$FAILS" != "$0" ] || { echo "FAILED tests/a.py::$0 - no"; exit 1; } ;;
esac"""
OTHERS = "cpython stress agent"


@pytest.mark.parametrize("fails, status, results", [
    ("", 0, ["ok", "ok"]),
    (".venv/bin/python", 1, ["FAILED\nscripts/test: FAILED tests/a.py::.venv/bin/python - no", "ok"]),
    (".venvs/test-3.14/bin/python", 1, [
        "ok", "FAILED\nscripts/test: FAILED tests/a.py::.venvs/test-3.14/bin/python - no"])])
def test_the_last_lines_of_all_tests_say_what_was_run_where(
        project: pathlib.Path, fails: str, status: int, results: list[str]) -> None:
    """And what failed. With no network: 3.14 is here, 3.15 is not. The environments are there already."""
    for place in ".venv", ".venvs/test-3.14":
        executable(project / place / "bin" / "python", PYTHON)
    os.utime(project / "setup.cfg", (0, 0))
    (project / ".venvs/test-3.14/ready").touch()
    for script in "pythons", "find-python":
        executable(project / "scripts" / script, "exit 1")
    code, output, _ = run(project, "test", FAILS=fails)
    assert code == status and output.endswith(
        f"\nscripts/test: CPython 3.11, all layers: {results[0]}\nscripts/test: CPython 3.15, {OTHERS}: skipped\n"
        f"scripts/test: CPython 3.14, {OTHERS}: {results[1]}\n")
    asked = "-m pytest -n auto -m not wide -n 2 -m not wide and not slow tests/cpython tests/stress tests/agent"
    assert f".venvs/test-3.14/bin/python {asked}" in output


def with_3_14(project: pathlib.Path, python: str) -> None:
    """The environments of 3.11 and 3.14 are there already; 3.15 is not to be had. python: that of 3.14."""
    executable(project / ".venv/bin/python", PYTHON)
    executable(project / ".venvs/test-3.14/bin/python", python)
    os.utime(project / "setup.cfg", (0, 0))
    (project / ".venvs/test-3.14/ready").touch()
    for script in "pythons", "find-python":
        executable(project / "scripts" / script, "exit 1")


@pytest.mark.parametrize("require, status", [("", 0), ("1", 1)])
def test_where_all_versions_are_required_a_skip_is_a_failure(project: pathlib.Path, require: str, status: int) -> None:
    with_3_14(project, PYTHON)
    code, output, _ = run(project, "test", FAILS="", REQUIRE=require)
    assert code == status and f"CPython 3.15, {OTHERS}: skipped" in output


def test_ended_all_tests_end_what_runs_in_the_background(project: pathlib.Path) -> None:
    """And what that has started."""
    os.mkfifo(project / "begun")
    with_3_14(project, 'case "$1$*" in -c*|*--version) ;; *) sleep 60 & echo > begun; wait ;; esac')
    running = subprocess.Popen([project / "scripts" / "test"], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    with open(project / "begun") as begun:
        begun.readline()
    log = os.stat(project / ".venvs/test-3.14.log")

    def writers() -> list[str]:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/1"), log):
                    found.append(pid)
            except OSError:
                pass
        return found
    assert len(writers()) >= 2
    running.terminate()
    assert running.wait(20) == 130
    end = time.monotonic() + 20
    while writers() and time.monotonic() < end:
        pass
    assert writers() == []
