"""Attacks out of places that no walk and no look sees: a stack that CPython cuts, objects that die."""
import asyncio
import functools
import operator
import threading
import types
import weakref

from klpfs.cpython.looks.threads import CUTS
from tests.cpython.attacks.attack_kit import NAMES, attack, wait
from tests.cpython.programs import done, looked, make, transition, try_clean

# --------------------------------------------------------------------------------- 3.9: a stack that throw() has cut

HELPERS = '''
def inner(B, stop):
    try:
        yield
    except KeyError:
        stop()
        yield B()
def around(B, stop):
    yield from inner(B, stop)
'''


def helpers():
    """Generators of the program that no patch knows."""
    space = {}
    exec(HELPERS, space)
    return space["around"]


def reached(whole):
    """What an attack on 3.9 found; None: its rule is off, and nothing depends on it here."""
    return None if whole and NAMES and not CUTS else whole


@attack("cut")
def thrown_through_generators_by_an_old_frame():
    """An old frame calls throw() of a generator that waits for another: while the inner one handles that, the old frame
    is below, and its thread is not clean."""
    d = make("def A(g):\n next(g)\n return [{v}, B(), g.throw(KeyError()), B()]\ndef B(): return {v}")
    t, seen = transition(d[0], d[1]), []

    def stop():
        t.install()
        t.start()
        seen.append(done(t, 1))
    got = d[0]["A"](helpers()(d[0]["B"], stop))
    return reached(got == [0, 0, 0, 0] and not seen[0] and done(t))


@attack("thrown delegation")
def thrown_through_an_old_generator():
    """An old coroutine waits for others, which no patch knows; the innermost handles what is thrown into the old one:
    what it calls is old."""
    d = make("async def A(more):\n r = [{v}, B()]\n r.append(await more(B))\n r.append(B())\n return r\n"
             "def B(): return {v}")

    class Pause:
        def __await__(self):
            yield

    async def inner(B):
        try:
            await Pause()
        except KeyError:
            return B()

    async def middle(B):
        return await inner(B)
    c = d[0]["A"](middle)
    c.send(None)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    first = try_clean(t)
    try:
        c.throw(KeyError())
    except StopIteration as e:
        got = e.value
    return reached(got == [0, 0, 0, 0] and not first and done(t))


@attack("thrown delegation")
def task_of_an_old_main_is_cancelled():
    """The same by a cancelled task, deep in library code, of a patched handler; below is an old main()."""
    d = make("""
def main(loop, mid): return [{v}, loop.run_until_complete(mid()), B()]
async def handler(library): r = [{v}, B()]; r.append(await library(B)); r.append(B()); return r
def B(): return {v}
""")
    t, loop, seen = transition(d[0], d[1]), asyncio.new_event_loop(), []

    async def waits(B):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append(done(t, 1))
            return B()

    async def library(B):
        return await waits(B)

    async def mid():
        task = asyncio.ensure_future(d[0]["handler"](library))
        await asyncio.sleep(0)
        t.install()
        t.start()
        task.cancel()
        return await task
    try:
        main, handler, last = d[0]["main"](loop, mid)
    finally:
        loop.close()
    return reached(main == last == 0 and handler == [0, 0, 0, 0] and not seen[0] and done(t))


# ------------------------------------------------------------------------------------------- out of the collector's sight

def look_beside(work, at, go, d):
    """(a transition that has begun while a thread stands in its work, the kinds of the Blockers of a look then). at: set
    by the thread, which waits for `go`."""
    thread = threading.Thread(target=work)
    thread.start()
    wait(at)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    kinds = looked(t)
    go.set()
    thread.join()
    return t, kinds


@attack("hidden")
def generator_that_dies():
    """An old generator is in no list while the callback of its weak reference runs; its `finally` block comes after."""
    at, go, out = threading.Event(), threading.Event(), []
    d = make("def G():\n r = [{v}, B()]\n try: yield\n finally: r.append(B()); out.append(r)\ndef B(): return {v}",
             out=out)

    def work():
        g = d[0]["G"]()
        next(g)
        kept = weakref.ref(g, lambda reference: (at.set(), go.wait(10)))
        del g
        assert kept() is None
    t, kinds = look_beside(work, at, go, d)
    return kinds == ["suspended"] and out == [[0, 0, 0]] and done(t)


@attack()
def references_that_run_nothing():
    """A variable that holds an old generator function, a table of its code, constants of the code around: they are in
    nobody's way."""
    d = make("def G(): yield {v}, B()\ndef H(): yield {v}, B()\n"
             "def outer():\n def N(): yield {v}, B()\n return N\ndef B(): return {v}")
    function, table = d[0]["G"], {"code": d[0]["H"].__code__}
    d[0]["N"], d[1]["N"] = d[0]["outer"](), d[1]["outer"]()
    t = transition(d[0], d[1])
    t.install()
    t.start()
    return len(table) == 1 and done(t, 3) and list(function()) == [(1, 1)]


def stopping_name(text, at, go):
    """A keyword's name whose comparison sets `at` and waits for `go`."""
    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            at.set()
            go.wait(10)
            return str.__eq__(self, other)
    return Name(text)


@attack("hidden")
def keyword_name_that_runs_code():
    """An old plain function's call compares names that are a str's subclass: it has begun with old code, and has no
    frame yet."""
    at, go, out = threading.Event(), threading.Event(), []
    d = make("def F(abc=1): return [{v}, B()]\ndef B(): return {v}")
    t, kinds = look_beside(lambda: out.append(d[0]["F"](**{stopping_name("abc", at, go): 2})), at, go, d)
    return kinds == ["suspended"] and out == [[0, 0]] and done(t)


@attack("hidden")
def keyword_name_that_runs_code_beside_calls_that_are_seen():
    """As above, while other threads stand in calls of the new version of the same function, and of another with its
    code: these are on stacks, and hold their functions, too."""
    at, go, out = threading.Event(), threading.Event(), []
    d = make("def outer():\n def F(wait, abc=1): wait(); return [{v}, B()]\n return F\ndef B(): return {v}")
    for space in d:
        space["F"], space["G"] = space["outer"](), space["outer"]()
    thread = threading.Thread(target=lambda: out.append(d[0]["F"](len_of_nothing, **{stopping_name("abc", at, go): 2})))
    thread.start()
    wait(at)
    t = transition(d[0], d[1], ["F", "G", "B"])
    t.install()
    t.start()
    beside = [standing(d[0], name) for name in ("F", "F", "G")]
    kinds = looked(t)
    go.set()
    thread.join()
    ended = [end() for end in beside]
    return kinds == ["suspended"] and out == [[0, 0]] and ended == [[1, 1]] * 3 and done(t)


def len_of_nothing():
    return len(())


def standing(space, name):
    """A thread stands in a call of space[name](wait): the function that lets it go on, and gives what it returns."""
    at, go, out = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=lambda: out.append(space[name](lambda: (at.set(), go.wait(10)))))
    thread.start()
    wait(at)

    def end():
        go.set()
        thread.join()
        return out[0]
    return end


WAYS = """
def local(g, name): return g(**{name: 2})
def through_partial(g, name): return functools.partial(g, **{name: 2})()
def through_a_method(g, name): return types.MethodType(g, 1)(**{name: 2})
def of_a_class(g, name):
    class C: m = g
    return C().m(**{name: 2})
def by_name(g, name): return operator.methodcaller("m", **{name: 2})(type("C", (), {"m": g})())
def made(g, name): return type("C", (), {"__new__": g})(**{name: 2})
def called(g, name): return type("C", (), {"__call__": g})()(**{name: 2})
def generator(g, name): yield g(**{name: 2})
def generator_in_generator(g, name): yield from generator(g, name)
def list_of(g, name): return list(generator(g, name))[0]
def list_of_lists(g, name): return list(generator_in_generator(g, name))[0]
async def coroutine(g, name): return g(**{name: 2})
def awaited(g, name):
    try: coroutine(g, name).send(None)
    except StopIteration as end: return end.value
async def agenerator(g, name): yield g(**{name: 2})
def iterated(g, name):
    try: agenerator(g, name).__anext__().send(None)
    except StopIteration as end: return end.value
def comprehended(g, name): return [g(**{name: 2}) for _ in "a"][0]
def expressed(g, name): return next(g(**{name: 2}) for _ in "a")
def closed_over(g, name):
    def inner(): return g(**{name: 2})
    return inner()
def temporary(g, name):
    box = [g]
    del g
    return box.pop()(**{name: 2})
"""


@attack("hidden")
def keyword_name_that_runs_code_in_many_ways_of_calling():
    """From 3.14 on bytecode borrows the function from the caller's variables, which the collector sees in generators
    that run."""
    space = {"functools": functools, "operator": operator, "types": types}
    exec(WAYS, space)
    bad = []
    for way in ("local", "through_partial", "through_a_method", "of_a_class", "by_name", "made", "called", "list_of",
                "list_of_lists", "awaited", "iterated", "comprehended", "expressed", "closed_over", "temporary"):
        at, go, out = threading.Event(), threading.Event(), []
        d = make("def F(*args, abc=1): return [{v}, B()]\ndef B(): return {v}")
        name = stopping_name("abc", at, go)
        t, kinds = look_beside(lambda d=d, way=way, out=out, name=name: out.append(space[way](d[0]["F"], name)),
                               at, go, d)
        if kinds != ["suspended"] or out != [[0, 0]] or not done(t):
            bad.append((way, out))
    return not bad


@attack("hidden")
def generator_that_dies_among_many():
    """As generator_that_dies, of one of 40 functions that a patch changes."""
    at, go, out = threading.Event(), threading.Event(), []
    d = make("def G():\n r = [{v}, B()]\n try: yield\n finally: r.append(B()); out.append(r)\ndef B(): return {v}\n"
             + "\n".join(f"def G{n}(): yield {{v}}" for n in range(40)), out=out)

    def work():
        g = d[0]["G"]()
        next(g)
        kept = weakref.ref(g, lambda reference: (at.set(), go.wait(10)))
        del g
        assert kept() is None
    t, kinds = look_beside(work, at, go, d)
    return kinds == ["suspended"] and out == [[0, 0, 0]] and done(t)


@attack()
def references_to_plain_functions():
    """Variables that hold old functions, a table of their codes, functions that share a code: in nobody's way."""
    d = make("def A(): return {v}, B()\ndef H(): return {v}, B()\n"
             "def outer():\n def N(): return {v}, B()\n return N\ndef B(): return {v}")
    function, table = d[0]["A"], {"code": d[0]["H"].__code__}
    d[0]["N"], d[1]["N"] = d[0]["outer"](), d[1]["outer"]()
    others = [d[0]["outer"]() for _ in range(3)]
    t = transition(d[0], d[1])
    t.install()
    t.start()
    return len(table) == 1 and len(others) == 3 and done(t, 3) and function() == (1, 1)
