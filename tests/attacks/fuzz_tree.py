"""Random operations on a mount: four processes, two of root's and two of nobody's, while patches come and go.

`count` tries are so many cycles of insmod, replace, disable and rmmod; the processes do what they can meanwhile.
No operation may take longer than 2 s (a write: 4, since it may wait for the journal's lock), and none is EIO.
"""
import contextlib
import errno
import fcntl
import mmap
import os
import random
import select
import shutil
import signal
import struct
import time

from tests.attacks.table import Failed
from tests.attacks.timing import BOUND, PATIENCE, allowed
from tests.attacks.world import LONG, NOBODY
from tests.harness import until

NOW = struct.Struct("ddQQ")             # since when the operation runs, the longest, operations, number of the longest
FLAGS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_DIRECT, os.O_WRONLY | os.O_APPEND, os.O_PATH, os.O_RDWR | os.O_TRUNC)
TEXTS = (b"0", b"1", b"0\n", b"2", b"", b"x", b"-1", b"/nowhere/x.py", b"good", b"\0", b"\xff" * 100, b"x" * 5000)


def opened(do, flags=None):
    """An operation on a descriptor of a path."""
    def run(rng, path, other):
        fd = os.open(path, (rng.choice(FLAGS) if flags is None else flags) | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return do(rng, fd)
        finally:
            os.close(fd)
    return run


def polled(rng, fd):
    poll = select.poll()
    poll.register(fd)
    poll.poll(1)


def mapped(rng, fd):
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ) as found:
        found[:10]


def listed(rng, path, other):
    with os.scandir(path) as found:
        for each in found:
            each.stat()


def read_two(rng, fd):
    os.read(fd, 5)
    os.read(fd, 5000)


def seek_read(rng, fd):
    os.lseek(fd, rng.choice((0, 1, 5, 4096, 1 << 40)), rng.choice((0, 1, 2, 3, 4)))
    os.read(fd, 10)


def sent(path):
    with open(os.devnull, "wb") as nothing:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.sendfile(nothing.fileno(), fd, 0, 100)
        finally:
            os.close(fd)


OPERATIONS = {
    "stat": lambda rng, path, other: os.stat(path),
    "lstat": lambda rng, path, other: os.lstat(path),
    "statvfs": lambda rng, path, other: os.statvfs(path),
    "access": lambda rng, path, other: os.access(path, rng.randrange(8)),
    "listdir": lambda rng, path, other: os.listdir(path),
    "scandir": listed,
    "readlink": lambda rng, path, other: os.readlink(path),
    "walk": lambda rng, path, other: sum(1 for _ in os.walk(path)),
    "rename": lambda rng, path, other: os.rename(path, other),
    "rename inside": lambda rng, path, other: os.rename(path, path + "x"),
    "link": lambda rng, path, other: os.link(path, other),
    "symlink": lambda rng, path, other: os.symlink(other, path + "x"),
    "unlink": lambda rng, path, other: os.unlink(path),
    "rmdir": lambda rng, path, other: os.rmdir(path),
    "mkdir": lambda rng, path, other: os.mkdir(path + "x"),
    "mkfifo": lambda rng, path, other: os.mkfifo(path + "x"),
    "mknod": lambda rng, path, other: os.mknod(path + "x", 0o20666, os.makedev(1, 5)),
    "create": lambda rng, path, other: os.close(os.open(path + "x", os.O_CREAT | os.O_WRONLY, 0o600)),
    "create exclusively": lambda rng, path, other: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)),
    "temporary file": lambda rng, path, other: os.close(os.open(path, os.O_TMPFILE | os.O_RDWR)),
    "truncate": lambda rng, path, other: os.truncate(path, rng.choice((0, 1, 10 ** 9))),
    "chmod": lambda rng, path, other: os.chmod(path, rng.randrange(0o10000)),
    "chown": lambda rng, path, other: os.chown(path, rng.choice((-1, 0, 5)), rng.choice((-1, 0, 5))),
    "utime": lambda rng, path, other: os.utime(path),
    "utime of 1970": lambda rng, path, other: os.utime(path, (0, 0)),
    "getxattr": lambda rng, path, other: os.getxattr(path, rng.choice(("user.x", "security.selinux", "system.posix_acl_access"))),
    "setxattr": lambda rng, path, other: os.setxattr(path, "user.x", b"x"),
    "listxattr": lambda rng, path, other: os.listxattr(path),
    "removexattr": lambda rng, path, other: os.removexattr(path, "user.x"),
    "chdir": lambda rng, path, other: (os.chdir(path), os.getcwd(), os.chdir("/")),
    "pathconf": lambda rng, path, other: os.pathconf(path, "PC_NAME_MAX"),
    "open and close": opened(lambda rng, fd: None),
    "open a folder": opened(lambda rng, fd: os.listdir(fd), os.O_RDONLY | os.O_DIRECTORY),
    "open no link": opened(lambda rng, fd: None, os.O_RDONLY | os.O_NOFOLLOW),
    "read": opened(lambda rng, fd: os.read(fd, 1 << 16), os.O_RDONLY),
    "read twice": opened(read_two, os.O_RDONLY),
    "read one byte": opened(lambda rng, fd: os.read(fd, 1), os.O_RDONLY),
    "read nothing": opened(lambda rng, fd: os.read(fd, 0), os.O_RDONLY),
    "pread": opened(lambda rng, fd: os.pread(fd, 100, rng.choice((0, 1, 4096, 1 << 40))), os.O_RDONLY),
    "readv": opened(lambda rng, fd: os.readv(fd, [bytearray(3), bytearray(5000)]), os.O_RDONLY),
    "seek and read": opened(seek_read, os.O_RDONLY),
    "seek": opened(lambda rng, fd: os.lseek(fd, rng.choice((-1, 0, 1 << 62)), rng.randrange(5))),
    "write": opened(lambda rng, fd: os.write(fd, rng.choice(TEXTS)), os.O_WRONLY),
    "write and read": opened(lambda rng, fd: (os.write(fd, rng.choice(TEXTS)), os.read(fd, 4096)), os.O_RDWR),
    "append": opened(lambda rng, fd: os.write(fd, rng.choice(TEXTS)), os.O_WRONLY | os.O_APPEND),
    "pwrite": opened(lambda rng, fd: os.pwrite(fd, rng.choice(TEXTS), rng.choice((0, 1, 4096))), os.O_WRONLY),
    "writev": opened(lambda rng, fd: os.writev(fd, [b"0", b"\n"]), os.O_WRONLY),
    "write truncated": opened(lambda rng, fd: os.write(fd, rng.choice(TEXTS)), os.O_WRONLY | os.O_TRUNC),
    "write of a megabyte": opened(lambda rng, fd: os.write(fd, b"x" * (1 << 20)), os.O_WRONLY),
    "direct read": opened(lambda rng, fd: os.read(fd, 4096), os.O_RDONLY | os.O_DIRECT),
    "fstat": opened(lambda rng, fd: os.fstat(fd)),
    "fstatvfs": opened(lambda rng, fd: os.fstatvfs(fd)),
    "fsync": opened(lambda rng, fd: os.fsync(fd)),
    "fdatasync": opened(lambda rng, fd: os.fdatasync(fd)),
    "ftruncate": opened(lambda rng, fd: os.ftruncate(fd, rng.choice((0, 5)))),
    "fchmod": opened(lambda rng, fd: os.fchmod(fd, 0o777)),
    "fchown": opened(lambda rng, fd: os.fchown(fd, 1, 1)),
    "futimes": opened(lambda rng, fd: os.utime(fd)),
    "fgetxattr": opened(lambda rng, fd: os.getxattr(fd, "user.x")),
    "flock": opened(lambda rng, fd: fcntl.flock(fd, rng.choice((1, 2)) | fcntl.LOCK_NB)),
    "lockf": opened(lambda rng, fd: fcntl.lockf(fd, rng.choice((1, 2)) | fcntl.LOCK_NB)),
    "fcntl": opened(lambda rng, fd: fcntl.fcntl(fd, rng.choice((1, 3, 1025, 1030)))),
    "lease": opened(lambda rng, fd: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK), os.O_RDONLY),
    "ioctl": opened(lambda rng, fd: fcntl.ioctl(fd, rng.choice((0x5401, 0x541B, 0x80046601, 12345)), bytearray(64))),
    "mmap": opened(mapped, os.O_RDONLY),
    "poll": opened(polled),
    "select": opened(lambda rng, fd: select.select([fd], [fd], [fd], 0)),
    "fadvise": opened(lambda rng, fd: os.posix_fadvise(fd, 0, 4096, rng.randrange(6))),
    "readahead": opened(lambda rng, fd: os.posix_fadvise(fd, 0, 1 << 20, os.POSIX_FADV_WILLNEED), os.O_WRONLY),
    "fallocate": opened(lambda rng, fd: os.posix_fallocate(fd, 0, 100)),
    "sendfile": lambda rng, path, other: sent(path),
    "dup": opened(lambda rng, fd: os.close(os.dup(fd))),
    "copy": lambda rng, path, other: shutil.copyfile(path, os.devnull) if "kmsg" not in path else None,
    "lookup of what is not": lambda rng, path, other: os.stat(f"{path}/{rng.randrange(1000)}"),
    "lookup of a long name": lambda rng, path, other: os.stat(f"{path}/{'x' * rng.choice((255, 256))}"),
    "odd name": lambda rng, path, other: os.stat(os.fsencode(path) + rng.choice((b"/\xff", b"/ ", b"/\n", b"/..", b"/."))),
}
WRITES = ("write", "append", "pwrite", "copy", "truncate", "create")


def operate(root, services, seed, user, shared, at):
    """Operations without end, in a process of its own, on the paths of what was there some moments ago."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rng, names, paths = random.Random(seed), sorted(OPERATIONS), []
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    parent, longest, which, bad = os.getppid(), 0.0, 0, 0
    for number in range(1 << 60):
        if not number % 200:
            if os.getppid() != parent:
                break
            paths = [root] + [f"{folder}/{name}" for service in services for folder, folders, files in os.walk(f"{root}/{service}")
                              for name in folders + files]
        which_now = rng.randrange(len(names))
        begun = time.monotonic()
        NOW.pack_into(shared, at, begun, longest, number, which)
        try:
            OPERATIONS[names[which_now]](rng, rng.choice(paths), rng.choice(paths))
        except OSError as e:
            if e.errno == errno.EIO:
                bad = which_now + 1
        except (ValueError, BufferError):
            pass
        took = time.monotonic() - begun - (PATIENCE if names[which_now].startswith(WRITES) else 0)
        if took > longest:
            longest, which = took, which_now
        if bad:
            struct.pack_into("Q", shared, at + NOW.size, bad)


def run(world, seed, count):
    names, shared = sorted(OPERATIONS), mmap.mmap(-1, 4096)
    processes = []
    for number in range(4):
        pid = os.fork()
        if not pid:
            try:
                operate(str(world.mount.root), ("shop",), f"{seed} {number}", NOBODY.pw_uid if number % 2 else 0, shared, number * 64)
            finally:
                os._exit(0)
        processes.append(pid)
    begun = time.monotonic()
    paths = [world.patch(f"lp{number}", replace=bool(number % 2)) for number in range(4)]
    rng, tree = random.Random(seed), world.tree()
    try:
        for _ in range(count):
            path = rng.choice(paths)
            for what, do in (("insmod", lambda path=path: tree.insmod(path)),
                             ("disable", lambda path=path: tree.set(f"{path.stem}/enabled", "0")),
                             ("rmmod", lambda path=path: tree.rmmod(path.stem))):
                found = world.timed(f"SEED={seed}: {what} amid operations", do, bound=BOUND + PATIENCE)
                world.expect(found.startswith(("ok", "E")), f"{what}: {found}")
            looked(world, seed, shared, names, begun)
        world.others()
    finally:
        world.tried = sum(NOW.unpack_from(shared, number * 64)[2] for number in range(4))
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        for pid in processes:
            with contextlib.suppress(AssertionError):
                until(lambda pid=pid: os.waitpid(pid, os.WNOHANG)[0], "", LONG)
        # what is read behind this has a mode that lets it be read: root's chmod may have taken it
        for file in world.mount.root.glob("shop/**/*"):
            if file.is_file():
                with contextlib.suppress(OSError):
                    file.chmod(file.stat().st_mode | 0o600)


def looked(world, seed, shared, names, begun):
    slowness = world.slowness(begun)
    for number in range(4):
        since, longest, count, which = NOW.unpack_from(shared, number * 64)
        bad = struct.unpack_from("Q", shared, number * 64 + NOW.size)[0]
        if bad:
            raise Failed(f"SEED={seed}: {names[bad - 1]} by {'nobody' if number % 2 else 'root'}: EIO")
        if since and max(longest, time.monotonic() - since - PATIENCE) > allowed(BOUND, slowness):
            raise Failed(f"SEED={seed}: {names[which]} by {'nobody' if number % 2 else 'root'}: {longest:.1f} s "
                         f"(operation {count}; machine {slowness:.1f} times slower than calm)")
