"""Dispatchers: the flavour, names, free variables and, where possible, the signature of what they stand in for."""
import asyncio
import inspect
import sys
import types
import weakref

import pytest

from klpfs.cpython.switch.switching import Transition
from klpfs.engine.error import KlpError
from tests.cpython.programs import done, entry, make, new_image, transition

SOURCE = '''
import types
log = []
def outer():
    z = 10
    def p(a, /, b, *c, d=4, **e): return ({v}, a, b, c, d, e, z)
    def k(a, b=2, *, c, d=3): return ({v}, a, b, c, d)
    def g(a): yield ({v}, z, a)
    async def c(a): return ({v}, z, a)
    async def ag(g, v, s, e): yield ({v}, z, g, v, s, e)
    @types.coroutine
    def tc(a):
        yield a
        return ({v}, z)
    class K:
        def m(self): return ({v}, __class__, super().__repr__, self.__private)
        __private = 7
    return p, k, g, c, ag, tc, K.m
fs = outer()
def gt(x):
    got = []
    try:
        while True:
            try: got.append((yield len(got)))
            except KeyError: got.append("K")
    except GeneratorExit: log.append(({v}, got)); raise
async def agt(x):
    got = []
    try:
        while True:
            try: got.append((yield len(got)))
            except KeyError: got.append("K")
    except GeneratorExit: log.append(({v}, got)); raise
def back():
    got = yield 1
    return ({v}, got)
async def slow(x):
    await asyncio.sleep(0)
    return ({v}, x)
def differs(a, b=1): return ({v}, a, b)
'''


@pytest.fixture
def d():
    return make(SOURCE)


def entries(d):
    olds, news = d[0]["fs"], d[1]["fs"]
    for a, b in zip(olds, news):        # the very same defaults: one parameter list serves both
        b.__defaults__, b.__kwdefaults__ = a.__defaults__, a.__kwdefaults__
    return [entry(a, b) for a, b in zip(olds, news)]


@pytest.fixture
def running(d):
    """A started transition of SOURCE's nested functions, and the functions."""
    signatures = [str(inspect.signature(f)) for f in d[0]["fs"]]
    t = Transition(entries(d))
    t.install()
    t.start()
    yield t, d[0]["fs"], signatures
    assert done(t)
    assert d[0]["fs"][0](1, 2)[0] == 1


def test_signatures_stay_in_mid_transition(running):
    t, fs, signatures = running
    assert [str(inspect.signature(f)) for f in fs] == signatures


def test_flavours_stay_in_mid_transition(running):
    t, (p, k, g, c, ag, tc, m), _ = running
    assert inspect.isgeneratorfunction(g) and inspect.iscoroutinefunction(c) and inspect.isasyncgenfunction(ag)
    assert not inspect.isgeneratorfunction(p) and not inspect.iscoroutinefunction(k)
    made = c(1)
    assert inspect.isawaitable(tc(1)) and made.__name__ == "c" and inspect.getcoroutinestate(made) == "CORO_CREATED"
    made.close()
    assert (p.__name__, p.__qualname__, p.__code__.co_name) == ("p", "outer.<locals>.p", "p")


def test_arguments_of_all_kinds_arrive(running):
    t, (p, k, g, c, ag, tc, m), _ = running
    assert p(1, 2, 3, d=5, x=6) == (1, 1, 2, (3,), 5, {"x": 6}, 10)
    assert p(1, 2) == (1, 1, 2, (), 4, {}, 10)
    assert k(1, c=5) == (1, 1, 2, 5, 3) and k(b=1, a=2, c=3, d=4) == (1, 2, 1, 3, 4)
    with pytest.raises(TypeError, match=r"k\(\) missing 1 required keyword-only argument: 'c'"):
        k(1)
    with pytest.raises(TypeError, match=r"p\(\) missing 1 required positional argument: 'a'"):
        p(a=1, b=2)
    assert list(g(1)) == [(1, 10, 1)]


def test_closures_classes_and_super_are_the_functions_own(running, d):
    t, fs, _ = running
    cell = fs[6].__closure__[0].cell_contents
    assert fs[6].__code__.co_freevars == ("__class__",)
    made = cell()
    version, cls, rep, private = made.m()
    assert version == 1 and cls is cell and private == 7 and rep() == object.__repr__(made)


def test_coroutines_and_asynchronous_generators(running):
    t, (p, k, g, c, ag, tc, m), _ = running

    async def user():
        return await c(1), [x async for x in ag(1, 2, 3, 4)], await wrap()

    async def wrap():
        return await tc(None)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(user()) == ((1, 10, 1), [(1, 10, 1, 2, 3, 4)], (1, 10))
    loop.close()


def test_send_throw_close_and_return_pass_through(d):
    """Through the dispatchers of a generator and of an asynchronous generator."""
    t = Transition([entry(d[0][n], d[1][n]) for n in ("gt", "agt", "back", "slow")])
    t.install()
    t.start()
    x = d[0]["gt"](1)
    next(x)
    x.send("a")
    x.throw(KeyError)
    x.close()

    async def drive():
        y = d[0]["agt"](1)
        await y.__anext__()
        await y.asend("b")
        await y.athrow(KeyError)
        await y.aclose()
        return await d[0]["slow"](5)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(drive()) == (1, 5)
    loop.close()
    assert d[0]["log"] == [(1, ["a", "K"]), (1, ["b", "K"])], "the new code, in the program's globals"
    r = d[0]["back"]()
    next(r)
    with pytest.raises(StopIteration) as end:
        r.send("x")
    assert end.value.value == (1, "x")
    assert done(t)


def test_a_body_chooses_at_its_first_step(d):
    """A coroutine made in PREPARE runs the new version when its first step comes after the start."""
    t = Transition([entry(d[0]["slow"], d[1]["slow"])])
    t.install()
    made, other = d[0]["slow"](1), d[0]["slow"](2)
    other.send(None)
    t.start()
    made.send(None)
    results = []
    for c in (made, other):
        with pytest.raises(StopIteration) as end:
            c.send(None)
        results.append(end.value.value)
    assert results == [(1, 1), (0, 2)]
    assert done(t)


def test_other_defaults_are_bound_by_each_version(d):
    """The dispatcher, with another signature or other defaults, passes on what it gets."""
    space = make("def f(a, b={v}, *c, x{v}=5): return ({v}, a, b, c, x{v})")
    f = space[0]["f"]
    t = Transition([entry(f, space[1]["f"])])
    t.install()
    assert f(1) == (0, 1, 0, (), 5)
    t.start()
    assert f(1) == (1, 1, 1, (), 5) and f(1, x1=2) == (1, 1, 1, (), 2)
    with pytest.raises(TypeError):
        f(1, x0=2)
    assert done(t) and f(1) == (1, 1, 1, (), 5)


@pytest.mark.parametrize("name", ["a", "k", "g"])
@pytest.mark.parametrize("kind", ["return", "yield"])
def test_a_free_variable_may_be_named_as_the_dispatchers_own_are(name, kind):
    """Where the parameters differ, so that the dispatcher has its own."""
    space = make(f"def outer({name}):\n def f(x, y{{v}}=5): {kind} ({{v}}, {name}, x)\n return f")
    f, new = space[0]["outer"](7), space[1]["outer"](7)
    t = Transition([entry(f, new)])
    t.install()
    t.start()
    assert (f(2) if kind == "return" else next(f(2))) == (1, 7, 2)
    assert done(t)


@pytest.mark.parametrize("of_both", [True, False], ids=["the same parameters", "others"])
def test_a_wrong_call_fails_at_once_unless_the_parameters_change(of_both):
    """Of a generator function: which version's parameters count is chosen at the first step (README, Limits)."""
    space = make("def f(a%s): yield {v}" % ("" if of_both else ", x{v}=1"))
    t = Transition([entry(space[0]["f"], space[1]["f"])])
    t.install()
    t.start()
    made = []
    with pytest.raises(TypeError):
        made.append(space[0]["f"](1, 2, 3))
        next(made[0])
    assert bool(made) is not of_both and done(t)


def test_each_dispatcher_is_a_code_of_its_own(d):
    """Functions of one signature do not share a dispatcher, though it is compiled once."""
    space = make("\n".join("def f%d(a, b): return {v}" % i for i in range(5)))
    fs = [space[0]["f%d" % i] for i in range(5)]
    t = Transition([entry(f, space[1][f.__name__]) for f in fs])
    t.install()
    assert len({id(f.__code__) for f in fs}) == 5
    assert {f.__code__.co_filename for f in fs} == {"<klpfs dispatcher of f%d>" % i for i in range(5)}
    t.cancel()


@pytest.mark.parametrize("new, why", [
    ("def f(): yield", "generator"), ("async def f(): pass", "coroutine"), ("async def f(): yield", "generator")])
def test_a_change_of_flavour_is_refused(new, why):
    space, other = make("def f(): return {v}"), make(new)
    with pytest.raises(KlpError, match=why):
        Transition([entry(space[0]["f"], other[0]["f"])])
    assert space[0]["f"]() == 0


def test_free_variables_that_the_closure_lacks_are_refused():
    space = make("def outer():\n x = 1\n def f(): return x\n return f")
    with pytest.raises(KlpError, match="free variables differ"):
        Transition([entry(make("def f(): return {v}")[0]["f"], space[0]["outer"]())])


def test_what_is_not_a_python_function_is_refused():
    from klpfs.cpython.switch.entry import Entry
    made = new_image(lambda: 1)
    with pytest.raises(KlpError, match="builtin_function_or_method is not a Python function"):
        Transition([Entry(len, made, made)])
    assert type(test_what_is_not_a_python_function_is_refused) is types.FunctionType


@pytest.mark.parametrize("more", [{"__builtins__": {}}, {"GeneratorExit": int, "StopIteration": int}],
                         ids=["no builtins", "other names"])
def test_no_name_of_the_programs_is_asked_for(more):
    d = make("def g(x):\n yield {v}\n raise x\ndef f(): return {v}", **more)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = d[0]["g"](KeyError(1))
    next(made)
    with pytest.raises(KeyError):
        next(made)
    assert done(t)


@pytest.mark.skipif(sys.version_info[:2] == (3, 10), reason="README, Limits: there the arguments stay")
@pytest.mark.parametrize("parameters", ["res", "res, *more, name=1, **named"])
@pytest.mark.parametrize("body", ["yield r() is None", "return r() is None", "yield r() is None; await ()"],
                         ids=["generator", "coroutine", "asynchronous generator"])
def test_what_a_generator_or_coroutine_drops_is_gone(body, parameters):
    kind = "def" if body == "yield r() is None" else "async def"
    d = make(f"{kind} f({parameters}):\n r = weakref.ref(res)\n del res\n {body}\n return", weakref=weakref) \
        if kind == "def" else make(f"{kind} f({parameters}):\n r = weakref.ref(res)\n del res\n {body}",
                                   weakref=weakref)

    class Object:
        pass
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = d[0]["f"](Object())
    step = made if kind == "def" else made.__anext__() if "yield" in body else made
    try:
        got = step.send(None)
    except StopIteration as end:
        got = end.value
    assert got is True
    made = step = None
    assert done(t)


@pytest.mark.parametrize("name", "STFIGNAB")
def test_a_keyword_may_be_named_as_any_of_klpfss_objects(name):
    """A keyword in a call with ** may be a constant of the code."""
    space = make(f"def f(*, {name}=None, **more): return {{v}}, {name}, more")
    f = space[0]["f"]
    t = Transition([entry(f, space[1]["f"])])
    t.install()
    t.start()
    assert f(**{name: 3, "x": 4}) == (1, 3, {"x": 4})
    assert done(t)


EQUAL = "5.5", "'text'", "(1, b'x', (2.5, None))", "-0.0", "10 ** 20", "2j"
DIFFERENT = "[]", "{}", "object()", "0.0 * -{v}", "float('nan') if {v} else 1", "(1, [])", "{v} == 1"


@pytest.mark.parametrize("default", EQUAL + DIFFERENT)
def test_a_default_that_is_equal_leaves_the_signature(default):
    """A literal is an object of its own in each file; what can be changed is never taken for the same."""
    space = make("def f(request, a=%s, *, b=%s): return a" % (default, default))
    f, expected = space[0]["f"], [str(inspect.signature(space[0]["f"])), "(*a_, **k)"]
    t = Transition([entry(f, space[1]["f"])])
    t.install()
    t.start()
    assert str(inspect.signature(f)) == expected[default in DIFFERENT]
    assert repr(f(0)) == repr(space[1]["f"](0)) or default == "object()"
    assert done(t)


def test_no_annotation_is_shown_at_a_parameter_of_the_dispatchers_own():
    """Whether the parameter is the old version's or the new one's."""
    old, new = (make(text)[0]["f"] for text in (
        "def f(a: int, k_: str): return a, k_", "def f(x, *a_: bytes, k: list = 7, **a__: str): return x, a_, k, a__"))
    t = Transition([entry(old, new)])
    t.install()
    t.start()
    assert str(inspect.signature(old)) == "(*a___, **k__)" and old(1, 2, k=3, a=4) == (1, (2,), 3, {"a": 4})
    assert done(t)


def test_an_asynchronous_generator_keeps_nothing_that_it_has_yielded_or_was_sent():
    class Value:
        pass

    def step(awaitable):
        try:
            awaitable.send(None)
        except StopIteration as stop:
            return weakref.ref(stop.value)
    space = make("async def f(Value):\n while True: yield Value()")
    t = transition(space[0], space[1])
    t.install()
    t.start()
    made = space[0]["f"](Value)
    assert step(made.__anext__())() is None
    sent = Value()
    waits, sent = made.asend(sent), weakref.ref(sent)
    assert step(waits)() is None
    del waits
    assert sent() is None and done(t)
