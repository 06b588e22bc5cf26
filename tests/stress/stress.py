"""Threads, generators, asyncio tasks and greenlets call patched functions while patches are enabled, reversed, replaced
and disabled; and so does all that Python begins on a foreign stack (ways.py). Every call checks the version of who
called it: code on a task's stack is all of one version.

    python tests/stress/stress.py SECONDS [--break RULE] [--without-greenlets] [--audit-hook] [--seed N]
            [--leave-out WAY] [--every S]

Prints the counts as it goes, and at the end with how often each way ran; exit status 1 if one call was mixed, if
anything raised, a transition never ended or a way never ran. With --break a rule of consistency is switched off
(nostack, noobserve, gens; rules.py has more): then status 1 is what must come.
"""
import argparse
import asyncio
import functools
import os
import random
import signal
import sys
import threading
import time
import traceback
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))
if "--without-greenlets" in sys.argv:
    sys.modules["greenlet"] = None      # type: ignore[assignment]  # else klpfs reckons with greenlets

from klpfs.cpython.images import image  # noqa: E402
from klpfs.cpython.switch import rules  # noqa: E402
from klpfs.cpython.switch.entry import Entry  # noqa: E402
from klpfs.cpython.switch.switching import Transition  # noqa: E402
from tests.cpython.programs import new_image  # noqa: E402
from tests.stress import program, ways  # noqa: E402

ENOUGH = 100        # violations, then it stops
ENOUGH_BROKEN = 5   # with a rule broken
WITHIN = 3          # signal handlers within one another, at most. The main thread has a twelfth of the time, so a signal waits
                    # in each of its slices: a handler of n slices within k others takes n ** k of them
RINGS = 20          # signal handlers that do something in one round of the main thread: during a transition one may take longer
                    # than the next signal is away, and the round would not end
STUCK = 60          # seconds of processor time: on a busy machine nothing is told by a clock
PLAIN_NAMES = {"leaf", "A", "B", "W"}   # frames of these in the main thread are of the plain family


class Counts:
    """Checked calls, one counter a thread (no lock, nothing lost), and what went wrong."""

    def __init__(self):
        self.local, self.counters, self.bad, self.errors = threading.local(), [], ways.FAULTS, []

    def check(self, expected, got, where, times=1):
        try:
            self.local.n[0] += 1
        except AttributeError:
            self.local.n = [1]
            self.counters.append(self.local.n)
        if expected is not None and expected * times != got:
            self.bad.append((expected, got, where))

    @property
    def calls(self):
        return sum(n[0] for n in self.counters)


def through(function, expected):
    return function(expected)


def wrapping(function):
    @functools.wraps(function)
    def inner(*args, **more):
        return function(*args, **more)
    return inner


def versions(source, counts):
    """Namespaces of the three versions; the program's own is the first."""
    found = []
    for v in range(3):
        space = dict(check=counts.check, through=through, wrapping=wrapping, lru_cache=functools.lru_cache,
                     sleep=time.sleep, random=random.random, asleep=asyncio.sleep, gather=asyncio.gather,
                     __name__="app")
        exec(compile(source.replace("{v}", str(v)), "app%d.py" % v, "exec"), space)
        found.append(space)
    return found


def functions(space):
    """The functions to be patched, in an order that is the same in every version."""
    found = []
    for name, value in sorted(space.items()):
        if isinstance(value, type):
            for key, method in sorted(vars(value).items()):
                method = method.fget if type(method) is property else getattr(method, "__func__", method)
                found += [method] if type(method) is types.FunctionType else []
        else:
            value = getattr(value, "__wrapped__", value)
            if type(value) is types.FunctionType and value.__code__.co_filename.startswith("app"):
                found.append(value)
    return found


class Family:
    """Functions that are patched together, and the version they are at."""

    def __init__(self, source, counts):
        self.spaces = versions(source, counts)
        self.app = self.spaces[0]
        self.functions = functions(self.app)
        self.images = [[image.capture(f) for f in self.functions]]
        self.images += [[new_image(f) for f in functions(space)] for space in self.spaces[1:]]
        self.version = 0

    def entries(self, version):
        return [Entry(*each) for each in zip(self.functions, self.images[self.version], self.images[version])]


class Stress:
    def __init__(self, options):
        self.options, self.counts, self.stop = options, Counts(), False
        self.random = random.Random(options.seed)
        self.plain, self.suspending = Family(program.PLAIN, self.counts), Family(program.SUSPENDING, self.counts)
        self.pool, self.lock = [], threading.Lock()
        self.switched = []          # greenlets' completed runs
        self.greenlet = ways.greenlet
        self.ways = [way for way in ways.WAYS.values() if way.name not in options.leave_out
                     and (options.audit_hook or way.name != "audit_hook")
                     and (self.greenlet or not way.name.startswith("greenlet"))]
        self.reversals, self.times, self.status, self.ringing = 0, [], 0, 0
        self.rung = self.rings = 0      # signal handlers: in this round of the main thread, in all

    # -- the program's threads

    def guarded(self, function, *args):
        try:
            function(*args)
        except BaseException:
            self.counts.errors.append(traceback.format_exc())
            self.stop = True        # or the others would wait for a thread that is gone, for ever

    def caller(self, seed):
        """Calls functions of both families; makes generators, hands them to other threads, ends those of others."""
        p, s, r = self.plain.app, self.suspending.app, random.Random(seed)
        d, bound, part = p["D"](), p["D"]().m, functools.partial(p["A"], 1)

        def make():
            g = s["GG"](6)
            next(g)
            with self.lock:
                if len(self.pool) < 30:
                    self.pool.append(g)

        def consume():
            with self.lock:
                g = self.pool.pop(r.randrange(len(self.pool))) if self.pool else None
            for _ in g or ():
                pass

        def unstarted():
            g = s["G"](2)
            time.sleep(.001)
            list(g)
        todo = [p["A"], lambda: p["R"](8), lambda: p["E"](3), p["S"], bound, part, p["C"].c, p["C"].s, lambda: d.p,
                lambda: p["cached"](r.random()), p["decorated"], lambda: sorted([3, 1, 2], key=p["keyf"]),
                lambda: list(map(p["keyf"], (1, 2))), make, consume, consume, unstarted, lambda: list(s["GG"](3))]
        while not self.stop:
            r.choice(todo)()

    def short_lived(self):
        while not self.stop:
            thread = threading.Thread(target=self.guarded, args=(self.plain.app["S"],))
            thread.start()
            thread.join()

    def foreign(self, seed, main):
        """Patched functions of both families reach others in all ways, each first once, then at random. main: also in
        those ways that only the main thread has."""
        r, plain, suspending = random.Random(seed), self.plain.app, self.suspending.app
        mine = [way for way in self.ways if main or not way.main]
        often = [way for way in mine if not way.rare]
        todo = list(mine)
        r.shuffle(todo)
        if main:
            # after so much processor time of this process: by a clock, on a busy machine, one would always be waiting
            signal.signal(signal.SIGPROF, self.alarm)
            signal.setitimer(signal.ITIMER_PROF, .002, .002)
        while not self.stop or todo and not self.counts.errors:
            if main:
                self.rung = 0
            way = todo.pop() if todo else r.choice(mine if r.random() < .05 else often)
            plain["W"](way, r.choice(often) if r.random() < .2 else None)
            if r.random() < .3:
                suspending["Y"](way)
            if r.random() < .02:
                ways.elsewhere(plain["A"])
                ways.in_tasks(plain["A"])
        if main:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def alarm(self, number, frame):
        """A signal handler, called between any two instructions, of its own too: the nearest frame of a plain function
        decides."""
        if self.ringing == WITHIN or self.rung == RINGS:
            return
        self.ringing += 1
        self.rung += 1
        self.rings += 1
        try:
            while frame is not None:
                if frame.f_code.co_name in PLAIN_NAMES and frame.f_code.co_filename[:3] == "app":
                    return self.counts.check(int(frame.f_code.co_filename[3]), self.plain.app["leaf"](), "alarm")
                frame = frame.f_back
            self.plain.app["A"]()
        finally:
            self.ringing -= 1

    def tasks(self, many):
        app = self.suspending.app
        often = [way for way in self.ways if not way.rare and not way.main]

        async def waits(callback):
            try:
                await asyncio.sleep(.001)
            except asyncio.CancelledError:
                callback()

        async def library(callback):
            return await waits(callback)

        async def one(i):
            while not self.stop:
                await app[random.choice(("AA", "AW", "AX", "BB"))]()
                if i % 10 == 0:
                    await app["YA"](random.choice(often))
                    task = asyncio.ensure_future(app["YC"](library))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                if i % 50 == 0:
                    task = asyncio.ensure_future(app["AA"]())
                    await asyncio.sleep(.002)
                    self.plain.app["A"]()
                    await task

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda loop, found: self.counts.errors.append(
                "".join(traceback.format_exception(None, found.get("exception"), None)) + repr(found)))
            await asyncio.gather(*[one(i) for i in range(many)])
        asyncio.run(main())

    def greenlets(self, greenlet):
        """Greenlets that stop in the middle of patched functions, resumed in any order; some spawned by patched
        code."""
        hub, app, alive = greenlet.getcurrent(), self.suspending.app, []

        def run():
            if random.random() < .3:
                greenlet.greenlet(lambda: app["L"]()).switch()
            app["W"](hub.switch)
            self.switched.append(1)
        while not self.stop or alive:
            if len(alive) < 20 and not self.stop:
                alive.append(greenlet.greenlet(run, hub))
            g = random.choice(alive)
            g.switch()
            if g.dead:
                alive.remove(g)
            if random.random() < .05:
                time.sleep(.0005)

    # -- the patches

    def transition(self, families):
        """One change of version: enable, replace or disable, reversed any number of times.

        Its seconds, or None: stuck.
        """
        targets = [self.random.choice([v for v in range(3) if v != f.version]) for f in families]
        entries = [e for f, v in zip(families, targets) for e in f.entries(v)]
        t = Transition(entries, breathe=lambda: time.sleep(.0001))
        t.install()
        time.sleep(self.random.random() * .005)
        began, used = time.monotonic(), time.process_time()
        t.start()
        while self.random.random() < .45:
            time.sleep(self.random.random() * .01)
            t.look()
            t.reverse()
            self.reversals += 1
        while t.look():
            if time.monotonic() - began > .3:        # let the generators of the pool go on to their end
                with self.lock:
                    left, self.pool[:] = list(self.pool), []
                for g in left:
                    for _ in g:
                        pass
                del left[:]
                g = None
            if time.process_time() - used > STUCK:
                print("stuck:", t.look()[:3])
                return None
            time.sleep(.001)
        if self.random.random() < .2:
            t.reverse()
            self.reversals += 1
            while t.look():
                time.sleep(.001)
                if time.process_time() - used > 2 * STUCK:
                    return None
        t.finish()
        for family, version in zip(families, targets):
            if t.goal == 1:
                family.version = version
            for f, i in zip(family.functions, family.images[family.version]):
                if f.__code__ is not i.code:
                    self.counts.bad.append(("code", f.__qualname__))
        t.forget()
        got = self.plain.app["A"](), self.suspending.app["L"]()
        if got != (self.plain.version, self.suspending.version):
            self.counts.bad.append(("outcome", got))
        return time.monotonic() - began

    def drive(self):
        """Transitions, one after the other, until the time is over or something is wrong."""
        end, counts = time.monotonic() + self.options.seconds, self.counts
        printed = time.monotonic()
        while time.monotonic() < end and not counts.errors and len(counts.bad) < (ENOUGH_BROKEN if rules.BREAK else ENOUGH):
            families = self.random.choice(([self.plain], [self.plain], [self.suspending], [self.plain, self.suspending]))
            took = self.transition(families)
            if took is None:
                self.status = 1
                break
            self.times.append(took)
            time.sleep(.002)
            if time.monotonic() - printed > self.options.every:
                printed = time.monotonic()
                print("  ", self.text(), flush=True)
        self.stop = True

    def text(self):
        times, counts = sorted(self.times), self.counts
        return ("calls=%d transitions=%d reversals=%d greenlet-runs=%d ways=%d rings=%d violations=%d errors=%d median=%.0fms "
                "longest=%.0fms" % (counts.calls, len(times), self.reversals, len(self.switched),
                                    sum(way.times for way in self.ways), self.rings, len(counts.bad), len(counts.errors),
                                    times[len(times) // 2] * 1e3 if times else 0, times[-1] * 1e3 if times else 0))

    def run(self):
        greenlet, counts = self.greenlet, self.counts
        jobs: list = [(self.caller, i) for i in range(5)] + [(self.tasks, self.options.tasks)] * 2
        if self.options.audit_hook:     # which makes choices slow: busy threads are hardly ever seen outside of one
            jobs = [(self.caller, 0), (self.tasks, 20)]
        jobs += [(self.short_lived,)]
        jobs += [(self.greenlets, greenlet)] if greenlet else []
        jobs += [(self.foreign, self.options.seed + i, False) for i in range(2)] + [(self.drive,)]
        threads = [threading.Thread(target=self.guarded, args=job) for job in jobs]
        sys.setswitchinterval(2e-5)
        for thread in threads:
            thread.start()
        self.guarded(self.foreign, self.options.seed, True)
        self.stop = True
        for thread in threads:
            thread.join(30)
        print("%d.%d.%d break=%s greenlets=%s seed=%d" % (sys.version_info[:3] + (
            ",".join(sorted(rules.BREAK)) or "none", "yes" if greenlet else "no", self.options.seed)), self.text())
        never = [way.name for way in self.ways if not way.times]
        print("  ways:", *("%s=%d" % (way.name, way.times) for way in self.ways))
        if never:
            print("  NEVER RAN:", *never)
        for line in counts.bad[:4] + counts.errors[:1]:
            print(" ", line)
        alive = [thread.name for thread in threads if thread.is_alive()]
        if alive:
            print("  do not end:", *alive)
        return 1 if self.status or counts.bad or counts.errors or not self.times or alive or never else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--break", dest="broken", action="append", default=[], metavar="RULE")
    parser.add_argument("--without-greenlets", action="store_true")
    parser.add_argument("--tasks", type=int, default=200, help="asyncio tasks in each of two loops")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--audit-hook", action="store_true", help="that way too, and fewer threads")
    parser.add_argument("--leave-out", action="append", default=[], metavar="WAY")
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="counts are printed so often")
    options = parser.parse_args()
    rules.BREAK.update(options.broken)
    random.seed(options.seed)
    status = Stress(options).run()
    sys.stdout.flush()
    os._exit(status)        # with a rule broken, a thread may hang


if __name__ == "__main__":
    main()
