"""Long waits: what counts as one, by a clock that the test moves; and whose stacks are written then."""
import os
import signal
import subprocess
import sys

import pytest

from klpfs.protocol import long_waits
from klpfs.protocol.long_waits import BEGINS, DUMP, GAP_S, LONG_S, LOOK_S, LongWaits, takes_dump
from tests import harness

OTHER = """
import sys
from klpfs.protocol.long_waits import Stacks
stacks = Stacks(sys.argv[1])
def inside_the_other():
    print("ready", flush=True)
    sys.stdin.readline()
inside_the_other()
"""


def looks(waits_at, seconds, long=None, begin=100.0, pause=LOOK_S):
    """What is said, and when: [(seconds since the beginning, text)]; waits_at(t): what waits t seconds after it."""
    long, said, at = long or LongWaits(), [], 0.0
    while at <= seconds:
        said += [(at, text) for text in long.look(waits_at(at), begin + at)]
        at += pause
    return said


def test_what_waits_five_seconds_is_said_once():
    assert looks(lambda at: {"a": "A waits"}, 60) == [(LONG_S, "A waits")]


def test_a_wait_that_moves_is_another_wait():
    """Whatever has moved is told apart by its key: a step of the agent's thread by the thread's moves."""
    assert looks(lambda at: {("step", at // 4): "a step"}, 60) == []
    assert looks(lambda at: {("step", at // 7): "a step"}, 20) == [(5, "a step"), (12, "a step"), (19, "a step")]


def test_what_has_ended_begins_anew():
    assert looks(lambda at: {} if at == 3 else {"a": "A"}, 8) == []
    assert looks(lambda at: {} if at == 3 else {"a": "A"}, 9) == [(9, "A")]
    assert looks(lambda at: {} if at == 8 else {"a": "A"}, 14) == [(5, "A"), (14, "A")]


def test_each_wait_has_its_own_time():
    assert looks(lambda at: {"a": "A", **({"b": "B"} if at > 2 else {})}, 20) == [(5, "A"), (8, "B")]


def test_the_time_in_which_this_process_was_stopped_does_not_count():
    """Nobody could do anything then."""
    long = LongWaits()
    assert looks(lambda at: {"a": "A"}, 4, long) == []
    assert looks(lambda at: {"a": "A"}, 4, long, begin=100 + 4 + GAP_S + 1) == []
    assert looks(lambda at: {"a": "A"}, 0, long, begin=100 + 4 + GAP_S + 6) == [(0, "A")]


@pytest.fixture
def other(watchdog):
    """A process that takes part, and stands in inside_the_other()."""
    process = subprocess.Popen([sys.executable, "-c", OTHER, str(watchdog)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, cwd=harness.HERE.parent)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.communicate("\n", 10)


@pytest.mark.waits("something is long")
def test_who_finds_a_long_wait_writes_the_stacks_of_all(watchdog, other):
    (watchdog / "not-a-pid").touch()
    (watchdog / "1").touch()                    # a process that does not take DUMP
    code = f"from klpfs.protocol.long_waits import Stacks\nStacks({str(watchdog)!r}).say(['something is long'], 'x')"
    finder = subprocess.Popen([sys.executable, "-c", code], cwd=harness.HERE.parent)
    assert finder.wait(30) == 0
    text = (watchdog / str(finder.pid)).read_text()
    assert text.startswith(f"{BEGINS}process {finder.pid} (x): something is long\n") and "in say" in text
    harness.until(lambda: "in inside_the_other" in (watchdog / str(other.pid)).read_text(), "the other's stacks")
    assert other.poll() is None and harness.long_waits(watchdog)[0] == [text.splitlines()[0]]


def test_a_process_that_does_not_take_the_signal_is_left_alone(other):
    assert takes_dump(other.pid) and not takes_dump(1) and not takes_dump(0)
    assert not takes_dump(os.getpid()) and signal.getsignal(DUMP) is signal.SIG_DFL


def test_the_file_is_closed_in_the_end(watchdog):
    before = os.listdir("/proc/self/fd")
    stacks = long_waits.Stacks(str(watchdog))
    assert takes_dump(os.getpid())
    stacks.end()
    assert not takes_dump(os.getpid()) and os.listdir("/proc/self/fd") == before


def test_a_program_that_closes_its_descriptors(watchdog, tmp_path):
    """What has the number now is neither written to nor closed; the file is opened again."""
    code = (f"import os\nfrom klpfs.protocol.long_waits import Stacks\nstacks = Stacks({str(watchdog)!r})\n"
            f"os.close(stacks._fd)\nother = os.open({str(tmp_path / 'other')!r}, os.O_WRONLY | os.O_CREAT)\n"
            "assert other == stacks._fd and stacks.begin() and stacks._fd != other\nos.close(stacks._fd)\n"
            "stacks.end()\nos.fstat(other)\nos.close(other)\nstacks.end()\nassert stacks.begin()\nstacks.end()")
    done = subprocess.run([sys.executable, "-c", code], cwd=harness.HERE.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "other").read_text() == ""
