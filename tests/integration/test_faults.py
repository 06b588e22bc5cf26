"""Faults: processes killed, stopped, busy; the daemon killed; forks; each in the middle of an operation.

Whatever happens, the program runs code that is all old or all new, the tree tells the truth, and nothing hangs.
"""
import contextlib
import errno
import os
import random
import signal
import threading
import time

import pytest

from tests.harness import fails, in_background, read, until

pytestmark = pytest.mark.fuse

# what the log may say when a load was given up
LOST = "coordinator lost", "was stopped", "failed to enable", "callback failed"
OLD, NEW = ("one original", "two original"), ("one by lp1", "two by lp1")


def load(live, path):
    """insmod that may be cut off by what the test does meanwhile."""
    with contextlib.suppress(OSError):
        live.tree.insmod(path)


def consistent(live):
    """The program's code, the patches and the modules agree, with no transition pending; the code."""
    live.tree.settle()
    code = live.program.do("pair()")
    assert code == (NEW if live.tree.patches() == ["lp1"] else OLD), live.tree.patches()
    return code


class Step:
    """A patch of one() and two() brought to a step of its life, and kept there."""

    names = ("init", "pre_patch", "pending", "post_patch", "enabled", "way back", "post_unpatch")

    def __init__(self, live, lp, name):
        self.live, self.name = live, name
        live.program.do("import threading; gate = threading.Event()")
        wait = "(obj=None):\n    import __main__\n    __main__.gate.wait()\n"
        where = {"pre_patch": "pre_patch=stop", "post_patch": "post_patch=stop",
                 "post_unpatch": "post_unpatch=stop"}.get(name, "")
        extra = ("def stop" + wait if where else "") + (
            "def init():\n    import __main__, klpfs\n    __main__.gate.wait()\n    klpfs.enable_patch(patch)\n"
            if name == "init"
            else ""
        )
        functions = ("one", "two") + (("hold",) if name == "pending" else ())
        path = lp("lp1", *functions, extra=extra, callbacks=where)
        if name == "pending":
            live.program.do("held = Held('sitter')")
        self.writer = threading.Thread(target=load, args=(live, path), daemon=True)
        self.writer.start()
        if name in ("init", "pre_patch", "post_patch"):
            until(lambda: name in read(live.tree.path / "blockers"), f"{name} to be running")
            return
        self.writer.join()
        if name == "pending":
            return
        live.tree.settle()
        if name in ("way back", "post_unpatch"):
            live.tree.set("lp1/enabled", "0")
        if name == "post_unpatch":
            until(lambda: name in read(live.tree.path / "blockers"), f"{name} to be running")

    def go_on(self):
        """Let whatever is held go on."""
        self.live.program.do("gate.set()")
        if self.name == "pending":
            self.live.program.do("held.let_go()")


@pytest.mark.parametrize("step", Step.names)
def test_a_process_killed_in_a_step(live, lp, program, step):
    """Its writer is answered, its folder goes, and a new process of that name starts afresh."""
    at = Step(live, lp, step)
    held = os.open(live.tree.path / "proc/modules", os.O_RDONLY)
    live.program.kill()
    at.writer.join(10)
    assert not at.writer.is_alive(), "the writer hangs"
    until(lambda: "prog" not in os.listdir(live.mount.root), "the service's folder to go")
    assert fails(errno.ENODEV, os.read, held, 1)
    os.close(held)
    again = program("prog")
    tree = live.mount.service("prog")
    assert (tree.patches(), tree.modules(), again.do("pair()")) == ([], [], OLD)


@pytest.mark.parametrize("step", Step.names)
def test_a_process_stopped_in_a_step(live, lp, step):
    """While it is stopped the tree is read as ever, stack and blockers answer soon; when it goes on, so does the
    operation."""
    at = Step(live, lp, step)
    live.expect("waiting for process")
    live.program.stop()
    begun = time.monotonic()
    live.tree.patches(), live.tree.modules(), read(live.tree.path / "blockers"), live.tree.records()
    for attribute in ("proc/modules", f"proc/{live.program.pid}/cmdline"):
        read(live.tree.path / attribute)
    with contextlib.suppress(OSError):
        read(live.tree.path / f"proc/{live.program.pid}/patch_state")
    assert time.monotonic() - begun < 10, "a stopped process must not hold up readers"
    live.program.kill(signal.SIGCONT)
    at.go_on()
    at.writer.join(10)
    assert not at.writer.is_alive()
    consistent(live)


def test_insmod_into_a_stopped_process_is_pending(live, lp):
    """A process that does not answer counts as pending, not as refusing: it is named, and takes the steps when it goes
    on."""
    live.program.stop()
    live.tree.insmod(lp("lp1", "one", "two"))
    assert (live.tree.patches(), live.tree.get("lp1/enabled"), live.tree.get("lp1/transition")) == (["lp1"], "1", "1")
    assert f"{live.program.pid} process " in read(live.tree.path / "blockers")
    assert live.tree.modules() == ["lp1"]
    live.program.kill(signal.SIGCONT)
    assert consistent(live) == NEW
    live.program.stop()
    live.tree.insmod(lp("lp2", "one"))
    live.tree.set("lp2/enabled", "0")  # reversed before it has heard of anything
    live.program.kill(signal.SIGCONT)
    until(lambda: live.tree.patches() == ["lp1"], "the way back")
    assert consistent(live) == NEW


def test_insmod_into_a_stopped_process_that_can_not_take_it(live, lp):
    """Asked after the start it can't refuse any more: it goes on without the patch, the tree and the log say so."""
    live.program.stop()
    live.expect("could not be applied here", "symbol 'nowhere' not found")
    live.tree.insmod(lp("lp1", "nowhere"))
    live.program.kill(signal.SIGCONT)
    live.tree.settle()
    assert not live.tree.livepatch.joinpath("lp1/vmlinux").exists(), "nobody has it"
    assert [line for line in live.tree.lines() if line.startswith(f"process {live.program.pid} (")
            and "'lp1' could not be applied here" in line]
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    live.tree.rmmod("lp1")
    assert consistent(live) == OLD


def test_insmod_of_what_no_process_can_say(live, lp):
    """When no process answers and the file's text does not say whether it replaces, nothing can be started."""
    live.program.stop()
    live.expect("no process answers", "was stopped", "failed to enable", "can't be had")
    path = lp(
        "lp1",
        text="from klpfs import Func, Object, Patch\ndef one():\n    return 'one by lp1'\nflag = not one\npatch = Patch([Object(None, [Func('one', one)])], replace=flag)\n",
    )
    assert fails(errno.ETIMEDOUT, live.tree.insmod, path)
    assert [line for line in live.tree.lines() if "no process answers" in line]
    live.program.kill(signal.SIGCONT)
    assert consistent(live) == OLD and live.tree.modules() == []
    live.tree.insmod(lp("lp1", "one", "two"))
    assert consistent(live) == NEW


def test_a_transition_of_a_process_that_stops_is_pending_with_its_name(live, lp):
    live.program.do("held = Held()")
    live.tree.insmod(lp("lp1", "one", "two", "hold"))
    live.program.stop()
    live.program.send("held.let_go()")      # read when it goes on: the transition can't finish before
    live.tree.set("lp1/enabled", "0")
    assert live.tree.get("lp1/transition") == "1"
    until(lambda: str(live.program.pid) in read(live.tree.path / "blockers"), "the stopped process to be named")
    live.program.kill(signal.SIGCONT)
    live.program.answer()
    assert consistent(live) == OLD


def test_disable_of_a_stopped_process(live, lp):
    live.tree.insmod(lp("lp1", "one", "two"))
    live.tree.settle()
    live.program.stop()
    live.tree.set("lp1/enabled", "0")
    assert live.tree.get("lp1/transition") == "1"
    live.program.kill(signal.SIGCONT)
    until(lambda: not live.tree.patches(), "the way back")
    assert consistent(live) == OLD


@pytest.mark.parametrize("busy", [
    pytest.param("sum(range(3 * 10 ** 7))", id="in C without giving way"),
    pytest.param("time.sleep(1)", id="asleep in C"),
    pytest.param("[i for i in range(10 ** 7)][0]", id="in Python"),
])
def test_a_process_busy_in_each_step(live, lp, busy):
    """insmod and echo 0 while the main thread computes: all complete, its result is right. On a busy machine it computes
    for longer than the two seconds after which it is named."""
    path = lp("lp1", "one", "two")
    live.expect("waiting for process")
    for _ in range(2):
        live.program.send(busy)
        live.tree.insmod(path)
        live.tree.settle()
        live.program.answer()
        assert consistent(live) == NEW
        live.program.send(busy)
        live.tree.set("lp1/enabled", "0")
        until(lambda: not live.tree.patches(), "the way back")
        live.program.answer()
        assert consistent(live) == OLD
        live.tree.rmmod("lp1")


@pytest.mark.parametrize("step", Step.names)
def test_the_daemon_killed_in_a_step_and_started_again(live, lp, step):
    """The program runs on meanwhile; what was not started is taken back, what was is finished."""
    at = Step(live, lp, step)
    live.expect(*LOST)
    live.mount.kill()
    at.writer.join(10)
    live.program.do("1 + 1")
    live.mount.start()
    live.tree = live.mount.service("prog")
    at.go_on()
    code = consistent(live)
    assert code == (OLD if step in ("init", "pre_patch", "way back", "post_unpatch") else NEW)
    if step in ("init", "pre_patch"):
        until(lambda: not live.tree.modules(), "the load to be undone")


@pytest.mark.parametrize("step", ["init", "pre_patch"])
def test_the_daemon_killed_while_it_loads_and_not_started_again(live, lp, program, step):
    """docs/PROTOCOL.md#8: each process takes the load back when its foreign code ends, by itself; the next daemon
    writes so."""
    at = Step(live, lp, step)
    live.expect(*LOST)
    live.mount.kill()
    at.writer.join(10)
    assert not at.writer.is_alive()                 # its write ended with the daemon: ECONNABORTED or ENOTCONN
    at.go_on()
    until(lambda: live.program.do("__import__('klpfs.agent.api').agent.api.agent().follower.op is None"),
          "it to be taken back")
    assert live.program.do("pair()") == OLD
    live.mount.start()
    live.tree = live.mount.service("prog")
    until(lambda: not live.tree.modules(), "the load to be undone")
    assert consistent(live) == OLD
    live.tree.insmod(lp("lp1", "one", "two"))
    assert consistent(live) == NEW


@pytest.mark.parametrize("seed", range(5))
def test_the_daemon_killed_at_any_moment(live, lp, seed):
    """Loads and disables with a kill -9 of the daemon at a random moment of each."""
    chance = random.Random(seed)
    live.expect(*LOST)
    path = lp("lp1", "one", "two")
    for _ in range(4):
        if live.tree.patches():
            operation = threading.Thread(target=quiet, args=(live.tree.set, "lp1/enabled", "0"))
        else:
            if "lp1" in live.tree.modules():
                live.tree.rmmod("lp1")
            operation = threading.Thread(target=quiet, args=(live.tree.insmod, path))
        operation.start()
        time.sleep(chance.uniform(0, 0.03))
        live.mount.kill()
        operation.join(10)
        assert not operation.is_alive()
        live.program.do("1 + 1")
        live.mount.start()
        live.tree = live.mount.service("prog")
        consistent(live)


def quiet(do, *arguments):
    with contextlib.suppress(OSError):
        do(*arguments)


def test_a_service_that_exits_while_its_files_are_held(live, lp, tmp_path):
    """Held files read ENODEV, held folders are empty, a reader that waits for the log is woken."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    files = [os.open(live.tree.livepatch / "lp1/enabled", os.O_RDWR),
             os.open(live.tree.path / "proc/modules", os.O_RDONLY), os.open(live.tree.path / "insmod", os.O_WRONLY)]
    folder = os.open(live.tree.livepatch, os.O_RDONLY)
    _, end = in_background(follow, live.tree.path / "dev/kmsg", tmp_path / "opened")
    until((tmp_path / "opened").exists, "the reader")
    live.program.process.stdin.close()
    live.program.process.wait(10)
    until(lambda: not os.listdir(live.mount.root), "the service's folder to go")
    assert fails(errno.ENODEV, os.read, files[0], 9) and fails(errno.ENODEV, os.read, files[1], 9)
    assert fails(errno.ENODEV, os.write, files[0], b"0") and fails(errno.ENODEV, os.write, files[2], b"/x")
    assert os.listdir(folder) == []
    assert end() == errno.ENODEV
    for fd in [*files, folder]:
        os.close(fd)


def follow(path, opened):
    """Read what comes, once `opened` says that the file is open."""
    fd = os.open(path, os.O_RDONLY)
    opened.touch()
    while True:
        os.read(fd, 8192)


FORK = """
import os
r, w = os.pipe()
child = os.fork()
if not child:
    while not os.path.exists({flag!r}):
        time.sleep(0.005)
    os.write(w, repr(pair()).encode())
    os._exit(0)
"""


@pytest.mark.parametrize("step", Step.names)
def test_a_fork_in_a_step(live, lp, tmp_path, step):
    """The child is of the service, has its parent's patches, and goes through the rest by itself."""
    at = Step(live, lp, step)
    live.expect(*LOST)  # in the child, where the thread that loads is gone
    flag = tmp_path / "flag"
    live.program.do(FORK.format(flag=str(flag)))
    child = live.program.do("child")
    until(lambda: str(child) in os.listdir(live.tree.path / "proc"), "the child in the tree")
    live.program.do("1 + 1")
    at.go_on()
    os.kill(child, 0)
    if step in ("pending", "enabled", "way back"):
        live.tree.settle()
        flag.touch()
        code = eval(live.program.do("os.read(r, 100).decode()"))
        assert code == (OLD if step == "way back" else NEW) == live.program.do("pair()")
    else:
        os.kill(child, signal.SIGKILL)  # a callback that waits in the child waits for ever: its gate is its own
        at.writer.join(30)              # until then a load may be anywhere, and nothing is there to settle
        consistent(live)
    live.program.do("os.waitpid(child, 0)")
    until(lambda: str(child) not in os.listdir(live.tree.path / "proc"), "the child to go from the tree")
