"""The running program of an entry: the release OLD, imported and in use, with its witness. Standard input commands it.

python program.py WITNESS ROOT ... : WITNESS is a file or '-', ROOTs are the package's top modules. Answers as
tests/harness.Program wants it: '= repr', '! traceback'.
"""
from __future__ import annotations

import gc
import importlib
import importlib.util
import marshal
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Iterable
from typing import Any, TextIO

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
witnesses: dict[str, Any] = {}      # name -> a copy of the witness, with live objects of its own
kept: list[Any] = []            # what graphs have seen: ids mean the same in all of them


def load(name: str, path: str) -> types.ModuleType:
    """A file as a module of this name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def by_own_time() -> None:
    """The witnesses' limits become limits of this process's own time: a busy machine makes no hole and no fix."""
    try:
        import _util
    except ImportError:
        return
    _util.time = types.SimpleNamespace(perf_counter=time.process_time)
    _util.signal = types.SimpleNamespace(signal=signal.signal, setitimer=signal.setitimer, SIGALRM=signal.SIGPROF,
                                         ITIMER_REAL=signal.ITIMER_PROF)


def born(name: str) -> None:
    """Makes a copy of the witness: its objects are as old as this call."""
    witnesses[name] = load("witness_" + name, WITNESS)


def check(name: str) -> tuple[bool | None, str]:
    """(fixed, detail) of the witness, twice the same."""
    first, second = witnesses[name].check(), witnesses[name].check()
    if bool(first[0]) != bool(second[0]):
        return None, f"first {first!r}, then {second!r}"
    return bool(second[0]), str(second[1])[:200]


def live(name: str) -> tuple[bool, str] | None:
    """(ok, detail) of the objects that this copy made; None: the witness has nothing of the kind."""
    if not hasattr(witnesses[name], "check_live"):
        return None
    try:
        ok, detail = witnesses[name].check_live()
    except Exception as e:
        ok, detail = False, repr(e)
    return bool(ok), str(detail)[:200]


def describe(path: str, tree: str, roots: list[str]) -> None:
    """Writes the graph of the package, which lies in the folder `tree`, to a file."""
    gc.collect()
    found = Description(roots, tree, [], kept, probe=given).take()
    with open(path, "wb") as file:
        marshal.dump(found, file, 4)


def given(obj: Any, cls: type) -> dict[str, Any]:
    """{attribute: what klpfs's stand-ins on an object's class give for it}."""
    return subject.given(stand_ins, obj, cls)


def import_all(names: Iterable[str]) -> list[str]:
    """Imports modules; names of those that can't be."""
    failed: list[str] = []
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException:
            failed.append(name)
    return failed


def run_tests(folder: str, arguments: list[str]) -> int:
    """Runs pytest in this process, or a script that is named first; its exit code."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    if arguments[0].endswith(".py"):
        import runpy
        sys.argv = arguments
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as e:
            return int(bool(e.code))
        return 0
    import pytest
    return int(pytest.main(arguments))


def serve(lines: Iterable[str], out: TextIO) -> None:
    """Evaluates lines and writes an answer for each."""
    for line in lines:
        try:
            code = line.rstrip("\n").replace("\x01", "\n")
            answer = "= " + repr(eval(compile(code, "<line>", "eval"), globals()))
        except BaseException:
            answer = "! " + traceback.format_exc()
        out.write(answer.replace("\n", "\x01") + "\n")
        out.flush()


if __name__ == "__main__":
    sys.path.remove(HERE)           # the entry's packages must not meet our files
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                   # what the program prints is not an answer
    WITNESS, ROOTS = sys.argv[1], sys.argv[2:]
    del sys.argv[1:]                # the package may keep it
    if WITNESS == "-":
        os.environ.pop("PYTHONPATH", None)      # the package may keep that, too, and klpfs adds a folder to it
    sys.path.insert(0, PROJECT)     # klpfs, where the program does not run under it
    from klpfs.builder.verify import subject
    from klpfs.builder.verify.describe import Description
    from klpfs.cpython.import_time import attributes
    sys.path.remove(PROJECT)
    stand_ins = attributes.FirstUse, attributes.Slot, attributes.Form
    by_own_time()
    lines, sys.stdin = os.fdopen(os.dup(0)), open(os.devnull)
    for root in ROOTS:
        importlib.import_module(root)
    print("ready", file=out, flush=True)
    serve(lines, out)
    os._exit(0)                     # servers of the witness may still run
