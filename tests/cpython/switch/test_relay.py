"""What a program sees of generator-like objects made through a dispatcher: what it sees of those made without.

A table: bodies x calls, each run twice. Tracebacks alone may differ.
"""
import asyncio
import gc
import itertools
import re
import sys
import types
import warnings
from weakref import ref

import pytest

from klpfs.cpython.looks import awaits
from klpfs.cpython.switch import delegation, relay, thrown
from tests.cpython.programs import done, make, transition

# STEP: what a body is suspended by; DEF, END: of its flavour. SUB() is waited for as AWAIT says.
BODIES = '''
{DEF} steps(note):
    note(STEP(1))
    note(STEP(2))
    {END}
{DEF} swallows(note):
    try: note(STEP(1))
    except BaseException as e: note(e)
    {END}
{DEF} goes_on(note):
    for i in range(5):
        try: note(STEP(i))
        except BaseException as e: note(e)
        note(sys.exc_info()[1])
        try: raise OSError(i)
        except OSError as e: note(e)
    {END}
{DEF} raises_another(note):
    try: note(STEP(1))
    except BaseException: raise OSError("new")
{DEF} is_handling(note):
    try: raise IndexError("handled")
    except IndexError:
        note(STEP(1))
        note(sys.exc_info()[1])
        STEP(2)
{DEF} pauses_at_the_end(note):
    try: note(STEP(1))
    finally:
        note(sys.exc_info()[1])
        note(STEP(2))
{DEF} fails_at_the_end(note):
    try: note(STEP(1))
    finally: raise OSError("end")
{DEF} raises(note, what):
    STEP(1)
    raise what
{DEF} waits_for_another(note):
    try: note(AWAIT(SUB(note)))
    except BaseException as e: note(e); raise
    STEP(3)
{DEF} handles_once(note):
    try: STEP(1)
    except BaseException: pass
    note(sys.exc_info()[1])
    try: note(STEP(2))
    except BaseException as e: raise ValueError(2) from e
    {END}
'''
FLAVOURS = {
    "generator": ("def", "(yield %s)", "return 'end'", "(yield from %s)"),
    "types_coroutine": ("@types.coroutine\ndef", "(yield %s)", "return 'end'", "(yield from %s)"),
    "coroutine": ("async def", "(await pause(%s))", "return 'end'", "(await %s)"),
    "async_generator": ("async def", "(yield (await pause('p'), %s))", "return", "(await %s)")}
CLOSING = [("throw", GeneratorExit), ("throw", GeneratorExit("g")), ("close",)]
CALLS = [("next",), ("send", "s"), ("throw", KeyError), ("throw", KeyError("k")), ("throw", StopIteration(3)),
         ("throw", StopAsyncIteration), ("del",)]
IGNORED = "ignored GeneratorExit"
# of asynchronous generators: what is done to an awaitable that is suspended by an await
MIDWAY = [("midway", "throw", KeyError("m")), ("midway", "close")]


@types.coroutine
def pause(value):
    return (yield value)


def source(flavour):
    begin, step, end, wait = FLAVOURS[flavour]
    text = BODIES.replace("{DEF}", begin).replace("{END}", end)
    text = re.sub(r"AWAIT\((SUB\(note\))\)", lambda m: wait % m[1], text)
    return re.sub(r"STEP\((\w+)\)", lambda m: step % m[1], text)


def sub_of(flavour):
    """What a body waits for: swallows what is thrown into it, once."""
    if flavour in ("generator", "types_coroutine"):
        def sub(note):
            try:
                yield "sub"
            except BaseException as e:
                note(e)
            return 5
        return sub

    async def coroutine(note):
        try:
            await pause("sub")
        except BaseException as e:
            note(e)
        return 5
    return coroutine


def told(value, depth=4):
    """A value; of an exception, what it says and its context and cause."""
    if not isinstance(value, BaseException) or not depth:
        return value if not isinstance(value, BaseException) else type(value)
    return (type(value), [told(each, depth - 1) for each in value.args], told(value.__context__, depth - 1),
            told(value.__cause__, depth - 1), value.__suppress_context__)


def drive(awaitable):
    """The result of an awaitable that gets "d" for all that it yields."""
    steps = awaitable.__await__()
    try:
        steps.send(None)
        for _ in range(5):
            steps.send("d")
    except StopIteration as end:
        return end.value
    raise AssertionError("no end")


def midway(awaitable, name, *args):
    """What the awaitable does when it is thrown into, or closed, where it is suspended first."""
    steps = awaitable.__await__()
    first = steps.send(None)
    return first, getattr(steps, name)(*args)


def call(made, flavour, name, *args):
    if flavour == "async_generator":
        if name == "midway":
            return midway(made.asend(None), *args)
        method = {"next": "__anext__", "send": "asend", "throw": "athrow", "close": "aclose"}[name]
        return drive(getattr(made, method)(*args))
    if name == "next":
        return made.send(None)
    return getattr(made, name)(*args)


def own_errors(args):
    """The arguments, with exceptions of this call's own: they get a context."""
    return [type(a)(*a.args) if isinstance(a, BaseException) else a for a in args]


def played(function, args, flavour, calls):
    """What the calls give, and what the body notes meanwhile, in order."""
    notes = []
    made = function(lambda value: notes.append(told(value)), *own_errors(args))
    for name, *rest in calls:
        if name == "del":
            del made
            break
        rest = own_errors(rest)
        try:
            raise LookupError("the caller's")
        except LookupError:
            try:
                notes.append((name, told(call(made, flavour, name, *rest))))
            except BaseException as e:      # StopIteration, too
                notes.append((name, told(e), bool(rest) and e is rest[-1]))
    return notes


def table(flavour):
    """(function's name, arguments, calls)."""
    calls = CALLS + CLOSING
    if flavour == "async_generator":
        calls = calls + MIDWAY
    elif sys.version_info[:2] == (3, 10):       # README, Limits
        calls = CALLS
    functions = [(name, ()) for name in ("steps", "swallows", "goes_on", "raises_another", "is_handling",
                                         "pauses_at_the_end", "fails_at_the_end", "waits_for_another", "handles_once")]
    functions += [("raises", (what,)) for what in (GeneratorExit("own"), StopIteration(1), StopAsyncIteration(),
                                                   KeyError("own"))]
    for (name, args), after in itertools.product(functions, itertools.product(calls, repeat=2)):
        yield name, args, after
        yield name, args, (("next",), *after)
        yield name, args, (("next",), *after, ("next",))


def equal(without, through):
    """Whether notes and what was unraisable are the same, up to where an object goes on when it is deleted (it gets
    GeneratorExit again by its own end, after its dispatcher's), or when what awaits it is closed (3.13)."""
    for n, note in enumerate(without[0]):
        if type(note) is tuple and note[0] == "midway" and IGNORED in str(note):
            return without[0][:n + 1] == through[0][:n + 1]
    if without[1] and IGNORED in str(without[1][0]) and IGNORED in str(through[1]):
        return without[0] == through[0][:len(without[0])]
    return without == through


@pytest.fixture
def unraisable(monkeypatch):
    """The exceptions that were raised where nobody can catch them; none comes from an earlier call's garbage."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: found.append(told(args.exc_value)))
    gc.collect()
    gc.disable()
    yield found
    gc.enable()
    gc.collect()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_calls_give_what_they_give_without_a_dispatcher(flavour, unraisable):
    d = make(source(flavour), types=types, sys=sys, pause=pause, SUB=sub_of(flavour))
    t = transition(d[0], d[1])
    t.install()
    t.start()
    differ = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, args, calls in table(flavour):
            got = []
            for space in d[1], d[0]:
                unraisable.clear()
                notes = played(space[name], args, flavour, calls)
                got.append((notes, list(unraisable)))
            if not equal(*got):
                differ += 1
                print(name, args, calls, *got, sep="\n    ")
    assert not differ
    assert done(t)


AG = """
async def ag(note):
    try: yield {v}
    finally:
        await asyncio.sleep(0)
        note({v})
"""


@pytest.fixture
def running():
    """A program's functions in a transition."""
    d = make(AG)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    yield d[0]
    gc.collect()
    assert done(t)


def test_an_asynchronous_generator_that_is_left_is_closed_once_at_its_loops_end(running):
    notes, complaints, left = [], [], []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        left.append(running["ag"](notes.append))
        assert await left[0].__anext__() == 1
    asyncio.run(main())
    assert notes == [1] and complaints == []


def test_an_asynchronous_generator_that_is_dropped_is_closed_by_its_loop(running):
    notes, complaints = [], []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async for _ in running["ag"](notes.append):
            break
        for _ in range(10):
            await asyncio.sleep(0)
        assert notes == [1]
    asyncio.run(main())
    assert complaints == []


@pytest.mark.skipif(sys.version_info[:2] == (3, 10), reason="3.10 has no Relays: a dispatcher's frame must be small there")
@pytest.mark.parametrize("flavour", ["generator", "coroutine"])
def test_what_waits_is_followed_through_a_relay(flavour):
    """By those who ask whom an object hands on to, and for people's eyes; on 3.9 whose frame is around."""
    d = make(source(flavour), types=types, sys=sys, pause=pause, SUB=sub_of(flavour))
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = d[0]["steps"](lambda value: None)
    made.send(None)
    side = (made.gi_yieldfrom if flavour == "generator" else made.cr_await).inner
    assert type(side) is type(made) and side is not made
    assert delegation.waited_for(made) is side
    assert awaits.awaited(ref(made))() is side
    if sys.version_info[:2] == (3, 9):
        assert thrown.around(side.gi_frame if flavour == "generator" else side.cr_frame, None) is \
            (made.gi_frame if flavour == "generator" else made.cr_frame)
    made.close()
    assert done(t)


@pytest.fixture
def hooks():
    """What the thread's hooks for asynchronous generators were called with."""
    before, calls = sys.get_asyncgen_hooks(), []
    mine = [lambda made: calls.append(("first", id(made))), lambda made: calls.append(("last", id(made)))]
    sys.set_asyncgen_hooks(*mine)
    yield calls, mine
    sys.set_asyncgen_hooks(*before)


def test_hooks_know_the_programs_object_alone(running, hooks):
    calls, mine = hooks
    made = running["ag"](lambda version: None)
    key = id(made)
    assert drive(made.__anext__()) == 1
    assert list(sys.get_asyncgen_hooks()) == mine
    assert calls == [("first", key)]
    del made
    assert calls == [("first", key), ("last", key)]


def test_hooks_are_there_when_an_audit_hook_refuses(running, hooks, monkeypatch):
    """The event of the second hook is refused, when the first is exchanged already."""
    calls, mine = hooks
    real, asked = sys.set_asyncgen_hooks, []

    def refused(firstiter, finalizer):
        asked.append(1)
        if len(asked) > 1:
            return real(firstiter, finalizer)
        real(finalizer=finalizer)
        raise PermissionError("sys.set_asyncgen_hook_firstiter")
    monkeypatch.setattr(relay, "_set_hooks", refused)
    with pytest.raises(PermissionError):
        drive(running["ag"](lambda version: None).__anext__())
    assert list(sys.get_asyncgen_hooks()) == mine


def test_a_generator_that_its_loops_hook_drops_takes_no_step_more(running, hooks, unraisable):
    notes = []
    made = running["ag"](notes.append)
    drive(made.__anext__())
    del made
    assert notes == [] and unraisable == []
