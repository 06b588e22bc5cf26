"""Attacks by all that enters a function: the interpreter, loops, forks, signals."""
import asyncio
import ctypes
import os
import signal
import sys
import threading
import types

from klpfs.cpython.images import image
from klpfs.cpython.switch import choice
from klpfs.cpython.switch.choice import PREPARE
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks.attack_kit import attack
from tests.cpython.programs import done, entry, functions, make, new_image, transition, try_clean


@attack()
def interpreter_calls():
    """Methods called by the interpreter, key functions, descriptors, metaclasses, contextmanager, singledispatch,
    ctypes."""
    bad = []
    d = make('''
import functools, contextlib
class M(type):
    def __call__(cls, *a): r = type.__call__(cls, *a); r.made = ({v}, B()); return r
class X(metaclass=M):
    def __init__(self, n=0): self.n = n; self.i = ({v}, B())
    def __hash__(self): log({v}, B()); return 1
    def __eq__(self, o): log({v}, B()); return hash(self) == hash(o)
    def __lt__(self, o): log({v}, B()); return self.n < o.n
    def __getattr__(self, k): log({v}, B()); return B()
    def __iter__(self): log({v}, B()); return iter([1])
    def __get__(self, *a): log({v}, B()); return B()
    def __init_subclass__(cls): log({v}, B())
    def __del__(self): log({v}, B())
    def __len__(self): log({v}, B()); return 1
    def __call__(self, x): log({v}, B()); return x
    def __enter__(self): log({v}, B())
    def __exit__(self, *a): log({v}, B())
def B(): return {v}
@contextlib.contextmanager
def cm(): x = B(); yield ({v}, x); log({v}, B()); log({v}, x)
@functools.singledispatch
def sd(x): return ({v}, B())
''', log=lambda a, b: bad.append((a, b)) if a != b else None)

    def all_of(n):
        return {**functions(n), **{k: f for k, f in vars(n["X"]).items() if type(f) is types.FunctionType},
                "M": n["M"].__call__, "is": n["X"].__dict__["__init_subclass__"].__func__,
                "cm": n["cm"].__wrapped__, "sd": n["sd"].__wrapped__}
    a, b = all_of(d[0]), all_of(d[1])
    t = Transition([entry(a[k], b[k]) for k in sorted(a)])
    X, from_c = d[0]["X"], ctypes.CFUNCTYPE(ctypes.c_int)(d[0]["B"])

    def everything():
        x, y = X(1), X(2)
        {x: 1, y: 2}
        x == y, sorted([y, x]), x.foo, list(x), bool(x), list(map(x, [1, 2])), type("S", (X,), {})

        class H:
            p = X(3)
        H().p
        with x:
            pass
        with d[0]["cm"]() as r:
            bad.extend([r] if r[0] != r[1] else [])
        for r in (x.i, x.made, d[0]["sd"](1)):
            bad.extend([r] if r[0] != r[1] else [])
        return from_c()
    stop = []

    def work():
        while not stop:
            everything()
    threads = [threading.Thread(target=work) for i in range(2)]
    for thread in threads:
        thread.start()
    t.install()
    everything()
    t.start()
    everything()
    t.reverse()
    everything()
    t.reverse()
    everything()
    ok = done(t, 100000)
    last = everything()
    stop.append(1)
    for thread in threads:
        thread.join()
    return ok and not bad and last == 1


@attack("root")
def task_above_an_old_main():
    """An old plain function runs the loop: its tasks are bound to nothing, but the thread blocks."""
    d = make("""
def main(loop, mid): return {v}, loop.run_until_complete(mid()), B()
async def root(): r = [{v}, B()]; await asyncio.sleep(0); r.append(B()); return r
def B(): return {v}
""")
    t, loop = transition(d[0], d[1]), asyncio.new_event_loop()

    async def mid():
        t.install()
        t.start()
        return await asyncio.ensure_future(d[0]["root"]()), d[0]["B"](), [b.kind for b in t.look()]
    main, (root, here, blockers), last = d[0]["main"](loop, mid)
    loop.close()
    return (main, root, here, last) == (0, [1, 1, 1], 1, 0) and blockers == ["thread"] and done(t)


@attack("eager")
def eager_task_of_an_old_coroutine():
    """Its first step is on its maker's stack, which is old."""
    if sys.version_info < (3, 12):
        return None
    d = make("async def A(gate, eager): await gate; return ({v}, await begin(B, eager), C())\n"
             "async def B(): r = [{v}, C()]; await asyncio.sleep(0); r.append(C()); return r\ndef C(): return {v}",
             begin=lambda function, eager: asyncio.Task(function(), eager_start=eager,
                                                        loop=asyncio.get_running_loop()))
    t = transition(d[0], d[1])

    async def main():
        gate = asyncio.get_running_loop().create_future()
        tasks = [asyncio.ensure_future(d[0]["A"](gate, eager)) for eager in (True, False)]
        await asyncio.sleep(0)
        t.install()
        t.start()
        gate.set_result(None)
        return [await task for task in tasks]
    return asyncio.run(main()) == [(0, [0, 0, 0], 0), (0, [1, 1, 1], 0)] and done(t)


@attack()
def asyncio_shapes():
    """A task whose root is a dispatcher, tasks beside an old main(), executors, call_soon, __await__ objects, eager
    tasks."""
    d = make('''
async def main(mid):
    r = [{v}, B()]; x = await mid(); r.append(B()); return r, x
async def root(): r = [{v}, B()]; await asyncio.sleep(0); r.append(B()); r.append(await sub()); return r
async def sub(): await asyncio.sleep(0); return B()
def B(): return {v}
''')
    n = d[0]
    t = transition(n, d[1])

    class Awaited:
        def __await__(self):
            r = n["B"]()
            yield from asyncio.sleep(0).__await__()
            return [r, n["B"]()]

    async def wrap():
        return await n["root"]()

    async def mid():
        t.install()
        t.start()
        got = [await asyncio.ensure_future(n["root"]()), await asyncio.ensure_future(wrap())]
        loop = asyncio.get_running_loop()
        soon = loop.create_future()
        loop.call_soon(lambda: soon.set_result(n["B"]()))
        soon = await soon
        beside = await loop.run_in_executor(None, n["B"])
        inner, awaited, other, eager = n["B"](), await n["sub"](), await Awaited(), 0
        if hasattr(asyncio, "eager_task_factory"):
            eager = await asyncio.eager_task_factory(loop, n["root"]())
        return got, soon, beside, inner, awaited, other, eager, try_clean(t)
    loop = asyncio.new_event_loop()
    main, (got, soon, beside, inner, awaited, other, eager, clean) = loop.run_until_complete(n["main"](mid))
    loop.close()
    ok = set(main) == {0} and inner == awaited == 0 and set(other) == {0} and got == [[1] * 4] * 2 and beside == 1
    return ok and eager in (0, [0] * 4) and not clean and done(t)      # it begins on the stack of the old main()


@attack()
def fork_at_every_step():
    """A child goes on with the transition from where its parent was."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t, results = transition(d[0], d[1]), []

    def child():
        pid = os.fork()
        if not pid:
            try:
                if t.mode == PREPARE:
                    t.start()
                ok = done(t) and d[0]["A"]() == (1, 1)
            except BaseException:
                ok = False
            os._exit(0 if ok else 1)
        results.append(os.waitpid(pid, 0)[1])
    t.install()
    child()
    t.start()
    child()
    t.look()
    child()
    t.reverse()
    t.reverse()
    child()
    return done(t) and not any(results) and d[0]["A"]() == (1, 1)


@attack("deep")
def signals_that_come_close_together():
    """A handler interrupts the choice for a function that a handler calls that has interrupted a choice. All are on a
    stack of the goal, in a thread that nobody has looked at."""
    d = make("def A(stop): stop(); return [{v}, B()]\ndef B(): return {v}\n"
             "def H(*a): r = [{v}, B()]; found.append(r)\ndef G(): yield", found=[])
    n, t, depth, real = d[0], transition(d[0], d[1]), [], choice.greenlet_api

    def interrupted():          # the walk calls it: a place as good as any for a signal to come, up to three walks deep
        if len(depth) < 3:
            depth.append(1)
            n["H"]()
            depth.pop()
        return real()

    def stop():
        choice.greenlet_api = interrupted
    t.install()
    t.start()
    try:
        found = n["A"](stop)
    finally:
        choice.greenlet_api = real
    return found == [1, 1] and len(n["found"]) > 3 and {tuple(each) for each in n["found"]} == {(1, 1)} and done(t)


@attack()
def signals_between_all_opcodes():
    """A real signal handler calls patched functions at random points of dispatchers and of the choice. The next signal
    is asked for at its end: on a busy machine, handlers of a steady timer would pile up without end."""
    over: list[bool] = []

    def arm():
        if not over:            # the last handler runs when the timer has been stopped
            signal.setitimer(signal.ITIMER_REAL, .0003)
    d = make("def A(n=2):\n r = [{v}, B()]\n if n: r += A(n - 1)\n r.append(B()); return r\ndef B(): return {v}\n"
             "def H(s, f):\n r = [{v}, B(), B()]; out.append(r); arm()", out=[], arm=arm)
    n, bad, turns = d[0], [], 0
    images = [[image.capture(f) for k, f in sorted(functions(n).items())],
              [new_image(f) for k, f in sorted(functions(d[1]).items())]]
    was = signal.signal(signal.SIGALRM, n["H"])
    arm()
    try:
        for turns in range(50):
            old, new = turns & 1, 1 - (turns & 1)
            t = Transition([Entry(f, images[old][i], images[new][i])
                            for i, (k, f) in enumerate(sorted(functions(n).items()))])
            t.install()
            got = [n["A"]()]
            t.start()
            got.append(n["A"]())
            if turns % 3 == 0:
                t.reverse()
                got.append(n["A"]())
                t.reverse()
            assert done(t)
            got.append(n["A"]())
            bad += [x for x in got if len(set(x)) != 1] + ([got[-1]] if got[-1][0] != new else [])
    finally:
        over.append(True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
    return not bad and not [x for x in n["out"] if len(set(x)) != 1]
