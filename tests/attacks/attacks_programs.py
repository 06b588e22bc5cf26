"""Attacks by what a program does while it is patched: signals, forks, threads, limits, what it does to modules (A7, B5,
C2, C3, C5, C6, C7)."""
import resource
import subprocess
import time

from tests.attacks.attacks_messages import processor
from tests.attacks.table import attack
from tests.attacks.timing import BOUND, PATIENCE
from tests.harness import until

MIXED = '''
import os, signal, sys, time
import __main__ as program

bad, calls, stack = [], [0], [None]


def got(have, want, where):
    calls[0] += 1
    if want is not None and have != want:
        bad.append((where, "runs", have, "on the stack", want))


def through(n, version):
    if n:
        return through(n - 1, version)
    end = time.monotonic() + SECONDS
    open(INSIDE, "w").close()
    while time.monotonic() < end:
        program.pace()
        got(leaf(), version, "leaf below outer")
    os.unlink(INSIDE)
'''
VERSION = '''
def leaf():
    return {v}


def outer(n):
    through(n, {v})


def handler(s, f):
    got({v}, stack[0], "handler on outer's stack")
    for _ in range(3):
        leaf()


def sit():
    program.inside.set()
    program.go.wait()
    return leaf()
'''
DRIVE = '''
import threading, mixed
inside, go = threading.Event(), threading.Event()
sitter = threading.Thread(target=mixed.sit, daemon=True)
sitter.start()
inside.wait()
'''
RUN = '''
import mixed, mmap, os, signal, subprocess, sys
me, shared = os.getpid(), os.memfd_create("counts")
os.truncate(shared, 2)
# handlers that run within each other, and that have run since the last call: else signals that come faster than handlers
# end let nothing else run
counts = mmap.mmap(shared, 2)


def handler(number, frame):
    counts[0] += 1
    counts[1] = min(counts[1] + 1, 99)
    mixed.handler(number, frame)
    counts[0] -= 1


def pace():
    counts[1] = 0
    signal.setitimer(signal.ITIMER_REAL, 2e-4)


for number in signal.SIGALRM, signal.SIGUSR1:
    signal.signal(number, handler)
mixed.stack[0] = 1
# another process, so that both signals come close together: a child of a program's own fork would be patched, too
child = subprocess.Popen([sys.executable, "-S", "-E", "-c", """
import mmap, os, sys, time
counts = mmap.mmap(int(sys.argv[1]), 2)
while os.getppid() == int(sys.argv[2]):
    if counts[0] < 8 and counts[1] < 10:
        os.kill(int(sys.argv[2]), 10)
    time.sleep(1e-4)
""", str(shared), str(me)], pass_fds=[shared])
sys.setrecursionlimit(10000)
try:
    mixed.outer(2000)
finally:
    child.kill()
    child.wait()
    signal.signal(signal.SIGALRM, signal.SIG_IGN), signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mixed.stack[0] = None
    counts.close(), os.close(shared)
'''


# as long as a task is known to be clean, its calls need no choice: a reversal lets that be forgotten
REVERSE = """until [ -e "$1" ]; do sleep .01; done
while [ -e "$1" ]; do echo 0 > "$2"; echo 1 > "$2"; done 2>/dev/null"""


@attack("A7")
def signals(world):
    """handlers of signals that come close together run the version of the stack that they interrupt, while the
    transition is reversed again and again"""
    folder = world.folder / "modules"
    folder.mkdir(exist_ok=True)
    inside = str(world.folder / "inside")
    (folder / "mixed.py").write_text(f"SECONDS, INSIDE = 3, {inside!r}\n{MIXED}{VERSION.format(v=0)}")
    funcs = ", ".join(f"Func({name!r}, {name})" for name in ("leaf", "outer", "handler", "sit"))
    path = world.patch("lp1", text="from klpfs import *\n" + VERSION.format(v=1)
                       + f"patch = Patch(objects=[Object('mixed', funcs=[{funcs}])])\n")
    world.ask("shop", f"sys.path.insert(0, {str(folder)!r})\n{DRIVE}")
    found = world.insmod(path)
    world.expect(found == "ok None", f"insmod: {found}")
    world.expect(world.tree().get("lp1/transition") == "1", "no transition is pending")
    reversals = subprocess.Popen(["sh", "-c", REVERSE, "-", inside, str(world.tree().livepatch / "lp1/enabled")])
    try:
        world.programs["shop"].do(RUN, 120)
        reversals.wait(BOUND + PATIENCE)
    finally:
        reversals.kill(), reversals.wait()
    bad, calls = world.ask("shop", "(mixed.bad[:3], mixed.calls[0])")
    world.expect(not bad, f"{len(bad)} or more mixed of {calls} calls: {bad[0] if bad else ''}")
    world.expect(calls > 20, f"{calls} calls only")
    world.ask("shop", "go.set(); sitter.join()")
    world.tree().settle()


EAGER = '''
import asyncio

seen = []


def which():
    return 0


async def root():
    before = which(), leaf()
    await asyncio.sleep(0)
    seen.append((*before, leaf()))


def leaf():
    return 0


async def make():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    mine = leaf()
    task = asyncio.get_running_loop().create_task(root())
    mine = mine, leaf()
    await task
    return mine


def sit():
    inside.set()
    go.wait()
    return leaf()
'''


@attack("A7", since=12)
def eager_tasks(world):
    """an eager task's first step runs the version of the stack that it runs on (issue 11, 1)"""
    folder = world.folder / "modules"
    folder.mkdir(exist_ok=True)
    (folder / "eager.py").write_text("import threading\ninside, go = threading.Event(), threading.Event()\n" + EAGER)
    new = EAGER.replace("return 0", "return 1").replace("import asyncio\n\nseen = []\n", "")
    names = "which", "root", "leaf", "make", "sit"
    funcs = ", ".join(f"Func({name!r}, {name})" for name in names)
    path = world.patch("lp1", text=f"from klpfs import *\n{new}\npatch = Patch(objects=[Object('eager', funcs=[{funcs}])])\n")
    world.ask("shop", f"sys.path.insert(0, {str(folder)!r})\nimport eager, threading, asyncio\n"
              "sitter = threading.Thread(target=eager.sit, daemon=True)\nsitter.start()\neager.inside.wait()\n")
    found = world.insmod(path)
    world.expect(found == "ok None", f"insmod: {found}")
    world.expect(world.tree().get("lp1/transition") == "1", "no transition is pending")
    for _ in range(20):
        mine = world.ask("shop", "asyncio.run(eager.make())")
        world.expect(mine[0] == mine[1], f"the maker is mixed: {mine}")
    seen = world.ask("shop", "eager.seen")
    world.expect(all(len(set(each)) == 1 for each in seen), f"an eager task is mixed: {[each for each in seen if len(set(each)) > 1][:1]}")
    world.ask("shop", "eager.go.set(); sitter.join()")
    world.tree().settle()


# ---- forks and threads

@attack("B5", quick=True)
def forkthread(world):
    """a child that a thread forks, and whose thread returns, ends"""
    thread_forks(world)


def thread_forks(world):
    code = ("import os, threading, select\nr, w = os.pipe()\npid = []\n"
            "def f():\n    p = os.fork()\n    if p:\n        pid.append(p)\n"
            "t = threading.Thread(target=f)\nt.start()\nt.join()\nos.close(w)\n"
            "ended = bool(select.select([r], [], [], 8)[0])\n"     # the child has the other end for as long as it lives
            "os.close(r)\nended or os.kill(pid[0], 9)\nos.waitpid(pid[0], 0)\nstop = ended")
    world.ask("shop", code)
    world.expect(world.ask("shop", "stop"), "the child was there 8 s later")


@attack("B5")
def forkthread_while_pending(world):
    """the same while a transition is pending: the child ends, and the transition then completes"""
    world.ask("shop", "held = Held('sitter')")
    world.insmod(world.patch("lp1", "one", "hold"))
    world.expect(world.tree().get("lp1/transition") == "1", "no transition is pending")
    thread_forks(world)
    world.ask("shop", "held.let_go()")
    until(world.tree().settled, "the transition's end")


SETS_LEAST = """
def sets_least():
    for size in range(4096, 1 << 20, 4096):
        try:
            threading.stack_size(size)
            return size
        except ValueError:
            pass        # how much a thread needs is another in each version
"""


@attack("C5")
def stack_size(world):
    """threads of klpfs's have a stack that is enough, whatever threading.stack_size() is"""
    program = world.start("small")
    try:
        program.do("import sys, threading, os")
        program.do(SETS_LEAST)
        least = program.do("sets_least()")
        program.do("os.waitpid(os.fork() or os._exit(0), 0)")
        deep = "".join(" " * (each + 1) + f"for i{each} in a:\n" for each in range(18)) + " " * 20 + "pass\n"
        path = world.patch("lp1", extra=(
            "import html, urllib.parse, json, http.client\ndef g(a, b, c, d, e):\n    return [[[[[[[[[[a for a in b] for b in c] "
            "for c in d] for d in e] for e in a]]]]]], (((((((((((((a+1)*2)+3)*4)+5)*6)+7)*8)+9)*10)+11)*12)+13)\n"
            f"def deep(a):\n{deep}"))
        found = world.timed("insmod into small", world.tree("small").insmod, path, bound=BOUND + PATIENCE)
        world.expect(found == "ok None", f"insmod: {found}")
        until(lambda: program.do("one()") == "one by lp1", "the patch")
        world.expect(program.process.poll() is None, "the program has ended")
        world.expect(program.do("threading.stack_size()") == least, "the program's own stack size was changed")
    finally:
        world.end("small")


@attack("C6")
def no_descriptors(world):
    """an idle program without any descriptor costs no processor time, and takes patches when it has some again"""
    until(lambda: world.ask("shop", "__import__('klpfs.agent.api').agent.api.agent().prepared"), "the program")
    before = resource.prlimit(world.shop.pid, resource.RLIMIT_NOFILE)
    for limit in 0, 1:
        resource.prlimit(world.shop.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            used, end = processor(world.shop.pid), time.monotonic() + 3
            until(lambda: time.monotonic() > end, "three seconds")
            used = processor(world.shop.pid) - used
        finally:
            resource.prlimit(world.shop.pid, resource.RLIMIT_NOFILE, before)
        world.expect(used < 0.15, f"RLIMIT_NOFILE {limit}: {used:.2f} s of processor time in 3 s")
        world.cycle()


@attack("C7")
def module_replaced_by_itself(world):
    """a module that puts a subclass of ModuleType in its place: its functions are patched, or refused by name"""
    folder = world.folder / "modules"
    folder.mkdir(exist_ok=True)
    (folder / "other.py").write_text(
        "import sys, types\n\n\ndef f():\n    return 'f original'\n\n\nclass M(types.ModuleType):\n    pass\n\n\n"
        "m = M(__name__)\nm.__dict__.update(globals())\nsys.modules[__name__] = m\n")
    world.ask("shop", f"sys.path.insert(0, {str(folder)!r})\nimport other")
    found = world.insmod(world.patch("lp1", "f", module="other"))
    if found == "ok None":
        world.tree().settle()
        world.expect(world.ask("shop", "other.f()") == "f by lp1", f"insmod said ok, f() is {world.ask('shop', 'other.f()')}")
    else:
        world.expect(found == "EINVAL", found)
        world.expect(any("other" in text or "'f'" in text for _, _, _, text in world.log()), "no line says why")


CYCLES = 300
FULL = 750          # cycles until the rings of the log are full, of lines as they come: others would leave holes
BLOCKS = "(__import__('gc').collect(), sys.getallocatedblocks())[1]"
A_BLOCK, A_KB = 1, 5        # a cycle that leaves more blocks or KB than that grows; the report's left 14 KB
ONCE = 30, 1200             # blocks and KB that come once: a table that is made larger, an arena of 1 MB


@attack("C2")
def cycles(world):
    """cycles, once the log is full, leave no descriptor, no block of memory and no KB of the processes"""
    def run(count):
        for _ in range(count):
            world.cycle_in_process()
        blocks = world.ask("shop", BLOCKS)
        return blocks, {who: (fds, size) for who, (fds, size) in world.usage(1).items() if who != "bank"}
    (blocks, first), (more, middle), (most, last) = run(FULL), run(CYCLES), run(CYCLES)
    # what grows does so in both; up to 3.10 some hundred blocks come once, at the 1,025th cycle
    grown = min(more - blocks, most - more)
    world.expect(grown <= A_BLOCK * CYCLES + ONCE[0], f"{grown / CYCLES:.1f} blocks a cycle stay")
    for who in first:
        world.expect(last[who][0] <= first[who][0], f"{who}: descriptors {first[who][0]} to {last[who][0]}")
        size = min(middle[who][1] - first[who][1], last[who][1] - middle[who][1])
        world.expect(size <= A_KB * CYCLES + ONCE[1], f"{who}: {size / CYCLES:.1f} KB a cycle stay")
    world.before = world.usage()


STACKED = 100
A_PATCH = 0.8       # ms of processor time, of daemon and program, that an insmod may cost more for each patch in force;
                    # the report's cost 1.5 ms. What is left (0.4) is the look at a heap in which these patches lie.


@attack("C3")
def stacked(world):
    """an insmod costs linear time in the patches in force, and little for each: processor time of daemon and program"""
    tree, used = world.tree(), []

    def processor_ms():
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in (world.mount.process.pid, world.shop.pid)) * 1000
    for number in range(STACKED):
        path, before = world.patch(f"lp{number}", ("one", "two")[number % 2]), processor_ms()
        tree.insmod(path)
        until(lambda number=number: tree.get(f"lp{number}/transition") == "0", "its transition's end")
        used.append(processor_ms() - before)
    # the least of ten: what disturbs makes processor time longer only
    first, middle, last = (min(used[at:at + 10]) for at in (0, STACKED // 2 - 5, STACKED - 10))
    said = f"{first:.0f} ms at the first, {middle:.0f} at the {STACKED // 2}th, {last:.0f} at the {STACKED}th"
    world.expect(last - first <= A_PATCH * STACKED, said)
    world.expect(last - middle <= 2 * max(middle - first, A_PATCH * STACKED / 8), f"more than linear: {said}")
    for number in reversed(range(STACKED)):
        tree.set(f"lp{number}/enabled", "0")
        until(lambda number=number: f"lp{number}" not in tree.patches(), "the way back")
