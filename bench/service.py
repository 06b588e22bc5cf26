"""The whole, through a mount: insmod to complete, in idle and in busy processes, of few and of many functions."""
import contextlib
import os
import pathlib
import shutil
import statistics
import tempfile
import time

from tests import harness

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


def measure():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpb", dir="/tmp"))
    try:
        why = harness.why_no_fuse()
        if why:
            print(f"no FUSE mount here: {why}")
        else:
            yield from transitions(folder, 1, 10)
            yield from transitions(folder, 8, 50)
            yield from large(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
