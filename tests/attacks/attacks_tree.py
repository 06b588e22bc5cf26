"""Attacks on the mount itself: operations on its files that make the kernel wait for the daemon's own notices, or a
stranger's pages (B3, C1)."""
import contextlib
import errno
import os
import random
import subprocess
import time

from tests import harness
from tests.attacks.fuzz_tree import OPERATIONS
from tests.attacks.table import Skipped, attack
from tests.attacks.timing import BOUND, PATIENCE
from tests.attacks.world import NOBODY, kill_tree
from tests.harness import until, write

MOVERS = {
    "mv": lambda folder: os.rename(folder + "/enabled", folder + "/x"),
    "mv of the folder": lambda folder: os.rename(folder, folder + "x"),
    "ln": lambda folder: os.link(folder + "/enabled", folder + "/y"),
    "rm": lambda folder: os.unlink(folder + "/enabled"),
    "rm -r": lambda folder: (os.unlink(folder + "/enabled"), os.rmdir(folder)),
    "truncate": lambda folder: os.truncate(folder + "/enabled", 0),
    "chmod": lambda folder: os.chmod(folder + "/enabled", 0o600),
    "touch": lambda folder: os.close(os.open(folder + "/new", os.O_CREAT | os.O_WRONLY)),
}


def moving(folder, how, pid):
    """Do it again and again, in a process of its own that ends with the world's."""
    while os.getppid() == pid:
        with contextlib.suppress(OSError):
            MOVERS[how](folder)


def with_movers(world, hows, rounds):
    tree = world.tree()
    folder = str(tree.livepatch / world.good[0].stem)
    movers = []
    for how in hows:
        parent, pid = os.getpid(), os.fork()
        if not pid:
            try:
                moving(folder, how, parent)
            finally:
                os._exit(0)
        movers.append(pid)
    try:
        for _ in range(rounds):
            world.cycle()
    finally:
        for pid in movers:
            os.kill(pid, 9)
        for pid in movers:      # in D state it would not end: then the mount is gone first
            with contextlib.suppress(AssertionError):
                until(lambda pid=pid: os.waitpid(pid, os.WNOHANG)[0], "", 5)


@attack("B3", quick=True)
def mv(world):
    """rename(2) of an attribute freezes nobody"""
    with_movers(world, ["mv", "mv of the folder"], 4)


@attack("B3")
def rm(world):
    """link, unlink, rmdir, truncate, chmod and creation in the tree freeze nobody"""
    with_movers(world, [each for each in MOVERS if not each.startswith("mv")], 6)


SLOW = r"""
import ctypes, mmap, os, socket, struct, subprocess, sys, threading, time
mnt, folders = sys.argv[1], sys.argv[2:]
a, b = socket.socketpair()
subprocess.run(["fusermount3", "-o", "fsname=slow", mnt], env={**os.environ, "_FUSE_COMMFD": str(b.fileno())}, pass_fds=[b.fileno()])
_, ancillary, _, _ = a.recvmsg(1, socket.CMSG_SPACE(4))
fd = struct.unpack("i", ancillary[0][2][:4])[0]

def attr(inode, mode, size):
    return struct.pack("=QQQQQQIIIIIIIIII", inode, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)

def serve():
    while True:
        m = os.read(fd, 1 << 18)
        length, op, unique, node = struct.unpack_from("=IIQQ", m)
        def reply(body=b"", error=0):
            os.write(fd, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)
        if op == 26:
            reply(struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 131072, 1, 0, 0, 0))
        elif op == 1:
            reply(struct.pack("=QQQQII", 2, 0, 10, 10, 0, 0) + attr(2, 0o100644, 1 << 20))
        elif op == 3:
            reply(struct.pack("=QII", 10, 0, 0) + (attr(1, 0o40755, 0) if node == 1 else attr(2, 0o100644, 1 << 20)))
        elif op in (14, 27):
            reply(struct.pack("=QII", 1, 0, 0))
        elif op == 15:
            print("holds", flush=True)          # and never an answer
        elif op not in (2, 42):
            reply(error=38)

threading.Thread(target=serve, daemon=True).start()
for number, folder in enumerate(folders):
    if not os.fork():
        os.close(fd)                            # or nobody's death would end that mount
        m = mmap.mmap(os.open(mnt + "/slow", os.O_RDONLY), 1 << 20, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        where = (ctypes.c_char * 65536).from_buffer(m, number << 17)
        if os.path.isdir(folder):
            ctypes.CDLL(None).syscall(217, os.open(folder, os.O_RDONLY | os.O_DIRECTORY), where, 65536)
        else:
            ctypes.CDLL(None).read(os.open(folder, os.O_RDONLY), where, 4096)
        os._exit(0)
time.sleep(150)
"""


def slow(world, *paths):
    """A stranger, nobody with no right here, reads `paths` into pages of a FUSE file of its own, which never come."""
    point = world.folder / "slow"
    point.mkdir(exist_ok=True)
    os.chown(point, NOBODY.pw_uid, NOBODY.pw_gid)
    device = world.folder / "fuse"          # /dev/fuse is 0666 on most systems: it gets a namespace where it is
    if not device.exists():
        os.mknod(device, 0o20666, os.makedev(10, 229))
        os.chmod(device, 0o666)
    evil = subprocess.Popen(
        ["unshare", "-m", "--propagation", "slave", "sh", "-c", f'mount --bind {device} /dev/fuse; exec "$@"', "sh",
         "setpriv", "--reuid", str(NOBODY.pw_uid), "--regid", str(NOBODY.pw_gid), "--clear-groups",
         "/usr/bin/python3", "-c", SLOW, str(point), *map(str, paths)], stdout=subprocess.PIPE, text=True, cwd="/")
    # reading ahead, one read may stand for several pages
    world.expect(evil.stdout.readline() == "holds\n", "the stranger could not begin")
    time.sleep(0.1 * len(paths))
    return evil


def let_go(world, evil):
    kill_tree(evil.pid)
    evil.kill()
    evil.wait()
    evil.stdout.close()
    subprocess.run(["umount", "-l", str(world.folder / "slow")], stderr=subprocess.DEVNULL)


def needs(*paths):
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise Skipped(f"no {' and no '.join(missing)} here")


@attack("B3", quick=True)
def slow_pages(world):
    """a stranger who lists livepatch/ into pages that never come holds up only itself"""
    needs("/usr/bin/python3", "/usr/bin/unshare", "/usr/bin/fusermount3")
    tree = world.tree()
    world.insmod(world.patch("lp1"))
    tree.settle()
    evil = slow(world, tree.livepatch)
    try:
        found = world.timed("echo 0 > enabled", write, tree.livepatch / "lp1/enabled", "0")
        world.expect(found == "ok None" or found.startswith("ok"), f"echo 0 > enabled: {found}")
        world.timed("cat proc/modules", harness.read, tree.path / "proc/modules")
        world.timed("ls livepatch", os.listdir, tree.livepatch)
        world.clear()
        world.cycle()
        world.others()
    finally:
        let_go(world, evil)


@attack("B3")
def slow_pages_everywhere(world):
    """a stranger who lists every folder and reads every file of the tree into pages that never come holds up only itself"""
    needs("/usr/bin/python3", "/usr/bin/unshare", "/usr/bin/fusermount3")
    tree = world.tree()
    world.insmod(world.patch("lp1"))
    tree.settle()
    paths = [world.mount.root, tree.path, tree.path / "proc", tree.path / "sys/module", tree.livepatch, tree.livepatch / "lp1",
             tree.path / "proc/modules", tree.livepatch / "lp1/enabled"]
    evil = slow(world, *[path for path in paths if path.is_dir() or path.stat().st_mode & 0o004])
    try:
        world.clear()
        world.cycle()
        world.others()
    finally:
        let_go(world, evil)


@attack("C1", quick=True)
def fadvise(world):
    """posix_fadvise on files of the tree that can't be read leaves no line in the daemon's log"""
    for path, flags in ((world.tree().path / "insmod", os.O_WRONLY), (world.tree().path / "rmmod", os.O_WRONLY),
                        (world.tree().path / "proc/modules", os.O_RDONLY), (world.tree().path / "dev/kmsg", os.O_RDONLY)):
        fd = os.open(path, flags)
        try:
            for advice in range(6):
                with contextlib.suppress(OSError):
                    os.posix_fadvise(fd, 0, 4096, advice)
            with contextlib.suppress(OSError):
                os.read(fd, 10) if flags == os.O_WRONLY else None
        finally:
            os.close(fd)
    world.others()


@attack("C1")
def every_operation(world):
    """each operation of the fuzzer's, on each file of the tree, is answered in time and is never EIO"""
    tree, rng = world.tree(), random.Random(1)
    world.insmod(world.patch("lp1"))
    tree.settle()
    paths = [tree.path / "insmod", tree.path / "dev/kmsg", tree.path / "proc/modules", tree.livepatch / "lp1/enabled",
             tree.livepatch / "lp1", tree.path / "check", tree.path / "blockers"]

    def all_of(path):
        for name, do in OPERATIONS.items():
            try:
                do(rng, str(path), str(paths[0]))
            except (OSError, ValueError, BufferError) as e:
                if getattr(e, "errno", 0) == errno.EIO:
                    return f"{name}: EIO"
        return ""
    for path in paths:
        found = world.timed(f"all operations on {path.name}", all_of, path, bound=BOUND + 3 * PATIENCE)
        world.expect(found == "ok ''", f"{path.name}: {found}")
    world.others()
