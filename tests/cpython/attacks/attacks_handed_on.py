"""Attacks with objects that hand a throw() or close() on while they are on no stack, in ways that hide them: from the
collector, from weak references, from whoever looks at the instruction below."""
import _thread
import gc
import sys
import threading
import types
import weakref
from types import GeneratorType

from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks.attack_kit import attack, wait
from tests.cpython.programs import done, entry, make, transition, try_clean

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


class Closes:
    """An object of the program's, awaitable, whose close() does something."""

    def __init__(self, close):
        self.closes = close

    def __await__(self):
        return self
    __iter__ = __await__

    def __next__(self):
        return 1

    def close(self):
        return self.closes()


@attack("whose")
def close_of_another_object_is_called_meanwhile_in_another_thread():
    """An old object hands close() on to an object of the program's, which takes a while. New code closes others."""
    p, inside, go, row = Program(has_old=False), threading.Event(), threading.Event(), []
    old = p.d[0]["coroutine"](lambda old_row: Closes(lambda: (inside.set(), go.wait(10))), p.rows)
    old.send(None)
    p.begin()
    thread = threading.Thread(target=old.close)
    thread.start()
    wait(inside)
    p.d[0]["closer"](Closes(lambda: row.append(p.d[0]["f"]())).close, row)
    go.set()
    thread.join()
    old = None
    return row == [1, 1, 1] and done(p.t)


@attack("whose")
def old_and_new_object_hand_on_at_once():
    """The nearest decides: the new one, whose close() is called in the old one's."""
    p = Program(has_old=False)
    old = p.d[0]["coroutine"](lambda row: Closes(lambda: made.close()), p.rows)
    old.send(None)
    p.begin()
    made = p.d[0]["coroutine"](lambda row: Closes(lambda: row.append(p.d[0]["f"]())), p.rows)
    made.send(None)
    old.close()
    old = made = None
    return p.rows[1] == [1, 1, 1] and done(p.t)


@attack()
def generator_at_the_bottom_of_a_thread_is_in_a_call():
    """It has no frame below, and its last variable is what another thread closes: it hands nothing on."""
    p, inside, go, row = Program(has_old=False), threading.Event(), threading.Event(), []
    shared, over = Closes(lambda: row.append(p.d[0]["f"]())), threading.Event()

    def waits(old_row, held=shared):
        inside.set()
        go.wait(10)
        over.set()
        yield
    made = p.d[0]["generator"](waits, p.rows)
    _thread.start_new_thread(next, (made,))
    wait(inside)
    p.begin()
    p.d[0]["closer"](shared.close, row)
    go.set()
    wait(over)
    while made.gi_running:
        pass
    made.close()
    made = None
    return row == [1, 1, 1] and done(p.t)


@attack("blind")
def old_object_is_frozen():
    """Nobody can know it, so no call is new before gc.unfreeze(); reversed, nothing is in the way."""
    p = Program()
    gc.freeze()
    try:
        p.begin()
        blockers = try_clean(p.t)
        p.old.close()
        p.old = None
        p.t.reverse()
        p.t.reverse()
        still = p.d[0]["f"]()
    finally:
        gc.unfreeze()
    return not blockers and still == 0 and p.right()


@attack("blind")
def transition_begins_in_a_collection_that_has_found_an_old_object_to_be_garbage():
    """It is in no list. What the collection finalizes before it begins the transition, and closes it then."""
    p, inside, go = Program(has_old=False), threading.Event(), threading.Event()

    class Cycle:
        def __init__(self):
            self.me, self.old = self, p.generator()         # younger: it is finalized later

        def __del__(self):
            inside.set()
            go.wait(10)
            self.old.close()
    Cycle()
    thread = threading.Thread(target=gc.collect)
    thread.start()
    wait(inside)
    p.begin()
    go.set()
    thread.join()
    return p.right()


@attack("delegation")
def function_comes_while_an_old_object_of_it_waits():
    p = Program()
    p.t = transition(p.d[0], p.d[1], "f")
    p.begin()
    p.t.add([entry(p.d[0]["generator"], p.d[1]["generator"])])
    p.old.close()
    p.old = None
    return p.right()


@attack("delegation")
def dispatcher_of_a_transition_without_anything_that_waits_makes_an_object_in_the_next():
    waits = make(SOURCE)
    waits[0]["f"] = waits[1]["f"]
    plain = make("async def coroutine(inner, rows): return 0\ndef f(): return {v}")
    first = transition(plain[0], plain[1])
    first.install()
    first.start()
    rows: list = []

    def library(row):
        try:
            yield
        finally:
            row.append(plain[0]["f"]())
    made = plain[0]["coroutine"](types.coroutine(library), rows)
    if not done(first):
        return False
    second = transition(plain[0], waits[2])
    second.install()
    second.start()
    made.send(None)
    second.reverse()
    made.close()
    made = None
    return rows == [[2, 2, 2]] and done(second)


@attack("delegation")
def body_makes_the_function_again():
    """What a body makes again is no dispatcher, and notes nothing."""
    at, go, row = threading.Semaphore(0), threading.Semaphore(0), []

    def stop():
        at.release()
        go.acquire()

    def library(row):
        try:
            yield
        finally:
            row.append(space["f"]())
    space = {"stop": stop, "__name__": "app"}
    text = ("def f(): return 0\nfor i in range(2):\n def g(inner, row):\n  row.append(0)\n  try: yield from inner(row)\n"
            "  finally: row.append(f())\n stop()\n")
    thread = threading.Thread(target=lambda: exec(compile(text, "app0.py", "exec"), space))
    thread.start()
    at.acquire()
    new = make("def f(): return 1\ndef g(inner, row):\n row.append(1)\n try: yield from inner(row)\n"
               " finally: row.append(f())")[1]
    t = Transition([entry(space[name], new[name]) for name in "fg"])
    t.install()
    t.start()
    go.release()
    at.acquire()
    made = space["g"](library, row)
    next(made)
    made.close()
    go.release()
    thread.join()
    made = None
    return row == [0, 0, 0] and done(t)


@attack("delegation")
def object_around_has_handled_an_exception_before():
    """Up to 3.12 None stays where the exception was, behind what it waits for."""
    d = make("""
def generator(inner, row):
 row.append({v})
 try: {}['no']
 except KeyError: pass
 try: yield from inner(row)
 finally: row.append(f())
def f(): return {v}
""".replace("{}", "dict()"))
    row: list = []

    def between(row):
        try:
            raise KeyError
        except KeyError:
            pass
        yield from library(row)

    def library(row):
        try:
            yield
        finally:
            row.append(d[0]["f"]())
    olds = [d[0]["generator"](inner, row) for inner in (library, between)]
    for old in olds:
        next(old)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    for old in olds:
        old.close()
    old = olds = None
    return set(row) == {0} and done(t)
