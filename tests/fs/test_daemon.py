"""The daemon: goes to the background when the mount answers, says why when it can't, tells systemd, survives
mistakes."""
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from klpfs.fs import daemon
from klpfs.fs import mount as mounting
from klpfs.fs.nodes import Table
from klpfs.fs.tree import Tree
from klpfs.service.loop import Loop
from tests.fs.fake import FakeManager
from tests.harness import read, until

pytestmark = pytest.mark.fuse

PROJECT = pathlib.Path(__file__).resolve().parents[2]
MOUNT = """
import sys
from klpfs.fs import daemon
try:
    sys.exit(daemon.mount(sys.argv[1], foreground=len(sys.argv) > 3, runtime_dir=sys.argv[2]))
except OSError as e:
    sys.exit(f"{e.errno} {e.strerror}")
"""


@pytest.fixture
def point(tmp_path):
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    while mounting.mounted(str(path)):
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def mount(runtime, point):
    def run(place=point, *more, **options):
        return subprocess.run([sys.executable, "-c", MOUNT, str(place), str(runtime), *more], capture_output=True,
                              text=True, timeout=30, cwd=PROJECT, env={**os.environ, **options})
    return run


def test_in_the_background_it_returns_when_the_mount_answers(mount, point):
    """And holds none of the caller's descriptors: run() would wait for the end of its output."""
    done = mount()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert mounting.mounted(str(point)).type == "fuse.klpfs" and os.listdir(point) == []
    mounting.umount(str(point))


def test_a_failure_is_told_to_who_started_it(mount, tmp_path, point):
    done = mount(tmp_path / "nothing")
    assert done.returncode == 1 and done.stderr == f"2 {tmp_path}/nothing: No such file or directory\n"
    assert mount().returncode == 0
    done = mount()
    assert done.returncode == 1 and done.stderr == f"16 klpfs is mounted on {point} already\n"
    mounting.umount(str(point))


def test_a_relative_place_is_the_callers(mount, point):
    done = mount(os.path.relpath(point, PROJECT))
    assert done.returncode == 0 and mounting.mounted(str(point))
    mounting.umount(str(point))


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_the_mount_answers(runtime, point, tmp_path, abstract):
    name = f"\0klpfs-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name)
        end.settimeout(20)
        process = subprocess.Popen([sys.executable, "-c", MOUNT, str(point), str(runtime), "foreground"], cwd=PROJECT,
                                   env={**os.environ, "NOTIFY_SOCKET": "@" + name[1:] if abstract else name})
        assert end.recv(99) == b"READY=1" and os.listdir(point) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0 and mounting.mounted(str(point)) is None


def test_a_daemon_that_dies_before_it_is_ready_is_told(runtime, point, monkeypatch):
    monkeypatch.setattr(daemon, "serve", lambda *a, **k: os._exit(3))
    with pytest.raises(OSError, match="died before"):
        daemon.mount(str(point), runtime_dir=str(runtime))


def test_an_unforeseen_error_before_it_is_ready_is_told(runtime, point, monkeypatch):
    def serve(*a, **k):
        raise RuntimeError("no luck")
    monkeypatch.setattr(daemon, "serve", serve)
    with pytest.raises(OSError, match="RuntimeError: no luck"):
        daemon.mount(str(point), runtime_dir=str(runtime))


def test_a_mistake_in_a_callback_is_a_line_and_the_mount_lives_on(point):
    """Another part's exception ends neither the loop nor the mount."""
    said = []

    class Odd(FakeManager):
        def start(self):
            super().start()
            self.loop.call_later(0, lambda: 1 // 0)
            self.loop.call_later(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert daemon.serve(str(point), "", lambda: None, said.append, Odd) == 0
    assert len(said) == 1 and "ZeroDivisionError" in said[0] and signal.getsignal(signal.SIGTERM) is before
    assert mounting.mounted(str(point)) is None


def test_what_can_not_be_mounted_leaves_nothing(tmp_path):
    before, fds = signal.getsignal(signal.SIGTERM), os.listdir("/proc/self/fd")
    with pytest.raises(OSError):
        daemon.serve(str(tmp_path / "nothing"), "", lambda: None, print, FakeManager)
    assert signal.getsignal(signal.SIGTERM) is before and len(os.listdir("/proc/self/fd")) == len(fds)


def test_a_program_that_runs_is_there_when_mount_returns(mount, point, program):
    started = program("shop")
    assert mount().returncode == 0
    assert read(point / f"shop/proc/{started.pid}/comm").strip()
    assert read(point / f"shop/proc/{started.pid}/task/{started.pid}/comm").strip()
    started.kill()
    until(lambda: os.listdir(point) == [], "the service to go")
    mounting.umount(str(point))


def test_a_service_that_comes_while_mounted_is_shown(mount, point, program):
    assert mount().returncode == 0
    program("late")
    until(lambda: (point / "late/proc/modules").exists(), "the service")
    mounting.umount(str(point))


def test_the_real_manager_has_what_the_tree_uses(runtime):
    loop = Loop()
    manager = daemon.Manager(loop, str(runtime))
    Tree(Table(), manager)
    manager.start()
    manager.close()
    loop.close()
