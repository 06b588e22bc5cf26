"""What may hand on is known without a search, and without a trace in the program."""
import gc
import os
import sys

import pytest

import klpfs
from klpfs.cpython.looks import at_address, collection, handing_on
from klpfs.cpython.switch import waiting as waiting_module
from klpfs.cpython.switch.choice import CLEAN, RUN
from klpfs.cpython.switch.waiting import AT_ONCE, MANY, Waiting
from tests.cpython.programs import done, entry, make, transition
from tests.cpython.switch.test_interrupts import with_points

KLPFS = os.path.dirname(klpfs.__file__)
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


def test_what_another_thread_notes_at_the_same_address_is_not_forgotten(monkeypatch):
    """Memory that a generator leaves is the next one's; here it is noted while the end of the first is looked into."""
    waiting = new(generator.__code__)
    address = id(waiting.note(generator()))
    other = generator()

    def there(place, ids):
        noted = waiting_module._Known(other)
        noted.address = address
        waiting.known[address] = noted
        return at_address.GONE
    monkeypatch.setattr(at_address, "there", there)
    waiting.settle()
    assert waiting.known[address]() is other and not waiting.ended


def test_nor_is_it_where_what_has_ended_is_removed(monkeypatch):
    waiting = new(generator.__code__)
    ended, other = [waiting.note(generator()) for _ in range(MANY + 2)], generator()
    for made in ended:
        made.close()
    address = id(ended[0])
    real = handing_on.that_have_ended

    def that_have_ended(references):
        over = real(references)
        waiting.known[address] = waiting_module._Known(other)
        return over
    monkeypatch.setattr(handing_on, "that_have_ended", that_have_ended)
    assert waiting.handing_on(()) == [] and list(waiting.known) == [address] and waiting.known[address]() is other


def test_what_ends_while_it_is_searched_for_is_not_kept(monkeypatch):
    """A call of another thread's forgets what has ended, as soon as its address is known."""
    made = [generator()]
    next(made[0])
    waiting = new(generator.__code__)

    class Known(waiting_module._Known):
        __slots__ = ()

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if self() in made:
                made.clear()
                waiting.settle()
    monkeypatch.setattr(waiting_module, "_Known", Known)
    waiting.find([generator.__code__])
    assert not made and not waiting.known and not waiting.ended


def test_a_signal_handlers_exception_in_an_objects_end_is_not_lost():
    """No bytecode of klpfs's runs there; a trace function stands for the handler."""
    d, lost = make(SOURCE), []
    t = started(d)
    kept = d[0]["g"]([1, 2])
    next(kept)
    plain = t.waiting

    def traced(frame, event, arg):
        if frame.f_code.co_filename.startswith(KLPFS) and "dispatcher" not in frame.f_code.co_filename:
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


def test_nothing_is_lost_where_a_signal_handler_raises(monkeypatch):
    """Behind any expression of `settle`: the next time does what is left."""
    points, at = [], [0]

    def point(value=None):
        points.append(1)
        if len(points) == at[0]:
            raise KeyboardInterrupt
        return value
    monkeypatch.setattr(waiting_module, "_point", point, raising=False)
    monkeypatch.setattr(Waiting, "settle", with_points(Waiting.settle))
    for at[0] in range(1, 500):
        waiting = new(generator.__code__)
        made = [waiting.note(generator()) for _ in range(3)]
        del made
        points.clear()
        try:
            waiting.settle()
            break
        except KeyboardInterrupt:
            pass
        waiting.settle()
        assert not waiting.known and not waiting.ended, at
    assert 10 < at[0] < 499


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


def test_a_forced_transition_is_not_blind_again():
    """Calls have answered side 1 since the force, and may run."""
    d = make("def g(inner):\n yield from inner\ndef A(call):\n call()\n return ({v}, B())\ndef B(): return {v}")
    gc.freeze()
    try:
        t = started(d)
        t.force()

        def turn_twice():
            t.reverse()
            assert not t.state.blind
            t.reverse()
            assert not t.state.blind
        assert d[0]["A"](turn_twice) == (1, 1)
    finally:
        gc.unfreeze()
    assert done(t)


def test_codes_may_come_while_a_call_asks_which_can_wait():
    """The agent's thread adds functions; here at each step of the program's call."""
    t = started(make(SOURCE))

    class Ids(set):
        def __contains__(self, key):
            t.codes[len(t.codes)] = None
            return set.__contains__(self, key)
    ids, codes = t.waiting.ids, dict(t.codes)
    t.waiting.ids = Ids(ids)
    assert {id(code) for code in t.waiting_codes()} == ids and len(t.codes) > len(codes)
    t.waiting.ids = ids
    t.codes.clear()
    t.codes.update(codes)
    assert done(t)


def test_a_collection_is_waited_for(collecting):
    d = make(SOURCE)
    t = transition(d[0], d[1])
    t.breathe = collecting          # the first breath ends it
    t.install()
    t.start()
    assert not t.state.blind and done(t)
