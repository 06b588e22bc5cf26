"""The file system beside libfuse's low-level API in C, client and daemon on one CPU, in turns in one run.

The daemon serves a service made of views (no processes), so that what is measured is the tree and the protocol. Times
are CPU time, of client and daemon together: what the clock shows on a CPU that has nothing else to do. Needs gcc and
libfuse 3's headers.
"""
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench import NotMeasured

HERE = pathlib.Path(__file__).resolve().parent
CPU = 0
TURNS = 9
TOP = "shop/sys/kernel/livepatch"
SERVE = """
import sys
from tests.fs.fake import FakeManager
from klpfs.fs import daemon
class Manager(FakeManager):
    def start(self):
        service = self.put("shop")
        for i in range(int(sys.argv[2])):
            service.add(f"patch_{i:03}", 0, objects=())
            from klpfs.service.snapshots import ObjectView
            service.change(f"patch_{i:03}", objects=(ObjectView("vmlinux", True, tuple((f"func_{k:04}", 1) for k in range(int(sys.argv[3])))),))
sys.exit(daemon.serve(sys.argv[1], "", lambda: print("ready", flush=True), daemon.to_stderr, Manager))
"""


def compiled(folder):
    """The two C programs' paths. NotMeasured: what they take is not on this machine."""
    if subprocess.run([HERE.parent / "scripts" / "system", "cc", "libfuse-dev"]).returncode:
        raise NotMeasured("a C compiler and libfuse 3's headers are needed")
    flags = ["-I/usr/include/fuse3", "-lfuse3", "-lpthread"]
    if shutil.which("pkg-config"):
        asked = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True)
        flags = asked.stdout.split() if asked.returncode == 0 else flags
    for name, more in (("fs_client", []), ("fs_server", flags)):
        done = subprocess.run(["gcc", "-O2", "-o", str(folder / name), str(HERE / f"{name}.c"), *more],
                              capture_output=True, text=True)
        if done.returncode:
            raise NotMeasured(f"no libfuse 3 to compile against: {done.stderr.strip().splitlines()[0]}")
    return folder / "fs_client", folder / "fs_server"


def pinned(*command):
    return ["taskset", "-c", str(CPU), *map(str, command)]


@contextlib.contextmanager
def served(*command):
    """A daemon that mounts; ended with the block."""
    point = command[-3]
    process = subprocess.Popen(pinned(*command), stdout=subprocess.DEVNULL,
                               env={**os.environ, "PYTHONPATH": str(HERE.parent)})
    try:
        while not os.path.ismount(point):
            if process.poll() is not None:
                raise NotMeasured(f"{command[0]} could not mount: status {process.returncode}")
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.wait()


def on_cpu(pid):
    """Seconds that the threads of a process have been running."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def cost(daemon, *command):
    """CPU seconds that a command costs, its own and the daemon's."""
    before = on_cpu(daemon.pid)
    process = subprocess.Popen(pinned(*command), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed")
    return on_cpu(daemon.pid) - before + usage.ru_utime + usage.ru_stime


def rss(process):
    """MiB."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def told(name, pairs, unit, goal):
    """Rows of a measurement made in turns of C and klpfs."""
    yield f"{name}: C libfuse, low-level", statistics.median(a for a, _ in pairs), unit, None
    yield f"{name}: klpfs", statistics.median(b for _, b in pairs), unit, None
    yield f"{name}: klpfs to C", statistics.median(b / a for a, b in pairs), "times", goal


def measure():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpfs-bench-", dir="/tmp"))
    ours, limit = folder / "klpfs", folder / "c"
    try:
        client, server = compiled(folder)
        ours.mkdir()
        limit.mkdir()
        python = (sys.executable, "-c", SERVE)
        with served(server, limit, 100, 15) as c, served(*python, ours, 100, 15) as daemon:
            for operation, count, path, name, goal in (          # why 1.5: docs/FACTS-fuse.md#6
                ("r", 10000, "patch_001/vmlinux/patched", "open-read-close", 1.5),
                ("p", 10000, "patch_001/vmlinux/patched", "pread", None),
                ("s", 30000, "patch_001/vmlinux/patched", "stat, cached", None),
            ):
                pairs = [[cost(process, client, operation, count, point / TOP / path) / count * 1e6
                          for process, point in ((c, limit), (daemon, ours))] for _ in range(TURNS)]
                yield from told(name, pairs, "us", goal)
            yield "memory of the daemon, 100 patches of 15 functions", rss(daemon), "MiB", None
        with served(server, limit, 100, 1000) as c, served(*python, ours, 100, 1000) as daemon:
            name = "find of 100 patches of 1,000 functions"
            yield from told(f"{name}, first",
                            [[cost(process, "find", point) for process, point in ((c, limit), (daemon, ours))]], "s",
                            1.5)
            yield from told(f"{name}, again",
                            [[cost(process, "find", point) for process, point in ((c, limit), (daemon, ours))]
                             for _ in range(3)], "s", 1.5)
            memory = rss(daemon)
        yield "memory of the daemon, 100 patches of 1,000 functions", memory, "MiB", None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
