"""The program that the faults happen to: what is patched, gates that hold a livepatch's code, and what this process
has."""
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.integration.program import main  # noqa: E402

GATES = os.environ["GATES"]
calls = []  # (patch, callback), in their order


def one():
    return "one original"


def two():
    return "two original"


def hold(inside, go):
    inside.set()
    go.wait()


class Held:
    """A thread that sits in hold() until it is let go."""

    def __init__(self):
        inside, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=hold, args=(inside, self.go), daemon=True)
        self.thread.start()
        inside.wait()


held = None


def sit():
    global held
    held = Held()


def let_go():
    global held
    if held:
        held.go.set()
        held.thread.join()
    held = None


def gate(step):
    """Wait as long as there is a gate for this process: a file 'NUMBER STEP'."""
    path = f"{GATES}/{number} {step}"  # noqa: F821  number: program.main's
    if os.path.exists(path):
        os.symlink(str(os.getpid()), path + ".at")
        while os.path.exists(path):
            time.sleep(0.001)


def state():
    """What this process runs and has: all that could be left half done."""
    from klpfs.agent import api

    agent = api.agent()
    follower = agent.follower
    return {
        "code": (one(), two()),
        "files": sorted({pathlib.Path(f.__code__.co_filename).stem for f in (one, two, hold)}),
        "patches": [patch.name for patch in agent.engine.patches],
        "modules": sorted(agent.modules.table),
        "under way": [repr(each) for each in (agent.engine.transition, follower.op, follower.load, agent.foreign.working) if each],
        "left out": sorted(follower.not_applied),
        "seen": follower.seen,
        "calls": calls,
    }


if __name__ == "__main__":
    main(globals())
