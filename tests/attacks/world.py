"""What is attacked: a mount, a service `shop` whose folder is open to a group, a service `bank` of nobody else; and
what must hold after an attack.

Everything is started through the harness, as users start it. The programs run on the CPython under attack; a hostile
worker (hostile.py) is a member of the group, user nobody.
"""
import contextlib
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time

from tests import harness
from tests.attacks.table import Failed
from tests.attacks.timing import BOUND, DEAD, Operation, allowed
from tests.harness import until, write

HERE = pathlib.Path(__file__).resolve().parent
NOBODY = pwd.getpwnam("nobody")
GROUP = grp.getgrgid(NOBODY.pw_gid).gr_name
LONG = 15           # seconds until a condition that does not come is given up
MORE = 1            # seconds beyond its bound until an operation that does not come back is given up
GROWS = 24          # MB: more than that, over one world's attacks, is growth
SETTLES = 10        # seconds for descriptors and memory to go back
FILES = {"insmod": 0o200, "rmmod": 0o200, "proc/sys/kernel/ftrace_enabled": 0o644}       # what clear() writes to
DEFECT = re.compile(r"\bdefect\b|Traceback|exception calling|the kernel refused an answer|"
                    r"klpfs: \w*(Error|Exception|Interrupt)\b")


class World:
    """python: the CPython of the programs. control: the Control of the run. few: an attack of many rounds does a few
    (`make test`). `shop`, `bank`: harness.Program; tree(name) is a service's harness.Tree.
    Its processes have a watchdog (klpfs/protocol/long_waits.py), whose report fails the attack."""

    def __init__(self, python=sys.executable, control=None, group=True, few=False):
        self.python, self.control, self.few = python, control, few
        self.folder = harness.short_folder()
        self.folder.chmod(0o755)
        self.runtime = self.folder / "run"
        self.runtime.mkdir(0o711)
        self.runtime.chmod(0o711)
        self.evils, self.programs, self.count, self.expected, self.allowed, self.waits = [], {}, 0, [], [], []
        self.watchdog = harness.Watchdog(self.folder)
        self.mount = None
        try:
            self.mount = harness.Mount(self.runtime, self.folder / "mnt")
            self.shop = self.start("shop", *(["--group", GROUP] if group else []))
            self.bank = self.start("bank")
            self.good = [self.patch("good"), self.patch("calm")]
            for name in "shop", "bank":
                self.cycle(name)
            self.before = self.usage()
        except BaseException:
            self.close()
            raise

    def start(self, name, *options, **more):
        self.programs[name] = harness.Program(self.runtime, name, python=self.python, options=options, **more)
        self.mount.service(name)
        self.programs[name].do("import faulthandler, signal\n"
                               f"faulthandler.register(signal.SIGUSR2, open({str(self.folder / name)!r} + '.stacks', 'w'))")
        return self.programs[name]

    def end(self, name):
        """A program that an attack has started (or has spoilt) ends, without a word about what it said."""
        program = self.programs.pop(name)
        program.expected.append("")
        with contextlib.suppress(OSError):
            program.process.kill()
        with contextlib.suppress(AssertionError):
            program.close()

    def close(self):
        for evil in self.evils:
            evil.end()
        for name in list(self.programs):
            self.end(name)
        if self.mount:
            self.mount.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.mount.process.wait(1)
            if self.mount.process.returncode is None:
                abort(self.mount.root, self.folder / "connections")
                self.mount.process.wait(DEAD)
            subprocess.run(["umount", "-l", str(self.mount.root)], stderr=subprocess.DEVNULL)
            self.mount.stderr.close()
        self.watchdog.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what an attack uses

    def tree(self, name="shop"):
        return harness.Tree(self.mount.root / name)

    def patch(self, name, *functions, text=None, **more):
        """The path of a livepatch of this name."""
        path = self.folder / f"{name}.py"
        path.write_text(harness.livepatch(name, *functions, **more) if text is None else text)
        return path

    def evil(self, code="", folder="shop"):
        """A hostile worker of nobody's that has done `code` (hostile.py has its words)."""
        evil = Hostile(self.runtime / folder, self.python)
        self.evils.append(evil)
        if code:
            evil.do(code)
        return evil

    def user_folder(self, name):
        """The folder of a service whose user is not root (User= in a unit)."""
        folder = self.runtime / name
        shutil.rmtree(folder, ignore_errors=True)       # of an attack before: the daemon removes it in its time
        folder.mkdir(0o700)
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
        return folder

    def allow(self, *patterns):
        """The attacked log may have lines that match one of these."""
        self.allowed += patterns

    def allow_waits(self, *patterns):
        """Something of klpfs's may have waited longer than 5 s, as lines that match one of these say."""
        self.waits += patterns

    def slowness(self, begun):
        return self.control.slowness(begun) if self.control else 1.0

    def timed(self, what, do, *arguments, bound=BOUND):
        """The result of an operation that must be over within `bound` seconds of a calm machine; Failed: it hangs."""
        return self.over(what, Operation(do, *arguments), bound)

    def over(self, what, operation, bound=BOUND):
        operation.wait(bound + MORE)
        operation.wait(allowed(bound, self.slowness(operation.begun)))
        result = operation.end()
        slowness = self.slowness(operation.begun)
        if result in ("HANG", "UNKILLABLE") or operation.took > allowed(bound, slowness):
            raise Failed(f"{what}: {result}, {operation.took:.1f} s (machine {slowness:.1f} times slower than calm)")
        return result

    def expect(self, true, text):
        if not true:
            raise Failed(text)

    def insmod(self, path, name="shop", bound=BOUND, parameters=""):
        """insmod's result; it must be over within the bound."""
        return self.timed(f"insmod {path.name if path.name.isprintable() else '..'} into {name}", self.tree(name).insmod,
                          path, parameters, bound=bound)

    def refused(self, path, *errnos, name="shop", parameters=""):
        """insmod must be refused, with one of these errnos (any, without), and leave nothing."""
        found = self.insmod(path, name, parameters=parameters)
        self.expect(found in errnos or not errnos and re.fullmatch(r"E[A-Z0-9]+", found), f"insmod of {path.name}: {found}")
        return found

    def whole(self, path, *functions, name="shop", **more):
        """insmod's result, an answer of either kind: the program runs all of the patch's functions or none, and it is
        in the tree or not, as the answer says; of a refusal the log has one line."""
        stem, before = path.stem, self.newest(name)
        found = self.insmod(path, name, **more)
        taken = found == "ok None"
        self.expect(taken or re.fullmatch(r"E[A-Z0-9]+", found), f"insmod of {path.name}: {found}")
        if not taken:
            lines = [text for text in self.lines_since(before, name) if f"insmod {path}" in text]
            self.expect(len(lines) == 1, f"{path.name}: {found}, and the log says {lines}")
            tree = self.tree(name)
            self.expect(stem not in tree.patches() + tree.modules(), f"{path.name}: {found}, and it is in the tree")
        for function in functions:
            by = f"{function} by {stem}"
            if taken:
                until(lambda function=function, by=by: self.ask(name, f"{function}()") == by, by, LONG)
            self.expect((self.ask(name, f"{function}()") == by) == taken, f"{path.name}: {found}, and {function}() is not so")
        return found

    def command(self, *arguments, bound=BOUND + 2):
        """What a command of klpfs's prints, and its exit code. Two seconds more: it is a Python that starts."""
        environ = {**os.environ, "KLPFS_RUNTIME_DIR": str(self.runtime)}

        def run():
            done = subprocess.run([sys.executable, "-m", "klpfs", *map(str, arguments)], env=environ, cwd=HERE.parent.parent,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            return done.returncode, done.stdout[-3000:]
        found = self.timed(f"klpfs {arguments[0]}", run, bound=bound)
        self.expect(found.startswith("ok "), f"klpfs {arguments[0]}: {found}")
        return eval(found[3:])

    def log(self, name="shop"):
        """All records of a service's log; Failed: a reader is sent away."""
        found = self.timed(f"dmesg of {name}", lambda: len(self.tree(name).records()))
        self.expect(found.startswith("ok "), f"dmesg of {name}: {found}")
        return self.tree(name).records()

    def newest(self, name="shop"):
        """The number of the last record of a service's log; -1 without any."""
        return max((number for _, number, _, _ in self.log(name)), default=-1)

    def lines_since(self, last, name="shop"):
        """The lines behind the record of that number: a ring that is full is as long as before."""
        return [text for _, number, _, text in self.log(name) if number > last]

    def others(self, bound=BOUND):
        """What a hostile party of `shop` must never disturb: the mount, and the other service."""
        for what, do in (("ls of the mount", lambda: sorted(os.listdir(self.mount.root))),
                         ("ls of bank", lambda: os.listdir(self.tree("bank").livepatch)),
                         ("cat bank/proc/modules", lambda: harness.read(self.tree("bank").path / "proc/modules"))):
            found = self.timed(what, do, bound=bound)
            self.expect(found.startswith("ok"), f"{what}: {found}")

    def cycle(self, name="shop", bound=BOUND):
        """The good cycle, with what the program runs at each step."""
        tree, path = self.tree(name), self.good[name == "bank"]
        stem = path.stem
        patched, enabled = f"one by {stem}", tree.livepatch / stem / "enabled"

        def there():
            until(lambda: self.ask(name, "one()") == patched, f"one() by {stem}", LONG)
            until(tree.settled, "the transition's end", LONG)

        def gone():
            until(lambda: stem not in tree.patches(), "the way back", LONG)

        for what, do, arguments in (("insmod", tree.insmod, (path,)), ("the patch's code", there, ()),
                                    ("enabled 0", write, (enabled, "0")), ("the way back", gone, ()),
                                    ("rmmod", tree.rmmod, (stem,))):
            found = self.timed(f"the good cycle of {name}: {what}", do, *arguments, bound=bound)
            self.expect(found.startswith("ok"), f"the good cycle of {name}: {what}: {found}")
        found = self.timed(f"one() in {name}", self.ask, name, "one()")
        self.expect(found == "ok 'one original'", f"after the good cycle of {name}: one() is {found}")

    def cycle_in_process(self, name="shop"):
        """The good cycle, quickly: of this process, without a look at how long each step took."""
        tree, path = self.tree(name), self.good[name == "bank"]
        begun = time.monotonic()
        tree.insmod(path)
        tree.settle()
        tree.set(f"{path.stem}/enabled", "0")
        until(lambda: path.stem not in tree.patches(), "the way back", LONG)
        tree.rmmod(path.stem)
        took, slowness = time.monotonic() - begun, self.slowness(begun)
        self.expect(took < allowed(BOUND, slowness), f"a good cycle of {name}: {took:.1f} s (machine {slowness:.1f} times slower)")

    def ask(self, name, code):
        """What the program answers; AssertionError with all its stacks when it does not."""
        try:
            return self.programs[name].do(code, LONG)
        except AssertionError as e:
            if "did not answer" in str(e):
                self.programs[name].kill(signal.SIGUSR2)
                time.sleep(0.5)
                e.args = f"{e}: {(self.folder / f'{name}.stacks').read_text()}",
            raise

    # -- what must hold after every attack

    def usage(self, unit=1024):
        """{who: (descriptors, MB)} of daemon and programs; unit: KB of a MB."""
        pids = {"daemon": self.mount.process.pid, "shop": self.shop.pid, "bank": self.bank.pid}
        return {who: (len(os.listdir(f"/proc/{pid}/fd")),
                      int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) // unit)
                for who, pid in pids.items()}

    def growth(self):
        """What has grown since the world began, in words; ""."""
        found = []
        for who, (fds, size) in self.usage().items():
            if who not in self.before:
                continue
            if fds > self.before[who][0]:
                found.append(f"{who}: descriptors {self.before[who][0]} to {fds}")
            if size > self.before[who][1] + GROWS:
                found.append(f"{who}: {self.before[who][1]} to {size} MB")
        return "; ".join(found)

    def check(self):
        """The attackers go; then the mount, both services and the log are as before. Failed: they are not."""
        for evil in self.evils:
            evil.end()
        self.evils = []
        self.expect(self.mount.process.poll() is None, f"the daemon has ended: {self.mount.errors()[-300:]}")
        for name in "shop", "bank":
            self.expect(self.programs[name].process.poll() is None, f"the program {name} has ended")
        self.clear()
        self.others()
        for name in "shop", "bank":
            self.cycle(name)
        lines = [f"{name}: {text}" for name in ("shop", "bank") for _, _, _, text in self.log(name) if DEFECT.search(text)]
        lines += [f"daemon: {text}" for text in self.mount.errors().splitlines()]
        lines += [f"{name}: {text}" for name in ("shop", "bank") for text in self.programs[name].errors().splitlines()]
        lines = [text for text in lines if not any(re.search(each, text) for each in self.allowed)]
        self.expect(not lines, f"written ({len(lines)} lines): {' | '.join(lines[:5])[:600]}")
        with contextlib.suppress(AssertionError):
            until(lambda: not self.growth(), "", SETTLES)
        self.expect(not self.growth(), f"grown: {self.growth()}")
        self.watchdog.check(*self.waits)
        self.allowed, self.waits = [], []

    def clear(self):
        """Take out of `shop` and `bank` what an attack has left in force."""
        for name in "shop", "bank":
            tree = self.tree(name)
            for file, mode in FILES.items():     # as in sysfs, not even root opens what no bit lets anybody write
                self.timed(f"chmod of {file}", os.chmod, tree.path / file, mode)
            found = self.timed(f"ftrace_enabled of {name}", harness.write, tree.path / "proc/sys/kernel/ftrace_enabled", "1")
            self.expect(found.startswith("ok"), f"ftrace_enabled of {name}: {found}")
            self.timed(f"ls of {name}", tree.patches)       # the mount is read in this process only where it answers
            for patch in tree.patches():
                self.timed(f"chmod of {patch}", os.chmod, tree.livepatch / patch / "enabled", 0o644)
                with contextlib.suppress(OSError):
                    self.timed(f"enabled 0 of {patch}", tree.set, f"{patch}/enabled", "0")
            with contextlib.suppress(AssertionError):
                until(lambda: not tree.patches(), "", LONG)
            self.expect(not tree.patches(), f"patches that stay in {name}: {tree.patches()}")
            for module in tree.modules():
                found = self.timed(f"rmmod {module}", tree.rmmod, module)
                self.expect(found.startswith("ok"), f"rmmod {module} in {name}: {found}")


class Hostile(harness.Process):
    """A process of nobody's that does what it is told (hostile.py)."""

    def __init__(self, folder, python):
        self.process = subprocess.Popen(
            [python, "-B", str(HERE / "hostile.py"), str(folder), str(NOBODY.pw_uid), str(NOBODY.pw_gid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, cwd="/")
        super().__init__("the hostile worker", self.process.stdin.fileno(), self.process.stdout.fileno())
        self.pid = self.process.pid
        assert self.line() == "ready"

    def ended(self):
        return f"({self.process.wait()})"

    def end(self):
        """It is killed, with what it has started, and what it has left in the folder is cleared away by root."""
        if self.process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                self.do("end()", 5)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def meet(self, seconds=5):
        """Wait until the daemon has connected and has heard what was to be said."""
        until(lambda: self.do("met()"), "the daemon to meet the hostile worker", seconds)


def abort(mountpoint, folder):
    """Abort a FUSE connection: where a thread of the killed daemon waits in the kernel for a process that waits for the
    daemon, nothing else ends either. folder: where the file system of connections can be mounted meanwhile."""
    minor = next((line.split()[2].partition(":")[2] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                  if line.split()[4] == str(mountpoint)), None)
    folder.mkdir(exist_ok=True)
    if minor and not subprocess.run(["mount", "-t", "fusectl", "none", str(folder)], stderr=subprocess.DEVNULL).returncode:
        with contextlib.suppress(OSError):
            (folder / minor / "abort").write_text("1")
        subprocess.run(["umount", str(folder)])


def children(pid):
    with contextlib.suppress(OSError):
        return [int(each) for task in os.listdir(f"/proc/{pid}/task")
                for each in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return []


def kill_tree(pid):
    for child in children(pid):
        kill_tree(child)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
