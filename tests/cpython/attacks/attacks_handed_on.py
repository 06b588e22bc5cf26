"""Attacks with objects that hand a throw() or close() on while they are on no stack, in ways that hide them: from the
collector, from weak references, from whoever looks at the instruction below."""
import gc
import sys
import threading
import weakref
from types import GeneratorType

from tests.cpython.attacks.attack_kit import attack, wait
from tests.cpython.programs import done, make, transition

SOURCE = """
def generator(inner, rows):
 row = [{v}]
 rows.append(row)
 try: yield from inner(row)
 finally: row.append(f())
async def coroutine(inner, rows):
 row = [{v}]
 rows.append(row)
 try: await inner(row)
 finally: row.append(f())
async def asynchronous(inner, rows):
 row = [{v}]
 rows.append(row)
 try:
  await inner(row)
  yield
 finally: row.append(f())
def closer(what, row):
 row.append({v})
 what()
 row.append(f())
def f(): return {v}
"""


class Program:
    """A program, mostly with an old generator that waits, and what came of it."""

    def __init__(self, has_old=True):
        self.d, self.rows = make(SOURCE), []
        self.old = self.generator() if has_old else None
        self.t = transition(self.d[0], self.d[1])

    def library(self, row):
        try:
            yield
        finally:
            row.append(self.d[0]["f"]())

    def generator(self):
        made = self.d[0]["generator"](self.library, self.rows)
        next(made)
        return made

    def begin(self):
        self.t.install()
        self.t.start()

    def right(self):
        """Whether all rows are of one version each, and the transition comes to its end."""
        return self.rows and not [row for row in self.rows if len(set(row)) > 1 or len(row) < 3] and done(self.t)


@attack("delegation")
def closed_in_the_middle_of_a_for_loop():
    """The frame below stands at an instruction that iterates; it iterates something else."""
    p = Program()
    p.begin()
    for _ in map(GeneratorType.close, [p.old]):
        pass
    p.old = None
    return p.right()


@attack("delegation")
def dropped_by_what_a_for_loop_runs_to_its_end():
    """A generator that holds the old one ends in the loop."""
    p = Program()

    def holds(old):
        yield
    holder, p.old = holds(p.old), None
    p.begin()
    for _ in holder:
        pass
    return p.right()


@attack("delegation")
def collected_in_a_cycle():
    """What a collection has found to be garbage is in no list of the collector's, and its weak references are
    cleared."""
    p = Program()
    gc.disable()            # or it is collected before the transition begins
    try:
        cycle = [p.old]
        cycle.append(cycle)
        cycle, p.old = None, None
        p.begin()
        gc.collect()
    finally:
        gc.enable()
    return p.right()


@attack("delegation")
def collected_in_a_cycle_after_a_reversal():
    """The same with an object that a dispatcher has made."""
    p = Program(has_old=False)
    p.begin()
    gc.disable()
    try:
        cycle = [p.generator()]
        cycle.append(cycle)
        p.t.reverse()
        cycle = None
        gc.collect()
    finally:
        gc.enable()
    return p.right()


@attack("delegation")
def callback_of_a_weak_reference_asks_first():
    """Something else is closed by a callback while the old object dies, before its own close."""
    p, other = Program(), []
    made = p.library(other)
    next(made)
    kept = weakref.ref(p.old, lambda reference: made.close())
    p.begin()
    p.old = None
    return kept() is None and len(other) == 1 and p.right()


@attack("delegation")
def asynchronous_generator_dies_while_it_waits():
    """An asynchronous generator that a dispatcher has made; no event loop's hook is told of it."""
    p = Program(has_old=False)

    class Leaf:
        def __init__(self, row):
            self.row = row

        def __await__(self):
            return p.library(self.row)
    p.begin()
    made = p.d[0]["asynchronous"](Leaf, p.rows)
    step = made.asend(None)
    step.send(None)
    p.t.reverse()
    step = made = None
    return p.right()


@attack("delegation")
def default_of_anext_stands_between():
    """`await anext(made, default)`: an object of C's around what asend() gives."""
    if sys.version_info < (3, 10):
        return None
    p, kept = Program(has_old=False), []

    async def asynchronous(row):
        try:
            await Pause()
            yield
        finally:
            row.append(p.d[0]["f"]())

    def inner(row):
        kept.append(asynchronous(row))
        return anext(kept[0], None)         # noqa: F821  # from 3.10 on
    made = p.d[0]["coroutine"](inner, p.rows)
    made.send(None)
    p.begin()
    try:        # up to 3.12 its close() does nothing
        made.close() if sys.version_info >= (3, 13) else made.throw(KeyError())
    except (KeyError, StopIteration, RuntimeError):
        pass
    made = None
    return p.right()


class Pause:
    def __await__(self):
        yield


@attack("delegation")
def called_in_one_transition_begun_in_the_next():
    """A generator's dispatcher of an earlier transition makes its object in the newest, which must know it."""
    p = Program(has_old=False)
    p.begin()
    made = p.d[0]["generator"](p.library, p.rows)
    if not done(p.t):
        return False
    second = transition(p.d[0], p.d[2])

    def under_an_old_frame():
        second.install()
        second.start()
        next(made)
    row: list = []
    p.d[0]["closer"](under_an_old_frame, row)
    made.close()
    made = None
    p.t = second
    return p.right()


@attack("delegation")
def trace_function_is_called_in_the_search():
    """What interrupts a choice that asks who hands on asks itself."""
    p, inside = Program(has_old=False), []

    def traced(frame, event, arg):
        if "delegation" in frame.f_code.co_filename:
            inside.append(p.d[0]["f"]())

    def library(row):
        try:
            yield
        finally:
            sys.settrace(traced)
            row.append(p.d[0]["f"]())
            sys.settrace(None)
    p.library = library
    made = p.generator()
    p.begin()
    made.close()
    made = None
    return p.right() and set(inside) == {0}


@attack()
def object_that_runs_in_another_thread_holds_what_is_closed_here():
    """An old generator that really runs, elsewhere, has a library's generator as its last variable: it hands nothing
    on."""
    p, there, go, row = Program(has_old=False), threading.Event(), threading.Event(), []
    mine = p.library(row)
    next(mine)

    def runs(old_row):
        there.set()
        go.wait(10)
        old_row.append(p.d[0]["f"]())
        yield
    made = p.d[0]["generator"](lambda old_row: (lambda held: runs(old_row))(mine), p.rows)
    thread = threading.Thread(target=lambda: list(made))
    thread.start()
    wait(there)
    p.begin()
    p.d[0]["closer"](mine.close, row)
    go.set()
    thread.join()
    made = None
    return len(set(row)) == 1 and p.right()
