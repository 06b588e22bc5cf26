"""Random interrupts: of the writer of insmod, of the daemon and of a worker by SIGKILL, of the program's memory; at a
random moment of a load or of the way back. Afterwards the good cycle works, and no process is dead or half patched."""
import contextlib
import os
import random
import re
import resource
import signal
import time

from tests.attacks.table import Failed
from tests.attacks.timing import BOUND, PATIENCE, Operation
from tests.harness import until, write

IMPORTS = ("import sys\nfor m in ('wave', 'colorsys', 'plistlib', 'xmlrpc.client', 'sched', 'shelve', 'zipapp', 'mailbox'):\n"
           "    sys.modules.pop(m, None)\n    __import__(m)\n")
WORK = "def pre(o):\n    [sorted(range(50)) for i in range(2000)]\n"


def run(world, seed, count):
    """`count` tries, of the seeds from `seed` on: SEED=n COUNT=1 is the n-th alone."""
    paths = {"imports": world.patch("imports", extra=IMPORTS),
             "funcs": world.patch("funcs", extra="".join(f"def f{n}(): return {n}\n" for n in range(400))),
             "pre": world.patch("pre", extra=WORK, callbacks="pre_patch=pre"),
             "plain": world.patch("plain", "one", "two")}
    world.ask("shop", "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    for path in paths.values():         # what the first load of each takes is no growth: modules, and room for them
        world.insmod(path)
        world.clear()
    world.before = world.usage()
    for number in range(seed, seed + count):
        world.tried = number - seed + 1
        said = []
        try:
            one(world, number, paths, said)
        except AssertionError as e:
            raise Failed(f"SEED={number} COUNT=1: {e} [{', '.join(said)}]") from None


def one(world, seed, paths, said):
    rng = random.Random(seed)
    victim = rng.choice(("writer",) * 6 + ("memory", "daemon", "worker", "worker"))
    name = rng.choice(sorted(paths))
    moment = rng.random() * rng.choice((0.003, 0.02, 0.08))
    number = rng.choice((signal.SIGKILL, signal.SIGUSR1))
    said += [victim, name, f"after {moment * 1000:.1f} ms", *([number.name] if victim == "writer" else [])]
    tree = world.tree()
    child = world.ask("shop", "os.fork() or time.sleep(60) or os._exit(0)") if victim == "worker" else 0
    if child:
        until(lambda: str(child) in os.listdir(tree.path / "proc") or not os.path.exists(f"/proc/{child}"), "the worker in the tree")
    if victim == "memory":
        with open(f"/proc/{world.shop.pid}/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        before = resource.prlimit(world.shop.pid, resource.RLIMIT_AS, (size + rng.randrange(1 << 22), -1))
    operation = Operation(tree.insmod, paths[name])
    time.sleep(moment)
    if victim == "memory":
        operation.wait(BOUND + PATIENCE)
        resource.prlimit(world.shop.pid, resource.RLIMIT_AS, before)
    elif victim == "writer":
        with contextlib.suppress(ProcessLookupError):
            operation.kill(number)
    elif victim == "worker":
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    else:
        world.mount.kill()
        world.mount.start()
        for service in "shop", "bank":
            world.mount.service(service)
        world.before.pop("daemon", None)
    found = world.over("insmod", operation, BOUND + PATIENCE)
    world.expect(re.fullmatch("ok None|E[A-Z0-9]+|died", found), f"insmod: {found}")
    until(lambda: all(each.split(" ")[4] != "Loading" for each in modules(tree)), "the load to be over")
    if rng.random() < 0.3 and name in tree.patches():       # the way back is interrupted, too
        back = Operation(write, tree.livepatch / name / "enabled", "0")
        time.sleep(rng.random() * 0.01)
        back.kill(signal.SIGKILL)
        back.end()
        said.append("way back")
    with contextlib.suppress(OSError):
        world.clear()
    world.clear()
    world.expect(world.ask("shop", "pair()") == ("one original", "two original"), "the program runs new code")
    until(lambda: not world.ask("shop", "__import__('_imp').lock_held()"), "the program's import lock to be free", 5)
    found = world.timed("the program forks", world.ask, "shop", "os.fork() and 5 or os._exit(0)")
    world.expect(found == "ok 5", f"the program's fork: {found}")
    world.cycle_in_process()


def modules(tree):
    with open(tree.path / "proc/modules") as file:
        return file.read().splitlines()
