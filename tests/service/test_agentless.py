"""Which processes are named that have a service's environment and no agent, and why; on a /proc that a test makes, and
on real processes."""
import os
import subprocess
import sys

import pytest

from klpfs.protocol.python_command import BOOT
from klpfs.service import agentless

RUNTIME = "/run/klpfs-test"


class Proc:
    """A folder like /proc, of a machine that is 1000 s up."""

    def __init__(self, root):
        self.root = root
        (root / "uptime").write_text("1000.00 5000.00\n")

    def add(self, pid, command, exe="/usr/bin/python3.11", service="shop", age=100, runtime=RUNTIME, maps="",
            pythonpath=BOOT, **more):
        place = self.root / str(pid)
        place.mkdir()
        environ = {"KLPFS_SERVICE": service, "KLPFS_RUNTIME_DIR": runtime, "PYTHONPATH": pythonpath, **more}
        put = "\0".join(f"{key}={value}" for key, value in environ.items() if value is not None) + "\0"
        (place / "environ").write_text(put)
        (place / "cmdline").write_text("\0".join(command) + "\0")
        (place / "maps").write_text(maps)
        (place / "exe").symlink_to(exe)
        (place / "root").symlink_to("/")
        words = ["S"] + ["0"] * 18 + [str(int((1000 - age) * os.sysconf("SC_CLK_TCK")))] + ["0"] * 10
        (place / "stat").write_text(f"{pid} (a) b) " + " ".join(words))

    def found(self, known=(), service="shop"):
        return {each.pid: each.why for each in agentless.find(RUNTIME, known, service, str(self.root))}


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def test_a_python_without_an_agent_is_named(proc):
    proc.add(12, ["python3", "app.py"])
    assert proc.found() == {12: "why, its standard error may say"}
    [found] = agentless.find(RUNTIME, (), None, str(proc.root))
    assert found.text == ("process 12 python3 app.py: has no agent and is not patched: why, its standard error may say")
    assert found.service == "shop"


@pytest.mark.parametrize("letter, how", [("I", "isolated"), ("E", "ignoring PYTHON* variables"), ("S", "without site")])
def test_options_that_keep_an_agent_out_are_the_reason(proc, letter, how):
    proc.add(12, ["python3", f"-{letter}", "app.py"])
    proc.add(13, ["/usr/bin/python3", f"-s{letter}", "-m", "app"])
    assert set(proc.found().values()) == {f"-{letter}: Python starts {how}"} and len(proc.found()) == 2


def test_who_has_an_agent_is_not_named(proc):
    proc.add(12, ["python3", "app.py"])
    assert proc.found(known={12}) == {}


@pytest.mark.parametrize("more", [{"service": "other"}, {"service": None}, {"runtime": "/run/other"},
                                  {"runtime": None}, {"age": 1}, {"exe": "/bin/sh"}])
def test_who_is_none_of_it_is_not_named(proc, more):
    """Another service, another runtime folder, no Python, or one that has just begun."""
    proc.add(12, ["python3", "-I", "app.py"], **more)
    assert proc.found() == {}


def test_another_sitecustomize_is_the_reason(proc, tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    (first / "sitecustomize.py").write_text("")
    proc.add(12, ["python3", "app.py"], pythonpath=os.pathsep.join([str(first), BOOT]))
    proc.add(13, ["python3", "app.py"], pythonpath=os.pathsep.join([BOOT, str(first)]))
    assert proc.found() == {12: f"{first}/sitecustomize.py comes before klpfs's sitecustomize",
                            13: "why, its standard error may say"}


@pytest.mark.parametrize("pythonpath", ["/other", None])
def test_a_pythonpath_without_klpfs_is_the_reason(proc, pythonpath):
    proc.add(12, ["python3", "app.py"], pythonpath=pythonpath)
    assert proc.found() == {12: "its PYTHONPATH has no longer the folder that klpfs run has put there"}


def test_a_frozen_program_is_named(proc):
    """It has Python's library in its memory."""
    maps = "7f00-7f01 r-xp 00000000 fe:00 12   /tmp/_MEI1/libpython3.11.so.1.0\n"
    proc.add(12, ["/opt/app"], exe="/opt/app", maps=maps)
    assert proc.found() == {
        12: "its Python is part of another program, which may not read PYTHONPATH: call klpfs.agent.start() in it"}


@pytest.mark.parametrize("exe, maps", [("/usr/bin/python3.8", ""), ("/usr/bin/python3.13t", ""), ("/usr/bin/pypy3", ""),
                                       ("/opt/app", "0-1 r-xp 0 fe:00 1 /usr/lib/libpython3.8.so.1.0\n")])
def test_a_python_that_is_not_patched_says_which(proc, exe, maps):
    proc.add(12, ["python3", "-I"], exe=exe, maps=maps)
    assert "klpfs" in proc.found()[12] and "-I" not in proc.found()[12]


def test_who_can_not_be_looked_at_is_passed_over(proc):
    """It has ended meanwhile, or is another user's."""
    proc.add(12, ["python3", "app.py"])
    (proc.root / "12" / "exe").unlink()
    proc.add(13, ["python3", "app.py"])
    (proc.root / "13" / "stat").write_text("13 (half")
    proc.add(14, ["python3", "app.py"])
    assert list(proc.found()) == [14]


def test_a_real_process(monkeypatch, tmp_path):
    """Found by the machine's own /proc, as soon as it is old enough."""
    monkeypatch.setattr(agentless, "YOUNG_S", 0.0)
    environ = dict(os.environ, KLPFS_SERVICE="shop", KLPFS_RUNTIME_DIR=str(tmp_path), PYTHONPATH=BOOT)
    program = [sys.executable, "-I", "-c", "print(flush=True); input()"]
    with subprocess.Popen(program, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        [found] = agentless.find(str(tmp_path), (), "shop")
        process.communicate(b"\n")
    assert (found.pid, found.why) == (process.pid, "-I: Python starts isolated")
    assert agentless.find(str(tmp_path), (), "shop") == []
