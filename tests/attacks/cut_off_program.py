"""The program of interrupts.py that cuts off imports: Stopped at every instruction of importlib's (and of logging's) in
foreign code, and after each of them the program imports, logs and forks. Arguments: a folder, seed, count (0: all)."""
from __future__ import annotations

import _frozen_importlib
import _imp
import importlib
import logging
import os
import random
import signal
import sys
import threading
import time
from types import SimpleNamespace

from klpfs.agent.agent_thread import AgentThread
from klpfs.agent.foreign_code import ForeignCode, Stopped, get_ident
from klpfs.engine.error import KlpError

SECONDS = 20
FILES = {"pk/__init__": "value = 1", "pk/sub": "import pk.other\nvalue = 2\ntry:\n    import pk.none\nexcept ImportError:\n"
         "    pass", "pk/other": "value = 3", "alone": "from pk import sub\nvalue = 4",
         "slow": "import sys\nhook = sys.modules['__main__'].in_slow\nhook()\nvalue = 5"}
in_slow = bool


class Fault:
    """Raises Stopped in the calling thread at an instruction of the files of `wanted`, when it is reached first;
    without a point, notes all of them in `points`."""

    def __init__(self, wanted, point=None):
        self.wanted, self.point, self.points, self.raised = wanted, point, {}, False

    def call(self, frame, event, arg):
        code = frame.f_code
        if code.co_filename.endswith(self.wanted) and (self.point is None or self.point[:2] == (
                code.co_firstlineno, code.co_name)):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return self.opcode
        return None

    def opcode(self, frame, event, arg):
        if event == "opcode":
            point = frame.f_code.co_firstlineno, frame.f_code.co_name, frame.f_lasti
            if self.point is None:
                self.points.setdefault(point, len(self.points))
            elif point == self.point and not self.raised:
                self.raised = True
                foreign.working["asked"] = 1
                raise Stopped
        return self.opcode


class Case:
    """do: foreign code, in the agent's thread. files: whose instructions are cut off. beside: what another thread does
    meanwhile, or None. after: what has to be, in another thread."""

    def __init__(self, name, files, do, after, beside=None):
        self.name, self.files, self.do, self.after, self.beside = name, files, do, after, beside


def until(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            import faulthandler
            faulthandler.dump_traceback(all_threads=True)
            print(f"not within {SECONDS} s: {what}", flush=True)
            os._exit(1)
        time.sleep(0.0005)


def forget():
    for name in list(sys.modules):
        if name.partition(".")[0] in ("pk", "alone", "slow"):
            del sys.modules[name]
    importlib.invalidate_caches()


def import_all():
    there = [each for each in sys.modules if each.partition(".")[0] in ("pk", "alone", "slow")]
    import alone
    import pk
    import pk.other
    import pk.sub
    import slow
    found = pk.value, pk.sub.value, pk.other.value, alone.value, slow.value
    assert found == (1, 2, 3, 4, 5), (found, there)


def log():
    logging.getLogger(f"x{random.randrange(10 ** 9)}").warning("said")


def waiters(name):
    ref = _frozen_importlib._module_locks.get(name)
    lock = ref() if ref else None
    return bool(lock is not None and lock.waiters)


def owns():
    """We import slow, and the other thread waits for it."""
    global in_slow
    mine = get_ident()

    def in_slow():
        until(lambda: waiters("slow") or get_ident() != mine, "the other thread's wait")
    wanted.clear()
    __import__("slow")


def waits():
    """The other thread imports slow, and we wait for it."""
    global in_slow
    mine = get_ident()

    def in_slow():
        until(lambda: waiters("slow") or over or get_ident() == mine, "our wait")
    wanted.clear()
    until(lambda: "slow" in sys.modules, "the other thread's import")
    __import__("slow")


def imports_slow():
    until(lambda: not wanted.is_set(), "the beginning")
    if case.do is owns:
        until(lambda: "slow" in sys.modules or over, "our import")
    __import__("slow")


def imports():
    __import__("alone")
    __import__("pk.sub")


wanted = threading.Event()
over = False
BOOTSTRAP = ("importlib._bootstrap>",)
CASES = [Case("imports", BOOTSTRAP, imports, import_all), Case("has what another waits for", BOOTSTRAP, owns, import_all, imports_slow),
         Case("waits for what another has", BOOTSTRAP, waits, import_all, imports_slow),
         Case("logs", ("logging/__init__.py",), log, log)]
case, foreign = CASES[0], None


def turn(fault):
    """One time the foreign code of `case`, and what is wrong behind it; "": nothing."""
    global over, in_slow
    forget()
    over, in_slow = False, bool
    wanted.set()
    said = []

    def guarded(do):
        try:
            do()
        except BaseException as error:
            said.append(f"{do.__name__}: {error!r}")
    beside = threading.Thread(target=guarded, args=(case.beside,)) if case.beside else None
    if beside:
        beside.start()

    def do():
        sys.settrace(fault.call)
        try:
            case.do()
        finally:
            sys.settrace(None)
    foreign.thread.lock.acquire()
    try:
        foreign.run("f", 1, do)
    except KlpError:
        pass
    finally:
        sys.settrace(None)
        foreign.thread.lock.release()
    over, in_slow = True, bool
    if beside:
        until(lambda: not beside.is_alive(), "the other thread")
    after = threading.Thread(target=guarded, args=(case.after,))
    after.start()
    until(lambda: not after.is_alive(), "what the program does next")
    signal.alarm(SECONDS)
    pid = os.fork()
    if not pid:
        try:
            forget()
            case.after()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        said.append("the child failed")
    signal.alarm(0)
    if _imp.lock_held():
        said.append("the import lock is taken")
    said += [f"the lock of {lock.name} has an owner" for lock in (ref() for ref in list(
        _frozen_importlib._module_locks.values())) if lock and lock.owner]
    return "; ".join(said)


def main():
    global case, foreign
    folder, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder + "/pk")
    for name, text in FILES.items():
        with open(f"{folder}/{name}.py", "w") as file:
            file.write(text)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = False
    logging.basicConfig(stream=open(os.devnull, "w"))
    random.seed(seed)
    thread = AgentThread(SimpleNamespace(own_tids=set()))
    thread.ident = get_ident()
    sys.unraisablehook = lambda unraisable: None        # a stop in a weak reference's callback
    foreign = ForeignCode(thread, lambda text, priority: None)
    begun, tried, found = time.monotonic(), 0, 0
    for case in CASES:
        for _ in range(3):
            assert not turn(Fault(())), case.name
        watch = Fault(case.files)
        assert not turn(watch), case.name
        points = sorted(watch.points)
        for point in random.sample(points, min(count, len(points))) if count else points:
            fault = Fault(case.files, point)
            said = turn(fault)
            tried += fault.raised
            if said:
                found += 1
                print(f"{case.name}: Stopped at {point}: {said}", flush=True)
    print(f"{sys.version.split()[0]}: of imports and records {tried} instructions cut off, {found} found, "
          f"{time.monotonic() - begun:.0f} s, seed {seed}", flush=True)
    os._exit(bool(found))


if __name__ == "__main__":
    main()
