"""The whole, through a mount: insmod to complete, in idle and in busy processes, of few and of many functions; the
agent's start and memory."""
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from tests import harness

PROJECT = pathlib.Path(__file__).resolve().parents[1]
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
    """Milliseconds from the write to insmod until transition reads 0; and the same of the way back, to the folder's
    end."""
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


@contextlib.contextmanager
def service(folder, processes=1):
    """(the program, its tree)."""
    mount = harness.Mount(folder / "run", folder / "mnt")
    try:
        program = harness.Program(folder / "run", "bench", processes=processes)
        try:
            tree = mount.service("bench")
            harness.until(lambda: len([name for name in os.listdir(tree.path / "proc") if name.isdigit()]) == processes,
                          "all processes")
            yield program, tree
        finally:
            program.close()
    finally:
        mount.close()


def transitions(folder, processes, goal):
    path = folder / "lp1.py"
    path.write_text(harness.livepatch("lp1", "one", "two"))
    with service(folder, processes) as (program, tree):
        harness.until(lambda: program.do("__import__('klpfs.agent.api').agent.api.agent().prepared"),
                      "the program to be ready")
        for state, setup in (("idle", "0"), ("busy", BUSY)):
            for each in program.each:
                each.do(setup)
            what = f"{processes} {state} processes" if processes > 1 else f"one {state} process"
            times = [transition(tree, path) for _ in range(ROUNDS)]
            yield f"insmod to complete, {what}, first", times[0][0], "ms", None
            yield f"insmod to complete, {what}, median", statistics.median(t[0] for t in times), "ms", goal
            yield f"insmod to complete, {what}, worst of {ROUNDS}", max(t[0] for t in times), "ms", None
            yield f"echo 0 to gone, {what}, median", statistics.median(t[1] for t in times), "ms", goal


def large(folder, functions=1000, patches=4):
    """Patches of many functions, one upon the other: in a module, and in the main program."""
    text = "".join(f"def f{n}(a, b=1):\n    c = a + b\n    return [c, {n}, len(str(c))]\n" for n in range(functions))
    (folder / "large.py").write_text(text)
    for name, shown in (("large", "a module"), (None, "__main__")):
        with service(folder) as (program, tree):
            program.do(f"sys.path.insert(0, {str(folder)!r})" if name
                       else f"exec(compile({text!r}, __file__, 'exec'), globals())")
            program.do("import large" if name else "0")
            times = []
            for n in range(patches):
                path = folder / f"big{n}.py"
                path.write_text(
                    "from klpfs import Func, Object, Patch\n"
                    + text.replace("len(", f"{n}, len(")
                    + f"patch = Patch([Object({name!r}, [Func(f'f{{n}}', globals()[f'f{{n}}']) for n in range({functions})])])\n"
                )
                begun = time.perf_counter()
                tree.insmod(path)
                harness.until(lambda: tree.get(f"big{n}/transition") == "0", "the transition")
                times.append((time.perf_counter() - begun) * 1000)
            begun = time.perf_counter()
            tree.set(f"big{patches - 1}/enabled", "0")
            harness.until(lambda: not os.path.exists(tree.livepatch / f"big{patches - 1}"), "the way back")
            back = (time.perf_counter() - begun) * 1000
        yield f"insmod of {functions} functions of {shown} to complete, first", times[0], "ms", None
        yield (
            f"insmod of {functions} functions of {shown} to complete, {patches}th upon the others",
            times[-1],
            "ms",
            None,
        )
        yield f"echo 0 to gone, {functions} functions of {shown}", back, "ms", None


READY = "from klpfs.agent.lazy_target import CPython; CPython.prepare(); "     # as when a daemon has come


def memory(environ, first=""):
    """Private memory of a Python program in KiB, once it sleeps."""
    process = subprocess.Popen([sys.executable, "-c",
                                first + "import sys, threading, time; print(1, flush=True); sys.stdin.read()"],
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
    process = subprocess.Popen([sys.executable, "-c", "print(1, flush=True)"], stdout=subprocess.PIPE, env=environ,
                               cwd="/")
    process.stdout.readline()
    ended = time.perf_counter()
    process.wait()
    process.stdout.close()
    return (ended - begun) * 1000


def agent(folder):
    from klpfs.agent.run_command import environment

    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    patched = environment(["bench"], "bench-start", environ={**plain, "KLPFS_RUNTIME_DIR": str(folder / "run")})
    times = [(started(plain), started(patched)) for _ in range(ROUNDS)]
    yield (
        "agent: start in a program",
        statistics.median(b for _, b in times) - statistics.median(a for a, _ in times),
        "ms",
        30,
    )
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
            yield from transitions(folder, 1, 10)
            yield from transitions(folder, 8, 50)
            yield from large(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
