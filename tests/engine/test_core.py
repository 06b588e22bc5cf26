"""enable, disable, cancel, force: what succeeds, what is refused with which errno, and that a failure leaves
nothing."""
import errno

import pytest

from klpfs import KlpError, Patch
from tests.engine.kit import Kit, clean, refused


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g", "twice", "twice"], m=["h", "i"])


def test_enable_prepares_and_start_starts(kit):
    """Until start, callers get what was in force; afterwards a clean task gets the new code at once."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    assert kit.engine.transition.step == "prepared" and kit.target.value("f") == "f original"
    kit.engine.start()
    assert kit.engine.transition.step == "started" and kit.target.value("f") == "f by p"


def test_finish_needs_clean(kit):
    """EINVAL while a task is dirty, and for another direction than the transition's."""
    task = kit.target.spawn("worker")
    kit.target.call_function(task, "f")
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.engine.start()
    assert [(b.kind, b.name) for b in kit.engine.look()] == [("thread", "worker")]
    refused(errno.EINVAL, kit.engine.finish)
    kit.target.leave(task)
    assert kit.engine.look() == [] and kit.engine.look() == []
    refused(errno.EINVAL, kit.engine.finish, 0)
    kit.engine.finish(1)
    assert kit.engine.transition is None


def test_patch_without_objects(kit):
    """Is accepted, and goes through all steps."""
    patch = kit.load("p", Patch([]))
    assert kit.tree() == {"p": {}}
    kit.unload(patch)
    assert clean(kit)


def test_object_without_functions(kit):
    """May carry callbacks alone."""
    kit.unload(kit.load("p", m=[]))
    assert [line for line in kit.lines() if line.startswith("p:")] == [
        "p: pre_patch m", "p: post_patch m", "p: pre_unpatch m", "p: post_unpatch m"]


def test_name_is_there_once(kit):
    """EEXIST while a patch of that name is in force; afterwards it is free."""
    first = kit.load("p", vmlinux=["f"])
    refused(errno.EEXIST, kit.engine.enable, kit.patch("p"), "p")
    refused(errno.EINVAL, kit.engine.enable, first, "q")
    kit.unload(first)
    kit.load("p", vmlinux=["f"])


def test_one_transition_at_a_time(kit):
    """EBUSY for another load or disable while one is pending, prepared or started, without a line."""
    first = kit.load("a", vmlinux=["f"])
    kit.engine.enable(kit.patch("b", vmlinux=["g"]), "b")
    kit.lines()
    for _ in range(2):
        refused(errno.EBUSY, kit.engine.enable, kit.patch("c", vmlinux=["f", "g"], m=["h"]), "c")
        refused(errno.EBUSY, kit.engine.enable, kit.patch("c", True, vmlinux=["g"]), "c")
        refused(errno.EBUSY, kit.engine.disable, first)
        refused(errno.EBUSY, kit.engine.join_apply, kit.patch("c"), "c", 0)
        refused(errno.EBUSY, kit.engine.drop, first)
        assert kit.lines() == []
        if kit.engine.transition.step == "prepared":
            kit.engine.start()
            kit.lines()


def test_a_patchs_own_faults_are_found_beside_a_transition(kit):
    """As ever, and nothing of the patch stays. Source: klp_enable_patch() makes it ready before it looks."""
    kit.load("a", vmlinux=["f"])
    kit.engine.enable(kit.patch("b", vmlinux=["g"]), "b")
    before = kit.tree()
    refused(errno.EINVAL, kit.engine.enable, kit.patch("c", vmlinux=["f", "nope"]), "c")
    refused(errno.EEXIST, kit.engine.enable, kit.patch("a"), "a")
    refused(errno.EINVAL, kit.engine.enable, kit.patch("c", vmlinux=["twice"]), "c")
    assert kit.tree() == before
    kit.engine.start()
    kit.finish()
    kit.load("c", kit.patch("c", vmlinux=["f", "g"]))
    assert kit.target.value("f") == "f by c"


def test_redirection_is_off(kit):
    """kernel.ftrace_enabled=0: EBUSY with the kernel's lines; not to be switched off while a patch is enabled."""
    kit.engine.ftrace_enabled = False
    refused(errno.EBUSY, kit.engine.enable, kit.patch("p", vmlinux=["f"], m=["h"]), "p")
    assert kit.lines()[2:6] == [
        "p: pre_patch vmlinux", "failed to register ftrace handler for function 'f' (-16)",
        "failed to patch object 'vmlinux'", "failed to enable patch 'p'"]
    assert clean(kit)
    kit.engine.ftrace_enabled = True
    patch = kit.load("p", vmlinux=["f"])
    with pytest.raises(KlpError) as caught:
        kit.engine.ftrace_enabled = False
    assert caught.value.errno == errno.EBUSY and kit.engine.ftrace_enabled
    kit.unload(patch)
    kit.engine.ftrace_enabled = False


def test_dispatchers_cannot_be_placed(kit):
    """Target.begin fails: as when an object cannot be patched."""
    kit.target.faults["begin"] = errno.EAGAIN
    refused(errno.EAGAIN, kit.engine.enable, kit.patch("p", vmlinux=["f"]), "p")
    assert kit.lines()[3:5] == ["failed to patch object 'vmlinux'", "failed to enable patch 'p'"]
    assert clean(kit)


def test_disable_cannot_be_prepared(kit):
    """Nothing happened: no callback, the patch is in force."""
    patch = kit.load("p", vmlinux=["f"])
    kit.lines()
    kit.target.faults["begin"] = errno.EAGAIN
    refused(errno.EAGAIN, kit.engine.disable, patch)
    assert kit.lines() == ["'p': initializing unpatching transition", "failed to disable patch 'p'"]
    assert kit.engine.transition is None and patch.enabled and not patch.objects[0].funcs[0].transition
    kit.unload(patch)
    assert clean(kit)


def test_disable_what_is_not_enabled(kit):
    """EINVAL: never enabled, prepared, disabled before, on its way out."""
    patch = kit.patch("p", vmlinux=["f"])
    refused(errno.EINVAL, kit.engine.disable, patch)
    kit.engine.enable(patch, "p")
    refused(errno.EINVAL, kit.engine.disable, patch)
    kit.engine.start()
    kit.finish()
    kit.engine.disable(patch)
    refused(errno.EINVAL, kit.engine.disable, patch)
    kit.finish()
    refused(errno.EINVAL, kit.engine.disable, patch)


def test_cancel(kit):
    """What was prepared is taken back as if enabling had failed."""
    kit.engine.enable(kit.patch("p", vmlinux=["f"]), "p")
    kit.lines()
    kit.engine.cancel()
    assert kit.lines() == [
        "failed to enable patch 'p'", "'p': canceling patching transition, going to unpatch",
        "'p': completing unpatching transition", "p: post_unpatch vmlinux", "'p': unpatching complete"]
    assert clean(kit)


def test_force(kit):
    """Tasks are not looked at; the patch whose code may still run can never be unloaded.

    EINVAL with nothing pending.
    """
    refused(errno.EINVAL, kit.engine.force)
    task = kit.target.spawn()
    kit.target.call_function(task, "f")
    patch = kit.patch("p", vmlinux=["f"])
    kit.engine.enable(patch, "p")
    refused(errno.EINVAL, kit.engine.force)
    kit.engine.start()
    assert kit.engine.look()
    kit.lines()
    kit.engine.force()
    kit.engine.finish(1)
    assert kit.lines() == ["forcing remaining tasks to the patched state", "'p': completing patching transition",
                           "p: post_patch vmlinux", "'p': patching complete"]
    assert not patch.forced  # what may still run is the original
    kit.target.call_function(kit.target.spawn(), "f")
    kit.engine.disable(patch)
    assert kit.engine.look()
    kit.engine.force()
    kit.engine.finish(0)
    assert patch.forced


def test_forced_code_is_released_when_it_was_seen_gone(kit):
    """Code that a force left behind stays until a transition of its function finds no task in it."""
    task = kit.target.spawn()
    patch = kit.load("p", vmlinux=["f"])
    kit.target.call_function(task, "f")
    kit.engine.disable(patch)
    kit.engine.force()
    kit.engine.finish(0)
    func = patch.objects[0].funcs[0]
    assert kit.engine.patches == [] and kit.target.live == [func]
    refused(errno.EINVAL, kit.engine.enable, patch, "p")  # its code may still run
    kit.engine.enable(kit.patch("q", vmlinux=["f"]), "q")
    kit.engine.start()
    assert kit.engine.look()  # the frame that the force left behind is a version 0 here
    kit.target.leave(task)
    kit.finish()
    assert func not in kit.target.live


def test_describe(kit):
    """Plain data, as the tree shows it."""
    kit.load("p", vmlinux=["f"], n=["x"])
    assert kit.engine.describe() == [{
        "name": "p", "enabled": True, "transition": False, "replace": False, "forced": False, "objects": [
            {"name": "vmlinux", "patched": True, "loaded": True, "dynamic": False, "funcs": "f,1"},
            {"name": "n", "patched": False, "loaded": False, "dynamic": False, "funcs": "x,1"}]}]
