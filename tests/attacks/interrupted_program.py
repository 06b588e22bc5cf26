"""The program of interrupts.py: an agent, and a coordinator that loads a livepatch again and again while the agent's
thread is made to raise. Arguments: a folder, seed, count, kinds."""
from __future__ import annotations

import builtins
import hashlib
import linecache
import opcode
import os
import random
import re
import signal
import sys
import time

import klpfs
from klpfs.agent.foreign_code import Stopped
from klpfs.agent.start_agent import start
from klpfs.engine.error import Orphan
from klpfs.protocol import record_text

OURS = os.path.dirname(klpfs.__file__) + "/"
SECONDS = 20
MOST = 30           # findings that are shown
# Lines of DESCRIPTORS between whose instructions a descriptor is a number that nothing protects: behind the call
# that has opened it up to the store or the return, and from the handler's begin up to the close. And the compiler's own
# NOP behind a try's body (3.11 on), which no handler covers.
DESCRIPTORS = ("protocol/folder.py", "protocol/descriptors.py")
UNPROTECTED = re.compile(r"\s*(\w+ = .*_open\(|(\w+ =|return) (_open|self\.(_open_at|_create|look|open))\(|return fd$|"
                         r"try:|finally:|except BaseException:|if fd != self\._fd:|if fd >= FIRST:|close\()")
NOP = opcode.opmap["NOP"]
TEXT = """
from klpfs import *
limit = module_param("limit", int, 5)
def helper(): return limit
def one(): return helper() + 1
def two(a=3): return [a for _ in range(2)]
def pre(obj): pr_info("pre")
patch = Patch([Object("victim", [Func("one", one), Func("two", two)], Callbacks(pre_patch=pre, post_unpatch=pre))],
              states=[State(1)])
def init():
    return enable_patch(patch)
"""
MODULE = """
from klpfs import module_param, pr_info
size = module_param("size", int, 3)
def init(): pr_info("in")
def exit(): pr_info("out")
"""
VICTIM = "def one(): return 0\ndef two(a=3): return [a]\n"


class Fault:
    """Raises `make()` in the agent's thread at the instruction `point`, when it is reached first; without a point,
    notes all instructions of klpfs in `points`."""

    def __init__(self, agent, point=None, make=None):
        self.agent, self.point, self.make = agent, point, make
        self.points, self.raised, self.line = {}, False, ""

    def arm(self):
        frame = sys._getframe().f_back
        while frame is not None:
            self.enter(frame)
            frame = frame.f_back
        sys.settrace(self.call)

    def enter(self, frame):
        code = frame.f_code
        if code.co_filename.startswith((OURS, "/lp.py")) and (
                self.point is None or self.point[1] == code.co_firstlineno and self.point[2] == code.co_name):
            frame.f_trace, frame.f_trace_opcodes, frame.f_trace_lines = self.opcode, True, False

    def call(self, frame, event, arg):
        self.enter(frame)
        return frame.f_trace

    def opcode(self, frame, event, arg):
        if event == "opcode":
            code = frame.f_code
            point = code.co_filename.replace(OURS, ""), code.co_firstlineno, code.co_name, frame.f_lasti
            if self.point is None:
                self.points.setdefault(point, len(self.points))
            elif point == self.point and not self.raised:
                error = self.make()
                if isinstance(error, Stopped) and not self.agent.foreign.inside:
                    return self.opcode          # stops come in foreign code only
                self.raised, self.line = True, linecache.getline(code.co_filename, frame.f_lineno)
                if code.co_code[frame.f_lasti] == NOP:
                    self.line = "try:"
                sys.settrace(None)
                raise error
        return self.opcode


class Service:
    """The agent of this process, and its journal. victim: the module that is patched."""

    def __init__(self, folder):
        with open(folder + "/victim.py", "w") as file:
            file.write(VICTIM)
        sys.path.insert(0, folder)
        import victim
        self.victim = victim
        self.agent = start("svc", environ={"KLPFS_RUNTIME_DIR": folder + "/run"}, running=True)
        self.folder = self.agent.folder
        self.record = record_text.load(self.folder + "/journal")
        self.sha = {name: self.put(text.encode()) for name, text in (("lp", TEXT), ("mod", MODULE))}

    def put(self, data):
        sha = hashlib.sha256(data).hexdigest()
        with open(f"{self.folder}/{sha}", "wb") as file:
            file.write(data)
        return sha

    def write(self, **fields):
        self.record = dict(self.record, **fields, seq=self.record["seq"] + 1)
        with open(self.folder + "/draft", "wb") as file:
            file.write(record_text.dump(self.record))
        os.rename(self.folder + "/draft", self.folder + "/journal")
        self.agent.follower.set_goal(self.record)
        self.agent.thread.poke()
        return self.record["seq"]

    def until(self, what, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                import faulthandler
                faulthandler.dump_traceback(all_threads=True)
                raise SystemExit(f"not within {SECONDS} s: {what}; {self.report()} {self.agent.log.texts()[-5:]}")
            time.sleep(0.0005)

    def report(self):
        return self.agent.follower.report()

    def ended(self, n):
        report = self.report()
        refused, prepared = report["refused"], report["prepared"]
        return refused and refused["n"] == n or prepared and prepared["n"] == n

    def load(self, name):
        """A load. Its number, and what refused it or None."""
        n = self.record["seq"] + 1
        self.write(change={"n": n, "name": name, "sha256": self.sha[name], "params": {}, "livepatch": False,
                           "replace": False, "pid": 0, "path": "/lp.py"})
        self.until("the load's end", lambda: self.ended(n))
        report = self.report()
        refused = report["refused"]
        return n, refused if refused and refused["n"] == n else None

    def followed(self, what):
        self.until(what, lambda: self.agent.follower.seen >= self.record["seq"])

    def finish(self, n, turn=1):
        """The transition n to its end; or without this process's part."""
        def over():
            report = self.report()
            return report["over"] == n or n in report["not_applied"]
        self.until("clean", lambda: over() or self.report()["n"] == n and (
            self.report()["turn"], self.report()["clean"]) == (turn, True))
        self.write(transition=dict(self.record["transition"], step="finish"))
        self.until("over", over)
        record = dict(self.record)
        self.write(transition=None, patches=record_text.outcome(record))
        self.followed("the outcome")

    def begin(self, n):
        self.start(n)
        self.finish(n)

    def start(self, n):
        entry = {"name": "lp", "sha256": self.sha["lp"], "params": {}}
        self.write(change=None, patches=[dict(entry, n=n, fingerprints="")],
                   modules=[dict(entry, livepatch=True, path="/lp.py", uses=[], forced=False)],
                   transition={"n": n, "patch": "lp", "dir": 1, "turn": 1, "step": "start", "replace": False,
                               "forced": False})

    def take_out(self):
        n = self.record["seq"] + 1
        if self.report()["not_applied"]:
            self.write(patches=[], modules=[])
        else:
            self.write(transition={"n": n, "patch": "lp", "dir": 0, "turn": 1, "step": "start", "replace": False,
                                   "forced": False})
            self.finish(n)
            self.write(modules=[])
        self.followed("the module's end")

    def cycle(self):
        """A load of a livepatch and a load of a module, in or refused, and out again. What refused each, or None."""
        return [self.cycle_of("lp"), self.cycle_of("mod"), self.reversal()]

    def reversal(self):
        """A load that is turned around before it is over. What refused it, or None."""
        n, refused = self.load("lp")
        if refused is not None:
            self.write(change=None)
            self.followed("the refusal")
            return refused
        self.start(n)
        self.until("started", lambda: self.report()["phase"] == "started" or n in self.report()["not_applied"])
        self.write(transition=dict(self.record["transition"], dir=0, turn=2))
        self.finish(n, 2)
        self.write(modules=[])
        self.followed("the module's end")
        assert self.victim.one() == 0, "turned around, and patched"
        return None

    def cycle_of(self, name):
        n, refused = self.load(name)
        if refused is not None:
            self.write(change=None)
            self.followed("the refusal")
            return refused
        if name == "mod":
            entry = {"name": "mod", "sha256": self.sha["mod"], "params": {}, "livepatch": False, "path": "/lp.py",
                     "uses": [], "forced": False}
            self.write(change=None, modules=[entry])
            self.followed("the module's coming")
            assert sys.modules["mod"].size == 3
            self.write(modules=[])
            self.followed("the module's going")
            assert "mod" not in sys.modules
            return None
        self.begin(n)
        works = self.victim.one() == 6 and self.victim.two() == [3, 3]
        assert works or n in self.report()["not_applied"], "prepared, started, and not patched"
        self.take_out()
        return None

    def request(self, function):
        self.agent.thread.request(function)

    def state(self):
        """What has to be as before."""
        agent, mod = self.agent, sys.modules
        import gc
        return {
            "code": (self.victim.one.__code__, self.victim.two.__code__, self.victim.one(), self.victim.two()),
            "patches": list(agent.engine.patches), "transition": agent.engine.transition, "load": agent.follower.load,
            "op": agent.follower.op, "modules": list(agent.modules.table), "stacks": list(agent.engine.stacks.table),
            "running": agent.engine.callbacks_running, "inside": agent.foreign.inside, "working": agent.foreign.working,
            "outbox": agent.outbox._lock.locked(), "mark": agent.foreign._mark.locked(), "gc": gc.isenabled(),
            "interval": sys.getswitchinterval(), "fds": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")), "alive": agent.thread.running.locked(),
            "loader": sorted(mod["klpfs.cpython.load.loader"]._loaded),
            "declaring": dict(mod["klpfs.cpython.load.parameters"]._running),
            "python_transition": agent.target.real().transition, "changed": len(agent.target.real().images.changed)}

    def forks(self):
        signal.alarm(SECONDS)
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        signal.alarm(0)


def settled(service, before):
    """The state, once it is as before; or after a while."""
    end = time.monotonic() + 5
    while True:
        now = service.state()
        different = {key: (before[key], now[key]) for key in before if now[key] != before[key]}
        if not different or time.monotonic() > end:
            return different
        time.sleep(0.001)


def main():
    folder, seed, count, kinds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
    first, found_before = (int(word) for word in (sys.argv[5:] or ["0", "0"]))
    random.seed(seed)
    service = Service(folder)
    agent = service.agent
    for _ in range(3):
        assert service.cycle() == [None] * 3
    watch = Fault(agent)
    service.request(watch.arm)
    assert service.cycle() == [None] * 3
    service.request(lambda: sys.settrace(None))
    service.cycle()
    points = sorted(watch.points)
    chosen = random.sample(points, min(count, len(points))) if count else points
    if os.environ.get("POINTS"):        # text that the points' text must have, to see one again
        chosen = [point for point in points if os.environ["POINTS"] in str(point)]
    before, begun, found, raised, refusals = service.state(), time.monotonic(), 0, 0, {}
    for number, point in list(enumerate(chosen))[first:]:
        kind = kinds[number % len(kinds)]
        make = {"Stopped": Stopped, "Orphan": Orphan}.get(kind) or getattr(builtins, kind)
        fault = Fault(agent, point, make)
        service.request(fault.arm)
        said = ""
        try:
            both = service.cycle()
            service.request(lambda: sys.settrace(None))
            for refused in filter(None, both):
                refusals[refused["errno"]] = refusals.get(refused["errno"], 0) + 1
            agent.follower.not_applied.clear()
            agent.follower.left_modules.clear()
            second = service.cycle()
            assert second == [None] * 3, f"the next load is refused: {second}"
            service.forks()
            different = settled(service, before)
            if point[0] in DESCRIPTORS and UNPROTECTED.match(fault.line) and "fds" in different:
                # Nothing is allocated there and no stop comes; an exception made to come there loses it.
                before["fds"] = different.pop("fds")[1]
            said = f"different: {different}" if different else ""
        except (AssertionError, SystemExit) as error:
            said = str(error) or repr(error)
        raised += fault.raised
        if os.environ.get("SHOW") and not fault.raised:
            print("not reached", kind, point)
        if said:
            found += 1
            print(f"{kind} at {point}: {said}", *list(agent.log.texts())[-8:], sep="\n    ", flush=True)
            if found_before + found < MOST:         # in a new process: who knows what this one is good for
                os.execv(sys.executable, [sys.executable, *sys.argv[:5], str(number + 1), str(found_before + found)])
            break
    found += found_before
    print(f"{sys.version.split()[0]}: {len(points)} instructions, {len(chosen)} tried, {raised} raised, refused with "
          f"{refusals}, {found} found, {time.monotonic() - begun:.0f} s, seed {seed}", flush=True)
    os._exit(1 if found else 0)


if __name__ == "__main__":
    main()
