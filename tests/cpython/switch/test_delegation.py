"""What is entered by a throw() or close() that old objects hand on has the version of the nearest object around, on the
stack or not: whatever stands between, whoever throws or closes."""
import opcode
import sys
import threading
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.cpython.switch import delegation
from tests.cpython.programs import done, make, transition

SOURCE = """
def generator(inner, rows):
 row = [{v}]
 rows.append(row)
 try: yield from inner(row)
 except KeyError: row.append(f())
 finally: row.append(f())
async def coroutine(inner, rows):
 row = [{v}]
 rows.append(row)
 try: await inner(row)
 except KeyError: row.append(f())
 finally: row.append(f())
async def asynchronous(inner, rows):
 row = [{v}]
 rows.append(row)
 try:
  async for x in inner(row): yield x
 except KeyError: row.append(f())
 finally: row.append(f())
def closer(made, rows):
 row = [{v}]
 rows.append(row)
 made.close()
 row.append(f())
def f(): return {v}
"""


class Pause:
    def __await__(self):
        yield


class Own:
    """An object that is waited for, with a throw() and a close() of its own."""

    def __init__(self, inner):
        self.inner = inner if hasattr(inner, "send") else inner.__await__()

    def __await__(self):
        return self
    __iter__ = __await__

    def __next__(self):
        return self.inner.send(None)

    def send(self, value):
        return self.inner.send(value)

    def throw(self, *error):
        return self.inner.throw(*error)

    def close(self):
        self.inner.close()


class Awaits:
    """An awaitable that gives the awaitable's own iterator."""

    def __init__(self, inner):
        self.inner = inner

    def __await__(self):
        return self.inner.__await__()


class Chain:
    """Makes objects that wait for each other. Each maker takes the rows of the old objects around: what is innermost
    notes there what it reaches; an old object notes its own version, and what it reaches itself."""

    def __init__(self, space):
        self.space, self.rows = space, []

    def innermost(self, kind):
        def note(rows):
            for row in rows:
                row.append(self.space["f"]())

        def generator(*rows):
            try:
                yield
            except KeyError:
                note(rows)
            finally:
                note(rows)

        async def coroutine(*rows):
            try:
                await Pause()
            except KeyError:
                note(rows)
            finally:
                note(rows)

        async def asynchronous(*rows):
            try:
                await Pause()
                yield
            except KeyError:
                note(rows)
            finally:
                note(rows)
        return {"generator": generator, "coroutine": coroutine, "asynchronous": asynchronous}[kind]

    def around(self, kind, link, inner):
        """(kind, maker) of an object around those that `inner` makes."""
        def generator(*rows):
            yield from inner(*rows)

        async def coroutine(*rows):
            await inner(*rows)

        async def consumer(*rows):
            async for _ in inner(*rows):
                pass
        if link == "old":
            return kind, lambda *rows: self.space[kind](lambda row: inner(row, *rows), self.rows)
        if link == "library" or kind == "asynchronous":
            return {"generator": ("generator", generator), "coroutine": ("coroutine", coroutine),
                    "asynchronous": ("coroutine", consumer)}[kind]
        wrapper = Awaits if link == "awaits" and kind == "coroutine" else Own
        return kind, lambda *rows: wrapper(inner(*rows))

    def make(self, kind, links):
        maker = self.innermost(kind)
        for link in links:
            kind, maker = self.around(kind, link, maker)
        kind, maker = self.around(kind, "library", maker)       # what is thrown into is no old object, and no wrapper
        return maker()


CLOSED = {
    "throw": lambda made, closer: made.throw(KeyError()),
    "throw GeneratorExit": lambda made, closer: made.throw(GeneratorExit()),
    "close": lambda made, closer: made.close(),
    "close by what is patched": lambda made, closer: closer(made),
    "send": lambda made, closer: made.send(None),
    "drop": lambda made, closer: None,
}


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["generator", "coroutine", "asynchronous"]),
       links=st.lists(st.sampled_from(["old", "old", "library", "awaits", "own"]), min_size=1, max_size=6).filter(
           lambda links: "old" in links),
       how=st.sampled_from(list(CLOSED)))
def test_one_version_for_what_old_objects_hand_on(kind, links, how):
    d = make(SOURCE)
    chain = Chain(d[0])
    made = chain.make(kind, links)
    made.send(None)
    old = len(chain.rows)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # Python warns of what throws and what it drops
        try:
            CLOSED[how](made, lambda made: d[0]["closer"](made, chain.rows))
        except (KeyError, GeneratorExit, StopIteration, RuntimeError):
            pass
        del made
    assert [set(row) for row in chain.rows[:old]] == [{0}] * old, chain.rows
    assert [set(row) for row in chain.rows[old:]] == [{1}] * (len(chain.rows) - old), chain.rows
    assert done(t) and d[0]["f"]() == 1


def test_the_nearest_object_decides():
    """A new object that an old one waits for keeps its version, and so does what it hands on to."""
    def inner(row):
        try:
            yield
            yield
        finally:
            row.append(d[0]["f"]())
    d, rows, inside = make(SOURCE), [], []
    old = d[0]["generator"](lambda row: inside[0], rows)        # a call of old code, which has not begun
    t = transition(d[0], d[1])
    t.install()
    t.start()
    new_rows = []
    inside.append(d[0]["generator"](inner, new_rows))
    next(inside[0])
    next(old)
    old.close()
    del old
    assert [set(row) for row in rows] == [{0}] and [set(row) for row in new_rows] == [{1}] and done(t)


def test_another_threads_objects_do_not_decide():
    """While an old object hands on in another thread, a generator that is closed here has the goal's version."""
    d, there, go = make(SOURCE), threading.Event(), threading.Event()
    rows = []

    def holds(row):
        try:
            yield
        finally:
            there.set()
            assert go.wait(10)
            row.append(d[0]["f"]())
    old = d[0]["generator"](holds, rows)
    next(old)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    thread = threading.Thread(target=old.close)
    thread.start()
    assert there.wait(10)
    row = []
    made = Chain(d[0]).innermost("generator")(row)
    next(made)
    made.close()
    blockers = t.look()
    go.set()
    thread.join()
    del old
    assert row == [1] and set(rows[0]) == {0} and blockers and done(t)


@pytest.mark.parametrize("link, noted", [("old", True), ("library", False)])
def test_with_greenlets_about_a_look_is_told_of_a_choice_by_delegation(link, noted):
    """What hands on is on no stack: a look that sees the choice, not yet entered, must know that it may be for the old
    side (rule elsewhere)."""
    pytest.importorskip("greenlet")
    d = make(SOURCE)
    chain = Chain(d[0])
    made, t = chain.make("generator", [link]), transition(d[0], d[1])
    made.send(None)
    t.install()
    t.start()
    made.close()
    assert (t.state.elsewhere.get(threading.get_ident(), 0) > 0) is noted
    del made
    assert done(t)


def test_nobody_is_asked_where_nothing_can_have_been_handed_on(monkeypatch):
    """Only behind a handler, which a throw() or close() leads to, does a choice ask who hands on; and only in
    transitions of code that waits. sum() and the like cost no more than a loop."""
    asked = []
    monkeypatch.setattr(delegation, "side", lambda *args: asked.append(1))
    plain, waiting = make("def f(): return {v}"), make(SOURCE)

    def iterates(f):
        yield f()

    def within(f):
        yield from iterates(f)

    def handles(f):
        try:
            yield
        finally:
            yield f()
    for d, asks in ((plain, 0), (waiting, 1)):
        t = transition(d[0], d[1])
        t.install()
        t.start()
        f = d[0]["f"]
        assert [value for value in within(f)] == [1] == [*iterates(f)] and sum(f() for _ in "ab") == 2 and not asked
        assert list(handles(f)) == [None, 1] and not asked      # on its ordinary way
        made = handles(f)
        next(made)
        assert made.throw(KeyError()) == 1 and len(asked) == asks
        del asked[:], made
        assert done(t)


def test_recursion_without_end_raises_what_it_raises_without_klpfs():
    """At every depth: whatever klpfs calls last before the limit."""
    d = make("async def down(n): return await down(n + 1)\ndef f(): return {v}")
    t, raised = transition(d[0], d[1]), set()

    def deeper(n):
        if n:
            return deeper(n - 1)
        try:
            d[0]["down"](0).send(None)
        except BaseException as e:
            raised.add(type(e))
    t.install()
    t.start()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        for n in range(30):
            deeper(n)
    finally:
        sys.setrecursionlimit(limit)
    assert raised == {RecursionError} and done(t)


@pytest.mark.parametrize("source, waits", [
    ("def f(): yield", False), ("def f(): yield from ()", True), ("async def f(): pass", False),
    ("async def f(): await g()", True), ("async def f():\n async for x in g(): pass", True),
    ("async def f():\n async with g(): pass", True), ("async def f(): yield", False), ("def f(): return 1", False)])
def test_code_that_can_wait(source, waits):
    space = {}
    exec(source, space)
    assert delegation.can_wait(space["f"].__code__) is waits


def test_this_python_has_the_instructions_that_are_known():
    """A new CPython that iterates by another instruction: everything would be searched for."""
    assert "FOR_ITER" in opcode.opmap and ("SEND" in opcode.opmap) != ("YIELD_FROM" in opcode.opmap)
