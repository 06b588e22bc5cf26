"""The transition's states, turns and directions; and that a step which a fork cut off goes on from its marks."""
import errno

import pytest

from klpfs import KlpError
from klpfs.engine.core import CANCELED, DISABLED_ON, FINISHED
from klpfs.engine.transition import Transition
from tests.engine.kit import Kit


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g"], m=["h"])


def test_reverse_of_patching(kit):
    """The way back runs post_unpatch and no pre_unpatch; the patch is gone afterwards."""
    patch = kit.patch("p", vmlinux=["f"])
    kit.engine.enable(patch, "p")
    kit.engine.start()
    kit.lines()
    kit.engine.reverse()
    assert not patch.enabled and kit.engine.transition.dir == 0
    kit.finish()
    assert kit.lines() == [
        "'p': reversing transition from patching to unpatching", "'p': starting unpatching transition",
        "'p': completing unpatching transition", "p: post_unpatch vmlinux", "'p': unpatching complete"]
    assert kit.engine.patches == [] and kit.target.live == []


def test_reverse_of_unpatching(kit):
    """Back to patched: post_patch runs, and the patch can be disabled again."""
    patch = kit.load("p", vmlinux=["f"])
    kit.engine.disable(patch)
    kit.lines()
    kit.engine.reverse()
    assert patch.enabled and kit.engine.transition.dir == 1 and kit.engine.transition.goal_of(1) == 0
    kit.finish()
    assert kit.lines() == [
        "'p': reversing transition from unpatching to patching", "'p': starting patching transition",
        "'p': completing patching transition", "p: post_patch vmlinux", "'p': patching complete"]
    assert kit.target.value("f") == "f by p"
    kit.unload(patch)


def test_reverse_any_number_of_times_also_when_clean(kit):
    """What was clean in one direction is to be looked at anew in the other."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start()
    for dir in (0, 1, 0, 1):
        assert kit.engine.look() == [] and kit.engine.transition.clean
        kit.engine.reverse()
        assert kit.engine.transition.dir == dir and not kit.engine.transition.clean
    kit.finish()
    assert kit.target.value("f") == "f by p"


def test_a_finish_that_is_cut_off_behind_its_outcome_is_done_again(kit, monkeypatch):
    """By a look first, as the agent does it: the step has not changed yet, so the target's transition stays."""
    patch = kit.patch("p", vmlinux=["f"])
    kit.engine.enable(patch, "p")
    kit.engine.start()
    assert kit.engine.look() == []
    whole = Transition._switch

    def cut_off(self):
        whole(self)
        raise MemoryError
    with monkeypatch.context() as during:
        during.setattr(Transition, "_switch", cut_off)
        with pytest.raises(MemoryError):
            kit.engine.finish()
    kit.engine.recover()
    kit.finish()
    assert kit.target.value("f") == "f by p" and kit.engine.transition is None
    kit.unload(patch)


def test_a_task_of_the_other_version_blocks_after_a_turn(kit):
    """A task that runs new code is what keeps the way back pending."""
    task = kit.target.spawn("new")
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start()
    kit.target.call_function(task, "f")
    assert kit.engine.look() == []
    kit.engine.reverse()
    assert [b.name for b in kit.engine.look()] == ["new"]
    assert kit.target.call_function(task, "f") == "f by p"  # what it calls agrees with its frame
    assert kit.target.value("f") == "f original"


def test_beginning_late_in_a_transition_that_turned_back(kit):
    """enable, then start with dir 0: pre_patch, no post_patch, then post_unpatch."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start(0)
    assert kit.target.value("f") == "f original"
    kit.finish()
    assert [line for line in kit.lines() if line[:2] == "p:"] == ["p: pre_patch vmlinux", "p: post_unpatch vmlinux"]
    assert kit.engine.patches == []


def test_beginning_late_in_a_disable_that_turned_back(kit):
    """disable with dir 1: pre_unpatch, and post_patch at the end; it stays in force."""
    patch = kit.load("p", vmlinux=["f"])
    kit.lines()
    kit.engine.disable(patch, 1)
    assert patch.enabled and kit.target.value("f") == "f by p"
    kit.finish()
    assert [line for line in kit.lines() if line[:2] == "p:"] == ["p: pre_unpatch vmlinux", "p: post_patch vmlinux"]
    assert kit.engine.patches == [patch]


def test_disable_in_the_middle_of_a_stack(kit):
    """Nothing is switched, what is above runs on."""
    lower = kit.load("lower", vmlinux=["f", "g"])
    kit.load("upper", vmlinux=["f"])
    kit.unload(lower)
    assert kit.target.value("f") == "f by upper" and kit.target.value("g") == "g original"


def test_forced_code_in_the_middle_of_a_stack_is_waited_for(kit):
    """A task in a patch's code, left there by the next patch's force, keeps the disable of the first pending."""
    task = kit.target.spawn("left behind")
    lower = kit.load("lower", vmlinux=["f"])
    kit.target.call_function(task, "f")
    kit.engine.enable(kit.patch("upper", vmlinux=["f"]), "upper")
    kit.engine.start()
    kit.engine.force()
    kit.engine.finish()
    kit.engine.disable(lower)
    assert [b.name for b in kit.engine.look()] == ["left behind"]
    kit.target.leave(task)
    kit.finish()


def test_signal(kit):
    """The kernel's line for tasks that are pending for 15 s."""
    with pytest.raises(KlpError):
        kit.engine.signal()
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start()
    kit.lines()
    kit.engine.signal()
    assert kit.lines() == ["signaling remaining tasks"]


class Cut(BaseException):
    """The thread that runs a callback does not exist in the child of a fork."""


def cut(kit, kind, obj, attempt):
    """Runs attempt, which is cut off inside a callback; then the child's view: after_fork."""
    def callback(_):
        raise Cut
    kit.do["p", kind, obj] = callback
    with pytest.raises(Cut):
        attempt()
    del kit.do["p", kind, obj]
    kit.engine.after_fork()
    assert not kit.engine.callbacks_running
    kit.lines()


def resumed(kit, word):
    """What the child says that it has done, once."""
    assert kit.engine.resume() == word and kit.engine.resume() is None


def test_fork_with_nothing_cut_off(kit):
    """No transition, or one that is started, which goes on by itself."""
    kit.engine.after_fork()
    assert kit.engine.resume() is None
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start()
    kit.engine.after_fork()
    assert kit.engine.resume() is None and kit.engine.transition.step == "started"
    kit.finish()


def test_fork_when_prepared(kit):
    """The thread that would have started it stayed in the parent."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.after_fork()
    kit.lines()
    resumed(kit, CANCELED)
    assert kit.lines() == ["failed to enable patch 'p'", "'p': canceling patching transition, going to unpatch",
                           "'p': completing unpatching transition", "p: post_unpatch vmlinux",
                           "'p': unpatching complete"]


def test_fork_in_a_disable_that_had_turned_back(kit):
    """It goes on in the direction that it was begun with."""
    patch = kit.load("p", vmlinux=["f"])
    cut(kit, "pre_unpatch", "vmlinux", lambda: kit.engine.disable(patch, 1))
    resumed(kit, DISABLED_ON)
    assert kit.engine.transition.dir == 1 and patch.enabled


def test_resuming_is_refused_while_a_callback_runs(kit):
    """EBUSY, in the process that is no child, and in a child that was forked by the callback."""
    kit.do["p", "pre_patch", "vmlinux"] = lambda obj: kit.engine.resume()
    with pytest.raises(KlpError) as caught:
        kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    assert caught.value.errno == errno.EBUSY


def test_fork_in_pre_patch(kit):
    """The child drops what was not started; the half run callback counts as failed."""
    patch = kit.patch("p", vmlinux=["f"], m=["h"])
    cut(kit, "pre_patch", "m", lambda: kit.engine.enable(patch, "p"))
    assert kit.engine.transition.step == "preparing"
    resumed(kit, CANCELED)
    assert [line for line in kit.lines() if line[:2] == "p:"] == ["p: post_unpatch vmlinux"]
    assert kit.engine.patches == [] and kit.target.live == []


def test_fork_in_post_unpatch_of_a_cancel(kit):
    """cancel goes on after the callback that was half run."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"], m=["h"]), "p")
    cut(kit, "post_unpatch", "vmlinux", kit.engine.cancel)
    resumed(kit, CANCELED)
    assert kit.lines() == ["p: post_unpatch m", "'p': unpatching complete"]
    assert kit.engine.transition is None and kit.target.live == []


def test_fork_in_pre_unpatch(kit):
    """disable goes on; the half run callback is not run twice."""
    patch = kit.load("p", vmlinux=["f"], m=["h"])
    cut(kit, "pre_unpatch", "vmlinux", lambda: kit.engine.disable(patch))
    resumed(kit, DISABLED_ON)
    assert kit.engine.transition.step == "started" and not patch.enabled
    kit.finish()
    assert [line for line in kit.lines() if line[:2] == "p:"] == [
        "p: pre_unpatch m", "p: post_unpatch vmlinux", "p: post_unpatch m"]
    assert kit.engine.patches == []


@pytest.mark.parametrize("dir", [0, 1])
def test_fork_in_a_finish(kit, dir):
    """finish goes on; cancel cannot take back what was decided as patching."""
    kind = ("post_unpatch", "post_patch")[dir]
    kit.engine.enable(kit.patch("p", vmlinux=["f"], m=["h"]), "p")
    kit.engine.start(dir)
    kit.engine.look()
    cut(kit, kind, "vmlinux", kit.engine.finish)
    assert kit.engine.transition.step == "finishing"
    for attempt in (kit.engine.reverse, kit.engine.force, kit.engine.look, kit.engine.start):
        with pytest.raises(KlpError) as caught:
            attempt()
        assert caught.value.errno == errno.EINVAL
    if dir:
        with pytest.raises(KlpError):
            kit.engine.cancel()
    resumed(kit, FINISHED)
    assert kit.lines() == ["p: %s m" % kind, "'p': %spatching complete" % ("" if dir else "un")]
    assert len(kit.engine.patches) == dir and kit.engine.transition is None
