"""One server under load: measured alone, then while patches come, replace each other, are reversed and go.

A Trial is used once: with Trial(row, folder, mount, python) as trial: trial.run(cycles) gives a Result.
"""
import collections
import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

from tests import harness
from tests.servers import livepatches

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
ALONE = 3.0             # seconds of load without patches that are compared
BETWEEN = 0.1           # seconds of load between two changes
WAIT = 60               # seconds for what must happen
# of memory that may be more in the end: by chance, and for a cycle (the log has 120 more then, up to its full size)
BLOCKS = 3000, 200


class Failed(Exception):
    """The server or klpfs did not do what it should."""


@dataclasses.dataclass
class Row:
    """name: of the row. command: with {port}, {python}. processes: so many at least are to be there.
    functions: {module: [qualified name]} that are patched together. load: 'http', 'itself', or a program. main: as
    livepatches.
    broker: it needs a redis. clients: of http_load.py, with connections kept and fresh ones. held: a function that
    never ends in any process but so many others; they block, by name, until the patch is reversed or, with recycled,
    until SIGHUP to the server has replaced its workers."""
    name: str
    command: str
    processes: int
    functions: dict
    load: str = "http"
    main: str = None
    broker: bool = False
    held: str = None
    others: int = 0
    recycled: bool = False
    clients: tuple = (6, 2)


@dataclasses.dataclass
class Held:
    """What became of a patch of a function that never ends."""
    processes: int
    requests: int
    failed: int
    what: str
    errors: list


@dataclasses.dataclass
class Result:
    processes: int
    requests: int
    failed: int
    finish: list            # ms, insmod's begin to transition 0
    alone: float            # ms, longest response without patches
    patching: float
    growth: tuple           # of the process that grew most: KiB, descriptors, threads, blocks of memory
    errors: list


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Load:
    """Speaks with a load; see programs/counter.py."""

    def __init__(self, process):
        self.process, self.requests, self.failed, self.errors = process, 0, 0, []

    def send(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def ask(self, word="mark"):
        self.send(word)
        if not select.select([self.process.stdout], [], [], WAIT)[0]:
            raise Failed(f"the load did not answer '{word}' in {WAIT} s")
        answer = json.loads(self.process.stdout.readline() or "null")
        if answer is None:
            raise Failed("the load ended")
        self.requests += answer["served"]
        self.failed += answer["failed"]
        self.errors += answer["errors"]
        return answer


def size(pid):
    """(private KiB, descriptors, threads) of a process."""
    folder = pathlib.Path(f"/proc/{pid}")
    private = sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)",
                                             (folder / "smaps_rollup").read_text(), re.M))
    return private, len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))


class Trial:
    def __init__(self, row, folder, mount, python):
        self.row, self.folder, self.mount, self.python = row, folder, mount, python
        self.service = re.sub(r"\W+", "-", row.name).strip("-")
        self.children, self.times, self.tree = [], [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)    # what it left behind
            child.stdin.close()
            child.stdout.close()

    def child(self, argv, environ):
        with open(self.folder / "stderr", "a") as errors:
            self.children.append(subprocess.Popen(argv, env=environ, cwd=PROGRAMS, stdin=subprocess.PIPE,
                                                  stdout=subprocess.PIPE, stderr=errors, text=True,
                                                  start_new_session=True))
        return self.children[-1]

    def start(self):
        row, port = self.row, free_port()
        path = [str(PROGRAMS), *subprocess.run([self.python, "-c", "import sys; print(*sys.path, sep='\\n')"],
                                               text=True, capture_output=True, cwd="/").stdout.split()]
        environ = {**os.environ, "PYTHONPATH": str(PROGRAMS), "PATCHED": livepatches.watched(row.functions, path),
                   "KLPFS_RUNTIME_DIR": str(self.mount.runtime), "REDIS": str(self.folder / "redis"),
                   "C_FORCE_ROOT": "1"}
        for name in ("lp_a", "lp_b"):
            (self.folder / f"{name}.py").write_text(livepatches.livepatch(row.functions, path, row.main))
        if row.broker:
            self.child(["redis-server", "--port", "0", "--unixsocket", environ["REDIS"], "--save", "", "--loglevel",
                        "warning"], environ)
            self.until(lambda: os.path.exists(environ["REDIS"]), "redis")
        command = row.command.format(port=port, python=self.python).split()
        server = self.server = self.child([sys.executable, "-m", "klpfs", "run", "-s", self.service, "--", *command],
                                          environ)
        if row.load == "itself":
            if not select.select([server.stdout], [], [], WAIT)[0] or server.stdout.readline() != "ready\n":
                raise Failed("it did not start")
            self.load = Load(server)
        else:
            if row.load == "http":
                self.until(lambda: answers(port) or server.poll() is not None, "an answer of the server")
            argv = ["http_load.py", str(port), *map(str, row.clients)] if row.load == "http" else [row.load]
            self.load = Load(self.child([str(self.python), *argv], environ))
        self.tree = self.mount.service(self.service)
        self.until(lambda: len(self.pids()) >= row.processes, f"{row.processes} processes in the tree")
        self.load.ask()
        self.until(lambda: self.load.ask() and self.load.requests > 20, "answers")

    def pids(self):
        return sorted(int(name) for name in os.listdir(self.tree.path / "proc") if name.isdigit())

    def until(self, condition, what):
        """As harness.until, which looks too seldom to measure with."""
        end = time.monotonic() + WAIT
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            if time.monotonic() > end:
                raise Failed(f"not within {WAIT} s: {what}")
            time.sleep(0.0005)

    def settled(self):
        try:
            self.until(self.tree.settled, "transition complete")
        except Failed as e:
            raise Failed(f"{e}\n{harness.read(self.tree.path / 'blockers')}") from None

    def insmod(self, name):
        begun = time.perf_counter()
        self.tree.insmod(self.folder / f"{name}.py")
        self.settled()
        self.times.append((time.perf_counter() - begun) * 1000)

    def only(self, version):
        """All answers from now on are of this version."""
        seen = collections.Counter()
        self.load.ask()

        def more():
            seen.update(self.load.ask()["versions"])
            return sum(seen.values()) >= 10
        self.until(more, "answers")
        if set(seen) != {version}:
            raise Failed(f"after the transition answers are of {dict(seen)}, not only {version}")

    def gone(self, name):
        self.settled()
        self.until(lambda: name not in self.tree.patches(), f"{name} gone")

    def cycle(self):
        """A patch; another in its place; reverted; one that is reversed at once."""
        self.insmod("lp_a")
        time.sleep(BETWEEN)
        self.insmod("lp_b")
        self.gone("lp_a")
        time.sleep(BETWEEN)
        self.tree.set("lp_b/enabled", "0")
        self.gone("lp_b")
        self.tree.rmmod("lp_a")
        self.tree.rmmod("lp_b")
        time.sleep(BETWEEN)
        self.tree.insmod(self.folder / "lp_a.py")
        while True:
            try:
                self.tree.set("lp_a/enabled", "0")
                break
            except OSError as e:
                if e.errno != errno.EBUSY:      # decided, and finishing
                    raise
        self.gone("lp_a")
        self.tree.rmmod("lp_a")

    def versions(self):
        """The same changes, slowly: the answers are of the old version, then of the new, of nothing else in between."""
        for version, change in (("lp_a", lambda: self.insmod("lp_a")), ("lp_b", lambda: self.insmod("lp_b")),
                                ("0", self.revert)):
            change()
            self.in_flight()
            self.only(version)

    def revert(self):
        self.tree.set("lp_b/enabled", "0")
        self.gone("lp_b")
        self.tree.rmmod("lp_a")
        self.tree.rmmod("lp_b")

    def in_flight(self):
        """What was begun before is answered."""
        self.load.ask("pause")
        self.load.send("resume")

    def rest(self):
        """{pid: size and blocks in use} while nobody asks anything."""
        self.load.ask("pause")
        time.sleep(0.5)
        self.tree.insmod(PROGRAMS / "collected.py", f"folder={self.folder}")
        self.tree.rmmod("collected")
        sizes = {pid: (*size(pid), int((self.folder / f"blocks-{pid}").read_text())) for pid in self.pids()}
        self.load.send("resume")
        return sizes

    def story(self):
        """The service's journal, its processes' states, the last lines of its log and of what it wrote."""
        log = []
        with contextlib.suppress(OSError):
            log += (self.mount.runtime / self.service / "journal").read_text().splitlines()
        for pid in self.pids() if self.tree else []:
            with contextlib.suppress(OSError):
                log.append(
                    f"{pid} patch_state {harness.read(self.tree.path / 'proc' / str(pid) / 'patch_state').strip()}"
                )
        with contextlib.suppress(OSError):
            log += [text for *_, text in self.tree.records()][-15:] if self.tree else []
        return log + (self.folder / "stderr").read_text().splitlines()[-10:]

    def run(self, cycles):
        self.start()
        self.load.ask()
        time.sleep(ALONE)
        alone = self.load.ask()["worst"]
        self.versions()
        processes = len(self.pids())
        for _ in range(max(1, cycles // 4)):
            self.cycle()
        before = self.rest()
        self.load.ask()
        self.times.clear()
        for _ in range(cycles):
            self.cycle()
        patching = self.load.ask()["worst"]
        after = self.rest()
        growth, errors = grown(before, after), self.errors()
        if growth[1] > 2 or growth[2] > 0 or growth[3] > BLOCKS[0] + BLOCKS[1] * cycles:
            errors.append(f"growth: KiB, descriptors, threads, blocks {growth}")
        return Result(processes, self.load.requests, self.load.failed, self.times, alone, patching, growth, errors)

    def errors(self):
        lines = (self.folder / "stderr").read_text().splitlines()
        return self.load.errors + [line for line in lines
                                   if re.search(r"MixedStack|Traceback|Error\b|klpfs:", line)][:5]

    def holders(self):
        """The pids of the processes that `blockers` names with the function that is held."""
        found, pid = set(), None
        for line in harness.read(self.tree.path / "blockers").splitlines():
            if line[:1].isdigit():
                pid = int(line.split()[0])
            elif line.endswith(" " + self.row.held):
                found.add(pid)
        return found

    def hold(self):
        """The patch waits for its function, named, and the server goes on; reversed, or with new workers, it is
        over."""
        self.start()
        workers = len(self.pids()) - self.row.others
        self.tree.insmod(self.folder / "lp_a.py")
        self.until(lambda: len(self.holders()) == workers, f"{workers} processes named with {self.row.held}")
        self.load.ask()
        time.sleep(ALONE)
        if self.tree.get("lp_a/transition") != "1" or not self.load.ask()["served"]:
            raise Failed("the transition did not wait, or the server did")
        begun = time.perf_counter()
        if self.row.recycled:
            self.server.send_signal(signal.SIGHUP)
        else:
            self.tree.set("lp_a/enabled", "0")
        self.settled()
        took = (time.perf_counter() - begun) * 1000
        self.in_flight()
        self.only("lp_a" if self.row.recycled else "0")
        how = "new workers" if self.row.recycled else "reversed"
        return Held(len(self.pids()), self.load.requests, self.load.failed,
                    f"{self.row.held} named in {workers}; {how}: {took:.0f} ms", self.errors())


def grown(before, after):
    """What the processes that were there all the time have more now: (private KiB, descriptors, threads, blocks), each
    the worst."""
    return tuple(max((after[pid][i] - before[pid][i] for pid in before if pid in after), default=0) for i in range(4))


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def median(times):
    return statistics.median(times) if times else float("nan")
