"""An exception at an instruction of a fork's hooks, as a signal handler may raise, and after each of them all is as it
should be on both sides: the fork comes to its end, threads live, locks are free, signals are let in, and the exception
is raised behind the fork. Arguments: a folder, seed, count (0: all instructions). Prints what it has found; a fork that
hangs ends it, with all stacks.

First forks are watched, which gives the instructions (code object, offset) of klpfs's own in the thread that forks.
"""
from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time

from klpfs.agent.fork import Forks
from klpfs.engine.error import OURS
from tests.agent.client import Coordinator, running_agent

SECONDS = 20            # until a fork that hangs is named
LOST_IN = {             # Python has printed it: it came where a hook begins or returns, or is caught itself
    "before", "in_parent", "in_child", "agent", "is_mine", "encloses", "_surely", "is_own_mistake",
    "is_ours", "_hand_on", "_class_for", "<lambda>", "start", "start_quiet_thread"}      # a second thread has its maker's ident for a moment, up to 3.11, and gets it


class Limit(BaseException):
    """A time limit, say."""


class Error(OSError):
    """As TimeoutError is. It may be lost where klpfs expects an OSError of its own: then it harms nothing."""


KINDS = Limit, Error, KeyboardInterrupt


class Watch:
    """Raises kind() at the instruction `where` when it is reached first. where None: collects the instructions."""

    def __init__(self, where=None, kind=None):
        self.where, self.kind, self.seen, self.raised_in = where, kind, {}, 0

    def called(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self.at

    def at(self, frame, event, argument):
        if event == "opcode":
            here = frame.f_code.co_filename, frame.f_code.co_name, frame.f_code.co_firstlineno, frame.f_lasti
            self.seen[here] = None
            if here == self.where and not self.raised_in:
                self.raised_in = os.getpid()
                raise self.kind
        return self.at


def state(agent, forks):
    """What is wrong in this process."""
    wrong = []
    done = threading.Event()
    agent.thread.request(done.set)
    if not done.wait(5):
        wrong.append("the agent's thread does not live")
    until = time.monotonic() + 5
    while not agent.server.running.begun and time.monotonic() < until:
        time.sleep(0.001)
    for thread in (agent.server, agent.thread):
        if not thread.running.begun or not thread.running.locked() or thread.stopping:
            wrong.append(f"{type(thread).__name__} does not live")
    if agent.thread.lock.is_mine() or forks.gate.locked() or forks.fork is not None or forks.child is not None:
        wrong.append("something is taken")
    if signal.pthread_sigmask(signal.SIG_BLOCK, ()) or forks.masks or any(pid == os.getpid() for pid, _ in forks.cut_off):
        wrong.append("signals are held back")
    return wrong


def fork(agent, forks, watch):
    """A fork that is traced by `watch`. What is wrong in the child and the parent; the instructions seen in the
    child."""
    parent, (out, into), lost, came = os.getpid(), os.pipe(), [], False
    sys.unraisablehook = lambda found: lost.append(found.exc_type)
    sys.settrace(watch.called)
    try:
        os.fork()
    except KINDS:
        came = True
    sys.settrace(None)
    inside = os.getpid() != parent
    wrong = state(agent, forks)
    if watch.raised_in == os.getpid() and watch.kind is not Error:
        if not came and not (lost and watch.where[1] in LOST_IN):
            wrong.append(f"it was lost: {lost}")
    if inside:
        os.write(into, repr((wrong, [] if watch.where else list(watch.seen))).encode())
        os._exit(0)
    os.close(into)
    with open(out, "rb") as file:
        wrong_in_child, seen = eval(file.read() or "(['no child'], [])")
    try:
        while os.wait():
            pass
    except ChildProcessError:
        pass
    return wrong + ["in the child: " + text for text in wrong_in_child], seen


def main(folder, seed, count):
    forks, picked, found = Forks(), random.Random(seed), 0
    forks.hooks(os.register_at_fork)
    with running_agent(folder) as agent:
        coordinator = Coordinator(agent.folder, agent.server.name)
        places = set()
        for _ in range(5):
            watch = Watch()
            wrong, in_child = fork(agent, forks, watch)
            assert not wrong, wrong
            places.update(watch.seen, in_child)
        todo = sorted(places)
        for place in picked.sample(todo, min(count, len(todo))) if count else todo:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            watch = Watch(place, picked.choice(KINDS))
            wrong = fork(agent, forks, watch)[0] + fork(agent, forks, Watch())[0]
            faulthandler.cancel_dump_traceback_later()
            if wrong:
                found += 1
                print(place, watch.kind.__name__, wrong, flush=True)
        coordinator.insmod("lp", "patch = Patch([Object(None, [Func('f', lambda: None)])])")
        print(len(todo), "instructions,", found, "found;", agent.target.value("f"), flush=True)
    return found > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
