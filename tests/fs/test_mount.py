"""A real mount of a fake service: static behaviour against real sysfs, removal, poll, blocked writers, signals,
remounting."""
import ast
import contextlib
import ctypes
import errno
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from klpfs.fs import mount as mounting
from klpfs.service import mountinfo
from tests.fs import fake
from tests.harness import read, until, write

pytestmark = pytest.mark.fuse

HERE = pathlib.Path(__file__).resolve().parent
NOBODY = 65534                                  # a user with a name: the helper wants one
KERNEL_LIMITS = {"mmap private"}                # docs/FACTS-fuse.md#3: not reproducible by any FUSE file system


class Daemon:
    def __init__(self, point, *without, wrap=()):
        self.point, self.without, self.wrap = point, without, wrap
        self.start()

    def start(self):
        self.process = subprocess.Popen([*self.wrap, sys.executable, str(HERE / "fake.py"), str(self.point),
                                         *self.without], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])})
        self.first = self.process.stdout.readline()

    def end(self, number=signal.SIGTERM):
        """(exit status, what it wrote to stderr)."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self):
        try:
            _, said = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, said


@pytest.fixture
def point(tmp_path):
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    while mounting.mounted(str(path)):
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def daemon(point):
    made = Daemon(point)
    assert made.first == "ready\n", made.ended()
    yield made
    if made.process.poll() is None:
        assert made.end() == (0, "")


@pytest.fixture
def shop(daemon, point):
    return point / "shop"


@pytest.fixture
def lp(shop):
    return shop / "sys/kernel/livepatch"


def do(shop, text):
    write(shop / "insmod", text)


def code(call, *args, **more):
    """The errno that it raises, by name; else what it gives."""
    try:
        return call(*args, **more)
    except OSError as e:
        return errno.errorcode[e.errno]


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def as_user(uid, call):
    """What `call()` gives, as a string or an errno's name, in a child process of this user."""
    ours, its = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            become(uid)
            os.write(its, str(code(call)).encode())
        finally:
            os._exit(0)
    os.close(its)
    with os.fdopen(ours) as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return found


def polled(fd, events=select.POLLIN | select.POLLPRI, wait=0):
    p = select.poll()
    p.register(fd, events)
    return [found for _, found in p.poll(wait)]


@pytest.mark.skipif(os.geteuid() != 0, reason="the recorded answers are root's")
def test_it_answers_as_sysfs_does_where_a_fuse_file_system_can(lp, shop, tmp_path):
    """81 calls whose results a real sysfs has recorded."""
    ran = subprocess.run([sys.executable, str(HERE / "data/probe.py"), str(lp / "lp1"),
                          str(shop / "sys/module/m/parameters/x"), "transition", "force", "7"],
                         capture_output=True, text=True, cwd=tmp_path, check=True)
    got, want = ran.stdout.splitlines(), (HERE / "data/probe.sysfs.txt").read_text().splitlines()
    assert len(got) == len(want) and ran.stderr == ""
    assert [(g, w) for g, w in zip(got, want) if g != w and w[:24].strip() not in KERNEL_LIMITS] == []


def test_reads_as_on_the_kernel(lp):
    with opened(lp / "lp1/enabled") as fd:
        assert [os.read(fd, 1), os.read(fd, 1), os.read(fd, 1), os.lseek(fd, 0, os.SEEK_END), os.lseek(fd, 0, 0),
                os.read(fd, 10)] == [b"1", b"\n", b"", 4096, 0, b"1\n"]
    assert [n for n in os.listdir(lp / "lp1") if n in ("enabled", "vmlinux", "transition",
                                                       "force")] == ["enabled", "vmlinux", "transition", "force"]
    assert os.stat(lp / "lp1").st_nlink == 5 and os.stat(lp).st_nlink == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("path, flags, result",
                         [("enabled", os.O_RDONLY, "ok"), ("enabled", os.O_WRONLY, "EACCES"),
                          ("transition", os.O_RDONLY, "ok"),
                                                 ("force", os.O_RDONLY, "EACCES"), ("force", os.O_WRONLY, "EACCES"),
                          ("vmlinux/patched", os.O_RDONLY, "ok")])
def test_a_stranger_may_what_the_bits_say(lp, path, flags, result):
    for folder in lp.parents:                  # pytest's own are private
        if not str(folder).startswith(str(mountinfo.klpfs_mounts()[-1])) and len(folder.parts) > 2:
            os.chmod(folder, 0o755)
    assert as_user(NOBODY, lambda: os.close(os.open(lp / "lp1" / path, flags)) or "ok") == result


def test_a_removed_patch_is_gone_for_every_name_once_the_write_has_returned(shop, lp):
    top = lp / "lp1"
    for path in (top, top / "enabled", top / "mod1/patched"):
        os.stat(path)
    do(shop, "del lp1")
    assert [code(os.stat, p) for p in (top, top / "enabled", top / "mod1/patched")] == ["ENOENT"] * 3
    assert code(os.open, top / "enabled", 0) == "ENOENT" and os.listdir(lp) == ["lp2"] and os.stat(lp).st_nlink == 3


def test_held_nodes_of_a_removed_patch(shop, lp):
    top = lp / "lp1"
    with opened(top / "enabled", os.O_RDWR) as fd, opened(top) as folder, opened(top / "mod1") as sub:
        os.read(fd, 9)
        os.listdir(folder)
        do(shop, "del lp1")
        do(shop, "add lp1")
        assert code(os.pread, fd, 9, 0) == "ENODEV" and code(os.write, fd, b"1") == "ENODEV"
        assert os.fstat(fd).st_size == 4096 and os.fstat(folder).st_nlink == 2
        assert os.listdir(folder) == [] and os.listdir(sub) == []
        assert code(os.open, "enabled", 0, dir_fd=folder) == "ENOENT"
        assert code(os.open, f"/proc/self/fd/{fd}", os.O_RDONLY) == "ENODEV"
        assert code(os.lseek, fd, 0, os.SEEK_END) == "ENODEV"
        assert polled(fd) == [11]
        assert read(top / "enabled") == "1\n", "the new one lives"


def test_a_removed_working_directory_is_empty(shop, lp):
    ran = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys\nprint(flush=True); input()\nprint(os.listdir('.'))\n"
            "try: open('enabled')\nexcept OSError as e: print(e.errno)",
        ],
        cwd=lp / "lp1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ran.stdout.readline()
    do(shop, "del lp1")
    assert ran.communicate("\n")[0].split("\n")[:2] == ["[]", str(errno.ENOENT)]


def test_poll_before_and_after_a_read_and_woken_by_a_change(shop, lp):
    with opened(lp / "lp1/transition") as fd:
        before, _, after = polled(fd), os.read(fd, 9), polled(fd)
        assert (before, after) == ([11], [1])
        timer = threading.Timer(0.1, do, (shop, "begin lp1"))
        timer.start()
        assert polled(fd, select.POLLPRI, 5000) == [10] and os.pread(fd, 9, 0) == b"1\n"
        timer.join()


def test_epoll_is_woken_each_time(shop, lp):
    with opened(lp / "lp1/transition") as fd, select.epoll() as e:
        e.register(fd, select.EPOLLPRI | select.EPOLLET)
        os.read(fd, 9)
        e.poll(0)
        for word in ("begin", "end", "begin"):
            os.pread(fd, 9, 0)
            do(shop, f"{word} lp1")
            assert e.poll(5) and polled(fd) == [11]


def test_read_ahead_of_what_can_only_be_written_is_no_mistake_of_ours(shop, daemon):
    """posix_fadvise(WILLNEED) sends a READ for a file that was opened for writing."""
    for name in ("insmod", "rmmod", "sys/kernel/livepatch/lp1/force", "dev/.clear", "check", "dev/kmsg"):
        with opened(shop / name, os.O_WRONLY) as fd:
            code(os.posix_fadvise, fd, 0, 4096, os.POSIX_FADV_WILLNEED)
    assert daemon.end() == (0, "")


def test_the_writer_is_known(shop):
    do(shop, "who")
    assert read_log(shop)[-1] == f"{os.getuid()},{os.getgid()},{os.getpid()}"


def read_log(shop):
    found = []
    with opened(shop / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) as fd:
        while True:
            try:
                found.append(os.read(fd, 8192).decode().partition(";")[2].rstrip("\n"))
            except BlockingIOError:
                return found


def test_dev_kmsg_seeks_waits_and_polls(shop):
    with opened(shop / "dev/kmsg") as fd:
        assert os.read(fd, 8192) == b"6,0,1000000,-;ready\n" and os.lseek(fd, 0, os.SEEK_SET) == 0
        assert os.read(fd, 8192) == b"6,0,1000000,-;ready\n"
        write(shop / "dev/kmsg", "one")
        assert os.lseek(fd, 0, os.SEEK_END) == 0 and polled(fd) == []
        timer = threading.Timer(0.1, write, (shop / "dev/kmsg", "two"))
        timer.start()
        assert os.read(fd, 8192) == b"4,2,1000002,-;two\n", "it waited, and SEEK_END passed over `one`"
        timer.join()
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0 and os.read(fd, 8192).endswith(b"ready\n")
        for i in range(20):
            write(shop / "dev/kmsg", f"more {i}")
        assert code(os.read, fd, 8192) == "EPIPE" and os.read(fd, 8192).endswith(b"more 12\n")
        assert code(os.read, fd, 3) == "EINVAL"
        assert os.fstat(fd).st_size == 0
    with opened(shop / "dev/kmsg") as fd:
        os.lseek(fd, 0, os.SEEK_END)
        timer = threading.Timer(0.1, write, (shop / "dev/kmsg", "three"))
        timer.start()
        assert polled(fd, select.POLLIN, 5000) == [1]
        timer.join()


COPIES = {                                      # of a file's text, as bytes
    "cat": lambda path: subprocess.run(["cat", path], check=True, stdout=subprocess.PIPE).stdout,
    "cp": lambda path: copied(path, lambda new: subprocess.run(["cp", path, new], check=True)),
    "dd": lambda path: subprocess.run(["dd", "status=none", f"if={path}"], check=True, stdout=subprocess.PIPE).stdout,
    "sendfile": lambda path: copied(path, lambda new: shutil.copyfile(path, new)),
    "splice": lambda path: b"".join(spliced(path)),
    "tail -c": lambda path: subprocess.run(["tail", "-c9999999", path], check=True, stdout=subprocess.PIPE).stdout,
    "tail -n": lambda path: subprocess.run(["tail", "-n9999999", path], check=True, stdout=subprocess.PIPE).stdout,
}


def copied(path, copy):
    new = pathlib.Path(tempfile.mkdtemp(), "copy")
    try:
        copy(new)
        return new.read_bytes()
    finally:
        shutil.rmtree(new.parent)


def spliced(path):
    """The parts that splice(2) gives of a file, until its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    out, into = os.pipe()
    with opened(path) as fd, os.fdopen(out, "rb", buffering=0) as pipe:
        while True:
            count = libc.splice(fd, None, into, None, ctypes.c_size_t(65536), 0)
            assert count >= 0, os.strerror(ctypes.get_errno())
            if not count:
                break
            yield pipe.read(count)
        os.close(into)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", ["blockers", "proc/modules", "proc/sys/kernel/ftrace_enabled", "proc/4711/comm",
                                  "proc/4711/cmdline", "proc/4711/patch_state", "proc/4711/task/101/stack",
                                  "sys/module/m/refcnt", "sys/module/m/initstate", "sys/kernel/livepatch/lp1/enabled"])
def test_a_text_is_whole_however_it_is_copied(shop, name, copy):
    do(shop, "block 3")
    text = (shop / name).read_bytes()
    assert text and COPIES[copy](shop / name) == text


@pytest.mark.parametrize("copy", COPIES)
def test_a_text_that_grows_is_whole_again(shop, copy):
    """The kernel keeps the size that it has found until it asks for the file again: nobody asks here in between."""
    for frames in 0, 1, 3, 500, 10000, 2, 0:
        do(shop, f"block {frames}")
        assert COPIES[copy](shop / "blockers").count(b"\n") == (frames and frames + 1)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox")
def test_busybox_shows_who_is_in_the_way(shop):
    do(shop, "block 3")
    assert subprocess.run(["busybox", "cat", shop / "blockers"], check=True, stdout=subprocess.PIPE
                          ).stdout == (shop / "blockers").read_bytes() != b""


def child(call):
    pid = os.fork()
    if not pid:
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            call()
        finally:
            os._exit(1)
    return pid


def until_it_waits(pid):
    """Wait until a child of ours waits for the daemon's answer."""
    until(lambda: any(text in pathlib.Path(f"/proc/{pid}/wchan").read_text()
                      for text in (" fuse", "request_wait_answer")), "the child to wait")


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("what", ["a write", "a read of the log"])
def test_who_waits_can_be_killed_at_once(shop, number, what):
    def wait():
        if what == "a write":
            do(shop, "slow")
        fd = os.open(shop / "dev/kmsg", os.O_RDONLY)
        while True:
            os.read(fd, 8192)
    pid = child(wait)
    until_it_waits(pid)
    begun = time.monotonic()
    os.kill(pid, number)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == number and time.monotonic() - begun < 5
    assert read(shop / "sys/kernel/livepatch/lp1/enabled") == "1\n"


@pytest.mark.timing
def test_others_go_on_while_a_write_waits(shop, lp):
    pid = child(lambda: do(shop, "slow"))
    try:
        until_it_waits(pid)
        begun = time.monotonic()
        assert read(lp / "lp2/enabled") == "1\n"
        with opened(shop / "insmod", os.O_WRONLY) as fd:
            assert os.write(fd, b"log second writer") == 17, "of the same file too, where nothing truncates it"
        assert time.monotonic() - begun < 5 and read_log(shop)[-1] == "second writer"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_service_that_ends_takes_its_tree_with_it(shop, point):
    with opened(shop / "dev/kmsg") as fd:
        os.read(fd, 99)
        timer = threading.Timer(0.1, lambda: code(do, shop, "die"))
        timer.start()
        assert code(os.read, fd, 99) == "ENODEV"
        timer.join()
    assert os.listdir(point) == [] and code(os.stat, shop) == "ENOENT"


@pytest.mark.slow
def test_patches_that_come_and_go_under_many_readers(shop, lp):
    """A reader sees a whole patch or none; nothing hangs; the daemon keeps nothing of what has gone."""
    stop, odd = threading.Event(), []

    def look():
        while not stop.is_set():
            for name in code(os.listdir, lp):
                for path, good in ((f"{name}/enabled", ("1\n", "ENOENT", "ENODEV")),
                                   (f"{name}/mod1/patched", ("1\n", "ENOENT", "ENODEV"))):
                    found = code(read, lp / path)
                    if found not in good:
                        odd.append((path, found))
                found = code(os.listdir, lp / name)
                if found not in ("ENOENT", []) and len(found) != 8:
                    odd.append((name, found))
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(150):
            do(shop, f"add x{i % 3}")
            assert os.path.isdir(lp / f"x{i % 3}")
            do(shop, f"del x{i % 3}")
            assert not os.path.exists(lp / f"x{i % 3}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert odd == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_though_files_are_held(daemon, lp, number):
    with opened(lp / "lp1/enabled") as fd:
        assert daemon.end(number) == (0, "") and mounting.mounted(str(daemon.point)) is None
        assert code(os.read, fd, 9) == "ENOTCONN"


def test_two_signals_unmount_once(daemon):
    daemon.process.send_signal(signal.SIGTERM)
    assert (
        daemon.end(signal.SIGTERM) in ((0, ""), (-signal.SIGTERM, "")) and mounting.mounted(str(daemon.point)) is None
    )


def test_an_unmount_by_another_ends_the_daemon(daemon):
    mounting.umount(str(daemon.point))
    assert daemon.ended() == (0, "")


def test_an_unmount_of_what_is_in_use_is_ebusy(daemon, lp):
    with opened(lp / "lp1/enabled"):
        assert code(mounting.umount, str(daemon.point)) == "EBUSY"
        mounting.umount(str(daemon.point), lazy=True)
    assert daemon.ended() == (0, "") and code(mounting.umount, str(daemon.point)) == "EINVAL"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_mount_of_another_on_top_is_left_alone(daemon):
    subprocess.run(["mount", "-t", "tmpfs", "none", str(daemon.point)], check=True)
    assert daemon.end() == (0, "") and mounting.mounted(str(daemon.point)).type == "tmpfs"


def test_a_dead_mount_is_mounted_over(daemon, lp, point):
    with opened(lp / "lp1/enabled") as fd:
        daemon.process.kill()
        daemon.process.communicate()
        assert code(os.read, fd, 9) == "ENOTCONN" and mounting.answers(str(point)) == errno.ENOTCONN
        daemon.start()
        assert daemon.first == "ready\n" and read(lp / "lp1/enabled") == "1\n"
        assert len([entry for entry in mountinfo.mounts() if entry.point == str(point)]) == 1


def test_a_living_mount_is_not_mounted_over(daemon, point):
    second = Daemon(point)
    status, said = second.ended()
    assert status == 1 and said == f"klpfs: klpfs is mounted on {point} already\n"
    assert os.listdir(point) == ["shop"]


def test_a_stopped_daemon_is_told_from_a_dead_one(daemon, point, monkeypatch):
    monkeypatch.setattr(mounting, "ANSWERS", 0.2)
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(OSError) as e:
            mounting.mount(str(point))
        assert e.value.errno == errno.EBUSY and "stopped" in e.value.strerror
    finally:
        daemon.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("make, number",
                         [(lambda p: p / "nothing", errno.ENOENT),
                          (lambda p: (p / "file").write_text("") and None or p / "file", errno.ENOTDIR)])
def test_a_place_that_is_no_folder_is_refused(tmp_path, make, number):
    with pytest.raises(OSError) as e:
        mounting.mount(str(make(tmp_path)))
    assert e.value.errno == number


def test_a_folder_with_files_in_it_can_be_mounted_on(point):
    (point / "below").write_text("x")
    made = Daemon(point)
    assert made.first == "ready\n" and os.listdir(point) == ["shop"] and made.end() == (0, "")
    assert os.listdir(point) == ["below"]


def test_a_place_with_odd_characters(tmp_path):
    odd = tmp_path / "a b\\c\né"
    odd.mkdir()
    made = Daemon(odd)
    assert (
        made.first == "ready\n"
        and mounting.mounted(str(odd)).type == "fuse.klpfs"
        and str(odd) in mountinfo.klpfs_mounts()
    )
    assert made.end() == (0, "") and mounting.mounted(str(odd)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="mount(2) needs root")
@pytest.mark.parametrize("without, how", [(["_by_libfuse"], "mount(2)"), (["_by_libfuse", "_by_mount"], "fusermount3")])
def test_without_libfuse_there_are_other_ways(point, without, how):
    if how == "fusermount3" and not mounting._helper():
        pytest.skip("no fusermount3 here")
    made = Daemon(point, *without)
    assert made.first == "ready\n", made.ended()
    assert read(point / "shop/sys/kernel/livepatch/lp1/enabled") == "1\n"
    assert made.end() == (0, "") and mounting.mounted(str(point)) is None


def test_no_way_at_all_says_each_why(point):
    made = Daemon(point, "_by_libfuse", "_by_mount", "_by_fusermount")
    code, said = made.ended()
    assert code == 1 and said.startswith(f"klpfs: can't mount on {point}: not this way. ") and "unshare -Urm" in said


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def open_fuse_device(folder):
    """Give this process a mount namespace of its own, in which /dev/fuse is everybody's, as it is on most machines."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):               # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", "dev", "none", str(folder)],
                    ["mknod", "-m", "666", f"{folder}/fuse", "c", "10", "229"],
                    ["mount", "--bind", f"{folder}/fuse", "/dev/fuse"]):
        subprocess.run(command, check=True, capture_output=True)


def mounted_by_a_user(uid, folder, without):
    """In a child process: mounts as this user, and gives what is seen then, a fact each; or why it can't be tried."""
    device, home = folder / "dev", folder / "home"
    device.mkdir()
    home.mkdir()
    os.chown(home, uid, uid)
    open_fuse_device(device)
    ours, its = os.pipe()
    pid = os.fork()
    if not pid:
        become(uid)
        os.dup2(its, 1)
        os.dup2(its, 2)
        sys.stdout = sys.stderr = os.fdopen(its, "w")
        try:
            os._exit(fake.main(str(home), *without))
        except OSError as e:
            print(e.strerror, flush=True)
        os._exit(1)
    os.close(its)
    with os.fdopen(ours) as pipe:
        first = pipe.readline()
        if first != "ready\n":
            return first
        found = [as_user(uid, lambda: write(home / "shop/insmod", "log mine")),
                 as_user(uid, lambda: os.stat(home / "shop/insmod").st_uid), code(os.listdir, home)]
        os.kill(pid, signal.SIGTERM)
        return [*found, os.waitpid(pid, 0)[1], pipe.read(), mounting.mounted(str(home)) is None]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("without", [[], ["_by_libfuse"]])
def test_a_plain_user_mounts_with_the_helper(without):
    """Owns what is in it; nobody else, not even root, may look."""
    import fuse  # noqa: F401  (both before the user changes, who may not be able to read them)

    from klpfs.fs import daemon  # noqa: F401
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpfs-user-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with tempfile.TemporaryFile("w+") as file:
            pid = os.fork()
            if not pid:
                try:
                    file.write(repr(mounted_by_a_user(NOBODY, folder, without)))
                except BaseException as e:
                    file.write(repr(f"{type(e).__name__}: {e}"))
                file.flush()
                os._exit(0)
            os.waitpid(pid, 0)
            file.seek(0)
            found = ast.literal_eval(file.read())
        if isinstance(found, str):
            pytest.skip(f"a plain user can't mount here: {found.strip()}")
        assert found == ["8", str(NOBODY), "EACCES", 0, "", True]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
