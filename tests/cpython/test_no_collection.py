"""Collection held off, and put right after whatever cuts it off."""
import gc
import threading

import pytest

from klpfs.cpython import no_collection


def test_a_pair():
    assert gc.isenabled() and no_collection.hold() and not gc.isenabled()
    assert not no_collection.hold(), "the outer one lets go"
    no_collection.let_go()
    assert gc.isenabled()


def test_what_the_program_has_turned_off_stays_off():
    gc.disable()
    try:
        assert not no_collection.hold()
        no_collection.restore()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_hold_that_was_cut_off_is_let_go():
    no_collection.hold()
    no_collection.restore()
    assert gc.isenabled()
    no_collection.restore()
    assert gc.isenabled()


@pytest.mark.parametrize("deadlocks", [True, False])
def test_no_collection_while_the_frames_of_threads_are_asked_for_where_it_would_deadlock(monkeypatch, deadlocks):
    """And as before afterwards, also when that raises (an audit hook may refuse it)."""
    seen = []

    def frames():
        seen.append(gc.isenabled())
        raise RuntimeError
    monkeypatch.setattr(no_collection, "_DEADLOCKS", deadlocks)
    assert threading.get_ident() in no_collection.thread_frames()
    monkeypatch.setattr(no_collection, "_frames", frames)
    with pytest.raises(RuntimeError):
        no_collection.thread_frames()
    assert seen == [not deadlocks] and gc.isenabled()
