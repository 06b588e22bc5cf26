"""The main program of a joiner: patched between its statements, in real programs run in every way that Python has."""
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from klpfs.agent import run_command
from tests.agent.client import Coordinator

PYTHONS = [p for p in os.environ.get("KLPFS_TEST_PYTHONS", "").split(":") if p] or [sys.executable]
PATCH = "from klpfs import *\n%spatch = Patch([Object(None, [%s])])\n"
GREET = PATCH % ("def greet(): return 'new'\n", "Func('greet', greet)")
HEAD = '''"""Its docstring."""
from __future__ import annotations
import os, sys, threading, time
'''


class Service:
    """Programs of one service, one after the other, that keeps its patches."""

    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KLPFS"))}
        self.environ["KLPFS_RUNTIME_DIR"] = str(folder / "run")
        self.environ["PYTHONPYCACHEPREFIX"] = os.environ.get("KLPFS_TEST_PYCACHE",
                                                             "/tmp/klpfs-test-pycache-%d" % os.getuid())
        os.makedirs(folder / "run", 0o700, exist_ok=True)
        self.running = []

    def popen(self, *words, main=None, **kw):
        env = run_command.environment([self.python, *words], "svc", True, self.environ)
        if main is not None:
            env["KLPFS_MAIN"] = main
        p = subprocess.Popen([self.python, *words], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, bufsize=1, cwd=self.folder, **kw)
        self.running.append(p)
        return p

    def run(self, *words, **kw):
        """What a program says, in lines, its standard error, its exit code."""
        out, err = self.popen(*words, **kw).communicate(timeout=60)
        return out.splitlines(), err, self.running[-1].returncode

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def keep(self, *patches):
        """The service has these patches, {name: text}, in force; the program that had them is gone."""
        p = self.popen("-c", "import sys; print(0, flush=True); sys.stdin.read()", main="/none")
        assert p.stdout.readline() == "0\n", p.stderr.read()
        c = self.coordinator()
        for n, text in enumerate(patches):
            c.insmod("lp%d" % n, text)
        c.until_report(seen=c.record["seq"])
        c.close()
        p.communicate(timeout=60)

    def coordinator(self):
        folder, found, end = str(self.folder / "run" / "svc"), [], time.monotonic() + 30
        while not found:
            assert time.monotonic() < end
            found = [n for n in os.listdir(folder) if n.endswith(".sock") and n[0] != "."]
        return Coordinator(folder, found[0])

    def end(self):
        for p in self.running:
            p.kill()
            p.wait()
            for pipe in (p.stdin, p.stdout, p.stderr):
                pipe.close()


@pytest.fixture(params=PYTHONS)
def service(request, tmp_path):
    made = Service(tmp_path, request.param)
    yield made
    made.end()


def test_before_main_runs(service):
    """All definitions come before the last statement, which runs the program: they are in their place by then."""
    service.keep(GREET)
    path = service.write(
        "app.py",
        HEAD + "def greet(): return 'old'\nbefore = greet()\nif __name__ == '__main__': print(before, greet())\n",
    )
    assert service.run(path) == (["new new"], "", 0)


def test_in_the_block_that_runs_main(service):
    """The last definition may lie deeper than the top level; the call comes right behind it."""
    service.keep(PATCH % ("def greet(): return 'new'\n", "Func('greet', greet)"))
    path = service.write(
        "app.py",
        HEAD + "if __name__ == '__main__':\n  try:\n    def greet(): return 'old'\n    print(greet())\n"
        "  except ImportError: pass\n",
    )
    assert service.run(path) == (["new"], "", 0)


def test_a_function_defined_again(service):
    """Only the last of a name is the program's; the first, of other content, is not taken for it."""
    service.keep(GREET)
    path = service.write(
        "app.py", HEAD + "def greet(): return 'first'\na = greet()\ndef greet(): return 'old'\nprint(a, greet())\n"
    )
    assert service.run(path)[0] == ["first new"]


def test_positions(service):
    """The second of two that live on."""
    service.keep(PATCH % ("def greet(): return 'new'\n", "Func('greet', greet, 2)"))
    path = service.write(
        "app.py", HEAD + "def greet(): return 'first'\na = greet\ndef greet(): return 'second'\nprint(a(), greet())\n"
    )
    assert service.run(path)[0] == ["first new"]


def test_methods_closures_lambdas_and_decorated_functions(service):
    """Whatever a patch can name; all of them at once, behind the last."""
    new = ("class C:\n  def m(self): return 'new m', __class__.__name__\ndef make():\n  return 0\n"
           "def inner(): return 'new inner'\ndef lam(x): return 'new lambda'\ndef deco(): return 'new deco'\n")
    service.keep(
        PATCH % (new, "Func('C.m', C.m), Func('make.<locals>.inner', inner), Func('<lambda>', lam), Func('deco', deco)")
    )
    path = service.write("app.py", HEAD + """import functools
def keep(f):
    @functools.wraps(f)
    def wrapper(): return f()
    return wrapper
def make():
    def inner(): return 'inner'
    return inner
early = make()
@keep
def deco(): return 'deco'
class C:
    def m(self): return 'm'
seen = C().m()
l = lambda x: 'lambda'
print(seen, early(), make()(), l(1), deco(), C().m())
""")
    assert service.run(path) == (["m new inner new inner new lambda new deco ('new m', 'C')"], "", 0)


def test_what_only_some_runs_define(service):
    """A definition in a branch that is not taken: it never comes, so the object stays unpatched, with a line."""
    service.keep(GREET)
    path = service.write("app.py", HEAD + "def other(): pass\nif len(sys.argv) > 5:\n  def greet(): return 'old'\n"
                         "print(0, flush=True)\nsys.stdin.read()\n")
    p = service.popen(path)
    assert p.stdout.readline() == "0\n"
    c = service.coordinator()
    c.until_line("symbol 'greet' not found in symbol table")
    c.until_line("patch 'lp0' failed for module 'vmlinux', module 'vmlinux' stays unpatched by it")
    c.close()


def test_nothing_of_it_shows(service):
    """The same stack, names, paths and tracebacks as without us."""
    text = (
        HEAD
        + """def greet(): return 'old'
import inspect, json
def look():
    own = {k: str(v) for k, v in globals().items() if k[:2] == '__' and k not in ('__builtins__', '__loader__', '__cached__')}
    print(json.dumps([len(inspect.stack()), own, type(__loader__).__name__, __loader__.path, sys.path, sys.argv, 'runpy' in sys.modules,
          sys.path_hooks[0].__name__, sorted(k for k in sys.path_importer_cache if k.endswith('.py'))]))
look()
raise StopIteration(greet())
"""
    )
    real = service.write("deep/er/app.py", text)
    os.symlink(real, service.folder / "link.py")
    for word in (real, "deep/er/app.py", "link.py", "./link.py"):
        plain = subprocess.run([service.python, word, "a", "b"], cwd=service.folder, env=service.environ,
                               capture_output=True, text=True)
        if not service.running:
            service.keep(GREET)
        out, err, code = service.run(word, "a", "b", main=os.path.join(service.folder, word))
        assert err == plain.stderr.replace("StopIteration: old", "StopIteration: new") and code == plain.returncode == 1
        assert out == plain.stdout.splitlines()


# whoever runs the tests in the background of a shell has SIGINT ignored
INTERRUPT = """def interrupt():
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)"""


@pytest.mark.parametrize("end, code", [("sys.exit(3)", 3), ("raise SystemExit('bye')", 1),
                                       ("interrupt()", -signal.SIGINT), ("int(greet())", 1)])
def test_how_it_ends(service, end, code):
    """Exit codes, and a KeyboardInterrupt that kills the process by SIGINT."""
    service.keep(GREET)
    path = service.write(
        "app.py",
        HEAD
        + "def greet(): return 'old'\nimport atexit\natexit.register(print, 'exit')\n%s\n%s\ntime.sleep(9)\n"
        % (INTERRUPT, end),
    )
    out, err, found = service.run(path)
    assert (out, found) == (["exit"], code)


@pytest.mark.parametrize("kind", ["module", "package", "folder", "archive"])
def test_modules_folders_and_archives(service, kind):
    """Run by runpy, as ever, but for the code."""
    service.keep(GREET)
    text = HEAD + "def greet(): return 'old'\nif __name__ == '__main__': print(greet(), __spec__.name, __name__)\n"
    if kind == "archive":
        with zipfile.ZipFile(service.folder / "app.zip", "w") as z:
            z.writestr("__main__.py", text)
    name = {"module": "app.py", "package": "app/__main__.py", "folder": "dir/__main__.py", "archive": "x.py"}[kind]
    service.write(name, text)
    service.write("app/__init__.py" if kind == "package" else "y.py", "")
    words = {"module": ["-m", "app"], "package": ["-m", "app"], "folder": ["dir"], "archive": ["app.zip"]}[kind]
    spec = {"module": "app", "package": "app.__main__"}.get(kind, "__main__")
    main = "app" if words[0] == "-m" else str(service.folder / words[0])
    assert service.run(*words, main=main) == (["new %s __main__" % spec], "", 0)


def test_code_on_the_command_line(service):
    """What CPython runs alone is watched: its functions are patched when the line behind the last of them has come."""
    service.keep(GREET)
    p = service.popen("-c", "import sys\nfor line in sys.stdin:\n  if 'go' in line: break\ndef greet(): return 'old'\n"
                            "for line in sys.stdin: print(greet(), flush=True)", main="")
    c = service.coordinator()
    c.until_line("the main program's functions will be patched when their definitions are there")
    p.stdin.write("go\n")
    c.until_line("applying patch 'lp0' to loading module 'vmlinux'")
    c.until(lambda c: any(o["patched"] for m in c.of("event") for d in m.get("patches", ()) for o in d["objects"]))
    p.stdin.write("x\n")
    assert p.stdout.readline() == "new\n"
    c.close()


@pytest.mark.parametrize("broken", ["def greet(): return (\n", "def other(): pass\nprint(other())\n"])
def test_a_program_that_is_left_to_python(service, broken):
    """One that does not parse, one that makes no such function."""
    service.keep(GREET)
    path = service.write("app.py", HEAD + broken)
    plain = subprocess.run([service.python, path], cwd=service.folder, env=service.environ, capture_output=True,
                           text=True)
    assert service.run(path) == (plain.stdout.splitlines(), plain.stderr, plain.returncode)


def test_an_agent_started_by_the_program(service):
    """klpfs.agent.start() behind the definitions: patched before it returns. Before them: when they have come."""
    service.keep(GREET)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = "sys.path.insert(0, %r)\nimport klpfs.agent\nklpfs.agent.start('svc', keep=True)\n" % root
    defs = "def greet(): return 'old'\n"
    for text in (defs + start, start + defs + "while greet() == 'old': time.sleep(0.01)\n"):
        path = service.write("app.py", HEAD + text + "print(greet())\n")
        p = subprocess.run([service.python, path], cwd=service.folder, env=service.environ, capture_output=True,
                           text=True, timeout=60)
        assert (p.stdout, p.stderr) == ("new\n", "")


def test_a_thread_that_is_inside_already(service):
    """An ordinary transition: the thread goes on in the old functions, main in the new ones; then all in the new
    ones."""
    new = "def greet(): return 'new'\ndef outer(gate):\n  gate.wait()\n  return greet()\n"
    path = service.write("app.py", HEAD + """def greet(): return 'old'
def outer(gate):
    inside.set()
    gate.wait()
    return greet()
gate, inside, said = threading.Event(), threading.Event(), []
t = threading.Thread(target=lambda: said.append(outer(gate)), name='busy')
t.start()
inside.wait()
def last(): pass
print(greet(), flush=True)
sys.stdin.readline()
gate.set()
t.join()
print(said, flush=True)
sys.stdin.readline()
""")
    last = "def last(): return 1\n"
    service.keep(PATCH % (new + last, "Func('greet', greet), Func('outer', outer), Func('last', last)"))
    p = service.popen(path)
    assert p.stdout.readline() == "new\n"
    c = service.coordinator()
    c.until_line("the main program goes on while its functions are in transition")
    assert [b["name"] for b in c.until(lambda c: c.ask("blockers"))] == ["busy"]
    n = c.change("lp9", GREET)                  # one operation at a time: this one waits until the thread is out
    c.until(lambda c: c.of("ack"))
    p.stdin.write("\n")
    assert p.stdout.readline() == "['old']\n"
    c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    assert c.ask("blockers") == []
    c.close()


def test_a_spawned_process(service):
    """multiprocessing runs the main program anew, under another name, in a dict of its own; they are there
    before it does its work."""
    service.keep(GREET)
    path = service.write("app.py", HEAD + """import multiprocessing
def greet(): return 'old'
def work(q):
    q.put(greet())
if __name__ == '__main__':
    context = multiprocessing.get_context('spawn')
    q = context.Queue()
    p = context.Process(target=work, args=(q,))
    p.start()
    print(greet(), q.get())
    p.join()
""")
    assert service.run(path) == (["new new"], "", 0)


def test_a_patch_that_is_loaded_while_another_waits(service):
    """The definitions of the first never come. The second is not lost with it: it finds what is there."""
    service.keep(GREET)
    path = service.write("app.py",
                         HEAD + "def other(): return 'old'\nfor line in sys.stdin: print(other(), flush=True)\n"
                         "def greet(): return 'old'\n")
    p = service.popen(path)
    p.stdin.write("x\n")
    assert p.stdout.readline() == "old\n"
    c = service.coordinator()
    c.insmod("lp9", PATCH % ("def other(): return 'new'\n", "Func('other', other)"))
    p.stdin.write("x\n")
    assert p.stdout.readline() == "new\n"
    c.change("lp10", GREET)
    c.until_line("symbol 'greet' not found in symbol table")
    c.close()


def test_a_main_program_that_makes_the_function_again(service):
    """A loop around the definition: named until it is over, and not waited for."""
    path = service.write("app.py", HEAD + """for line in sys.stdin:
    def greet(): return 'old'
    print(line.strip(), flush=True)
print(greet(), flush=True)
while True:
    threading.Event().wait(0.01)
    if greet() == 'new':
        break
print(greet(), flush=True)
""")
    service.keep(GREET)
    p = service.popen(path)
    p.stdin.write("one\n")
    p.stdin.flush()
    assert p.stdout.readline() == "one\n"
    c = service.coordinator()
    blocker, = c.until(lambda c: c.ask("blockers"))
    assert blocker["kind"] == "thread" and blocker["name"].endswith("app.py:5 <module> will make greet again")
    p.stdin.close()
    assert p.stdout.readline() in ("old\n", "new\n")
    assert p.stdout.readline() == "new\n"
    c.close()
