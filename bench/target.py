"""How long the program stands still: the longest pause of a transition.

A pause is the longest time for which a transition keeps the interpreter lock: from one breath to the next
(switching.py). What a spinning thread of the program sees besides is the machine's noise.
"""
import asyncio
import gc
import threading
import time

from bench import row
from bench.calls import complete, entries, functions, now
from klpfs.cpython.switch import switching
from klpfs.cpython.switch.switching import Entry, Transition


class Breaths:
    """Longest stretch between two breaths."""

    def __init__(self):
        self.longest, self.last = 0, now()

    def __call__(self):
        self.longest = max(self.longest, now() - self.last)
        switching.breathe()
        self.last = now()

    def measured(self, step):
        """Runs one step of a transition, which the agent leaves before it makes the next."""
        self.last = now()
        result = step()
        self.longest = max(self.longest, now() - self.last)
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
        t = now()
        x = gc.get_objects()
        found.append((now() - t) / 1e6)
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
    for part in (lambda: [threads(100, 50)], lambda: [threads(1000, 10)], lambda: [threads(1000, 50)], tasks,
                 lambda: [large_patch()], large_heap):
        for each in part():
            yield each["name"], each["value"], each["unit"], each["goal"]
