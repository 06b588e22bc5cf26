"""A signal handler that raises at an instruction of a fork's hooks: nothing hangs, nothing is dead, nothing is lost. A
sample; all instructions: python -m tests.agent.fork_interrupts_program FOLDER 1 0."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run(*argv, timeout=100):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KLPFS", "PYTHON"))}
    environ.update(PYTHONPATH=str(ROOT), PYTHONWARNINGS="ignore:This process")
    return subprocess.run([sys.executable, *map(str, argv)], env=environ, capture_output=True, text=True,
                          timeout=timeout, check=False)


def test_whatever_instruction_of_a_hook_raises_both_sides_live(tmp_path):
    """The fork comes to its end; what was raised is raised behind it, in the process that it was raised in."""
    done = run("-m", "tests.agent.fork_interrupts_program", tmp_path, 1, 50)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


ALARMS = """
import os, random, signal, sys, tempfile, time
from klpfs.agent import start
from klpfs.agent.api import agent
os.environ["KLPFS_RUNTIME_DIR"] = sys.argv[1]
start("s")
class Limit(Exception): pass
def ring(n):        # a function: 3.13.0 does not count the jump back of a loop in a try as part of it
    while len(rung) == n:
        pass
rung, dropped = [], []
def limit(*args):
    rung.append(1)
    raise Limit
sys.unraisablehook = lambda found: dropped.append(found.exc_type is Limit)
picked, raised = random.Random(1), 0
for n in range(150):
    signal.signal(signal.SIGALRM, limit)
    try:
        signal.setitimer(signal.ITIMER_REAL, picked.uniform(1e-6, 0.003))
        if not os.fork():
            os._exit(0)
        ring(n)
    except Limit:
        raised += 1
    try:
        os.wait()
    except ChildProcessError:       # it came before the fork
        pass
pid = os.fork()
if not pid:
    os._exit(7)
done = []
print(raised + len(dropped) == 150, len(dropped) < 8, all(dropped), os.waitpid(pid, 0)[1] >> 8, agent().thread.have_done(lambda: done.append(1), 5), done, agent().server.running.locked(),
      agent().thread.lock.is_mine(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_time_limit_of_each_fork(tmp_path):
    """By a timer, as programs have it: each limit comes (a few while a hook begins or returns, where
    Python drops them), none in a quiet thread, and the last fork is as the first."""
    done = run("-c", ALARMS, tmp_path)
    assert (done.stdout, done.stderr) == ("True True True 7 True [1] True False set()\n", "")
