"""The Python target alone: what a call of a patched function costs, and how long the program stands still.

A pause is the longest time for which a transition keeps the interpreter lock: from one breath to the next
(transition.py). What a spinning thread of the program sees besides is the machine's noise.
"""
import asyncio
import gc
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from klpfs.cpython.images import image  # noqa: E402
from klpfs.cpython.switch import switching  # noqa: E402
from klpfs.cpython.switch.switching import Entry, Transition  # noqa: E402
from tests.cpython.programs import new_image  # noqa: E402

_now = time.thread_time_ns     # the processor time of the measuring thread: the machine is not ours alone


def row(name, value, unit, goal=None):
    return {"name": name, "value": value, "unit": unit, "goal": goal}


def functions(source, n=1):
    """[(function, new function)], n copies in one module of a source that defines f."""
    spaces = []
    for v in "01":
        spaces.append({"__name__": "bench"})
        for i in range(n):
            exec(source.replace("{v}", v).replace("def f(", "def f%d(" % i), spaces[-1])
    for i in range(n):
        spaces[1]["f%d" % i].__defaults__ = spaces[0]["f%d" % i].__defaults__
    return [(spaces[0]["f%d" % i], spaces[1]["f%d" % i]) for i in range(n)]


def entries(pairs):
    return [Entry(f, image.capture(f), new_image(g)) for f, g in pairs]


def per_call(f, n=100000):
    """A fresh loop that calls f(1): (function of rounds)."""
    space = {"f": f, "range": range, "now": _now}
    exec("def run():\n t = now()\n for _ in range(%d): f(1)\n return (now() - t) / %d" % (n, n), space)
    return space["run"]


def best(run, rounds=7):
    return min(run() for _ in range(rounds))


def complete(t):
    while t.look():
        time.sleep(.001)
    t.finish()


def calls():
    (f, g), (h, _) = functions("def f(a, b=2): return a", 2)
    loop, other, empty = per_call(f), per_call(h), per_call(None, 100000)
    space = {"now": _now, "range": range}
    exec("def run():\n t = now()\n for _ in range(100000): pass\n return (now() - t) / 100000", space)
    empty = best(space["run"])
    best(loop)
    best(other)
    t = Transition(entries([(f, g)]))
    t.install()
    prepared = best(loop)
    t.start()
    decided = best(loop)
    t._flip(1, 1)
    t.state.strict = True

    def deep(n):
        return deep(n - 1) if n else best(loop, 3)
    walks = [(n, deep(n)) for n in (0, 45, 195)]
    t._flip(1, 1)
    complete(t)
    best(loop)
    ratios = []
    for _ in range(15):         # side by side, so that both see the same machine
        a, b = best(loop, 2), best(other, 2)
        ratios.append((a - empty) / (b - empty))
    ratios.sort()
    unpatched = best(other) - empty
    rows = [row("call of a patched function outside a transition, times the unpatched one", ratios[len(ratios) // 2],
                "", 1.0),
            row("unpatched call", unpatched, "ns"),
            row("call in a transition, decided thread: more", decided - empty - unpatched, "ns", 100),
            row("call in a prepared transition: more", prepared - empty - unpatched, "ns")]
    return rows + [row("call in a transition, strict walk of %d frames: more" % (n + 5), cost - empty - unpatched, "ns")
                   for n, cost in walks]


class Breaths:
    """Longest stretch between two breaths."""

    def __init__(self):
        self.longest, self.last = 0, _now()

    def __call__(self):
        self.longest = max(self.longest, _now() - self.last)
        switching.breathe()
        self.last = _now()

    def measured(self, step):
        """Runs one step of a transition, which the agent leaves before it makes the next."""
        self.last = _now()
        result = step()
        self.longest = max(self.longest, _now() - self.last)
        return result


def pause(pairs, rounds=5):
    """Milliseconds: the longest pause of a whole transition, the best of some (the rest is the machine's)."""
    found = []
    for _ in range(rounds):
        breaths = Breaths()
        made = entries(pairs)
        t = breaths.measured(lambda: Transition(made, breathe=breaths))
        breaths.measured(t.install)
        breaths.measured(t.start)
        while breaths.measured(t.look):
            time.sleep(.001)
        breaths.measured(t.finish)
        found.append(breaths.longest / 1e6)
        t = Transition([Entry(s.function, s.after, s.before) for s in t.switches])
        t.install()
        t.start()
        complete(t)
    return min(found)


def threads(many, deep):
    stack = threading.stack_size(256 * 1024)
    go, ready = threading.Event(), threading.Semaphore(0)

    def down(n):
        if n:
            return down(n - 1)
        ready.release()
        go.wait()
    made = [threading.Thread(target=down, args=(deep - 6,), daemon=True) for _ in range(many)]
    for thread in made:
        thread.start()
    for thread in made:
        ready.acquire()
    threading.stack_size(stack)
    value = pause(functions("def f(a): return {v}"))
    go.set()
    for thread in made:
        thread.join()
    return row("longest pause, %d threads %d deep" % (many, deep), value, "ms", 1.0)


def tasks(many=10000):
    ready = threading.Event()

    async def one():
        await asyncio.sleep(3600)

    async def main():
        gathered = [asyncio.ensure_future(one()) for _ in range(many)]
        await asyncio.sleep(0)
        ready.set()
        while not stop:
            await asyncio.sleep(.05)
        for task in gathered:
            task.cancel()
        await asyncio.gather(*gathered, return_exceptions=True)
    stop = []
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    plain = pause(functions("def f(a): return {v}"))
    objects = whole_heap()
    suspending = pause(functions("async def f(a): return {v}"))
    stop.append(1)
    thread.join()
    return [row("longest pause, %d asyncio tasks, plain functions" % many, plain, "ms", 1.0),
            row("longest pause, %d asyncio tasks, a coroutine function (goal: get_objects)" % many, suspending, "ms",
                objects)]


def whole_heap():
    found = []
    for _ in range(5):
        gc.disable()
        t = _now()
        x = gc.get_objects()
        found.append((_now() - t) / 1e6)
        del x
        gc.enable()
    return min(found)


def large_patch(many=10000):
    return row("longest pause, a patch of %d functions" % many, pause(functions("def f(a, b=2): return {v}", many), 2),
               "ms", 1.0)


def large_heap(many=1000000):
    keep = [[] for _ in range(many)]
    goal = whole_heap()
    value = pause(functions("def f(a): yield {v}"))
    del keep
    return [row("longest pause, %d objects, a generator function (goal: get_objects)" % many, value, "ms", goal)]


def measure():
    """For `make bench`: (name, value, unit, goal)."""
    for part in (calls, lambda: [threads(100, 50)], lambda: [threads(1000, 10)], lambda: [threads(1000, 50)], tasks,
                 lambda: [large_patch()], large_heap):
        for each in part():
            yield each["name"], each["value"], each["unit"], each["goal"]


if __name__ == "__main__":
    for line in measure():
        print("%-75s %10.3f %-3s goal %s" % line, flush=True)
