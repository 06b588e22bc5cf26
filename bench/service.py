"""The whole, through a mount: insmod to complete, in an idle and in a busy process; the agent's start and memory."""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests"))

import harness  # noqa: E402

ROUNDS = 20
BUSY = """
import threading, time
def work():
    while True:
        pair()
        time.sleep(0.0005)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
"""


def transition(tree, path):
    """Milliseconds from the write to insmod until transition reads 0; and the same of the way back, to the folder's end."""
    begun = time.perf_counter()
    tree.insmod(path)
    while tree.get("lp1/transition") != "0":
        pass
    there = time.perf_counter()
    tree.set("lp1/enabled", "0")
    while os.path.exists(tree.livepatch / "lp1"):
        pass
    back = time.perf_counter()
    tree.rmmod("lp1")
    return (there - begun) * 1000, (back - there) * 1000


def services(folder):
    mount = harness.Mount(folder / "run", folder / "mnt")
    program = harness.Program(folder / "run", "bench")
    try:
        tree = mount.service("bench")
        path = folder / "lp1.py"
        path.write_text(harness.livepatch("lp1", "one", "two"))
        for state, setup in (("idle", "0"), ("busy", BUSY)):
            program.do(setup)
            times = [transition(tree, path) for _ in range(ROUNDS)]
            yield f"insmod to complete, one {state} process, median", statistics.median(t[0] for t in times), "ms", 10
            yield f"insmod to complete, one {state} process, worst of {ROUNDS}", max(t[0] for t in times), "ms", None
            yield f"echo 0 to gone, one {state} process, median", statistics.median(t[1] for t in times), "ms", 10
    finally:
        program.close()
        mount.close()


READY = "from klpfs.agent.bridge import Bridge; Bridge.prepare(None); "     # as when a daemon has come


def memory(environ, first=""):
    """Private memory of a Python program in KiB, once it sleeps."""
    process = subprocess.Popen([sys.executable, "-c", first + "import sys, threading, time; print(1, flush=True); sys.stdin.read()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, cwd=PROJECT)
    try:
        process.stdout.readline()
        text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M))
    finally:
        process.communicate(b"")


def started(environ):
    """Milliseconds from exec to the first line of a Python program."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", "print(1, flush=True)"], stdout=subprocess.PIPE, env=environ, cwd="/")
    process.stdout.readline()
    ended = time.perf_counter()
    process.wait()
    process.stdout.close()
    return (ended - begun) * 1000


def agent(folder):
    from klpfs.agent.run import environment

    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    patched = environment(["bench"], "bench-start", environ={**plain, "KLPFS_RUNTIME_DIR": str(folder / "run")})
    times = [(started(plain), started(patched)) for _ in range(ROUNDS)]
    yield "agent: start in a program", statistics.median(b for _, b in times) - statistics.median(a for a, _ in times), "ms", 30
    for what, first in (("", ""), (", ready to load", READY)):
        sizes = [memory(patched, first) - memory(plain) for _ in range(5)]
        yield f"agent: memory in a program{what}", statistics.median(sizes) / 1024, "MB", 5


def measure():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpb", dir="/tmp"))
    try:
        yield from agent(folder)
        why = harness.why_no_fuse()
        if why:
            print(f"no FUSE mount here: {why}")
        else:
            yield from services(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
