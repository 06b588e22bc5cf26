"""The agent in real programs: started before their first line, in them and in what they start, without a trace else."""
import contextlib
import json
import os
import subprocess
import sys
import textwrap

import pytest

from klpfs.agent import run_command

SHOW = """
import sys, os, json
from klpfs.agent import api
a = api.agent()
shown = {"service": a.service, "pid": a.pid == os.getpid(), "socket": os.path.exists(a.folder + "/" + a.server.name)}
"""


@pytest.fixture
def env(tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KLPFS"))}
    environ["KLPFS_RUNTIME_DIR"] = str(tmp_path / "run")
    os.mkdir(tmp_path / "run", 0o700)
    return environ


def program(tmp_path, env, text, *arguments, python=sys.executable, options=(), extra=None):
    """Runs a program as `klpfs run -s svc` does; returns what it printed as JSON in its last line."""
    path = tmp_path / "app.py"
    path.write_text(SHOW + textwrap.dedent(text))
    environ = run_command.environment([python, str(path)], "svc", False, dict(env, **(extra or {})))
    done = subprocess.run([python, *options, str(path), *arguments], env=environ, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_before_the_first_line(tmp_path, env):
    """The agent serves; the boot folder is not on sys.path; nothing of threading, json, socket was imported for it."""
    shown = program(tmp_path, env, """
        import klpfs
        own = os.path.dirname(klpfs.__file__)
        shown["path"] = [p for p in sys.path if p == os.path.dirname(own) or p.startswith(own)]
        shown["argv"] = sys.argv[1:]
        print(json.dumps(shown))
    """, "x", options=("-X", "utf8"))
    assert shown == {"service": "svc", "pid": True, "socket": True, "path": [], "argv": ["x"]}


def test_what_is_imported(tmp_path, env):
    """Only C modules and klpfs's own besides what Python itself starts with."""
    text = "import sys; print(*sys.modules)"
    plain = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True).stdout.split()
    with_agent = subprocess.run([sys.executable, "-c", text], env=run_command.environment(["x"], "svc", False, env),
                                capture_output=True, text=True).stdout.split()
    new = {m.partition(".")[0] for m in set(with_agent) - set(plain)}
    for name in ("threading", "socket", "json", "logging", "asyncio", "ssl", "re", "enum", "dataclasses", "inspect",
                 "traceback", "typing", "hashlib", "tempfile", "subprocess", "attr", "attrs", "ctypes"):
        assert name not in new, sorted(new)


def test_no_other_package_becomes_importable(tmp_path, env):
    """klpfs is served alone: what lies beside it is not found."""
    find = """
        import importlib.util, json
        found = {name: importlib.util.find_spec(name) for name in ("tests", "demo", "fuse", "attr", "pytest")}
        shown = {name: spec and spec.origin for name, spec in found.items()}
        print(json.dumps(shown))
    """
    (tmp_path / "plain.py").write_text(textwrap.dedent(find))
    plain = subprocess.run([sys.executable, str(tmp_path / "plain.py")], env=env, capture_output=True, text=True,
                           check=True).stdout
    assert program(tmp_path, env, find) == json.loads(plain)


def test_the_programs_own_sitecustomize(tmp_path, env):
    """It runs as without klpfs, and is what `import sitecustomize` finds."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("MARK = 'own'\nimport builtins\nbuiltins.marked = True\n")
    shown = program(tmp_path, env, """
        import sitecustomize
        shown["mark"] = sitecustomize.MARK, marked, sitecustomize.__file__
        print(json.dumps(shown))
    """, extra={"PYTHONPATH": str(tmp_path / "own")})
    assert shown["mark"] == ["own", True, str(tmp_path / "own" / "sitecustomize.py")]


def test_an_error_in_the_programs_sitecustomize_is_its_own(tmp_path, env):
    """Said as Python says it without klpfs; the program runs, the agent too."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("1/0\n")
    (tmp_path / "a.py").write_text("from klpfs.agent import api; print(api.agent().service)")
    environ = run_command.environment(["x"], "svc", False, dict(env, PYTHONPATH=str(tmp_path / "own")))
    done = subprocess.run([sys.executable, str(tmp_path / "a.py")], env=environ, capture_output=True, text=True,
                          timeout=60)
    assert done.stdout == "svc\n" and "ZeroDivisionError" in done.stderr and "Error in sitecustomize" in done.stderr


def test_children_inherit(tmp_path, env):
    """subprocess, multiprocessing by spawn and by fork: each is a process of the service."""
    shown = program(
        tmp_path,
        env,
        """
        import subprocess, multiprocessing
        def f(q):
            from klpfs.agent import api
            q.put((api.agent().service, api.agent().pid == os.getpid(), os.path.exists(api.agent().folder + "/" + api.agent().server.name)))
        if __name__ == "__main__":
            shown["sub"] = subprocess.run([sys.executable, "-c", "from klpfs.agent import api; print(api.agent().service)"],
                                          capture_output=True, text=True).stdout
            for how in ("fork", "spawn"):
                c = multiprocessing.get_context(how)
                q = c.Queue()
                p = c.Process(target=f, args=(q,))
                p.start()
                shown[how] = q.get(timeout=30)
                p.join()
            print(json.dumps(shown))
    """,
    )
    assert shown["sub"] == "svc\n" and shown["fork"] == shown["spawn"] == ["svc", True, True]


def test_a_failing_start_is_one_line_and_the_program_runs(tmp_path, env):
    """A runtime folder that others can write to is refused."""
    os.makedirs(tmp_path / "run" / "svc")
    os.chmod(tmp_path / "run" / "svc", 0o777)
    environ = run_command.environment(["x"], "svc", False, env)
    done = subprocess.run([sys.executable, "-c", "print(1)"], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n"
    assert (
        done.stderr.startswith("klpfs: this process can't be patched: not a private folder")
        and done.stderr.count("\n") == 1
    )


JIT = getattr(sys, "_jit", None)


@pytest.mark.skipif(not JIT or not JIT.is_available(), reason="this CPython has no JIT")
@pytest.mark.parametrize("text", ["", "import klpfs.agent; klpfs.agent.start('late')"])
def test_the_jit_is_refused(tmp_path, env, text):
    """At the start, when it is not on yet, and later; the program runs."""
    environ = dict(run_command.environment(["x"], "svc", False, env), PYTHON_JIT="1")
    if text:
        environ["PYTHONPATH"] = os.path.dirname(os.path.dirname(os.path.dirname(run_command.__file__)))
    text = f"import sys\nprint(sys._jit.is_enabled())\ntry: {text or 'pass'}\nexcept OSError as e: print(e, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n" and done.stderr.count("\n") == 1
    assert "CPython's JIT crashes when the code of a running function is exchanged; start it with PYTHON_JIT=0" in \
        done.stderr
    assert not os.listdir(tmp_path / "run")


def test_one_agent_a_process(tmp_path, env):
    """The same service again: nothing; another: EBUSY."""
    shown = program(tmp_path, env, """
        import klpfs.agent
        assert klpfs.agent.start("svc") is a and klpfs.agent.start() is a
        try:
            klpfs.agent.start("other")
        except OSError as e:
            shown["errno"] = e.errno
        print(json.dumps(shown))
    """)
    assert shown["errno"] == 16


def test_start_in_code(tmp_path, env):
    """Without `klpfs run`: klpfs.agent.start("web")."""
    (tmp_path / "a.py").write_text("import klpfs.agent, sys\na = klpfs.agent.start('web')\nprint(a.service, a.folder)")
    here = os.path.dirname(os.path.dirname(os.path.dirname(run_command.BOOT)))
    done = subprocess.run([sys.executable, str(tmp_path / "a.py")], env=dict(env, PYTHONPATH=here), capture_output=True,
                          text=True)
    assert done.stdout.split() == ["web", env["KLPFS_RUNTIME_DIR"] + "/web"], done.stderr


def test_the_socket_is_gone_at_exit(tmp_path, env):
    program(tmp_path, env, "print(json.dumps(shown))")
    assert [f for f in os.listdir(tmp_path / "run" / "svc") if f.endswith(".sock")] == []


@pytest.mark.parametrize("flags", [["-v"], ["-X", "dev"], ["-X", "importtime"], pytest.param(
    ["-X", "perf"], marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12 has it first"))], ids=" ".join)
@pytest.mark.parametrize("text", ["print(os.getpid())", "print(os.getpid(), flush=True); pid = os.fork(); "
                                  "pid and sys.exit(os.waitpid(pid, 0)[1] != 0); print(os.getpid())"],
                         ids=["alone", "with a child"])
def test_a_program_ends_as_it_ends_without_klpfs(tmp_path, env, flags, text):
    """CPython's last steps find nothing of klpfs: on 3.14 and 3.15 that crashed."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(run_command.BOOT)))
    text = f"import os, sys, klpfs.agent; klpfs.agent.start('web'); {text}"
    done = subprocess.run([sys.executable, *flags, "-c", text], env=dict(env, PYTHONPATH=here), capture_output=True,
                          text=True)
    for pid in done.stdout.split():
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"/tmp/perf-{pid}.map")       # what -X perf leaves
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_long_path(tmp_path, env):
    """A folder whose path is longer than a socket's address can be."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir(0o700)
    shown = program(tmp_path, dict(env, KLPFS_RUNTIME_DIR=str(deep)), "print(json.dumps(shown))")
    assert shown["socket"]


def test_forks_leave_no_warning_and_whole_agents(tmp_path, env):
    """From 3.12 on a fork in a process with threads is warned of: the agent's have stopped. Both sides serve on."""
    shown = program(tmp_path, env, """
        import socket, time
        def alive(agent):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(agent.folder + "/" + agent.server.name)
            try:
                return len(s.recv(4)) == 4
            finally:
                s.close()
        name = a.server.name
        for i in range(3):
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                ok = alive(a) and a.pid == os.getpid() and a.server.name != name
                os.write(w, b"1" if ok else b"0")
                os._exit(0)
            shown["child%d" % i] = os.read(r, 1).decode()
            os.waitpid(pid, 0)
        shown["parent"] = alive(a) and a.server.name == name
        print(json.dumps(shown))
    """, options=("-W", "error"))
    assert shown["child0"] == shown["child1"] == shown["child2"] == "1" and shown["parent"]


def test_an_exec_leaves_one_socket(tmp_path, env):
    """The program replaces itself: the new one has its agent, the old socket is swept."""
    shown = program(tmp_path, env, """
        if sys.argv[1:] == []:
            os.execv(sys.executable, [sys.executable, __file__, "again"])
        shown["sockets"] = len([f for f in os.listdir(a.folder) if f.endswith(".sock")])
        print(json.dumps(shown))
    """)
    assert shown["sockets"] == 1
