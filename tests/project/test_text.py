"""The patched process evaluates no text: CPython then forgets that a KeyboardInterrupt has ended the program, which
ends with status 1 instead of by SIGINT (cpython/imports_without_text.py)."""
import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import klpfs

ROOT = Path(klpfs.__file__).parent
LAYERS = ("engine", "protocol", "cpython", "agent")
CODES = {       # names that hold code objects there
    ("cpython/load/loader.py", "code"), ("cpython/resolve/new_function.py", "code"), ("agent/run_main.py", "code"),
    ("cpython/imports_without_text.py", "source")}


def evaluated(tree):
    """What is given to eval and exec: the first arguments."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            names = [getattr(part, "id", getattr(part, "attr", "")).lstrip("_") for part in (call.func, *call.args[:1])]
            if names[0] in ("eval", "exec"):
                yield call.args[0]
            elif names[0] == "partial" and names[1] in ("eval", "exec"):
                yield call.args[1]


def test_klpfs_evaluates_compiled_code_alone():
    """A call of compile(), or a name that is known to hold a code object; and nothing that makes classes from text."""
    text, count = [], 0
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            name, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())
            for argument in evaluated(tree):
                count += 1
                compiled = isinstance(argument, ast.Call) and getattr(argument.func, "id", "").lstrip("_") == "compile"
                if not compiled and (name, getattr(argument, "id", None)) not in CODES:
                    text.append(f"{name}:{argument.lineno}")
            text += [f"{name}:{node.lineno}" for node in ast.walk(tree) if isinstance(node, ast.Call)
                     and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("namedtuple", "dataclass")]
    assert count >= 5 and text == []


def run(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(program)
    return subprocess.run([sys.executable, "-I", "-S", str(path), str(ROOT.parent)], capture_output=True, text=True,
                          timeout=60, env={**os.environ})


WATCHED = '''
import sys, builtins
sys.path.insert(0, sys.argv[1])
def watched(function):
    def watch(source, *rest):
        if isinstance(source, (str, bytes)):
            print(sys._getframe(1).f_globals["__name__"], source)
        return function(source, *rest)
    return watch
builtins.eval, builtins.exec = watched(eval), watched(exec)
from klpfs.agent.lazy_target import CPython, LazyTarget
%s
print("end")
'''
IMPORTS = {"prepare": "CPython.prepare()", "loader": "CPython.loader()",
           "target": "LazyTarget(type('A', (), {'log': None}), None).real()",
           "interpreters": "CPython.has_interpreters()",
           "stacks": "from klpfs.agent.tasks import Tasks; Tasks(None).stack_of_ident(0)",
           "hooks": "from klpfs.cpython.program import import_hooks"}


@pytest.mark.parametrize("name", IMPORTS)
def test_what_klpfs_imports_while_the_program_runs_evaluates_no_text(name, tmp_path):
    """Nor do the standard library's modules that come with it."""
    done = run(WATCHED % IMPORTS[name], tmp_path)
    assert (done.stdout, done.returncode) == ("end\n", 0), done.stderr


ENDS = """
import sys, atexit, os, signal, time
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)     # ignored in the background of a shell
def f(): return 0
LP = b"from klpfs import *\\ndef f(): return 1\\npatch = Patch([Object(None, [Func('f', f)])])\\n"
def transition():           # CPython has noted by now that a KeyboardInterrupt has ended the program
    from klpfs.agent.lazy_target import CPython
    from klpfs.engine.core import Engine
    from klpfs.engine.log import Log
    CPython.prepare()
    from klpfs.cpython.target import PythonTarget
    log = Log(lambda: 0)
    engine = Engine(PythonTarget(log), log)
    engine.enable(CPython.loader().load("lp", LP, "lp.py", log=log).patch, "lp")
    print(f())
    engine.start()
    print(f(), engine.look())
    engine.finish()
    print(f(), flush=True)
atexit.register(transition)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


def test_a_transition_leaves_the_end_of_the_program_as_it_is(tmp_path):
    """A program that SIGINT has ended ends by SIGINT, whatever klpfs imports and does meanwhile."""
    done = run(ENDS, tmp_path)
    assert done.stdout.split("\n") == ["0", "1 []", "1", ""], done.stderr
    assert done.returncode == -signal.SIGINT
