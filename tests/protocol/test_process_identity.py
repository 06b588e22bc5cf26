"""Whose a process is, and whether it is still the program that it was."""
import os
import subprocess
import sys

import pytest

from klpfs.protocol.process_identity import address_space, number_in_own_namespace, user_of
from tests import harness


def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_the_mark_of_a_program_is_the_same_till_its_exec():
    process = subprocess.Popen([sys.executable, "-c", "input(); import os; os.execv('/bin/sleep', ['sleep', '60'])"],
                               stdin=subprocess.PIPE)
    try:
        harness.until(lambda: "python" in harness.read(f"/proc/{process.pid}/comm"), "the start")
        before = address_space(process.pid)
        assert len(before) == 3 and before == address_space(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
        harness.until(lambda: "sleep" in harness.read(f"/proc/{process.pid}/comm"), "the exec")
        assert address_space(process.pid) not in (before, ())
    finally:
        process.kill()
        process.wait()


def test_the_dead_have_no_mark():
    assert address_space(ended()) == ()


def test_the_user_of_a_process():
    assert user_of(os.getpid()) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_user_is_that_whose_rights_the_process_has():
    """Also where it has changed its user: /proc/PID is root's then."""
    process = subprocess.Popen([sys.executable, "-c", "import os; os.setuid(54321); print(flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        assert user_of(process.pid) == 54321
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_the_number_of_a_process_in_its_own_namespace():
    """0 for the dead, and where it can't be looked at."""
    process = subprocess.Popen(["sleep", "60"])
    pidfd = os.pidfd_open(process.pid)
    try:
        assert number_in_own_namespace(pidfd) == process.pid
        process.kill()
        process.wait()
        assert number_in_own_namespace(pidfd) == 0
    finally:
        os.close(pidfd)
    assert number_in_own_namespace(pidfd) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_number_of_a_process_in_a_namespace_below():
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; read x"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not process.stdout.readline():
            pytest.skip("no PID namespaces here")
        pidfd = os.pidfd_open(int(harness.read(f"/proc/{process.pid}/task/{process.pid}/children").split()[0]))
        assert number_in_own_namespace(pidfd) == 1
        os.close(pidfd)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_nobody_is_the_user_of_the_dead():
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        user_of(ended())
