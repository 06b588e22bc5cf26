"""Looks for suspended objects: all that have a frame, or the word that nothing can be said."""
import gc
import threading
import weakref

import pytest

from klpfs.cpython.looks import collection
from klpfs.cpython.looks import suspended as module
from tests.cpython.programs import without


def suspended(code, **more):
    """(why, number) of what is suspended with a frame."""
    why, found, stacks = module.find([code], **more)
    return why, len([r for r in found if module.has_frame(r)])


@pytest.mark.parametrize("few", [0, 12], ids=["by type", "by referrers"])
def test_suspended_objects_of_a_code_are_found(monkeypatch, few):
    """Generators, coroutines, asynchronous generators; not started ones too; not those of another code, nor ended
    ones. A coroutine that was never awaited may be dying, as its warning is shown: of that the code alone is known."""
    monkeypatch.setattr(module, "FEW", few)

    def g():
        yield 1

    async def c():
        pass

    async def ag():
        yield 1

    def other():
        yield 1
    kept = [g(), g(), c(), ag(), other(), g()]
    next(kept[0])
    list(kept[5])
    codes = [g.__code__, c.__code__, ag.__code__]
    running = []
    why, found, stacks = module.find(codes, None, None, running)
    alive = [r() for r in found if module.has_frame(r)]
    known = [kept[0], kept[1], kept[3]]
    assert why is None and len([a for a in alive if a in kept]) == len(known) and all(k in alive for k in known)
    assert id(c.__code__) in running and id(g.__code__) not in running
    kept[1].close(), kept[2].close()
    assert not [r for r in found if r() is kept[1] and module.has_frame(r)]


def test_no_weak_reference_is_made_to_an_asynchronous_generator_that_has_begun():
    """In its finalizer hook it rests, and dies."""
    async def ag():
        yield
    made, running = ag(), []
    with pytest.raises(StopIteration):
        made.asend(None).send(None)
    why, found, _ = module.find([ag.__code__], None, None, running)
    assert (why, found, running) == (None, [], [id(ag.__code__)])


def test_a_code_that_a_generator_only_holds_is_not_its_own():
    """A generator with the code in a local variable refers to it, and does not run it."""
    def g():
        yield 1

    def holder(code):
        yield code
    held = holder(g.__code__)
    next(held)
    assert suspended(g.__code__) == (None, 0)
    del held


def test_a_frozen_heap_is_told():
    def g():
        yield 1
    x = g()
    next(x)
    gc.freeze()
    try:
        assert module.find([g.__code__])[0] == module.resting([g.__code__], weakref.ref, print)[0] == collection.FROZEN
        assert gc.get_freeze_count(), "and it stays frozen: that is the program's business"
    finally:
        gc.unfreeze()
    assert suspended(g.__code__) == (None, 1)


def test_a_collection_under_way_makes_the_look_void(collecting):
    assert module.find([])[0] == module.resting([], weakref.ref, print)[0] == collection.COLLECTING
    with without("gcscan"):
        assert module.find([])[0] is module.resting([], weakref.ref, print)[0] is None
    collecting()
    assert module.find([])[0] is module.resting([], weakref.ref, print)[0] is None


def test_what_is_at_rest_and_what_runs():
    """resting: references, each with the id of what it refers to; of what runs the id alone."""
    def g():
        yield 1
        yield module.resting([g.__code__], weakref.ref, print)
    runs, rests, over = g(), g(), g()
    next(runs)
    list(over)
    why, found, running = next(runs)
    assert why is None and running == [id(runs)] and {id(rests)} <= set(found) <= {id(rests), id(over)}
    assert found[id(rests)]() is rests


def test_no_weak_reference_is_made_to_what_dies():
    """CPython would not clear it any more: it would lead to whatever takes the place of what is gone."""
    inside, go = threading.Event(), threading.Event()

    def generator():
        try:
            yield
        finally:
            inside.set()
            assert go.wait(10)
    made = [generator()]
    next(made[0])
    thread = threading.Thread(target=made.clear)
    thread.start()
    assert inside.wait(10)
    running = []
    why, references, _ = module.find([generator.__code__], None, None, running)
    assert why is None and references == [] and running == [id(generator.__code__)]
    why, references, running = module.resting([generator.__code__], weakref.ref, print)
    assert (why, references, len(running)) == (None, {}, 1)
    go.set()
    thread.join()
    running = []
    assert module.find([generator.__code__], None, None, running)[1] == [] == running
