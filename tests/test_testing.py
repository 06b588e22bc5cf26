"""klpfs.testing: the puppet target answers as docs/DESIGN.md#6 says, the sequencer keeps the order."""
import doctest
import threading

import pytest

import klpfs.testing
from klpfs import KlpError, shadow
from klpfs.testing import ManualClock, Sequencer
from tests.engine.kit import Kit


@pytest.fixture
def kit():
    kit = Kit(vmlinux=["f", "g"])
    kit.engine.enable(kit.patch("p", vmlinux=["f", "g"]), "p")
    return kit


def test_clock():
    """Moves when told to."""
    clock = ManualClock(3)
    clock.advance(4)
    assert clock() == 7


def test_sequencer():
    """Blocks run in the order of their numbers, whichever thread comes first."""
    seq, order = Sequencer(), []

    def run(numbers):
        for number in numbers:
            with seq(number):
                order.append(number)

    threads = [threading.Thread(target=run, args=(numbers,)) for numbers in ((3, 4), (0, 2), (1, 5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4, 5]


def test_sequencer_that_waits_for_nobody():
    """TimeoutError for a turn that does not come, ValueError for one taken twice."""
    seq = Sequencer(timeout=0.01)
    with pytest.raises(TimeoutError, match="turn 1 did not come: 0"):
        with seq(1):
            pass
    with seq(0):
        pass
    with pytest.raises(ValueError):
        with seq(0):
            pass


def test_prepared_dispatchers_answer_what_was(kit):
    """Until the start, to everybody."""
    assert kit.target.call_function(kit.target.spawn(), "f") == "f original"


def test_calls_agree_with_the_nearest_frame(kit):
    """A task inside old code calls old code, a clean one new."""
    old, new = kit.target.spawn(), kit.target.spawn()
    kit.target.call_function(old, "f")
    kit.engine.start()
    assert kit.target.call_function(old, "g") == "g original"
    assert kit.target.call_function(new, "g") == "g by p"
    kit.engine.reverse()
    assert kit.target.call_function(old, "f") == "f original"
    assert kit.target.call_function(new, "f") == "f by p"


def test_suspended_frames_block_and_bring_their_version_along(kit):
    """A generator of old code, resumed by a clean task, calls old code."""
    maker, user = kit.target.spawn(), kit.target.spawn()
    kit.target.call_function(maker, "f")
    frame = kit.target.suspend(maker)
    kit.engine.start()
    assert [b.kind for b in kit.engine.look()] == ["generator"]
    kit.target.resume(user, frame)
    assert kit.target.call_function(user, "g") == "g original"
    kit.target.exit(user)
    assert kit.engine.look() == []


def test_faults_happen_once(kit):
    """And leave nothing."""
    kit.engine.cancel()
    kit.target.faults["resolve"] = 2
    patch = kit.patch("q", vmlinux=["f"])
    with pytest.raises(KlpError) as caught:
        kit.engine.enable(patch, "q")
    assert caught.value.errno == 2 and caught.value.func is patch.objects[0].funcs[0]
    kit.load("q", patch)


@pytest.mark.parametrize("module", [klpfs.testing, shadow])
def test_examples(module):
    """What the docstrings show is so."""
    failed, tried = doctest.testmod(module)
    assert tried and not failed
