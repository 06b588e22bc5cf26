"""A daemon ends when it is asked to, whatever is under way: a load, a transition, a silent process, a file that can't be
read. What it has begun ends as after its death (docs/PROTOCOL.md#8), and nothing of it is left behind."""
import errno
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tests import harness
from tests.harness import in_background, read, until

pytestmark = pytest.mark.fuse
SLOW_INIT = "def init():\n    import time\n    while True: time.sleep(0.01)\n"


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def ends(mount, number=signal.SIGTERM):
    """The daemon ends well, and at once; the mount is gone."""
    mount.process.send_signal(number)
    assert mount.process.wait(8) == 0 and not os.path.ismount(mount.root)


class Live:
    """A service and its tree. stopped: mounts whose daemon is stopped; readers: pids of processes that read a file."""

    def __init__(self, program, mount):
        self.program, self.mount, self.stopped, self.readers = program("prog"), mount, [], []
        self.tree = mount.service("prog")


@pytest.fixture
def live(program, mount):
    return Live(program, mount)


def slow_load(live, lp, tmp_path):
    writer = in_background(live.tree.insmod, lp("lp1", extra=SLOW_INIT))
    until(lambda: "init" in read(live.tree.path / "blockers"), "init to be running")
    return writer


def transition(live, lp, tmp_path):
    live.program.do("held = Held()")
    live.tree.insmod(lp("lp1", "hold"))
    until(lambda: "hold" in read(live.tree.path / "blockers"), "the function to be in the way")


def silent_process(live, lp, tmp_path):
    live.program.stop()
    writer = in_background(live.tree.insmod, lp("lp1"))
    until(lambda: read(live.tree.path / "blockers"), "the process to be named")
    return writer


def reader_of_the_log(live, lp, tmp_path):
    def follow():
        fd = os.open(live.tree.path / "dev/kmsg", os.O_RDONLY)
        os.lseek(fd, 0, os.SEEK_END)
        (tmp_path / "opened").touch()
        os.read(fd, 8192)
    reader = in_background(follow)
    until((tmp_path / "opened").exists, "the reader")
    return reader


def file_that_can_not_be_read(live, lp, tmp_path):
    """It lies on a mount whose daemon is stopped: who opens it waits for ever."""
    other = harness.Mount(live.mount.runtime, tmp_path / "other")
    service = other.service(live.program.name)
    os.kill(other.process.pid, signal.SIGSTOP)
    live.stopped.append(other)
    writer = in_background(live.tree.insmod, service.path / "nothing.py")
    until(lambda: children(live.mount.process.pid), "the process that reads the file")
    live.readers += children(live.mount.process.pid)
    return writer


@pytest.mark.waits("has not acknowledged")      # the other mount's daemon, when it goes on, of what it has slept over
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.wide)])
@pytest.mark.parametrize("begin", [slow_load, transition, silent_process, reader_of_the_log,
                                   file_that_can_not_be_read])
def test_it_ends_whatever_is_under_way(live, lp, tmp_path, begin, number):
    try:
        writer = begin(live, lp, tmp_path)
        ends(live.mount, number)
        if writer is not None:
            assert writer[1]() in (errno.ECONNABORTED, errno.ENOTCONN, errno.EINTR, errno.ENODEV)
        for reader in live.readers:
            until(lambda pid=reader: not os.path.exists(f"/proc/{pid}"), "the reader's end")
    finally:
        live.program.kill(signal.SIGCONT)
        for other in live.stopped:
            os.kill(other.process.pid, signal.SIGCONT)
            other.close()
    live.mount.start()
    assert live.mount.service(live.program.name).modules() is not None


def test_it_ends_while_it_begins(runtime, tmp_path, program):
    """Its processes are stopped, so it waits for them for two seconds before it mounts anything."""
    started = program("prog")
    started.stop()
    root = tmp_path / "mnt"
    root.mkdir()
    daemon = subprocess.Popen([sys.executable, "-m", "klpfs", "mount", "-f", str(root)], cwd=harness.HERE.parent,
                              env={**os.environ, "KLPFS_RUNTIME_DIR": str(runtime)})
    try:
        until(lambda: pathlib.Path(f"/proc/{daemon.pid}/comm").exists() and any(
            "inotify" in os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon.pid}/fd")),
            "the daemon to look for services")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(8) == 0 and not os.path.ismount(root)
    finally:
        daemon.kill()
        daemon.wait()
        started.kill(signal.SIGCONT)
