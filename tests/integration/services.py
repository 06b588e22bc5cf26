"""Services of many processes for the tests: a program with a module `ware`, and workers started in every way."""
import ast
import itertools
import os
import pathlib
import select
import time

import pytest

from tests import harness

HERE = pathlib.Path(__file__).resolve().parent
WAYS = ("os.fork", "double fork", "subprocess", "subprocess with descriptors", "preexec_fn", "posix_spawn", "spawnv",
        "shell", "mp fork", "mp spawn", "mp forkserver", "pool executor")  # as workers.py knows them
OLD, NEW = "an old price", "price by lp1"


def inside(name):
    """Code that waits until a thread of the program is inside a function of this name."""
    return (
        f"import sys, time\nwhile not any(frame.f_code.co_name == {name!r} for frame in sys._current_frames().values()):\n"
        "    time.sleep(0.001)"
    )


def wide(*values):
    """A case that only `make processes` runs: one of many of its kind."""
    return pytest.param(*values, marks=pytest.mark.wide)


def pids(tree):
    """The numbers of a service's processes, as its tree shows them."""
    return {int(name) for name in os.listdir(tree.path / "proc") if name.isdigit()}


def write_ware(folder, text=OLD):
    """The module that the tests patch: price(), and hold(held), which is there until a file `held` is."""
    folder.mkdir(exist_ok=True)
    (folder / "ware.py").write_text(
        f"import os\nimport time\n\n\ndef price():\n    return {text!r}\n\n\n"
        "def hold(held):\n    while not os.path.exists(held):\n        time.sleep(0.01)\n    return price()\n"
    )
    now = time.time() + len(os.listdir(folder))  # another moment than any compiled file's
    os.utime(folder / "ware.py", (now, now))
    return folder


class Worker:
    """One worker, spoken with over its fifos. pid, first: what it said first."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name in "in", "out":
            os.mkfifo(folder / name)
        folder.chmod(0o755)                     # it may be another user
        for name in "in", "out":
            (folder / name).chmod(0o666)
        self.out = os.open(folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        self.lines, self.fd, self.pid = b"", -1, None

    def meet(self):
        """Wait until it is there."""
        if self.pid is not None:
            return self
        self.fd = harness.until(lambda: os.open(self.folder / "in", os.O_WRONLY | os.O_NONBLOCK),
                                f"the worker of {self.folder}")
        self.pid, self.first = self.answer()
        return self

    def send(self, expression):
        os.write(self.fd, expression.encode() + b"\n")

    def answer(self):
        end = time.monotonic() + harness.SECONDS
        while b"\n" not in self.lines:
            select.select([self.out], [], [], 0.05)
            try:
                self.lines += os.read(self.out, 65536)
            except BlockingIOError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"worker {self.pid} of {self.folder} does not answer")
        line, _, self.lines = self.lines.partition(b"\n")
        return ast.literal_eval(line.decode())

    def do(self, expression):
        self.send(expression)
        return self.answer()

    def end(self):
        if self.fd >= 0:
            os.close(self.fd)
        os.close(self.out)


class Shop:
    """A service whose first process is `integration/program.py`, and its workers."""

    def __init__(self, program, tmp_path, **more):
        self.path, self.workers, self.numbers = tmp_path, [], itertools.count()
        ware = write_ware(tmp_path / "lib")
        self.program = program("shop", environ={"PYTHONPATH": f"{ware}{os.pathsep}{HERE}"}, **more)
        self.program.do("import workers, ware")

    def start(self, way, wait=True, **more):
        """A worker, when it is there. wait=False: at once; meet() waits for it."""
        made = Worker(self.path / f"worker{next(self.numbers)}")
        self.workers.append(made)
        arguments = "".join(f", {key}={value!r}" for key, value in more.items())
        self.program.do(f"workers.start({way!r}, {str(made.folder)!r}{arguments})")
        return made.meet() if wait else made

    def by(self, worker, way):
        """A worker that another one has started, when it is there."""
        made = Worker(self.path / f"worker{next(self.numbers)}")
        self.workers.append(made)
        worker.do(f"start({way!r}, {str(made.folder)!r})")
        return made.meet()

    def price(self):
        """What each process answers: a list without repetitions."""
        return sorted({self.program.do("ware.price()"), *(worker.do("ware.price()") for worker in self.workers)})

    def end_workers(self):
        for worker in self.workers:
            worker.end()
        self.workers.clear()
        self.program.do("workers.reap()")
