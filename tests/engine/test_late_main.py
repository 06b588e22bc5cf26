"""A late main program: what all patches in force make of its functions, by a transition of this process alone."""
import errno

import pytest

from klpfs import KlpError
from klpfs.engine.core import ARRIVAL_ABANDONED, ARRIVAL_FINISHED
from tests.engine.kit import MAIN, Kit


@pytest.fixture
def kit():
    """Patches a and b are in force; the main program's functions are there, and nobody has told the engine."""
    kit = Kit(m=["h"])
    kit.engine.join_apply(kit.patch("a", vmlinux=["f", "g"], m=["h"]), "a", 0)
    kit.engine.join_apply(kit.patch("b", vmlinux=["f"]), "b", 1)
    kit.target.load(MAIN, ["f", "g"])
    kit.lines()
    return kit


def objects(kit):
    return [(o["patched"], o["loaded"]) for d in kit.engine.describe() for o in d["objects"] if o["name"] == "vmlinux"]


def test_from_the_originals_to_the_top_of_each_stack(kit):
    """pre_patch of each patch, oldest first; who is inside goes on as it was; then images and post_patch."""
    task = kit.target.spawn("early")
    kit.target.call_function(task, "f")
    assert kit.engine.arrive() is True
    assert kit.lines() == ["applying patch 'a' to loading module 'vmlinux'", "a: pre_patch vmlinux",
                           "applying patch 'b' to loading module 'vmlinux'", "b: pre_patch vmlinux"]
    assert kit.target.call_function(task, "g") == "g original" and kit.target.value("f") == "f by b"
    assert [blocker.name for blocker in kit.engine.look_arrival()] == ["early"] and objects(kit) == [(True, True)] * 2
    task.frames.clear()
    assert kit.engine.look_arrival() == []
    kit.engine.finish_arrival()
    assert kit.lines() == ["a: post_patch vmlinux", "b: post_patch vmlinux"] and kit.engine.arrival is None
    assert (kit.target.value("f"), kit.target.value("g")) == ("f by b", "g by a")
    kit.unload(kit.engine.patches[1])
    assert kit.target.value("f") == "f by a"


def test_above_it_a_patch_that_was_loaded_meanwhile(kit):
    """It stays in force; what it lies upon goes below it."""
    kit.load("c", vmlinux=["f"])
    kit.lines()
    assert kit.engine.arrive() and kit.engine.look_arrival() == []
    kit.engine.finish_arrival()
    assert (kit.target.value("f"), kit.target.value("g")) == ("f by c", "g by a")
    kit.unload(kit.engine.patches[2])
    assert kit.target.value("f") == "f by b"


def test_nothing_to_do(kit):
    """The main program is another one; or no patch in force is for it: no transition."""
    kit.target.waiting.add(MAIN)
    assert kit.engine.arrive() is False and kit.lines() == []
    kit.target.waiting.clear()
    for patch in list(kit.engine.patches):
        kit.engine.drop(patch)
    assert kit.engine.arrive() is False and kit.engine.arrival is None


def test_one_at_a_time(kit):
    """EBUSY for other operations meanwhile, and for an arrival in a transition. Modules come and go."""
    kit.engine.arrive()
    for attempt in (kit.engine.arrive, lambda: kit.engine.enable(kit.patch("c"), "c"),
                    lambda: kit.engine.disable(kit.engine.patches[0]), lambda: kit.engine.drop(kit.engine.patches[0])):
        with pytest.raises(KlpError) as caught:
            attempt()
        assert caught.value.errno == errno.EBUSY
    kit.go("m")
    kit.come("m")
    assert kit.target.value("h", "m") == "h by a"
    kit.engine.look_arrival()
    kit.engine.finish_arrival()
    kit.engine.enable(kit.patch("c"), "c")
    with pytest.raises(KlpError) as caught:
        kit.engine.arrive()
    assert caught.value.errno == errno.EBUSY


@pytest.mark.parametrize("fault, left", [("resolve", [(False, True), (True, True)]),
                                         ("pre_patch", [(False, True), (True, True)]),
                                         ("begin", [(False, True), (False, True)])])
def test_what_a_patch_cannot_do(kit, fault, left):
    """The object stays unpatched by it, which the tree and a line tell; the other patches go on."""
    if fault == "pre_patch":
        kit.do["a", "pre_patch", "vmlinux"] = lambda obj: -errno.EXDEV
    else:
        kit.target.faults[fault] = errno.EINVAL
    if kit.engine.arrive():
        kit.engine.look_arrival()
        kit.engine.finish_arrival()
    assert "patch 'a' failed for module 'vmlinux', module 'vmlinux' stays unpatched by it" in kit.lines()
    assert objects(kit) == left
    assert kit.target.value("g") == "g original" and kit.target.value("f") == (
        "f original" if fault == "begin" else "f by b"
    )


def test_force(kit):
    """Leaves the frame behind; the next transition knows of it."""
    task = kit.target.spawn("stuck")
    kit.target.call_function(task, "f")
    kit.engine.arrive()
    kit.engine.force_arrival()
    kit.engine.finish_arrival()
    assert kit.target.value("g") == "g by a"
    kit.engine.enable(kit.patch("c", vmlinux=["f"]), "c")
    kit.engine.start()
    assert [blocker.name for blocker in kit.engine.look()] == ["stuck"]


def test_a_fork_in_a_callback_before_it_starts(kit):
    """The child takes it back, and may begin again: each callback is called once more."""
    def cut(obj):
        raise KeyboardInterrupt
    kit.do["b", "pre_patch", "vmlinux"] = cut
    with pytest.raises(KeyboardInterrupt):
        kit.engine.arrive()
    kit.engine.after_fork()
    del kit.do["b", "pre_patch", "vmlinux"]
    kit.lines()
    assert kit.engine.resume() == ARRIVAL_ABANDONED
    assert kit.lines() == ["a: post_unpatch vmlinux"] and kit.engine.arrival is None
    kit.engine.arrive()
    assert kit.engine.look_arrival() == []
    kit.engine.finish_arrival()
    assert kit.target.value("f") == "f by b"


def test_a_fork_in_a_callback_at_its_end(kit):
    """The child goes on behind it."""
    def cut(obj):
        raise KeyboardInterrupt
    kit.do["a", "post_patch", "vmlinux"] = cut
    kit.engine.arrive()
    kit.engine.look_arrival()
    with pytest.raises(KeyboardInterrupt):
        kit.engine.finish_arrival()
    kit.engine.after_fork()
    kit.lines()
    assert kit.engine.resume() == ARRIVAL_FINISHED
    assert kit.lines() == ["b: post_patch vmlinux"] and kit.engine.arrival is None
