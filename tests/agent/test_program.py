"""Real programs with the Python target, driven over the agent's socket; on every CPython that $KLPFS_TEST_PYTHONS
names."""
import os
import subprocess
import sys
import textwrap
import time

import pytest

from klpfs.agent import run_command
from tests.agent.client import Coordinator

PYTHONS = [p for p in os.environ.get("KLPFS_TEST_PYTHONS", "").split(":") if p] or [sys.executable]
PLAIN = "from klpfs import *\ndef greet(): return 'new'\npatch = Patch([Object(None, [Func('greet', greet)])])\n"
PROGRAM = """
import sys, threading, os, time
def greet(): return "old"
def main():
    for line in sys.stdin:
        try:
            print(repr(eval(line)), flush=True)
        except Exception as e:
            print(type(e).__name__, e, flush=True)
"""


class Keep:
    """Whether the service's patches outlive it."""

    keep = False


class Program:
    """A program that evaluates what it is asked to. `c`: a coordinator of its agent."""

    begins = PROGRAM

    def __init__(self, folder, python, text="", service="svc"):
        self.folder = folder
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KLPFS"))}
        environ["KLPFS_RUNTIME_DIR"] = str(folder / "run")
        environ["PYTHONPYCACHEPREFIX"] = os.environ.get("KLPFS_TEST_PYCACHE",
                                                        "/tmp/klpfs-test-pycache-%d" % os.getuid())
        os.makedirs(folder / "run", 0o700, exist_ok=True)
        path = folder / "app.py"
        path.write_text(self.begins + textwrap.dedent(text) + "\nif __name__ == '__main__': main()\n")
        argv = [python, str(path)]
        self.process = subprocess.Popen(argv, env=run_command.environment(argv, service, Keep.keep, environ),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, bufsize=1, cwd=folder)
        self.service = str(folder / "run" / service)
        self.ask("0")
        self.c = self.coordinator()

    def coordinator(self, but=()):
        names = [n for n in os.listdir(self.service) if n.endswith(".sock") and n[0] != "." and n not in but]
        return Coordinator(self.service, names[0])

    def tell(self, expression):
        self.process.stdin.write(expression + "\n")

    def hear(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.rstrip("\n")

    def ask(self, expression):
        self.tell(expression)
        return self.hear()

    def disable(self, name):
        c = self.c
        n = c.record["seq"] + 1
        c.write(transition={"n": n, "patch": name, "dir": 0, "turn": 1, "step": "start", "replace": False,
                            "forced": False})
        c.until_report(clean=True, dir=0, n=n)
        c.write(transition=dict(c.record["transition"], step="finish"))
        c.until_report(over=n)
        c.write(transition=None, patches=[p for p in c.record["patches"] if p["name"] != name])
        c.write(modules=[m for m in c.record["modules"] if m["name"] != name])
        c.until_report(seen=c.record["seq"])

    def end(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.c.close()


@pytest.fixture(params=PYTHONS)
def start(request, tmp_path):
    started = []

    def begin(text="", **kw):
        started.append(Program(tmp_path, request.param, text, **kw))
        return started[-1]
    yield begin
    for each in started:
        if each.process.returncode is None:
            each.end()


def test_a_function_of_the_main_program(start):
    """Patched, and taken back; the interpreter has nothing of klpfs's installed."""
    p = start()
    p.c.insmod("lp", PLAIN)
    assert p.ask("greet()") == "'new'"
    p.disable("lp")
    assert p.ask("greet()") == "'old'"
    assert p.ask("[m for m in sys.modules if 'klpfs.service' in m or m == 'attr']") == "[]"


@pytest.mark.parametrize("helper", ["threading", "logging"])
def test_a_livepatch_that_imports_threading_leaves_the_main_thread_the_programs(start, monkeypatch, helper):
    """Up to 3.12 `threading` takes who imports it for the main thread, and its end is waited for."""
    monkeypatch.setattr(Program, "begins", PROGRAM.replace(" threading,", ""))
    p = start("def ends():\n raise SystemExit(0)")
    assert p.ask("'threading' in sys.modules") == "False"
    p.c.insmod("lp", f"import {helper}\n" + PLAIN)
    assert p.ask("greet()") == "'new'" and p.ask("'threading' in sys.modules") == "True"
    threads = "__import__('threading')"
    assert p.ask(f"{threads}.current_thread() is {threads}.main_thread() and {threads}.main_thread().is_alive()") == "True"
    assert p.ask(f"[t.ident for t in {threads}.enumerate()] == [{threads}.get_ident()]") == "True"
    assert p.ask(f"{threads}.main_thread().native_id == os.getpid()") == "True"
    if sys.version_info < (3, 13):      # else CPython would let go of it at the end of the agent's thread
        assert p.ask(f"{threads}.main_thread()._tstate_lock in {threads}._shutdown_locks") == "True"
        assert p.ask("__import__('klpfs.agent').agent.api.agent().thread.stop(60)") == "True"
        assert p.ask(f"{threads}.main_thread()._tstate_lock.locked()") == "True"
    child = "(lambda pid: os.waitpid(pid, 0)[1] if pid else sys.exit(0))(os.fork())"     # it waits for no thread
    assert p.ask(child) == "0"
    p.process.stdin.close()
    assert p.process.wait(30) == 0


BROKEN = {
    "json": ("json.decoder", "JSONDecoder.decode", "def decode(self, s, *a): raise RuntimeError('broken')",
             "__import__('json').loads('1')"),
    "socket": ("socket", "socket.__init__", "def __init__(self, *a, **k): raise RuntimeError('broken')",
               "__import__('socket').socket().close()"),
    "threading": ("threading", "Thread.start", "def start(self): raise RuntimeError('broken')",
                  "threading.Thread(target=int).start()"),
    "lock": ("threading", "Condition.wait", "def wait(self, timeout=None): raise RuntimeError('broken')",
             "threading.Event().wait(0)"),
    "os": ("posixpath", "join", "def join(*a): raise RuntimeError('broken')", "os.path.join('a', 'b')"),
    "ast": ("ast", "parse", "def parse(*a, **k): raise RuntimeError('broken')",
            "__import__('ast').parse('1').body[0].value.value"),
    "collections": ("collections", "Counter.update",
                    "def update(self, *a, **k): raise RuntimeError('broken')",
                    "__import__('collections').Counter('a')"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_patch_that_breaks_the_standard_library_can_be_taken_back(start, name):
    """The agent runs on C functions and its own code: what it needs to take the patch back is not broken by it."""
    module, function, text, use = BROKEN[name]
    p = start()
    p.ask("__import__(%r)" % module)
    good = p.ask(use)
    cls, _, method = function.rpartition(".")
    indent = "    " * bool(cls)
    block = ("class %s:\n" % cls if cls else "") + indent + text + "\n"
    p.c.insmod("broken", "from klpfs import *\n%spatch = Patch([Object(%r, [Func(%r, %s)])])\n"
               % (block, module, function, function))
    assert p.ask(use) == "RuntimeError broken"
    assert p.c.ask("tasks") and p.c.ask("blockers") == []
    p.disable("broken")
    assert p.ask(use) == good


def test_a_module_that_is_imported_later(start, tmp_path):
    """Its functions are in place before the importing code goes on; callbacks run in the agent's thread."""
    (tmp_path / "late.py").write_text("def f(): return 'old'\n")
    p = start()
    p.c.insmod(
        "lp",
        "from klpfs import *\nimport threading\ndef f(): return 'new'\nseen = []\n"
        "def pre(obj): pr_info('pre %s %s %s' % (obj.name, obj.mod.state, threading.current_thread() is threading.main_thread()))\n"
        "patch = Patch([Object('late', [Func('f', f)], Callbacks(pre_patch=pre))])\n",
    )
    assert p.ask("__import__('late').f()") == "'new'"
    p.c.until_line("pre late COMING False")
    p.c.until_line("livepatch: applying patch 'lp' to loading module 'late'")
    p.disable("lp")
    assert p.ask("__import__('late').f()") == "'old'"


def test_a_reload(start, tmp_path):
    """Functions that a reload has made join the definition."""
    (tmp_path / "late.py").write_text("def f(): return 'old'\n")
    p = start()
    p.ask("__import__('late')")
    p.c.insmod("lp", "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object('late', [Func('f', f)])])\n")
    assert p.ask("__import__('late').f()") == "'new'"
    assert p.ask("__import__('importlib').reload(sys.modules['late']).f()") == "'new'"
    p.disable("lp")
    assert p.ask("__import__('late').f()") == "'old'"


@pytest.mark.parametrize("again", [False, True], ids=["import", "reload"])
def test_a_patch_that_comes_while_the_body_of_a_module_runs(start, tmp_path, again):
    """The module is named in the log; its functions are patched when the body has ended, none before."""
    (tmp_path / "late.py").write_text(
        "from __main__ import inside, go\ndef f(): return 'old'\ninside.set()\ngo.wait()\n")
    p = start("inside, go = threading.Event(), threading.Event()\n")
    load = "__import__, args=('late',)"
    if again:
        p.ask("go.set() or __import__('late')")
        p.ask("inside.clear() or go.clear()")
        load = "__import__('importlib').reload, args=(sys.modules['late'],)"
    p.ask(f"globals().update(thread=threading.Thread(target={load}, daemon=True))")
    p.ask("thread.start() or inside.wait()")
    p.c.insmod("lp", "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object('late', [Func('f', f)])])\n")
    p.c.until_line("livepatch: module 'late' is being imported, it is patched by 'lp' when its import ends")
    assert p.ask("sys.modules['late'].f()") == "'old'"
    p.ask("go.set() or thread.join()")
    assert p.ask("sys.modules['late'].f()") == "'new'"


@pytest.mark.timing
def test_an_import_while_the_agent_hangs(start, tmp_path):
    """The module goes on unpatched, with a line, after a bounded time; once for all that is imported meanwhile."""
    (tmp_path / "late.py").write_text("def f(): return 'old'\n")
    p = start()
    p.c.insmod("lp", "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object('late', [Func('f', f)])])\n")
    p.c.change("hang", "import time\ndef init():\n  while True: time.sleep(0.01)\n")
    p.c.until(lambda c: c.report.get("working"))
    begun = time.monotonic()
    assert p.ask("__import__('late').f()") == "'old'"
    assert time.monotonic() - begun < 10
    p.c.until_line("module 'late' was imported while 'init of 'hang'' runs; it goes on unpatched")
    (tmp_path / "own.py").write_text("import sys\n")
    begun = time.monotonic()
    assert p.ask("[__import__('own') and sys.modules.pop('own') and 1 for _ in range(6)]") == "[1, 1, 1, 1, 1, 1]"
    p.c.write(change=None)
    p.c.until_report(seen=p.c.record["seq"])
    assert time.monotonic() - begun < 5, (
        "neither the program's other imports nor those of the thread that stops init wait for 'late' again"
    )


def test_a_livepatch_that_imports_what_others_patch(start, tmp_path):
    """The worker imports a module itself: patched at once, without waiting for itself."""
    (tmp_path / "late.py").write_text("def f(): return 'old'\n")
    p = start()
    p.c.insmod("lp", "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object('late', [Func('f', f)])])\n")
    n = p.c.change("m", "import late\nfrom klpfs import pr_info\ndef init(): pr_info('late is ' + late.f())\n")
    p.c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    p.c.until_line("late is new")


def test_a_hung_init_is_stopped(start):
    p = start()
    p.c.change("lp", PLAIN + "def init():\n  while True: pass\n")
    p.c.until(lambda c: c.report.get("working"))
    p.c.write(change=None)
    p.c.until_report(seen=p.c.record["seq"])
    p.c.until_line("init of 'lp' was stopped at /x/lp.py:5")
    assert p.ask("greet()") == "'old'"
    p.c.insmod("lp", PLAIN)
    assert p.ask("greet()") == "'new'"


@pytest.mark.parametrize("event", ["object.__getattr__", "object.__setattr__"])
def test_an_audit_hook_that_forbids_to_reach_into_functions(start, event):
    """The load is refused, in one line: also where klpfs may not look at the frames of the exception itself."""
    p = start("""
        forbidden = []
        def hook(event, args):
            if event in forbidden and args[1] in ("__code__", "f_code", "__globals__"):
                raise RuntimeError("forbidden: " + event)
        sys.addaudithook(hook)
    """)
    p.ask(f"forbidden.append({event!r})")
    n = p.c.change("lp", PLAIN)
    p.c.until(lambda c: (c.report.get("refused") or {}).get("n") == n, "the refusal")
    assert "forbidden" in p.c.report["refused"]["text"]
    assert len([line for line in p.c.lines if "forbidden" in line and "lp" in line.replace("klpfs", "")]) == 1
    p.c.write(change=None)
    p.c.until_report(seen=p.c.record["seq"])
    p.ask("forbidden.clear()")
    assert p.ask("greet()") == "'old'"
    p.c.insmod("lp", PLAIN)
    assert p.ask("greet()") == "'new'"


def test_a_blocker_is_named_with_its_frames(start):
    """tid, thread's name, file:line; patch_state 0 for it, 1 for others; gone, the transition is clean."""
    p = start("""
        gate = threading.Event()
        def stay():
            return greet() if gate.wait(60) else None
        t = threading.Thread(target=stay, name="busy")
    """)
    p.ask("t.start()")
    tid = int(p.ask("t.native_id"))
    n = p.c.change(
        "lp", "from klpfs import *\ndef stay(): return 'new'\npatch = Patch([Object(None, [Func('stay', stay)])])\n"
    )
    p.c.until_report(phase="prepared")
    assert p.c.ask("patch_state", tid) == 0
    p.c.start(n)
    p.c.until_report(phase="started")
    blockers = p.c.until(lambda c: c.ask("blockers"))
    assert (blockers[0]["kind"], blockers[0]["task"], blockers[0]["name"]) == ("thread", tid, "busy")
    assert any(frame.endswith("stay") and "app.py:" in frame for frame in blockers[0]["frames"])
    assert (p.c.ask("patch_state", tid), p.c.ask("patch_state")) == (0, 1)
    assert (tid, "busy") in p.c.ask("tasks")
    assert any("stay" in line for line in p.c.ask("stack", tid)) and p.c.ask("stack", 1) is None
    p.ask("gate.set()")
    p.c.until_report(clean=True)
    assert p.c.ask("blockers") == []


def test_a_fork_takes_the_patch_along(start):
    """Patched before, patched after, on both sides; the child can be given new ones."""
    p = start("""
        def child():
            pid = os.fork()
            if pid == 0:
                return greet()
            return pid
    """)
    p.c.insmod("lp", PLAIN)
    known = os.listdir(p.service)
    p.tell("child()")
    said = {p.hear(), p.hear()}
    assert "'new'" in said
    other = p.coordinator(known)
    assert str(other.until(lambda c: c.of("hello"))[0]["pid"]) in said
    other.until_report(seen=p.c.record["seq"])
    os.kill(other.of("hello")[0]["pid"], 9)
    other.close()


def test_signals_are_the_programs(start):
    """All are blocked in the agent's threads: a handler runs in the main thread, and sigwait gets what it waits for."""
    p = start("""
        import signal
        got = []
        signal.signal(signal.SIGUSR1, lambda *a: got.append(threading.current_thread() is threading.main_thread()))
        def masks():
            out = {}
            for tid in os.listdir("/proc/self/task"):
                for line in open("/proc/self/task/%s/status" % tid):
                    if line.startswith("SigBlk"):
                        out[int(tid)] = line.split()[1]
            return out
    """)
    assert p.ask("os.kill(os.getpid(), signal.SIGUSR1), time.sleep(0.05), got")[-7:] == "[True])"
    masks = eval(p.ask("masks()"))
    pid = p.process.pid
    assert len(masks) == 3 and masks.pop(pid) == "0" * 16
    own = 3 << 31           # 32 and 33, the C library's, which it blocks while a thread begins
    assert all(int(m, 16) | own == 0xfffffffffffbfeff for m in masks.values()), masks


def test_nothing_of_the_agent_shows_in_threading(start):
    p = start()
    assert p.ask("threading.active_count(), threading.enumerate() == [threading.main_thread()]") == "(1, True)"


def test_a_kept_patch_is_applied_at_the_next_start(start, tmp_path, monkeypatch):
    """A module's functions before the program's first line; the main program's own before it runs."""
    monkeypatch.setattr(Keep, "keep", True)
    (tmp_path / "late.py").write_text("def f(): return 'old'\n")
    p = start()
    p.c.insmod("lp", "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object('late', [Func('f', f)])])\n")
    p.c.insmod("lp2", PLAIN)
    p.c.until_report(seen=p.c.record["seq"])
    p.end()
    p.process.wait()
    again = start()
    assert again.ask("__import__('late').f()") == "'new'"
    assert again.ask("greet()") == "'new'"
    again.c.until_line("livepatch: applying patch 'lp2' to loading module 'vmlinux'")


def test_sub_interpreters(start):
    """Have no agent, and are named; one with an interpreter lock of its own is in the way, since nobody can look then:
    as long, all calls are old."""
    p = start("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        def begin():
            global other
            other = interpreters.create()
            interpreters.run_string(other, "import sys\\nassert 'klpfs' not in sys.modules")
    """)
    known = os.listdir(p.service)
    p.ask("begin()")
    assert os.listdir(p.service) == known
    n = p.c.change("lp", PLAIN)
    p.c.until_line("sub-interpreters run in this process, their functions are not patched")
    p.c.until_report(phase="prepared")
    p.c.start(n)
    if eval(p.ask("sys.version_info >= (3, 12)")):
        p.c.until(lambda c: [b["kind"] for b in c.ask("blockers")] == ["interpreter"])
        assert p.c.ask("stack") in ([], None) and p.ask("greet()") == "'old'"
    p.ask("interpreters.destroy(other)")
    p.c.until_report(clean=True)
    assert p.ask("greet()") == "'new'"


@pytest.mark.parametrize("name", ["concurrent.interpreters", "concurrent.futures.interpreter"])
def test_sub_interpreters_that_are_made_when_a_patch_is_complete(start, name):
    """They are named, and again when there were none for a while."""
    p = start(f"""
        def use(name={name!r}):
            import importlib
            return importlib.import_module(name)
        def make():
            global some
            some = [use("concurrent.interpreters").create()]
    """)
    if eval(p.ask("sys.version_info < (3, 14)")):
        pytest.skip("concurrent.interpreters is new in 3.14")
    p.c.insmod("lp", PLAIN)
    p.ask("use()")
    line = "sub-interpreters run in this process, their functions are not patched"
    for times in (1, 2):
        p.ask("make()")
        p.c.until(lambda c, times=times: c.lines.count(line) == times)
        p.ask("some.pop().close()")
        p.ask("time.sleep(1.5)")
    assert p.ask("greet()") == "'new'"


def test_a_module_that_was_put_into_sys_modules_by_hand(start):
    """After exec() of its code. It is noticed with the next import, or the next load."""
    p = start("""
        def put(name):
            module = type(sys)(name)
            exec("def f(): return 'old'", module.__dict__)
            sys.modules[name] = module
    """)
    for name in ("one", "two"):
        p.c.insmod("lp_" + name,
                   "from klpfs import *\ndef f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])\n" % name)
        p.ask("put(%r)" % name)
        assert p.ask("sys.modules[%r].f()" % name) == "'old'"
        if name == "one":
            p.ask("__import__('colorsys').__name__")
        else:
            p.c.insmod("lp", PLAIN)
        assert p.ask("sys.modules[%r].f()" % name) == "'new'"


def test_a_module_that_was_put_by_hand_may_run_already(start):
    """So it is patched by a transition: a call that is under way goes on in old code, and blocks."""
    p = start("""
        import threading
        at, go, got = threading.Event(), threading.Event(), []
        def put():
            module = type(sys)("one")
            exec("def a(at, go):\\n r = ['old', f()]\\n at.set()\\n go.wait(30)\\n return r + [f()]\\n"
                 "def f(): return 'old'", module.__dict__)
            sys.modules["one"] = module
            threading.Thread(target=lambda: got.append(module.a(at, go))).start()
            return at.wait(30)
    """)
    p.c.insmod("lp", "from klpfs import *\ndef a(at, go): return ['new', f()]\ndef f(): return 'new'\n"
                     "patch = Patch([Object('one', [Func('a', a), Func('f', f)])])\n")
    assert p.ask("put()") == "True"
    p.ask("__import__('colorsys').__name__")
    assert p.ask("sys.modules['one'].f()") == "'new'"
    p.c.until(lambda c: [b["kind"] for b in c.ask("blockers")] == ["thread"], "the look")
    p.ask("go.set()")
    p.c.until(lambda c: not c.ask("blockers"), "the end of the old call")
    assert p.ask("got") == "[['old', 'old', 'old']]" and p.ask("sys.modules['one'].f()") == "'new'"


def test_a_module_whose_body_starts_a_thread(start, tmp_path):
    """When its import comes to an end its code runs already: what is under way goes on in old code, and blocks."""
    (tmp_path / "starter.py").write_text("""if 1:
        import threading
        at, go, got = threading.Event(), threading.Event(), []
        def a():
            r = ['old', f()]
            at.set()
            go.wait(30)
            got.append(r + [f()])
        def f(): return 'old'
        threading.Thread(target=a).start()
        at.wait(30)
    """)
    p = start("""
        sys.path.insert(0, %r)
    """ % str(tmp_path))
    p.c.insmod("lp", "from klpfs import *\ndef a(): pass\ndef f(): return 'new'\n"
                     "patch = Patch([Object('starter', [Func('a', a), Func('f', f)])])\n")
    p.ask("__import__('starter').__name__")
    assert p.ask("sys.modules['starter'].f()") == "'new'"
    p.c.until(lambda c: [b["kind"] for b in c.ask("blockers")] == ["thread"], "the look")
    p.ask("sys.modules['starter'].go.set()")
    p.c.until(lambda c: not c.ask("blockers"), "the end of the old call")
    assert p.ask("sys.modules['starter'].got") == "[['old', 'old', 'old']]"
