"""What a program can hold up on a mount: itself. A folder's lock that it holds (a listing into pages that never come, a
rename that waits for a file) stops no answer of ours. docs/FACTS-fuse.md#6."""
import contextlib
import errno
import os
import pathlib
import select
import signal
import threading
import time

import pytest

from klpfs.fs import mount as mounting
from tests.fs import slow_pages
from tests.fs.test_mount import Daemon, code, daemon, do, lp, opened, point, shop  # noqa: F401   (fixtures)
from tests.harness import read, until, write

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SECONDS = 5.0              # that an operation may take on a busy machine; held up, it would take for ever


def in_time(call, what):
    """What `call()` gives, or an errno's name, from a process of its own. AssertionError when it does not end."""
    ours, its = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(its, repr(code(call)).encode())
        finally:
            os._exit(0)
    os.close(its)
    with os.fdopen(ours, "rb", 0) as pipe:
        ended = select.select([pipe], [], [], SECONDS)[0]
        if not ended:
            os.kill(pid, signal.SIGKILL)       # heard when it is let go: not waited for
        assert ended, f"{what} is held up"
        found = pipe.read(65536).decode()
    os.waitpid(pid, 0)
    return found


PLACES = ["", "shop", "shop/proc", "shop/proc/4711", "shop/proc/4711/task", "shop/sys/kernel/livepatch",
          "shop/sys/kernel/livepatch/lp1", "shop/sys/kernel/livepatch/lp1/mod1", "shop/sys/module", "shop/sys/module/m",
          "shop/sys/module/m/parameters", "shop/dev", ".exec/shop/proc"]


@pytest.mark.parametrize("place", PLACES)
def test_who_lists_a_folder_into_pages_that_never_come_stops_nobody(daemon, point, shop, lp, tmp_path, place):  # noqa: F811
    slow = tmp_path / "slow"
    slow.mkdir()
    os.stat(point / ".exec/shop/proc")         # made by the first look
    for path in (lp / "lp1/enabled", lp / "lp1/mod1/patched", shop / "sys/module/m/refcnt"):
        read(path)
    with slow_pages.held(point / place, slow):
        for what, call in (
            ("a write", lambda: write(lp / "lp1/enabled", "0")), ("its read", lambda: read(lp / "lp1/enabled")),
            ("the end of a patch", lambda: do(shop, "del lp1")),
            ("a listing", lambda: os.listdir(lp)), ("a look", lambda: os.stat(lp / "lp1")),
            ("a new patch", lambda: do(shop, "add lp1")), ("its file", lambda: read(lp / "lp1/mod1/patched")),
            ("rmmod", lambda: write(shop / "rmmod", "m")), ("its folder", lambda: os.stat(shop / "sys/module/m")),
            ("modules", lambda: read(shop / "proc/modules")), ("a listing of all", lambda: os.listdir(point)),
            ("the listing that is held", lambda: os.listdir(point / place))):
            found = in_time(call, what)
            if what in ("a look", "its folder"):
                assert found == "'ENOENT'"
            elif what == "a listing":
                assert found == "['lp2']"
        assert in_time(lambda: do(shop, "die"), "the end of the service")
        assert in_time(lambda: os.stat(shop), "a look for the service") == "'ENOENT'"
        assert daemon.end() == (0, "")




@pytest.mark.parametrize("place", PLACES[1:])
def test_programs_that_try_to_change_a_folder_stop_nobody(shop, lp, point, place):  # noqa: F811
    """mv, ln, rm, rmdir, mkdir of all that is in a folder, while patches come and go and attributes are written: each
    is refused in time, and nothing else waits."""
    os.stat(point / ".exec/shop/proc")
    folder, stop, longest, odd = point / place, threading.Event(), [0.0], []

    def timed(call, *arguments):
        begun = time.monotonic()
        found = code(call, *arguments)
        longest[0] = max(longest[0], time.monotonic() - begun)
        return found

    def change():
        while not stop.is_set():
            for name in timed(os.listdir, folder) or ["x"]:
                path = folder / name
                for call, arguments in ((os.rename, (path, folder / "other")), (os.link, (path, folder / "other")),
                                        (os.unlink, (path,)), (os.rmdir, (path,)), (os.mkdir, (folder / "other",))):
                    found = timed(call, *arguments)
                    if found not in ("EPERM", "ENOENT", "EISDIR", "ENOTDIR", "EEXIST", "EBUSY", "EROFS"):
                        odd.append((call.__name__, name, found))
    threads = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for n in range(30):
            for call, arguments in ((write, (lp / "lp1/enabled", "0")), (do, (shop, "del lp1")),
                                    (os.stat, (lp / "lp1",)), (do, (shop, "add lp1")),
                                    (read, (lp / "lp1/enabled",)), (do, (shop, f"add x{n}")),
                                    (read, (shop / "proc/modules",))):
                found = timed(call, *arguments)
                if call is os.stat and found != "ENOENT":
                    odd.append(("stat", found))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert odd == [] and longest[0] < SECONDS


def test_a_rename_waits_for_a_write_that_waits_and_for_nothing_else(shop, lp):  # noqa: F811
    """It holds the folder, as on any FUSE file system: what is not in this folder goes on, and so does what the kernel
    knows the names of."""
    reader, writer = os.pipe()
    read(lp / "lp1/enabled")
    os.stat(shop / "rmmod")
    slow = os.fork()
    if not slow:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            do(shop, "slow")
        os._exit(0)
    from tests.fs.test_mount import until_it_waits
    until_it_waits(slow)
    mover = os.fork()
    if not mover:
        os.write(writer, code(os.rename, shop / "insmod", shop / "other").encode())
        os._exit(0)
    try:
        assert in_time(lambda: write(lp / "lp1/enabled", "0"), "a write") == "1"
        assert in_time(lambda: read(lp / "lp1/enabled"), "a read") == repr("0\n")
        assert in_time(lambda: write(shop / "rmmod", "m"), "rmmod") == "1"
        assert not select.select([reader], [], [], 0)[0]
    finally:
        os.kill(slow, signal.SIGINT)
        os.waitpid(slow, 0)
    assert select.select([reader], [], [], SECONDS)[0] and os.read(reader, 99) == errno.errorcode[errno.EPERM].encode()
    os.waitpid(mover, 0)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("options", [["old_kernel"], ["old_kernel", "blind"]], ids=lambda options: options[-1])
def test_a_kernel_that_can_only_be_told_by_names(point, tmp_path, options):  # noqa: F811
    """Before Linux 6.18. Where a program has the folder open nothing is told; blind to that, the message is held up: in
    a process that nothing waits for, not even the end of the daemon."""
    slow = tmp_path / "slow"
    slow.mkdir()
    made, lp = Daemon(point, *options), point / "shop/sys/kernel/livepatch"  # noqa: F811
    assert made.first == "ready\n", made.ended()
    children = pathlib.Path(f"/proc/{made.process.pid}/task/{made.process.pid}/children")
    for name in ("lp1", "lp2"):
        read(lp / name / "mod1/patched")
    with opened(lp / "lp2/enabled") as fd, slow_pages.held(lp, slow):
        in_time(lambda: do(point / "shop", "del lp1"), "the end of a patch")
        if "blind" in options:
            until(lambda: children.read_text() != "", "the process that tells the kernel")
        assert in_time(lambda: read(lp / "lp2/enabled"), "a read") == repr("1\n")
        assert in_time(lambda: write(lp / "lp2/enabled", "0"), "a write") == "1"
        if "blind" not in options:             # else these wait behind the message
            assert in_time(lambda: os.stat(lp / "lp1"), "a look") == "'ENOENT'"
            assert in_time(lambda: os.listdir(lp), "a listing") == "['lp2']"
            until(lambda: children.read_text() == "", "the end of who tells it of what is in lp1 only")
        assert made.end() == (0, "") and mounting.mounted(str(point)) is None
        assert code(os.read, fd, 9) in ("ENOTCONN", "ECONNABORTED")
