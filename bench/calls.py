"""What a call of a patched function costs: outside a transition, in one, and where its stack is walked.

    python -m bench.calls       the rows as JSON, for this Python: needs nothing but the project (versions.py)
"""
import json
import sys
import time

from bench import row
from klpfs.cpython.images import image
from klpfs.cpython.switch.choice import RUN
from klpfs.cpython.switch.switching import Entry, Transition
from tests.cpython.programs import new_image

now = time.thread_time_ns     # the processor time of the measuring thread: the machine is not ours alone


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
    space = {"f": f, "range": range, "now": now}
    exec("def run():\n t = now()\n for _ in range(%d): f(1)\n return (now() - t) / %d" % (n, n), space)
    return space["run"]


def best(run, rounds=7):
    return min(run() for _ in range(rounds))


def complete(t):
    while t.look():
        time.sleep(.001)
    t.finish()


def measure():
    """For `make bench`: (name, value, unit, goal)."""
    for each in calls():
        yield each["name"], each["value"], each["unit"], each["goal"]


def calls():
    (f, g), (h, _) = functions("def f(a, b=2): return a", 2)
    loop, other, empty = per_call(f), per_call(h), per_call(None, 100000)
    space = {"now": now, "range": range}
    exec("def run():\n t = now()\n for _ in range(100000): pass\n return (now() - t) / 100000", space)
    empty = best(space["run"])
    best(loop)
    best(other)
    t = Transition(entries([(f, g)]))
    t.install()
    prepared = best(loop)
    t.start()
    decided = best(loop)
    t.flip(RUN, 1)
    t.state.strict = True

    def deep(n):
        return deep(n - 1) if n else best(loop, 3)
    walks = [(n, deep(n)) for n in (0, 45, 195)]
    t.flip(RUN, 1)
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


if __name__ == "__main__":
    json.dump(list(measure()), sys.stdout)
