"""The record of a function object that ever was under transition: what it remembers, and for how long."""
import gc
import weakref

import pytest

from klpfs.cpython.images import image
from klpfs.cpython.looks import collection
from klpfs.cpython.switch import live_dispatchers
from klpfs.cpython.switch.dispatcher import Switch
from klpfs.cpython.switch.live_dispatchers import NONE, record_of
from tests.cpython.programs import back, done, make, new_image, switch, transition

SOURCE = "def A(x=1):\n return ({v}, B(), x)\ndef B(): return {v}\ndef G():\n yield {v}\n yield B()"


@pytest.fixture
def d():
    return make(SOURCE)


def outlived():
    """(namespaces, a Transition that is over, a coroutine made in it, which can still run its dispatcher)."""
    d = make("async def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = d[0]["f"]()
    assert done(t)
    return d, t, made


def test_what_is_over_is_let_go(d):
    """When no dispatcher can run any more nothing is kept: no transition, no image, no code."""
    t = transition(d[0], d[1])
    t.install()
    t.start()
    d[0]["A"]()
    assert done(t)
    assert [r for r in live_dispatchers._registry.values() if r.dispatchers and r.switch.transition is t] == []
    gone = weakref.ref(switch(t, "A").after.code), weakref.ref(t.switches[0].function_of(1))
    t2 = back(t)
    t2.install()
    t2.start()
    assert done(t2)
    del t, t2
    d[1].clear()
    gc.collect()
    assert gone[0]() is None and gone[1]() is None


def test_a_dispatcher_that_can_still_run_is_kept():
    """A coroutine made in a transition and never awaited keeps its function's record, until it is gone."""
    d, t, made = outlived()
    mine = live_dispatchers.record_of(d[0]["f"])
    assert len(mine.dispatchers) == 1 and mine.switch is t.switches[0]
    made.close()
    del made
    live_dispatchers.prune()
    assert not mine.dispatchers and mine.switch is None


def test_no_dispatcher_that_a_transition_has_noted_goes_before_it():
    """Another code could get its id, and would be a dispatcher to looks and choices."""
    d, _, made = outlived()
    t = transition(d[0], d[2])
    noted = weakref.ref(next(iter(record_of(d[0]["f"]).dispatchers.values())))
    assert id(noted()) in t.side_of_code
    made.close()
    del made
    t.install()
    assert id(noted()) in t.side_of_code and id(noted()) in record_of(d[0]["f"]).dispatchers
    t.start()
    assert done(t)
    live_dispatchers.prune()
    assert noted() is None


def test_a_stale_dispatcher_takes_its_switch_along_when_it_ends():
    """Without a garbage collection, which may be long in coming: what the Switch holds would block transitions."""
    d = make("async def f(): return {v}")
    gc.collect()
    gc.disable()
    try:
        t = transition(d[0], d[1])
        t.install()
        t.start()
        made = d[0]["f"]()
        assert done(t)
        t.forget()
        t = transition(d[0], d[2])
        t.install()
        made.close()
        del made
        t.start()
        assert done(t)
        live_dispatchers.prune()
        assert [each for each in gc.get_objects() if type(each) is Switch and each.transition is not t
                and each.function is d[0]["f"]] == []
    finally:
        gc.enable()


def test_images_put_from_outside_are_what_stale_dispatchers_call():
    """Outside transitions functions get other images (modules come and go): a dispatcher left over calls those."""
    d = make("async def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = d[0]["f"]()
    assert done(t)
    image.put(d[0]["f"], new_image(d[2]["f"]))
    with pytest.raises(StopIteration) as end:
        made.send(None)
    assert end.value.value == 2


def test_a_record_is_in_the_registry_from_the_moment_its_dispatcher_is_put_in(d):
    t = transition(d[0], d[1], only="B")
    record = t.switches[0].record
    assert record_of(d[0]["B"]) is not record, "a transition that is only prepared has remembered nothing"
    t.install()
    assert record_of(d[0]["B"]) is record and record.switch is t.switches[0]
    assert list(record.dispatchers) == [t.switches[0].dispatcher_id] == [id(d[0]["B"].__code__)]
    t.cancel()


def test_a_record_is_its_functions_own():
    """Also where another function had the number before, whose end nobody has noted yet."""
    function, other = make("def f(): return {v}")[0]["f"], make("def g(): return {v}")[0]["g"]
    live_dispatchers._registry[id(other)] = live_dispatchers.Record(function)
    try:
        assert record_of(other).reference() is other
    finally:
        del live_dispatchers._registry[id(other)]


def test_a_function_that_dies_takes_its_record_along(d):
    t = transition(d[0], d[1], only="B")
    t.install()
    t.start()
    function, key = d[0]["B"], id(d[0]["B"])
    coroutines_keep_nothing = weakref.ref(function)
    assert done(t)
    t.forget()
    del function, d[0]["B"], t
    gc.collect()
    live_dispatchers.forget_dead()
    assert coroutines_keep_nothing() is None and key not in live_dispatchers._registry


def test_what_a_force_left_running_is_kept_until_a_transition_saw_it_gone(d):
    t = transition(d[0], d[1], only="B")
    old = d[0]["B"].__code__
    t.install()
    t.start()
    t.force()
    t.finish()
    record = record_of(d[0]["B"])
    assert record.forced_over == {id(old): old}
    t2 = transition(d[0], d[2], only="B")
    t2.install()
    assert t2.side_of_code[id(old)] == 0, "it counts as what was in force before"
    t2.start()
    assert done(t2) and record.forced_over == NONE


def test_nothing_is_dropped_while_a_collection_may_hide_a_call(d, monkeypatch):
    """Up to 3.11: a call holds a code without a reference to it, while the collection that it set off runs."""
    t = transition(d[0], d[1], only="B")
    t.install()
    t.start()
    monkeypatch.setattr(collection, "NEEDS_QUIET", True)
    monkeypatch.setattr(collection, "quiet", lambda: False)
    t.force()
    t.finish()
    record = record_of(d[0]["B"])
    assert record.dispatchers
    monkeypatch.undo()
    live_dispatchers.prune()
    assert not record.dispatchers and record.switch is None


def test_many_records_are_gone_through_in_slices():
    """So that the program gets on: a breath at least every 200 records."""
    d = make("\n".join("def f%d(): return {v}" % i for i in range(401)))
    t = transition(d[0], d[1])
    t.install()
    breaths = []
    live_dispatchers.prune(lambda: breaths.append(1))
    assert len(breaths) >= 2
    t.cancel()
