"""A process that the program has started without an agent is named: by `check`, by `klpfs status`, and in the log."""
import json
import os
import subprocess
import sys

import pytest

from tests.harness import HERE, until

pytestmark = pytest.mark.fuse
START = ("import subprocess, sys\n"
         "child = subprocess.Popen([sys.executable, {option!r}, '-c', 'input()'], stdin=subprocess.PIPE, env={env})")


def klpfs(live, *words):
    done = subprocess.run([sys.executable, "-m", "klpfs", words[0], "-m", str(live.mount.root), *words[1:]],
                          capture_output=True, text=True, cwd=HERE.parent,
                          env=dict(os.environ, KLPFS_RUNTIME_DIR=str(live.mount.runtime)))
    return done.stdout + done.stderr


@pytest.fixture
def child(live):
    """child(option, env): the number of a Python that the program has started. In the end it is gone."""
    def start(option="-I", env="None"):
        live.program.do(START.format(option=option, env=env))
        return live.program.do("child.pid")
    yield start
    live.program.do("child.communicate(b'\\n')")


def test_it_is_named_by_check_status_and_the_log(live, lp, child):
    pid = child()
    live.expect("has no agent")
    named = f"process {pid} {sys.executable} -I -c input(): has no agent and is not patched: -I: Python starts isolated"
    path = lp("lp1")
    until(lambda: named in klpfs(live, "check", str(path)).splitlines(), "check names it")
    assert klpfs(live, "check", str(path)).splitlines()[-1] == "would be loaded"
    assert named in klpfs(live, "status").splitlines()
    [found] = json.loads(klpfs(live, "status", "--json"))["agentless"]
    assert found == {"pid": pid, "cmdline": f"{sys.executable} -I -c input()", "why": "-I: Python starts isolated"}
    assert not live.tree.lines()                # nothing was loaded: nothing to say to all
    live.tree.insmod(path)
    until(lambda: f"klpfs: {named}" in live.tree.lines(), "the log names it")
    assert live.program.do("one()") == "one by lp1"


def test_who_has_an_agent_is_not_named(live, lp, child):
    pid = child("-B")
    until(lambda: str(pid) in os.listdir(live.tree.path / "proc"), "the child's agent")
    assert "has no agent" not in klpfs(live, "status")
