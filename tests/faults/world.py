"""A service of three processes and its daemons, on a small disk of their own, for faults to happen to; and what must
hold afterwards.

Everything is started through the harness, as users start it; each process is asked over its own channel what it runs.
"""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import threading
import time

from klpfs.protocol import record_text
from klpfs.protocol.life import life_name
from tests import harness
from tests.harness import until

HERE = pathlib.Path(__file__).resolve().parent
PROCESSES = 3
SILENT = 0.4  # seconds for the daemons of this test, instead of 2: who is silent so long is pending
DISK = "400k"
OLD = ("one original", "two original")
PATIENCE = 5  # seconds that what is owed to all may take to get there
WORST = 4  # a log line of this priority or worse must be expected

LIVEPATCH = """\
import __main__
from klpfs import Callbacks, Func, Object, Patch, enable_patch
__main__.gate("load")


def one():
    return "one by {name}"


def two():
    return "two by {name}"


def hold(inside, go):
    inside.set()
    go.wait()


def callback(what):
    def call(obj):
        __main__.calls.append(("{name}", what))
        __main__.gate(what)
    return call


patch = Patch(objects=[Object(None, funcs=[Func("one", one), Func("two", two), Func("hold", hold)], callbacks=Callbacks(
    *map(callback, ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch"))))], replace={replace})


def init():
    __main__.gate("init")
    return enable_patch(patch)


def exit():
    __main__.gate("exit")
"""
MODULE = """\
import __main__
__main__.gate("load")
def init():
    __main__.gate("init")
def exit():
    __main__.gate("exit")
"""
FOLLOWS = {"pre_patch": (None,), "post_patch": ("pre_patch", "pre_unpatch"), "pre_unpatch": ("post_patch",),
           "post_unpatch": ("pre_patch", "pre_unpatch")}


class Writer(threading.Thread):
    """A write to the tree: `error` is None, or the OSError that it got."""

    def __init__(self, do, *arguments):
        super().__init__(daemon=True)
        self.do, self.arguments, self.error = do, arguments, None
        self.start()

    def run(self):
        try:
            self.do(*self.arguments)
        except OSError as e:
            self.error = e

    def end(self):
        self.join(30)
        assert not self.is_alive(), "the writer hangs"
        return self.error


class World:
    """`daemons`: how many mounts there are, 1 or 2. `tree`: the first one's."""

    def __init__(self, daemons=1):
        self.folder = harness.short_folder()
        self.gates, self.runtime = self.folder / "gates", self.folder / "run"
        self.gates.mkdir()
        self.runtime.mkdir(0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "klpfs-faults", str(self.runtime)],
                       check=True)
        self.program, self.count, self.mounts = None, 0, []
        self.watchdog = harness.Watchdog(self.folder)
        for number in range(daemons):
            self.mounts.append(harness.Mount(self.runtime, self.folder / f"mnt{number}",
                                             command=(str(HERE / "daemon.py"), str(self.gates), str(SILENT))))
        for name, text in (("lp0", LIVEPATCH.format(name="lp0", replace=False)),
                           ("lp1", LIVEPATCH.format(name="lp1", replace=False)),
                           ("lp2", LIVEPATCH.format(name="lp2", replace=True)), ("mod1", MODULE)):
            (self.folder / f"{name}.py").write_text(text)

    def close(self):
        self.open_gates()
        things = [self.program] * bool(self.program) + self.mounts
        for each in things:
            with contextlib.suppress(AssertionError):
                each.close()
        subprocess.run(["umount", "-l", str(self.runtime)])
        self.watchdog.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- a service

    def fresh(self):
        """A service without patches, its processes all alive: the one that is there, or a new one."""
        if self.program is None:
            self.count += 1
            self.name = f"svc{self.count}"
            self.program = harness.Program(self.runtime, self.name, program=HERE / "program.py",
                                           environ={"GATES": str(self.gates)}, processes=PROCESSES)
            until(lambda: len(list((self.runtime / self.name).glob("*.sock"))) == PROCESSES, "all processes' sockets")
            until(lambda: len(list((self.mounts[0].root / self.name / "proc").glob("[0-9]*"))) == PROCESSES,
                  "all processes in the tree")
        for process in self.alive:
            process.do("calls.clear()")  # a replaced patch has no callbacks on its way out, and may come again
        self.look_again()
        self.begun = time.monotonic_ns() // 1000

    def look_again(self):
        """The tree of a daemon that may have been started anew."""
        self.tree = self.mounts[0].service(self.name)

    def drop(self):
        """End the service: the next case gets a new one."""
        if self.program:
            program, self.program = self.program, None
            program.close()
            until(lambda: not (self.runtime / self.name).exists(), "the service's folder to go")

    @property
    def alive(self):
        """The service's processes that live."""
        return [each for each in self.program.each if running(each.pid)]

    def path(self, name):
        return self.folder / f"{name}.py"

    def insmod(self, name):
        self.tree.insmod(self.path(name))

    def record(self):
        return record_text.load(str(self.runtime / self.name / "journal"))

    # -- gates

    def hold(self, step):
        """The next that comes to `step` ('1 init': process 1; 'daemon before start') waits there."""
        (self.gates / step).touch()

    def at(self, step):
        """Wait until somebody has come there: its process id."""
        return int(until(lambda: os.readlink(self.gates / f"{step}.at"), f"somebody at '{step}'", 15))

    def let_go(self, step):
        for each in (step, f"{step}.at"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.gates / each)

    def open_gates(self):
        for each in os.listdir(self.gates):
            self.let_go(each)

    # -- what must hold

    def settled(self):
        return not self.record()["transition"] and not self.record()["change"] and self.tree.settled()

    def check(self):
        """All processes that live run the same code, which is what the tree says; nothing is half done. The code."""
        until(self.settled, "all transitions complete")
        record = self.record()
        names = [patch["name"] for patch in record["patches"]]
        code = tuple(f"{f} by {names[-1]}" for f in ("one", "two")) if names else OLD
        wanted = {"code": code, "files": [names[-1] if names else "program"], "patches": names,
                  "modules": sorted(module["name"] for module in record["modules"]), "under way": [], "left out": [],
                  "seen": record["seq"]}
        for process in self.alive:
            def same():
                found = process.do("state()")
                self.calls = found.pop("calls")
                self.differs = {key: (value, wanted[key]) for key, value in found.items() if value != wanted[key]}
                return not self.differs
            try:
                until(same, "", PATIENCE)
            except AssertionError:
                raise AssertionError(f"{process.name} has, and should have: {self.differs}") from None
            paired(self.calls, names)
        assert self.tree.patches() == sorted(names), f"the tree has {self.tree.patches()}, the journal {names}"
        assert self.tree.modules() == sorted(wanted["modules"]), (
            f"the tree has {self.tree.modules()}, the journal {wanted['modules']}"
        )
        for name in names:
            values = [self.tree.get(f"{name}/{each}") for each in ("enabled", "transition", "vmlinux/patched")]
            assert values == ["1", "0", "1"], f"{name}: enabled, transition, patched {values}"
        assert harness.read(self.tree.path / "blockers") == ""
        pids = sorted(int(each.name) for each in (self.tree.path / "proc").glob("[0-9]*"))
        assert pids == sorted(each.pid for each in self.alive), f"processes {pids}"
        self.check_folder(record)
        return code

    def check_folder(self, record):
        """Nothing lies about in the service's folder that nobody needs."""
        contents = {each["sha256"] for each in record["patches"]
                    + record["modules"]} | {each["fingerprints"] for each in record["patches"]}

        def left():
            there = set(os.listdir(self.runtime / self.name)) - {"lock", "journal"} - contents
            sockets = {each for each in there if each.endswith(".sock") and not each.startswith(".")}
            notes = {life_name(each) for each in sockets}
            return sorted(there - sockets - notes) + (sorted(sockets) if len(sockets) != len(self.alive) else [])
        until(lambda: not left(), f"in the folder: {left()}", PATIENCE)

    def check_log(self, expected):
        """The lines since fresh() or the last look that are warnings or worse and match none of `expected`: an
        AssertionError."""
        bad = [text for priority, _, when, text in self.tree.records()
               if priority <= WORST and when >= self.begun and not any(re.search(each, text) for each in expected)]
        assert not bad, f"unexpected log lines: {bad}"
        self.begun = time.monotonic_ns() // 1000

    def next_operation(self):
        """Whatever is there can be taken out, and a patch goes in and out again."""
        self.clear()
        self.insmod("lp1")
        assert self.check() == ("one by lp1", "two by lp1")
        self.clear()

    def clear(self):
        """All patches disabled, all modules removed."""
        for patch in self.record()["patches"][::-1]:
            self.tree.set(f"{patch['name']}/enabled", "0")
            until(self.settled, "the way back")
        for module in [each["name"] for each in self.record()["modules"] if not each["forced"]]:
            self.tree.rmmod(module)
        assert self.check() == OLD


def running(pid):
    """Whether a process lives."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):     # the latter: it ends just now
        return False


def paired(calls, patches):
    """The callbacks of each patch follow one another as the kernel's do, and none is owed."""
    was = {}
    for patch, what in calls:
        assert was.get(patch) in FOLLOWS[what], f"{what} of {patch} after {was.get(patch)}"
        was[patch] = None if what == "post_unpatch" else what
    for patch, what in was.items():
        assert what in (None, "post_patch"), f"{patch} owes what follows {what}"
        if what is None:
            assert patch not in patches, f"{patch} is in force after post_unpatch"


# ---- faults: begin(world, process id) and end()

class Kill:
    """SIGKILL."""

    def begin(self, world, pid):
        os.kill(pid, signal.SIGKILL)
        until(lambda: not running(pid), "the killed process to end")

    def end(self):
        pass


class Stop:
    """SIGSTOP, and SIGCONT later."""

    def begin(self, world, pid):
        self.pid = pid
        os.kill(pid, signal.SIGSTOP)
        until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T",
              "the process to stop")

    def end(self):
        os.kill(self.pid, signal.SIGCONT)


class Descriptors:
    """Not one descriptor more: RLIMIT_NOFILE of a running process."""

    def begin(self, world, pid):
        self.pid, self.was = pid, resource.prlimit(pid, resource.RLIMIT_NOFILE)
        there = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
        free = next(number for number in range(len(there) + 1) if number not in there)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, self.was[1]))

    def end(self):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.was)


class FullDisk:
    """The runtime folder's disk has no space left."""

    def begin(self, world, pid):
        self.path = world.runtime / ".full"
        with open(self.path, "wb", 0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass

    def end(self):
        os.unlink(self.path)
