"""What the agent costs a program before anything is patched: its start, and its memory."""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from klpfs.agent.run_command import environment

PROJECT = pathlib.Path(__file__).resolve().parents[1]
ROUNDS = 20
READY = "from klpfs.agent.lazy_target import CPython; CPython.prepare(); "     # as when a daemon has come


def memory(python, environ, first=""):
    """Private memory of a Python program in KiB, once it sleeps."""
    process = subprocess.Popen([python, "-c",
                                first + "import sys, threading, time; print(1, flush=True); sys.stdin.read()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, cwd=PROJECT)
    try:
        process.stdout.readline()
        text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M))
    finally:
        process.communicate(b"")


def started(python, environ):
    """Milliseconds from exec to the first line of a Python program."""
    begun = time.perf_counter()
    process = subprocess.Popen([python, "-c", "print(1, flush=True)"], stdout=subprocess.PIPE, env=environ,
                               cwd="/")
    process.stdout.readline()
    ended = time.perf_counter()
    process.wait()
    process.stdout.close()
    return (ended - begun) * 1000


def measure(python=sys.executable):
    """(name, value, unit, goal) in programs of an interpreter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpb", dir="/tmp"))
    try:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        patched = environment(["bench"], "bench-start", environ={**plain, "KLPFS_RUNTIME_DIR": str(folder / "run")})
        times = [(started(python, plain), started(python, patched)) for _ in range(ROUNDS)]
        yield ("agent: start in a program",
               statistics.median(b for _, b in times) - statistics.median(a for a, _ in times), "ms", 30)
        for what, first in (("", ""), (", ready to load", READY)):
            sizes = [memory(python, patched, first) - memory(python, plain) for _ in range(5)]
            yield f"agent: memory in a program{what}", statistics.median(sizes) / 1024, "MB", 5
    finally:
        shutil.rmtree(folder, ignore_errors=True)
