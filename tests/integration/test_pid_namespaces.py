"""A service with processes in several PID namespaces, as of a host and its containers: all are patched, or it is said
by name why nothing is written."""
import errno
import os
import signal
import subprocess

import pytest

from tests import harness
from tests.harness import fails, livepatch, until
from tests.integration.services import pids

BELOW = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
ROOM = BELOW[:-1]       # for a daemon: the tree that it mounts must be seen from outside


def why_none():
    """Why a process can't have a PID namespace of its own here; ''."""
    if os.geteuid() != 0:
        return "needs root"
    made = subprocess.run([*BELOW, "true"], capture_output=True, text=True)
    return made.stderr.strip() or "unshare fails" if made.returncode else ""


WHY_NONE = why_none()
pytestmark = [pytest.mark.fuse, pytest.mark.skipif(bool(WHY_NONE), reason=f"no PID namespaces: {WHY_NONE}")]


def in_two_namespaces(program):
    return program("shop"), program("shop", wrap=BELOW)


def test_a_process_of_a_namespace_below(program, mount, tmp_path):
    """It calls itself process 1 or 2. It is patched with the others, is shown by its number here, and goes when it
    ends, however it ends."""
    here, below = in_two_namespaces(program)
    below.expected.append("^unshare: ")         # it says so where its child was killed
    tree = mount.service("shop")
    until(lambda: len(pids(tree)) == 2, "both processes")
    own_number = below.do("__import__('os').getpid()")
    number, = pids(tree) - {here.pid}
    assert own_number < 10 and number != own_number and number > 1
    path = tmp_path / "lp1.py"
    path.write_text(livepatch("lp1", "one"))
    tree.insmod(path)
    tree.settle()
    assert here.do("one()") == below.do("one()") == "one by lp1"
    os.kill(number, 9)
    until(lambda: pids(tree) == {here.pid}, "the end to be seen")
    tree.set("lp1/enabled", "0")
    tree.settle()
    assert here.do("one()") != "one by lp1"


def test_a_daemon_that_cannot_see_a_process(program, tmp_path, runtime):
    """Half of the service would be patched: nothing is written, and who it is stands in the log, in blockers and in
    the refusal."""
    program("shop")
    program("shop", wrap=ROOM)
    daemon = harness.Mount(runtime, tmp_path / "mnt", wrap=ROOM)
    with open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children", encoding="ascii") as children:
        number, = map(int, children.read().split())
    try:
        tree = daemon.service("shop")
        until(lambda: any("of another PID namespace" in line for line in tree.lines()), "the line")
        assert fails(errno.EPROTONOSUPPORT, harness.write, tree.path / "proc/sys/kernel/ftrace_enabled", "0")
        assert "of another PID namespace" in harness.read(tree.path / "blockers")
    finally:
        os.kill(number, signal.SIGTERM)         # unshare itself hears none
        daemon.process.wait(10)
        daemon.close()
