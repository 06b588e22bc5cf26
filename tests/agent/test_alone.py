"""Children that threads have forked: they end with their last thread but klpfs's, as without klpfs."""
import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.agent.test_program import PYTHONS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = """
import json, os, sys, threading, time
from klpfs.agent.start_agent import start
agent = start("svc", environ={"KLPFS_RUNTIME_DIR": sys.argv[1]}, running=True)

def status(pid):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        ended, found = os.waitpid(pid, os.WNOHANG)
        if ended:
            return found
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "it does not end"

def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]
"""


def run(python, folder, body):
    text = PROGRAM + textwrap.dedent(body)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KLPFS"))}
    done = subprocess.run([python, "-W", "ignore", "-c", text, str(folder / "run")], env=dict(environ, PYTHONPATH=ROOT),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("python", PYTHONS)
def test_it_ends_when_the_thread_that_forked_returns(tmp_path, python):
    """With the status 0; its socket goes."""
    shown = run(python, tmp_path, """
        pid = in_thread(os.fork)
        print(json.dumps([status(pid), len([n for n in os.listdir(agent.folder) if n.endswith(".sock")])]))
    """)
    assert shown == [0, 1]


@pytest.mark.parametrize("python", PYTHONS)
def test_it_lives_as_long_as_it_has_a_thread(tmp_path, python):
    """Another thread than the one that forked; and a child of the child, whose thread returns, too."""
    shown = run(python, tmp_path, """
        def forks():
            pid = os.fork()
            if pid == 0:
                def later():
                    time.sleep(1.5)
                    inner = os.fork()
                    if inner:
                        os._exit(7 if status(inner) == 0 else 8)
                threading.Thread(target=later).start()
            return pid
        pid = in_thread(forks)
        print(json.dumps(status(pid)))
    """)
    assert shown == 7 << 8


def test_what_the_main_thread_has_forked_is_left_alone(tmp_path):
    """It ends by exit, and may well do so in a thread of its own making."""
    shown = run(sys.executable, tmp_path, """
        pid = os.fork()
        if pid == 0:
            assert not agent.alone.watches
            time.sleep(0.2)
            os._exit(5)
        print(json.dumps(status(pid)))
    """)
    assert shown == 5 << 8
