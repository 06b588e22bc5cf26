"""Python's own tools that look into a program from outside, or put code into it: while a transition is pending there.

`python -m asyncio ps` and `pstree`, `sys.remote_exec` (3.14), `python -m profiling.sampling` (3.15). Each on every
CPython here that has it: the answer is right, the transition goes on to its end, and the log says nothing of it.
"""
import pathlib
import re
import subprocess

import pytest

from tests.harness import until
from tests.pythons import MINORS, find

pytestmark = pytest.mark.fuse
PROGRAM = pathlib.Path(__file__).parent / "async_program.py"
SECONDS = 60                # what a tool may take on a loaded machine
BAD = 4                     # log lines of this priority (warning) and worse
FORBIDDEN = ("permission denied", "permissionerror", "not permitted", "insufficient permissions", "elevated permissions")

FIX = '''\
from klpfs import Func, Object, Patch

def answer():
    return "new"

async def ask(gate):
    await gate.wait()
    return answer()

def spin():
    for _ in range(5):
        step()

patch = Patch(objects=[Object(None, funcs=[Func("answer", answer), Func("ask", ask), Func("spin", spin)])])
'''


class Pending:
    """A program in the middle of a transition: the task `first` waits in old code, the task `second` in new code."""

    def __init__(self, minor, program, mount, lp):
        self.python = find(minor)
        if self.python is None:
            pytest.skip(f"no CPython 3.{minor} on this machine")
        self.program = program("prog", program=PROGRAM, python=self.python)
        self.tree = mount.service("prog")
        self.program.do("begin('first')")
        self.program.do("start_spinner()")
        self.tree.insmod(lp("fix", text=FIX))
        self.program.do("begin('second')")
        assert self.tree.get("fix/transition") == "1"

    def tool(self, *arguments):
        """What one of the interpreter's own commands says about the program; skipped where it may not ask."""
        done = subprocess.run([self.python, *arguments, str(self.program.pid)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS)
        said = done.stdout + done.stderr
        refused = [word for word in FORBIDDEN if word in said.lower()]
        if done.returncode and refused:
            pytest.skip(f"no process may look into another one here: {refused[0]}")
        assert done.returncode == 0, said
        assert self.tree.get("fix/transition") == "1"
        return done.stdout

    def finish(self):
        """The old task ends, the transition completes, another takes it back; nothing of all this is in the log."""
        for code, value in (("answer()", "new"), ("end('first')", "old"), ("end('second')", "new")):
            assert self.program.do(code) == value, code
        until(self.tree.settled, "the transition's end")
        self.tree.set("fix/enabled", "0")
        until(lambda: not self.tree.patches(), "the way back")
        assert self.program.do("answer()") == "old"
        bad = [text for priority, _, _, text in self.tree.records() if priority <= BAD]
        assert not bad, f"unexpected log lines: {bad}"


@pytest.fixture
def pending(program, mount, lp):
    """pending(minor): a Pending on that CPython."""
    return lambda minor: Pending(minor, program, mount, lp)


def since(minor):
    """The CPythons from 3.<minor> on, as parameters of a test."""
    return pytest.mark.parametrize("minor", [each for each in MINORS if each >= minor])


@since(14)
def test_asyncio_ps(minor, pending):
    """All tasks are there by their names, with the functions that they wait in; what one in new code waits for is an
    object of klpfs's while the transition runs, and not shown (README, Limits)."""
    found = pending(minor)
    rows = {}
    for line in found.tool("-m", "asyncio", "ps").splitlines()[2:]:
        _, _, name, stack = re.split(r"\s{2,}", line.strip())[:4]
        rows[name] = stack.rpartition(".")[2]           # 3.15: by their qualified names
    assert rows.pop("first") == "wait -> ask" and rows.pop("second") == "ask" and list(rows) == ["Task-1"]
    found.finish()


@since(14)
def test_asyncio_pstree(minor, pending):
    """The same as a tree."""
    found = pending(minor)
    said = found.tool("-m", "asyncio", "pstree")
    branches = {}
    for branch in said.split("(T) ")[1:]:
        name, *functions = re.findall(r"^(?:\W*)([\w.-]+)", branch, re.M)
        branches[name] = [function.rpartition(".")[2] for function in functions]
    assert branches == {"Task-1": ["main", "wait"], "first": ["ask", "wait"], "second": ["ask"]}
    found.finish()


@since(15)
def test_profiling_sampling(minor, pending, tmp_path):
    """The samples of a thread show what it calls, new code behind the frame of its dispatcher, and the main thread in
    its loop."""
    found = pending(minor)
    samples = tmp_path / "samples"
    found.tool("-m", "profiling.sampling", "attach", "-a", "-d", "1", "--collapsed", "-o", str(samples))
    said = samples.read_text()
    assert re.search(r";async_program\.py:start_spinner\.<locals>\.spinning:\d+;<klpfs dispatcher of spin>:spin:\d+;"
                     r"fix\.py:spin:\d+;async_program\.py:step:\d+ \d+$", said, re.M)
    assert re.search(rf"^tid:{found.program.pid};async_program\.py:<module>:.*:BaseEventLoop\._run_once:", said, re.M)
    assert ";async_program.py:spin:" not in said and ";async_program.py:answer:" not in said
    found.finish()


@since(14)
def test_remote_exec(minor, pending, tmp_path):
    """Code that is put in from outside runs, and what it calls is new, as for everybody who is above no old code."""
    found = pending(minor)
    code, said = tmp_path / "code.py", tmp_path / "said"
    code.write_text(f"import __main__\nwith open({str(said)!r}, 'w') as file:\n    file.write(__main__.answer())\n")
    found.tool("-c", f"import sys; sys.remote_exec(int(sys.argv[1]), {str(code)!r})")
    found.program.do("answer()")        # the main thread waits for lines: it runs that code when it goes on
    assert until(said.read_text, "the code to run") == "new"
    found.finish()
