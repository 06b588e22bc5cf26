"""Programs that treat their process roughly: descriptors closed or used up, another root, no environment; hundreds of
workers."""
import errno
import os
import pathlib
import subprocess
import sys
import textwrap
import threading

import pytest

from tests import harness
from tests.harness import HERE, fails, read, until
from tests.integration.services import NEW, OLD, Shop, inside, pids, wide, write_ware

pytestmark = pytest.mark.fuse


@pytest.fixture
def shop(program, mount, tmp_path):
    made = Shop(program, tmp_path)
    made.tree = mount.service("shop")
    yield made
    if made.program.process.poll() is None:
        made.end_workers()


def says(tree, *words):
    return [text for _, _, _, text in tree.records() if all(word in text for word in words)]


def in_and_out(shop, lp, name="lp1"):
    """A patch into all processes and out again; what each had meanwhile."""
    shop.tree.insmod(lp(name, "price", module="ware"))
    shop.tree.settle()
    found = shop.price()
    shop.tree.set(f"{name}/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")
    assert shop.price() == [OLD]
    shop.tree.rmmod(name)
    return found


def live_sockets(runtime, service="shop"):
    return [name for name in os.listdir(runtime / service) if name.endswith(".sock")]


# ---- descriptors

@pytest.mark.parametrize("pending", [wide(False), True])
def test_all_descriptors_closed(shop, lp, pending, tmp_path):
    """As daemons do it. The agent binds a new socket; a transition goes on."""
    gate = tmp_path / "gate"
    if pending:
        shop.program.do(f"import threading; threading.Thread(target=ware.hold, args=({str(gate)!r},)).start()")
        shop.program.do(inside("hold"))
    shop.tree.insmod(lp("lp1", "price", "hold", module="ware"))
    assert shop.tree.get("lp1/transition") == str(int(pending))
    shop.program.do("import os; os.closerange(3, 4096)")
    gate.touch()
    until(lambda: says(shop.tree, "the program has closed the agent's socket; a new one is bound"), "the new socket")
    shop.tree.settle()
    assert shop.program.do("ware.price()") == NEW and pids(shop.tree) == {shop.program.pid}
    shop.tree.set("lp1/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")
    shop.tree.rmmod("lp1")
    assert shop.start("os.fork").first == OLD and in_and_out(shop, lp) == [NEW]


def test_descriptors_that_are_others_now(shop, lp):
    """The numbers that were the agent's are the program's files: nothing is read from them, written to them, or
    closed."""
    shop.program.do(
        "import os; ends = [os.pipe() for i in range(20)]; [os.close(fd) for end in ends for fd in end]; os.closerange(3, 4096)"
    )
    shop.program.do(
        "files = [os.open('/dev/null', os.O_RDWR) for i in range(60)]; r, w = os.pipe(); os.set_blocking(r, False)"
    )
    until(lambda: says(shop.tree, "a new one is bound"), "the new socket")
    assert in_and_out(shop, lp) == [NEW]
    assert shop.program.do("[os.fstat(fd).st_rdev for fd in files] == [os.stat('/dev/null').st_rdev] * 60")


def test_a_socket_that_somebody_removes(shop, lp, runtime):
    """And the whole folder: the agent comes back in both."""
    worker = shop.start("os.fork")
    shop.tree.insmod(lp("lp1", "price", module="ware"))
    shop.tree.settle()
    for name in live_sockets(runtime):
        os.unlink(runtime / "shop" / name)
    until(lambda: len(says(shop.tree, "socket was removed; a new one is bound")) >= 2, "the new sockets")
    until(lambda: pids(shop.tree) == {shop.program.pid, worker.pid}, "both in the tree")
    shop.tree.set("lp1/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")
    assert shop.price() == [OLD]
    assert len(says(shop.tree, "socket was removed; a new one is bound")) == 2, (
        "each line once, whatever socket it came over"
    )
    subprocess.run(["rm", "-r", str(runtime / "shop")])
    until(lambda: len(live_sockets(runtime)) == 2, "the folder to be made anew")
    until(lambda: pids(shop.tree) == {shop.program.pid, worker.pid}, "both in the tree")
    # A folder that was made anew at once may have the old one's inode number: then the daemon knows what they have.
    try:
        shop.tree.insmod(lp("lp2", "price", module="ware"))
    except OSError as error:
        assert error.errno == errno.EIO, "nobody knows what they have"
        assert says(shop.tree, "the journal was removed while the service runs")
    else:
        assert says(shop.tree, "the journal was removed while the service runs: it is written again")
        shop.tree.settle()
        assert shop.price() == [NEW]


def test_no_descriptors_left(shop, lp):
    """In a process and the children that it makes meanwhile: told, without turning in circles; and over when there are
    some."""
    shop.program.do("import os, resource; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)")
    worker = shop.start("os.fork")
    assert in_and_out(shop, lp) == [NEW], "connections are there already"
    shop.program.do(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/proc/self/fd'))) + 5, hard)); full = []"
    )
    shop.program.do("try:\n    while True: full.append(os.dup(0))\nexcept OSError: pass")
    child = shop.program.do(
        "child = os.fork()\nif not child:\n    import time\n    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\n    time.sleep(1000)"
    )
    child = shop.program.do("child")
    assert in_and_out(shop, lp) == [NEW]
    shop.program.do("resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)); [os.close(fd) for fd in full]")
    assert says(shop.tree, "no socket for a child", "Too many open files")
    until(lambda: child in pids(shop.tree), "the child, which has descriptors again")
    ticks = sum(map(int, pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    assert ticks < 500
    shop.program.do("os.kill(child, 9) or os.waitpid(child, 0)[0] == child")
    assert in_and_out(shop, lp) == [NEW]


# ---- where and how it runs

def test_another_folder_mask_and_no_environment(shop, lp):
    """Forked workers have the agent all the same; what is executed without the environment is not of the service."""
    shop.program.do("import os; os.chdir('/'); _ = os.umask(0o777); os.environ.clear(); child = 0")
    assert shop.start("os.fork").first == OLD and shop.start("mp fork").first == OLD
    until(lambda: {each.pid for each in shop.workers} <= pids(shop.tree), "the workers in the tree")
    assert in_and_out(shop, lp) == [NEW]
    shop.program.do("_ = os.umask(0o022)")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_root(shop, lp, tmp_path):
    """A worker in a chroot is patched as before; its children can't be reached, and it says so."""
    worker = shop.start("os.fork")
    (tmp_path / "jail").mkdir()
    worker.do(f"os.chroot({str(tmp_path / 'jail')!r}) or os.chdir('/')")
    assert in_and_out(shop, lp) == [NEW] == in_and_out(shop, lp)
    child = worker.do(
        "child if globals().update(child=os.fork()) is None and child else os.execv('x', ['x']) if __import__('time').sleep(1) else os._exit(0)"
    )
    assert says(shop.tree, f"process {worker.pid} ", "no socket for a child")
    assert child not in pids(shop.tree) and list((tmp_path / "jail").iterdir()) == []
    worker.do(f"os.waitpid({child}, 0)[1]")
    assert in_and_out(shop, lp) == [NEW]


# ---- hundreds of workers

RECYCLE = """
import os
def recycle(count, how):
    for i in range(count):
        pid = os.fork()
        if not pid:
            if how == "killed":
                os.kill(os.getpid(), 9)
            os._exit(0)
        os.waitpid(pid, 0)
def size():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096, len(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))
"""


def size(pid):
    """(bytes of memory, descriptors) of a process."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096, len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("daemon", [True, False])
def test_two_hundred_workers_recycled(shop, lp, mount, runtime, daemon):
    """Folder, mirror, memory and descriptors are as before, with the daemon or without; and no zombies."""
    shop.program.do(RECYCLE)
    shop.tree.insmod(lp("lp1", "price", module="ware"))
    shop.tree.settle()
    shop.program.do("recycle(30, 'killed')")
    if daemon:
        until(lambda: pids(shop.tree) == {shop.program.pid}, "the dead to go from the tree")
    else:
        mount.kill()
    program, server = shop.program.do("size()"), size(mount.process.pid) if daemon else None
    shop.program.do("recycle(100, 'killed'); recycle(100, 'ended')", seconds=120)
    now = shop.program.do("size()")
    assert now[1:] == program[1:] and now[0] - program[0] < 2 << 20, (program, now)
    if daemon:
        until(lambda: pids(shop.tree) == {shop.program.pid}, "the dead to go from the tree")
        until(lambda: len(live_sockets(runtime)) == 1, "their sockets to go")
        until(lambda: size(mount.process.pid)[1] <= server[1], "the daemon's descriptors to be let go")
        assert size(mount.process.pid)[0] - server[0] < 4 << 20
        assert {path.name for path in (runtime / "shop").iterdir()
                if len(path.name) < 64} <= {"journal", "lock", *live_sockets(runtime),
                                            *(name.replace(".sock", ".life") for name in live_sockets(runtime))}
    else:
        assert len(live_sockets(runtime)) < 40
    zombies = [pid for pid in os.listdir("/proc") if pid.isdigit()
               and f" Z {shop.program.pid} " in read_or_nothing(f"/proc/{pid}/stat")]
    assert zombies == []
    if not daemon:
        mount.start()
        shop.tree = mount.service("shop")
        until(lambda: len(live_sockets(runtime)) == 1, "the sockets to go with the daemon")
    assert shop.start("os.fork").first == NEW


def read_or_nothing(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


# ---- klpfs.agent.start() in code

START = """
import os, sys, threading, time
sys.path[:0] = [{lib!r}, {root!r}]
import ware
import klpfs.agent
from tests.integration import program
from tests.integration.program import *
print("ready", flush=True)
program.serve(sys.stdin, sys.stdout, globals())
"""


@pytest.fixture
def plain(runtime, tmp_path):
    """plain(): a program without `klpfs run`, told what to do as any other."""
    lib, started = write_ware(tmp_path / "lib"), []

    def start():
        (tmp_path / "plain.py").write_text(START.format(lib=str(lib), root=str(HERE.parent)))
        process = subprocess.Popen([sys.executable, str(tmp_path / "plain.py")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, bufsize=0)
        started.append(process)
        made = harness.Process("plain", process.stdin.fileno(), process.stdout.fileno())
        made.pid = process.pid
        assert made.line() == "ready"
        return made
    yield start
    for process in started:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def load(mount, lp, name="lp1", *functions):
    tree = mount.service("web")
    tree.insmod(lp(name, *(functions or ("price",)), module="ware"))
    return tree


def test_start_in_a_prefork_master(plain, mount, lp):
    """Before it forks: workers are in the service; after: master and workers join each for itself. Twice: once."""
    before, after = plain(), plain()
    before.do("klpfs.agent.start('web') and None")
    fork = "pids = []\nfor i in range(2):\n    pid = os.fork()\n    if not pid:\n{in_child}        time.sleep(1000)\n    pids.append(pid)"
    before.do(fork.format(in_child="        klpfs.agent.start('web')\n"))
    after.do(fork.format(in_child="        klpfs.agent.start('web')\n"))
    tree = mount.service("web")
    workers = before.do("pids") + after.do("pids")
    until(lambda: pids(tree) == {before.pid, *workers},
          "workers in the service, and the master that has started an agent")
    after.do("klpfs.agent.start('web') is klpfs.agent.start('web') is klpfs.agent.start() or 1/0")
    until(lambda: pids(tree) == {before.pid, after.pid, *workers}, "the other master too")
    load(mount, lp).settle()
    assert before.do("ware.price()") == after.do("ware.price()") == NEW
    assert (
        before.do("try: klpfs.agent.start('other')\nexcept OSError as e: code = e.errno") is None
        and before.do("code") == 16
    )
    for each in before, after:
        each.do("[os.kill(pid, 9) or os.waitpid(pid, 0) for pid in pids] and None")


def test_start_in_threads(plain, mount, lp):
    """Whoever is first starts it; the others get the same, while the main thread runs and forks."""
    there = plain()
    there.do("found = []\ndef start():\n    found.append(klpfs.agent.start('web'))")
    there.do("threads = [threading.Thread(target=start) for i in range(5)]; [t.start() for t in threads]")
    there.do(
        "for i in range(5):\n    pid = os.fork()\n    if not pid: os._exit(0 if klpfs.agent.start('web').pid == os.getpid() else 1)\n    status = os.waitpid(pid, 0)[1]\n    assert not status, status"
    )
    there.do("[t.join() for t in threads] and None")
    assert there.do("len(found), len(set(map(id, found)))") == (5, 1)
    load(mount, lp).settle()
    assert there.do("ware.price()") == NEW
    assert len([text for _, _, _, text in mount.service("web").records() if "defect" in text]) == 0


def test_a_start_where_patches_are_in_force(plain, mount, lp):
    """It has what is in force when start() returns."""
    first, second = plain(), plain()
    first.do("klpfs.agent.start('web') and None")
    load(mount, lp).settle()
    assert second.do("(ware.price(), klpfs.agent.start('web').service, ware.price())") == (OLD, "web", NEW)


def test_a_start_in_the_middle_of_a_transition(plain, mount, lp, tmp_path):
    """A thread of the newcomer that is inside an old function is a blocker as any other; nothing mixes."""
    first, second = plain(), plain()
    gates = [tmp_path / "a", tmp_path / "b"]
    for there, gate in zip((first, second), gates):
        there.do(
            f"values = []\nthread = threading.Thread(target=lambda: values.append(ware.hold({str(gate)!r}))); thread.start()"
        )
        there.do(inside("hold"))
    first.do("klpfs.agent.start('web') and None")
    tree = load(mount, lp, "lp1", "price", "hold")
    second.do("klpfs.agent.start('web') and None")
    gates[0].touch()
    first.do("thread.join()")
    until(lambda: f"process {second.pid}" in read(tree.path / "blockers")
          or str(second.pid) in read(tree.path / "blockers"), "the newcomer to block")
    assert tree.get("lp1/transition") == "1" and second.do("ware.price()") == NEW
    gates[1].touch()
    second.do("thread.join()")
    tree.settle()
    assert first.do("values") == second.do("values") == [OLD]


# ---- defects

STUCK = """
from klpfs import Func, Object, Patch, enable_patch

def price():
    return 7

patch = Patch([Object("ware", [Func("price", price)])])

def init():
    enable_patch(patch)
    from klpfs.engine.core import Engine
    was = Engine.describe
    def describe(self):
        from klpfs import agent
        if "mended" in agent.__dict__:
            return was(self)
        raise ZeroDivisionError("a defect")
    Engine.describe = describe
"""


def test_a_process_that_is_stuck_after_a_defect_is_named_and_refuses(plain, mount, lp):
    """One line, a blocker, EIO for the next load; and once it can take back what was cut off, it goes on."""
    there = plain()
    there.do("klpfs.agent.start('web') and None")
    tree = mount.service("web")
    tree.insmod(lp("lp1", text=STUCK))
    until(lambda: " defect " in read(tree.path / "blockers"), "the blocker")
    assert tree.get("lp1/transition") == "1" and "ZeroDivisionError" in read(tree.path / "blockers")
    for name in "lp2", "lp3":
        assert fails(errno.EIO, tree.insmod, lp(name, "price", module="ware"))
    assert len(says(tree, "klpfs: defect at ", "ZeroDivisionError")) == 1
    there.do("klpfs.agent.mended = True")
    until(lambda: tree.get("lp1/transition") == "0", "the end of the transition")
    assert read(tree.path / "blockers") == "" and there.do("ware.price()") == 7
    load(mount, lp, "lp4").settle()
    assert there.do("ware.price()") == "price by lp4"


# ---- code

def test_a_function_that_the_program_gives_other_code_does_not_count_as_patched(shop, lp):
    """In one of two processes. The kernel refuses this to others; here it is said, in the log and by `patched`."""
    worker = shop.start("os.fork")
    shop.tree.insmod(lp("lp1", "price", module="ware"))
    shop.tree.settle()
    assert shop.tree.get("lp1/ware/patched") == "1" and worker.first == OLD
    shop.program.do("old = ware.price.__code__; ware.price.__code__ = (lambda: 'else').__code__")
    until(lambda: shop.tree.get("lp1/ware/patched") == "0", "the look for other code")
    assert len(says(shop.tree, "function 'price' in object 'ware' was given other code by the program, the patch is not "
                               "in force there")) == 1
    shop.program.do("ware.price.__code__ = old")
    until(lambda: shop.tree.get("lp1/ware/patched") == "1", "the look for other code")
    assert says(shop.tree, "function 'price' in object 'ware' has the patch's code again")
