"""What may hand on is known without a search, and without a trace in the program."""
import gc
import sys

import pytest

from klpfs.cpython.looks import at_address, collection
from klpfs.cpython.switch.choice import CLEAN, RUN
from klpfs.cpython.switch.waiting import AT_ONCE, MANY, Waiting
from tests.cpython.programs import done, entry, make, transition

SOURCE = "def g(inner):\n yield from inner\ndef f(): return {v}"


def started(d):
    t = transition(d[0], d[1])
    t.install()
    t.start()
    return t


def new(code):
    waiting = Waiting()
    waiting.add(code)
    return waiting


def generator():
    yield from "ab"


def test_what_is_noted_is_known_until_it_ends():
    waiting = new(generator.__code__)
    made = waiting.note(generator())
    address = id(made)
    assert list(waiting.known) == [address]
    del made
    assert len(waiting.ended) == 1
    waiting.settle()
    assert not waiting.known and not waiting.ended and not waiting.loose


def test_nothing_is_noted_where_nothing_can_wait():
    waiting = Waiting()
    made = waiting.note(generator())
    assert not waiting.known and made


def test_many_that_end_are_not_kept():
    waiting = new(generator.__code__)
    for _ in range(10 * MANY):
        waiting.note(generator())
    assert len(waiting.known) <= MANY + 2 and len(waiting.ended) <= MANY + 2 and not waiting.loose


def test_an_address_that_another_object_has_is_not_loose():
    waiting = new(generator.__code__)
    for _ in range(50):
        made = waiting.note(generator())
    waiting.loose.add(id(made))
    other = waiting.note(made)
    waiting.settle()
    assert not waiting.loose and list(waiting.known) == [id(other)]


@pytest.mark.skipif(at_address._code_at < 0, reason="this CPython shows no functions of C")
def test_what_dies_is_found_in_its_finally_blocks():
    seen = []

    class Closes:
        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def close(self):
            seen.append([each.gi_code for each in waiting.handing_on(())])

    def generator(inner):
        yield from inner
    waiting = new(generator.__code__)
    made = waiting.note(generator(Closes()))
    next(made)
    del made
    assert seen == [[generator.__code__]] and waiting.handing_on(()) == [] and not waiting.loose


def test_a_signal_handlers_exception_in_an_objects_end_is_not_lost():
    """No bytecode of klpfs's runs there; a trace function stands for the handler."""
    d, lost = make(SOURCE), []
    t = started(d)
    kept = d[0]["g"]([1, 2])
    next(kept)
    plain = t.waiting

    def traced(frame, event, arg):
        if "klpfs" in frame.f_code.co_filename and "dispatcher" not in frame.f_code.co_filename:
            lost.append(frame.f_code.co_name)
    made = [plain.note(generator()) for _ in range(3)]
    for each in made:
        next(each)
    del each
    sys.settrace(traced)
    del made[:]
    sys.settrace(None)
    kept.close()
    assert lost == [] and done(t)


def test_a_long_code_is_worked_out_by_the_agents_thread():
    """Until then anything may be."""
    space = {}
    exec("def short(x):\n yield x\ndef long(x):\n" + " yield x\n" * AT_ONCE, space)
    waiting = new(generator.__code__)
    short, long = space["short"].__code__, space["long"].__code__
    assert None not in waiting.entered(short, id(short)) and waiting.entered(long, id(long)) == (None, None)
    breaths = []
    waiting.read(lambda: breaths.append(1))
    assert None not in waiting.entered(long, id(long)) and not waiting.unread


def test_codes_that_are_gone_are_forgotten():
    waiting = new(generator.__code__)
    for n in range(3 * MANY):
        code = compile("(x for x in ())", "text", "exec").co_consts[0].replace(co_name=f"n{n}")
        waiting.entered(code, id(code))
    del code
    waiting.read(lambda: None)
    assert len(waiting.entries) < MANY


def test_a_transition_is_blind_while_what_waits_can_not_be_known():
    """All calls answer side 0; the look says why; reversed, nothing is in the way."""
    d = make(SOURCE)
    gc.freeze()
    try:
        t = started(d)
        assert t.state.blind and t.mode == RUN and t.started and d[0]["f"]() == 0
        assert [(b.kind, b.name) for b in t.look()] == [(collection.FROZEN, collection.FROZEN)] and t.state.blind
        t.add([entry(*(make("def other(): return {v}")[v]["other"] for v in (0, 1)))])
        assert t.state.blind
        t.reverse()
        assert not t.state.blind and d[0]["f"]() == 0
        t.reverse()
        assert t.state.blind and d[0]["f"]() == 0
    finally:
        gc.unfreeze()
    assert done(t) and d[0]["f"]() == 1


def test_a_blind_transition_can_be_forced():
    d = make(SOURCE)
    gc.freeze()
    try:
        t = started(d)
        t.force()
        assert t.mode == CLEAN and d[0]["f"]() == 1
        t.finish()
    finally:
        gc.unfreeze()


def test_a_collection_is_waited_for(collecting):
    d = make(SOURCE)
    t = transition(d[0], d[1])
    t.breathe = collecting          # the first breath ends it
    t.install()
    t.start()
    assert not t.state.blind and done(t)
