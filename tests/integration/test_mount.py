"""The mount behaves as sysfs does: held nodes after removal, poll, blocked writers, signals, kill -9, remounting."""
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests import harness
from tests.harness import fails, read, until

pytestmark = pytest.mark.fuse


@pytest.fixture
def gone(live, lp):
    """A patch's folder and files held open, then the patch is taken away: (files by name, folder fd)."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    top = live.tree.livepatch / "lp1"
    files = {"enabled": os.open(top / "enabled", os.O_RDWR), "transition": os.open(top / "transition", os.O_RDONLY),
             "force": os.open(top / "force", os.O_WRONLY)}
    folder = os.open(top, os.O_RDONLY)
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    yield files, folder
    for fd in [*files.values(), folder]:
        os.close(fd)


def test_held_files_of_a_removed_patch_give_enodev(gone):
    files, _ = gone
    assert fails(errno.ENODEV, os.read, files["enabled"], 9)
    assert fails(errno.ENODEV, os.write, files["enabled"], b"1")
    assert fails(errno.ENODEV, os.read, files["transition"], 9)
    assert fails(errno.ENODEV, os.write, files["force"], b"1")
    assert os.fstat(files["enabled"]).st_size == 4096


def test_a_held_folder_of_a_removed_patch_is_empty(gone):
    _, folder = gone
    assert os.listdir(folder) == []
    assert os.fstat(folder).st_nlink == 2
    assert fails(errno.ENOENT, lambda: os.open("enabled", os.O_RDONLY, dir_fd=folder))


def test_they_stay_dead_when_a_patch_of_that_name_comes_back(live, gone, lp):
    files, folder = gone
    live.tree.rmmod("lp1")
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    assert live.tree.get("lp1/enabled") == "1"
    assert fails(errno.ENODEV, os.read, files["enabled"], 9) and os.listdir(folder) == []


def test_a_removed_patch_is_gone_for_stat_at_once(live, gone):
    """What the kernel had cached is dropped before the write returns."""
    for path in ("lp1", "lp1/enabled", "lp1/vmlinux/patched"):
        assert fails(errno.ENOENT, os.stat, live.tree.livepatch / path)
    assert os.stat(live.tree.livepatch).st_nlink == 2


def test_poll_tells_of_a_removed_patch(gone):
    files, _ = gone
    waiting = select.poll()
    waiting.register(files["enabled"], select.POLLIN | select.POLLPRI | select.POLLERR)
    assert waiting.poll(1000)[0][1] & (select.POLLPRI | select.POLLERR)


def test_a_reader_of_the_log_waits_and_is_woken(live):
    fd = os.open(live.tree.path / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(fd, 0, os.SEEK_END)
    assert fails(errno.EAGAIN, os.read, fd, 8192)
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    assert waiting.poll(0) == []
    threading.Timer(0.1, harness.write, [live.tree.path / "dev/kmsg", "<6>for poll"]).start()
    assert waiting.poll(10000) and b";for poll" in os.read(fd, 8192)
    os.set_blocking(fd, True)
    threading.Timer(0.1, harness.write, [live.tree.path / "dev/kmsg", "<6>for read"]).start()
    assert b";for read" in os.read(fd, 8192)
    os.close(fd)


def hang(live, lp):
    live.expect("lp1", "gave")
    return lp("lp1", extra="def init():\n    import time\n    while True: time.sleep(0.01)\n")


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_blocked_writer_dies_of_its_signal_and_others_go_on(live, lp, number):
    path = hang(live, lp)
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os,signal,sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.write(os.open(sys.argv[1], os.O_WRONLY), sys.argv[2].encode())",
            str(live.tree.path / "insmod"),
            str(path),
        ]
    )
    until(lambda: "init" in read(live.tree.path / "blockers"), "init to be running")
    begun = time.monotonic()
    assert live.tree.patches() == [] and read(live.tree.path / "proc/modules") is not None
    assert time.monotonic() - begun < 10
    writer.send_signal(number)
    assert writer.wait(20) == -number
    until(lambda: not live.tree.modules(), "the load to be undone")


def test_kill_9_of_the_daemon_and_a_new_mount_over_the_dead_one(live, lp):
    """Nothing in the program changes; held files of the dead mount say so; a new daemon shows what is there."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    held = os.open(live.tree.livepatch / "lp1/enabled", os.O_RDONLY)
    live.mount.kill()
    assert fails(errno.ENOTCONN, os.read, held, 9)
    assert live.program.do("one()") == "one by lp1"
    live.mount.start()
    live.tree = live.mount.service("prog")
    assert (live.tree.patches(), live.tree.get("lp1/enabled"), live.tree.modules()) == (["lp1"], "1", ["lp1"])
    assert any("patching complete" in record[3] for record in live.tree.records()), (
        "the log is the agents', a new daemon has it"
    )
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    os.close(held)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_unmounts_at_sigterm_also_while_files_are_held(live, number):
    held = os.open(live.tree.path / "proc/modules", os.O_RDONLY)
    live.mount.process.send_signal(number)
    assert live.mount.process.wait(10) == 0
    assert not os.path.ismount(live.mount.root)
    os.close(held)
    live.mount.start()


def test_a_mount_in_the_background_and_umount(runtime, tmp_path, program):
    """klpfs mount returns when the tree answers; klpfs umount ends its daemon."""
    program("prog")
    root = tmp_path / "mnt"
    root.mkdir()
    done = subprocess.run([sys.executable, "-m", "klpfs", "mount", str(root)], capture_output=True, text=True,
                          timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(root) == ["prog"]
    done = subprocess.run([sys.executable, "-m", "klpfs", "umount", str(root)], capture_output=True, text=True,
                          timeout=20)
    assert (done.returncode, done.stderr) == (0, "") and not os.path.ismount(root)


def test_a_mount_that_can_not_be(runtime, tmp_path):
    """One line that says why, exit code 1, no traceback."""
    for args in (["mount", "-f", str(tmp_path / "nope")], ["mount", str(tmp_path / "nope")]):
        done = subprocess.run([sys.executable, "-m", "klpfs", *args], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No such file or directory" in done.stderr


def test_umount_of_a_mount_in_use_says_so(live):
    held = os.open(live.tree.path / "proc/modules", os.O_RDONLY)
    done = subprocess.run([sys.executable, "-m", "klpfs", "umount", str(live.mount.root)], capture_output=True,
                          text=True)
    os.close(held)
    assert done.returncode == 1 and "busy" in done.stderr
    assert read(live.tree.path / "proc/modules") == ""
