"""Full disk, no descriptors left: an errno, a line in the log, and nothing half done."""
import errno
import os
import resource
import subprocess

import pytest

from tests import harness
from tests.harness import fails, until

pytestmark = pytest.mark.fuse


@pytest.fixture
def small_disk(monkeypatch):
    """A runtime folder on a file system of 256 KiB."""
    if os.geteuid():
        pytest.skip("mounting a small file system needs root")
    path = harness.short_folder()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(path)],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)])
    path.rmdir()


def fill(path):
    with open(path, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError as e:
            assert e.errno == errno.ENOSPC


def test_a_full_disk(small_disk, tmp_path, lp):
    """insmod fails with ENOSPC and says so; patches in force can still be taken back as soon as there is room."""
    program = mount = None
    try:
        program, mount = harness.Program(small_disk, "prog"), harness.Mount(small_disk, tmp_path / "mnt")
        tree = mount.service("prog")
        tree.insmod(lp("lp1"))
        tree.settle()
        fill(small_disk / "filler")
        tree.lines()
        assert fails(errno.ENOSPC, tree.insmod, lp("lp2", "two", extra="# " + "x" * 8192))
        assert [line for line in tree.lines() if "No space left" in line or "lp2" in line]
        assert (tree.patches(), tree.modules()) == (["lp1"], ["lp1"])
        assert program.do("pair()") == ("one by lp1", "two original")
        (small_disk / "filler").unlink()
        tree.insmod(lp("lp2", "two"))
        tree.settle()
        assert program.do("pair()") == ("one by lp1", "two by lp2")
    finally:
        for thing in (program, mount):
            if thing:
                thing.close()


def test_the_daemon_has_no_descriptors_left(live, lp):
    """insmod fails with EMFILE; what needs none still works; with descriptors again, so does the rest."""
    pid = live.mount.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = 1 + max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    live.expect("Too many open files", "lp1")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    assert used > 3 and fails(errno.EMFILE, live.tree.insmod, lp("lp1"))
    assert live.tree.patches() == [] and live.program.do("one()") == "one original"
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    assert live.program.do("one()") == "one by lp1"


NO_DESCRIPTORS = "import resource\nlimit = resource.getrlimit(resource.RLIMIT_NOFILE)\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))"
AGAIN = "resource.setrlimit(resource.RLIMIT_NOFILE, limit)"


def test_the_program_has_no_descriptors_left(live, lp):
    """No operation needs one of its: what a load needs was imported when the daemon came, the file comes over the
    connection."""
    until(lambda: live.program.do("__import__('klpfs.agent.api').agent.api.agent().prepared"), "the program to be ready")
    live.program.do(NO_DESCRIPTORS)
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    assert live.program.do("one()") == "one by lp1"
    live.tree.insmod(lp("lp2", "two"))
    live.tree.settle()
    live.tree.set("lp2/enabled", "0")
    until(lambda: live.tree.patches() == ["lp1"], "the way back")
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("one()") == "one original"
    live.program.do(AGAIN)


def test_the_daemon_restarted_while_the_program_has_no_descriptors(live, lp):
    """It can't be reached until it has some again; then all goes on."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    live.program.do(NO_DESCRIPTORS)
    live.mount.kill()
    live.mount.start()
    live.program.do(AGAIN)
    live.tree = live.mount.service("prog")
    until(lambda: live.tree.patches() == ["lp1"], "the patch in the tree")
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("one()") == "one original"


def test_the_daemon_restarted_while_the_program_has_no_socket(live, lp, runtime, program):
    """It has closed all descriptors, the agent's among them, and has none left for a new socket: for a new daemon and
    for a process that joins, its socket refuses. It is not dead: the journal stays, and the patch is in force in who
    joins. Nothing is lost when it can be reached again."""
    live.expect("the program has closed the agent's socket", "the agent can't listen: Too many open files")
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    live.program.do(NO_DESCRIPTORS + "\nimport os; os.closerange(3, 4096)")
    live.mount.kill()
    folder = runtime / "prog"
    journal = (folder / "journal").read_bytes()
    live.mount.start()
    joined = program("prog")
    assert (folder / "journal").read_bytes() == journal and joined.do("one()") == "one by lp1"
    live.mount.kill()
    live.mount.start()
    assert (folder / "journal").read_bytes() == journal and live.program.do("one()") == "one by lp1"
    live.program.do(AGAIN)
    live.tree = live.mount.service("prog")
    until(lambda: live.tree.patches() == ["lp1"], "the patch in the tree")
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("one()") == "one original"
