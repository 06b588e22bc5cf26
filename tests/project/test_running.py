"""How the tests are run: nothing that fails is run again, but for measurements of time, and those only where it is
asked for."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TESTS = """
import pathlib
import pytest

def fails_at_first(name):
    path = pathlib.Path(__file__).with_name(name)
    was_there, _ = path.exists(), path.touch()
    assert was_there

@pytest.mark.timing
def test_of_time():
    fails_at_first("time")

def test_of_order():
    fails_at_first("order")
"""


STAYS = """
import threading

def test_whose_failure_leaves_a_thread():
    go = threading.Event()
    threading.Thread(target=go.wait, name="lefty").start()
    assert 0
    go.set()

def test_the_next():
    pass
"""


@pytest.fixture
def run(tmp_path):
    """run(retry, *options): a pytest of its own over TESTS; (exit status, output, what was written of retries)."""
    def run(retry, *options, write=lambda path: path.write_text(TESTS)):
        write(tmp_path / "test_them.py")
        environ = {**os.environ, "RETRY": retry, "RETRIES": str(tmp_path / "retries")}
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c",
                               ROOT / "setup.cfg", *options, tmp_path / "test_them.py"], cwd=ROOT, env=environ,
                              capture_output=True, text=True, timeout=100)
        return (
            done.returncode,
            done.stdout,
            (tmp_path / "retries").read_text() if (tmp_path / "retries").exists() else None,
        )
    return run


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["in one process", "in several"])
def test_a_measurement_of_time_is_taken_again_where_asked_for(run, options):
    status, output, kept = run("1", *options)
    assert status == 1 and "1 failed, 1 passed, 1 retried in" in output.splitlines()[-1], output
    assert (
        "RETRIED" in output and "::test_of_time" in kept and "assert was_there" in kept and "test_of_order" not in kept
    )


def test_nothing_is_run_again_by_default(run):
    status, output, kept = run("")
    assert status == 1 and "2 failed in" in output.splitlines()[-1] and kept is None, output


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["in one process", "in several"])
def test_a_thread_that_stays_is_said_and_keeps_nobody_waiting(run, tmp_path, options):
    """Else the process waits for it for ever, when all has been said. (The tests of service and agent stood so once,
    until somebody ended them.)"""
    def text(path):
        path.write_text(STAYS)
    status, output, _ = run("", *options, write=text)
    assert status == 1 and "1 failed, 1 passed, 1 error" in output and "lefty goes on" in output, output
