"""Attacks by the program itself: functions come and go, the program changes what klpfs holds."""
import functools
import gc
import sys
import threading
import types

from klpfs.cpython.images import image
from klpfs.cpython.looks import collection, suspended
from klpfs.cpython.looks import threads as thread_looks
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks.attack_kit import attack, no_greenlets, wait
from tests.cpython.programs import back, done, entry, make, own_code, transition, try_clean

# ------------------------------------------------------------------------------------------------- entries come and go

@attack()
def functions_come_in_a_started_transition():
    """Functions added to a started transition are dispatchers at once, and who runs them is looked at again."""
    go, at, out = threading.Event(), threading.Event(), []
    d = make("def A():\n r = [{v}, B()]\n at.set(); go.wait(10)\n r.append(B()); return r\ndef B(): return {v}", at=at,
             go=go)
    e = make("def other(): return {v}")
    t = Transition([entry(e[0]["other"], e[1]["other"])])
    t.install()
    t.start()
    thread = threading.Thread(target=lambda: out.append(d[0]["A"]()))
    thread.start()
    wait(at)
    # the thread is seen clean: nothing that it runs is in the transition yet
    t.look if t.clean else t.rounds.look()
    t.add([entry(d[0][k], d[1][k]) for k in "AB"])
    first = try_clean(t)
    here = d[0]["B"]()
    go.set()
    thread.join()
    return not first and here == 1 and out == [[0, 0, 0]] and done(t) and d[0]["B"]() == 1


@attack()
def generator_comes_when_choices_are_remembered():
    """A function that can be suspended joins: from now on nothing may be remembered, also for threads that were."""
    d = make("def G():\n yield {v}, B()\n yield {v}, B()\ndef B(): return {v}")
    t = transition(d[0], d[1], only="B")
    t.install()
    assert t.quiet()
    t.start()
    with no_greenlets():
        d[0]["B"]()
    remembered = bool(t.choices)
    g = d[0]["G"]()         # made of the old code, not run yet
    t.add([entry(d[0]["G"], d[1]["G"])])
    got = list(g)
    return remembered and got == [(0, 0), (0, 0)] and not t.choices and done(t)


@attack()
def module_goes_in_mid_flight():
    """Functions that are dropped stay dispatchers until the end: an old caller of them stays all old."""
    d = make("def A(stop):\n r = [{v}, B()]\n stop(); r.append(B()); return r\ndef B(): return {v}")
    t = transition(d[0], d[1])
    got = []

    def stop():
        t.install()
        t.start()
        got.append(try_clean(t))
    old = d[0]["A"](stop)
    return old == [0, 0, 0] and got == [False] and done(t) and d[0]["B"]() == 1


# ------------------------------------------------------------------------------------------------- the program meddles

@attack()
def program_replaces_the_code_meanwhile():
    """The program gives a function other code in mid-transition: that stays, and is reported."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    d[0]["B"].__code__ = (lambda: 7).__code__
    got = d[0]["A"]()
    return got == (1, 7) and done(t) and d[0]["A"]() == (1, 7) and t.foreign == [d[0]["B"]]


@attack()
def program_replaced_the_code_before():
    """The function does not hold what the transition starts from: it is left alone, and reported at the end."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t1 = transition(d[0], d[1])
    t1.install()
    t1.start()
    assert done(t1)
    d[0]["B"].__code__ = (lambda: 7).__code__
    t2 = back(t1)
    t2.install()
    t2.start()
    return done(t2) and t2.foreign == [d[0]["B"]] and d[0]["A"]() == (0, 7)


@attack()
def program_sets_attributes_meanwhile():
    """Attributes that the program sets on a dispatcher work at once, and stay when it goes."""
    d = make("def A(x=1): return ({v}, x)")
    f = d[0]["A"]
    d[1]["A"].__defaults__ = f.__defaults__
    t = transition(d[0], d[1])
    t.install()
    t.start()
    before = f()
    f.__defaults__ = (5,)
    f.mark = 3
    f.__doc__ = "mine"
    middle = f()
    assert done(t)
    return (before, middle, f()) == ((1, 1), (1, 5), (1, 5)) and f.mark == 3 and f.__doc__ == "mine"


@attack()
def functions_share_one_code_object():
    """Closures made by one factory: one version's code for all of them, each with its own cells, and back."""
    d = make(
        "def make():\n out = []\n for i in range(3):\n  def f(i=i):\n   return ({v}, i, B())\n  out.append(f)\n"
        " return out\ndef B(): return {v}"
    )
    old, new = d[0]["make"](), d[1]["make"]()[0]
    was = [(f.__code__, f.__defaults__, f.__closure__) for f in old]
    code = own_code(new.__code__)
    before = [image.capture(f) for f in old]
    after = [image.Image(code, b.values) for b in before]
    entries = [Entry(f, b, a) for f, b, a in zip(old, before, after)] + [entry(d[0]["B"], d[1]["B"])]
    t = Transition(entries)
    t.install()
    first = [f() for f in old]
    t.start()
    second = [f() for f in old]
    assert done(t)
    third = [f() for f in old]
    t = back(t)
    t.install()
    t.start()
    assert done(t)
    return first == [(0, i, 0) for i in range(3)] and second == third == [(1, i, 1) for i in range(3)] and \
        [f() for f in old] == first and was == [(f.__code__, f.__defaults__, f.__closure__) for f in old]


@attack("nested")
def old_frame_makes_more_functions():
    """An old frame goes on making functions of its own nested code, after that code's functions were switched."""
    d = make(
        "def outer(n, hook):\n out = []\n for i in range(n):\n  def inner(): return ({v}, B())\n"
        "  out.append(inner); hook(i, inner)\n"
        " return out\ndef B(): return {v}"
    )
    t, blocked = [None], []
    new = d[1]["outer"](1, lambda i, f: None)[0]

    def hook(i, inner):
        if i == 0:
            t[0] = Transition([entry(d[0][k], d[1][k]) for k in ("outer", "B")] + [entry(inner, new)])
            t[0].install()
            t[0].start()
        else:
            blocked.append(not try_clean(t[0]))
    made = d[0]["outer"](3, hook)
    with no_greenlets():
        now = [f() for f in made]       # the later ones hold old code, outside the transition: side 0, and all of it
    return all(blocked) and now == [(1, 1), (0, 0), (0, 0)] and done(t[0])


@attack()
def near_the_recursion_limit():
    """A RecursionError in a dispatcher or in the choice leaves nothing half done."""
    d = make("def A(n):\n if not n: return [{v}]\n r = A(n - 1)\n r.append(B()); return r\ndef B(): return {v}\n"
             "def G(n):\n yield {v}, B()")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    failed, limit = 0, sys.getrecursionlimit()
    for n in list(range(20, limit, 37)) + [10]:
        try:
            got = d[0]["A"](n)
            if set(got) != {1}:
                return False
        except RecursionError:
            failed += 1
    return failed > 0 and not t.state.walks.get(threading.get_ident(), 0) and done(t) and set(d[0]["A"](3)) == {1}


@attack()
def exception_out_of_the_choice():
    """A signal handler's exception that breaks into a choice leaves the thread's next choices right."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}\ndef G(): yield {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    raised = 0
    for point in range(1, 40):
        left = [point]

        def tracer(frame, event, arg):
            if frame.f_code.co_filename.endswith("choice.py"):
                left[0] -= event == "line"
                if left[0] == 0 and event == "line":
                    raise KeyError
            return tracer
        sys.settrace(tracer)
        try:
            d[0]["A"]()
        except KeyError:
            raised += 1
        finally:
            sys.settrace(None)
        if d[0]["A"]() != (1, 1):
            return False
    return raised > 10 and done(t)


@attack("quiet")
def collection_inside_a_call():
    """Up to 3.11 a collection can run after a function's code was read and before its frame is there: what a finalizer
    does then must not be remembered for the thread."""
    if not collection.NEEDS_QUIET:
        return None
    at, t, entered, reached = [], [None], [], False
    d = make("def A(*a, **k):\n return ({v}, B())\ndef B(): return {v}")
    n = d[0]

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            frame = sys._getframe(1)
            if frame.f_code is run.__code__ and frame.f_lineno == at[0] and not entered:
                entered.append(1)
                t[0].install()
                t[0].start()
                n["B"]()            # decides for 1: nothing is on this stack yet

    def run(more):
        at[:] = [sys._getframe().f_lineno + 5]
        k, a = {"k": 3}, tuple(range(30))
        Cycle()
        gc.set_threshold(gc.get_count()[0] + more)      # the collection comes with the n-th allocation
        gc.enable()
        got = n["A"](*a, **k)
        gc.disable()
        return got
    threshold = gc.get_threshold()
    gc.disable()
    try:
        for more in range(12):
            gc.set_threshold(700)
            gc.collect()
            t[0] = transition(n, d[1])
            entered.clear()
            with no_greenlets():
                got = run(more)
            if not entered:
                continue
            if got[0] != got[1]:
                return False
            reached = reached or got[0] == 0
            if not done(t[0]):
                return False
            other = back(t[0])
            other.install()
            other.start()
            assert done(other)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    return True if reached else None


@attack()
def specialised_call_sites():
    """Call sites of all kinds that were warmed up see every change at once."""
    d = make('''
import functools
def f(x, y=1): return {v}
def g(x): yield {v}
class C:
    def __init__(s, v): s.v = {v}
    def m(s): return {v}
    def __getattr__(s, n): return {v}
    @property
    def p(s): return {v}
    def __getitem__(s, i): return {v}
    def __call__(s): return {v}
    def __len__(s): return {v}
    def __add__(s, o): return {v}
''')
    n = d[0]
    f, g, C = n["f"], n["g"], n["C"]
    o, cached, partial = C(0), functools.lru_cache(maxsize=0)(f), functools.partial(f, 1)

    def sites():
        bound = o.m
        return {f(1), f(1, 2), f(x=1), f(*(1,)), f(**{"x": 1}), o.m(), bound(), o.p, o[0], o.zz, o(), len(o), o + 1,
                C(1).v, cached(1), partial(), list(map(f, (1,)))[0], next(iter(g(1))), [z for z in g(1)][0],
                functools.reduce(f, (1, 2)), getattr(o, "p")}

    def all_of(space):
        c = vars(space["C"])
        return [space["f"], space["g"], c["p"].fget] + [c[k] for k in sorted(c) if type(c[k]) is types.FunctionType]
    t = Transition([entry(a, b) for a, b in zip(all_of(n), all_of(d[1]))])
    images = {0: [s.before for s in t.switches], 1: [s.after for s in t.switches]}
    for turn in range(8):
        goal = 1 - (turn & 1)
        for _ in range(60):
            if sites() != {1 - goal}:
                return False
        t = Transition([Entry(s, a, b) for s, a, b in zip(all_of(n), images[1 - goal], images[goal])])
        t.install()
        if sites() != {1 - goal}:
            return False
        t.start()
        for _ in range(20):
            if sites() != {goal}:
                return False
        assert done(t)
    return True


@attack()
def finalizers_stay_in_their_threads():
    """A look holds nothing of another thread's when it ends: no finalizer of the program's runs in ours."""
    ran, stop, me = [], [], threading.get_ident()

    class Local:
        def __del__(self):
            ran.append(threading.get_ident() == me)

    def f():
        x = Local()
        return x is None

    def work():
        while not stop:
            f()
    was = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, daemon=True) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(400):
            idents = tuple(thread_looks.idents())
            thread_looks.stacks(idents)
            thread_looks.lines(idents)
            if i % 50 == 0:
                suspended.find([f.__code__])
    finally:
        stop.append(1)
        for thread in threads:
            thread.join()
        sys.setswitchinterval(was)
    return bool(ran) and not any(ran)
