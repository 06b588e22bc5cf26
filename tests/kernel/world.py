"""klpfs as a World of scenarios.py: a program under `klpfs run`, a real mount, modules loaded by writing to insmod.

No delay anywhere to please a scenario: what a write did, the next read shows. $PROCESSES (default 1): how many
processes the program has. A line of a module or a callback, which each of them logs, is shown when the first has logged
it.
"""
import atexit
import contextlib
import errno
import os
import pathlib
import re
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests import harness  # noqa: E402

# what insmod says where it is not strerror's text (kmod's mod_strerror)
SAYS = {errno.EINVAL: "Invalid parameters", errno.ENOEXEC: "Invalid module format",
        errno.ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)"}
OURS = re.compile(r"livepatch|lp|klp_tgt")
ENGINE = re.compile(r"livepatch")  # lines that a service logs once
PROCESSES = int(os.environ.get("PROCESSES") or 1)


def module_path(name):
    """Where a module's counterpart lies: the folders of $KLPFS_TEST_MODULES first."""
    for folder in [*os.environ.get("KLPFS_TEST_MODULES", "").split(":"), HERE / "modules"]:
        path = pathlib.Path(folder, f"{name}.py")
        if str(folder) and path.exists():
            return path
    raise FileNotFoundError(name)


class World:
    def __init__(self):
        os.umask(0o022)
        self.folder = harness.short_folder()
        self.folder.chmod(0o755)  # everybody may reach the mount, as /sys
        atexit.register(self.end)
        self.mount = harness.Mount(self.folder / "run", self.folder / "mnt", options=("--kernel", "6.1"))  # as recorded
        self.program, self.scenarios = None, 0
        self.reset()

    def reset(self):
        """A fresh service; the mount stays."""
        if self.program:
            self.program.close()
        self.scenarios += 1
        self.program = harness.Program(self.folder / "run", f"kernel{self.scenarios}", program=HERE / "vmlinux.py",
                                       processes=PROCESSES)
        self.said = {}  # how often each line of a module came
        self.tree = self.mount.service(self.program.name)
        self.root = str(self.tree.livepatch)

    def end(self):
        for thing in (self.program, self.mount):
            if thing:
                thing.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, mod, **parameters):
        try:
            self.tree.insmod(module_path(mod), " ".join(f"{name}={value}" for name, value in parameters.items()))
            return "ok"
        except OSError as e:
            return SAYS.get(e.errno, e.strerror)

    def unload(self, mod, force=False):
        try:
            self.tree.rmmod(mod)
            return "ok"
        except OSError as e:
            return f"rmmod: ERROR: Module {mod} is in use" if e.errno == errno.EBUSY else e.strerror

    def dmesg(self):
        return [line for line in self.tree.lines() if OURS.match(line) and (ENGINE.match(line) or self.is_first(line))]

    def is_first(self, line):
        """Whether the first of the processes says so, of each time that all do."""
        count = self.said[line] = self.said.get(line, -1) + 1
        return count % PROCESSES == 0

    def target(self):
        """What all processes answer; a list where they don't agree."""
        found = [process.do("target()") for process in self.program.each]
        return found[0] if all(each == found[0] for each in found) else found

    def task_state(self):
        """The busy tasks' patch_state, which is that of all processes; a list where they don't agree; None: there is
        none."""
        found = []
        for comm in self.tree.path.glob("proc/*/task/*/comm"):
            with contextlib.suppress(OSError):
                if harness.read(comm).strip() == "klp_tgt_busy":
                    found.append(int(harness.read(comm.with_name("patch_state"))))
        return found[0] if found == PROCESSES * found[:1] and found else found or None

    def release(self):
        self.set_param("klp_tgt", "release", "1")

    def set_param(self, mod, name, value):
        harness.write(self.tree.path / "sys/module" / mod / "parameters" / name, str(value))

    def settle(self):
        self.tree.settle()
        return True

    def modules(self):
        return [name for name in self.tree.modules() if name.startswith(("lp", "klp_"))]

    def refcnt(self, mod):
        try:
            return harness.read(self.tree.path / "sys/module" / mod / "refcnt").strip()
        except OSError:
            return None
