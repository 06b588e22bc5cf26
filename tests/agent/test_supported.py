"""Which CPythons are patched: the known ones; any else is refused by name, before the agent does anything."""
import doctest
import os
import subprocess
import sys
from collections import namedtuple

import pytest

from klpfs.agent import run_command, supported

Version = namedtuple("Version", "major minor micro releaselevel serial")


@pytest.mark.parametrize("minor", range(supported.OLDEST[1], supported.NEWEST[1] + 1))
def test_known_versions(minor):
    assert supported.why_not("cpython", (3, minor)) is None
    assert supported.why_not("cpython", (3, minor), "candidate") is None


@pytest.mark.parametrize("arguments, words", [
    (("cpython", (3, 8)), "klpfs needs CPython 3.9 or later, this is 3.8"),
    (("cpython", (3, supported.NEWEST[1] + 1)), "that takes a newer klpfs"),
    (("cpython", (4, 0)), "this is 4.0: that takes a newer klpfs"),
    (("cpython", (3, 15), "beta"), "klpfs patches releases of CPython, this is 3.15 beta"),
    (("cpython", (3, 16), "alpha"), "this is 3.16"),
    (("pypy", (3, 11)), "klpfs patches CPython, this is pypy 3.11"),
    (("cpython", (3, 14), "final", True), "free-threaded"),
])
def test_all_others_are_refused(arguments, words):
    assert words in supported.why_not(*arguments)


def test_a_free_threaded_build_is_refused_with_its_lock_on(monkeypatch):
    """The build counts: references are counted otherwise there (PYTHON_GIL=1, or an extension that asks for the lock)."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert supported.unsupported() is None
    monkeypatch.setattr(sys, "abiflags", "t")
    assert "free-threaded builds, with PYTHON_GIL=1 neither" in supported.unsupported()
    told = subprocess.run([sys.executable, "-c", "import sys; sys._is_gil_enabled = lambda: True; sys.abiflags = 't'\n"
                           + run_command.PROBE], capture_output=True, text=True).stdout
    assert told.split()[3] == "1"


def test_this_one_is_known():
    assert supported.unsupported() is None


@pytest.mark.parametrize("level, words", [("final", None), ("candidate", "release candidate of CPython 3.15;")])
def test_a_release_candidate_is_said_in_the_log(monkeypatch, level, words):
    monkeypatch.setattr(sys, "version_info", Version(3, 15, 0, level, 1))
    assert supported.unsupported() is None
    assert words is None and supported.remark() is None or words in supported.remark()


def test_examples():
    assert doctest.testmod(supported).failed == 0


FUTURE = """
import sys
class Version(tuple):
    major, minor, micro, releaselevel, serial = 3, 99, 0, "final", 0
sys.version_info = Version((3, 99, 0, "final", 0))
import runpy
runpy.run_path({boot!r}, {{}}, "sitecustomize")
print("program", "klpfs.agent.agent" in sys.modules)
"""


def test_an_unknown_one_is_refused_when_the_agent_starts(tmp_path):
    """One line; the program runs, and nothing of the agent was imported."""
    environ = run_command.environment(["x"], "svc", False, {**os.environ, "KLPFS_RUNTIME_DIR": str(tmp_path)})
    del environ["PYTHONPATH"]
    text = FUTURE.format(boot=os.path.join(run_command.BOOT, "sitecustomize.py"))
    done = subprocess.run([sys.executable, "-c", "import sys; sys.modules['sitecustomize'] = sys\n" + text],
                          env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "program False\n", done.stderr
    assert done.stderr == ("klpfs: this process can't be patched: klpfs patches CPython 3.9 to 3.15, this is 3.99: that "
                           "takes a newer klpfs\n")


def test_starting_an_agent_in_an_unknown_one_is_enosys(monkeypatch, tmp_path):
    from errno import ENOSYS

    from klpfs.agent import api, start_agent
    monkeypatch.setattr(start_agent, "unsupported", lambda: "why")
    monkeypatch.setattr(api, "agent", lambda: None)
    with pytest.raises(OSError) as e:
        start_agent.start("svc", environ={"KLPFS_RUNTIME_DIR": str(tmp_path)})
    assert (e.value.errno, e.value.strerror) == (ENOSYS, "why") and not list(tmp_path.iterdir())
