"""klpfs/agent/start_imports.py: a fork waits until another thread has made the imports of its start."""
import subprocess
import sys
import textwrap

HALF_WAY = """
    import importlib.machinery, klpfs.agent, os, signal, sys, threading
    from klpfs.agent import start_imports
    inside, forked = threading.Event(), threading.Event()

    class Slow(importlib.machinery.SourceFileLoader):       # is in the middle of a module of klpfs's
        def exec_module(self, module):
            inside.set()
            forked.wait({hook_waits})
            super().exec_module(module)

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if name == "klpfs.agent.agent":
                spec.loader = Slow(name, spec.origin)
            return spec

    sys.meta_path.insert(0, Finder)
    os.register_at_fork(after_in_parent=forked.set)
    start_imports.WAIT_S = {fork_waits}
    thread = threading.Thread(target=klpfs.agent.start, args=("web",))
    thread.start()
    inside.wait()
"""
CHILD = """
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        {in_child}
    print(os.waitpid(pid, 0)[1])
    thread.join()
    print(klpfs.agent.start("web").pid == os.getpid())
"""


def run(code, tmp_path):
    """What a program has printed."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True,
                          timeout=60, env={"KLPFS_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)})
    assert not done.stderr
    return done.stdout.split()


def test_a_child_never_has_half_of_klpfs(tmp_path):
    """Its own start would wait for ever for the end of an import whose thread stayed in the parent."""
    code = HALF_WAY.format(hook_waits=0.5, fork_waits=10) + CHILD.format(
        in_child="os._exit(klpfs.agent.start('web').pid != os.getpid())")
    assert run(code, tmp_path) == ["0", "True"]


def test_a_fork_waits_for_a_bounded_time(tmp_path):
    """A program's hook of imports may wait for the fork. In the child nothing of klpfs's is taken then."""
    code = HALF_WAY.format(hook_waits="None", fork_waits=0.1) + CHILD.format(
        in_child="os._exit(not start_imports._lock.acquire(False))")
    assert run(code, tmp_path) == ["0", "True"]


def test_what_the_imports_run_may_fork(tmp_path):
    """The child goes on with its parent's import, in the same thread."""
    code = """
        import klpfs.agent, os, sys
        parent, statuses = os.getpid(), []

        class Forks:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "klpfs.agent.agent" and not statuses:
                    statuses.append(os.fork())
                    if statuses[0]:
                        statuses.append(os.waitpid(statuses[0], 0)[1])

        sys.meta_path.insert(0, Forks)
        agent = klpfs.agent.start("web")
        if os.getpid() != parent:
            os._exit(agent.pid != os.getpid() or klpfs.agent.start("web") is not agent)
        print(statuses[1], agent.pid == os.getpid())
    """
    assert run(code, tmp_path) == ["0", "True"]
