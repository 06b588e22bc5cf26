"""C iterators run in one call, with garbage collection off meanwhile and as it was afterwards."""
import gc

import pytest

from klpfs.cpython.looks import threads
from klpfs.cpython.looks.atomic import call, everything, restoring, silent, still


def test_garbage_collection_is_on_again_when_a_look_raises(monkeypatch):
    """An audit hook of the program's may forbid the look."""
    def forbidden():
        raise RuntimeError("forbidden")
    monkeypatch.setattr(threads, "FRAMES", forbidden)
    with pytest.raises(RuntimeError):
        threads.idents()
    assert gc.isenabled()


def test_nothing_happens_before_the_iterator_is_run():
    ran = []
    work = still(call(ran.append, 1))
    assert ran == [] and gc.isenabled()
    assert list(work) == [None] and ran == [1]


def test_silent_runs_to_the_end_and_gives_nothing():
    ran = []
    assert list(silent(map(ran.append, range(3)))) == [] and ran == [0, 1, 2]


@pytest.mark.parametrize("enabled", [True, False])
def test_collection_is_off_inside_and_as_it_was_outside(enabled):
    """A program that had collection off finds it off."""
    (gc.enable if enabled else gc.disable)()
    try:
        assert list(still(call(gc.isenabled))) == [False] and gc.isenabled() is enabled

        @restoring
        def raising():
            "of raising"
            return list(still(map(lambda x: 1 // x, (1, 0))))
        with pytest.raises(ZeroDivisionError):
            raising()
        assert gc.isenabled() is enabled and (raising.__name__, raising.__doc__) == ("raising", "of raising")
    finally:
        gc.enable()


def test_everything_is_two_views_of_one_moment_and_keeps_nothing():
    class Marked:
        pass
    marked = Marked()
    a, b = everything()
    ours = [obj for obj, same in zip(a, b) if type(obj) is Marked and obj is same]
    assert ours == [marked]
    list(a)
    del ours
    alive = [Marked()]
    a, b = everything()
    list(map(id, a)), list(map(id, b))
    gone = [id(alive.pop())]
    assert gone and not [obj for obj in gc.get_objects() if type(obj) is Marked and obj is not marked]
