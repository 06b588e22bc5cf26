"""A process that joins late: patches at their place in the order, outcomes without a transition."""
import errno

import pytest

from klpfs import KlpError
from tests.engine.kit import Kit, take_outcome


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g"], m=["h", "i"])


def test_patch_in_force_is_applied_at_once(kit):
    """pre_patch, images, post_patch; no line of the engine, its transition was elsewhere."""
    kit.engine.join_apply(kit.patch("p", vmlinux=["f"], m=["h"]), "p", 0)
    assert kit.lines() == ["p: pre_patch vmlinux", "p: pre_patch m", "p: post_patch vmlinux", "p: post_patch m"]
    assert kit.target.value("f") == "f by p" and kit.engine.describe()[0]["enabled"]
    kit.unload(kit.engine.patches[0])
    assert kit.target.live == []


def test_order_is_the_journals(kit):
    """What comes late goes below what is newer, and does not hide it."""
    kit.engine.join_apply(kit.patch("new", vmlinux=["f"]), "new", 0)
    kit.engine.join_apply(kit.patch("old", vmlinux=["f", "g"]), "old", 0)
    assert list(kit.tree()) == ["old", "new"]
    assert kit.target.value("f") == "f by new" and kit.target.value("g") == "g by old"
    kit.unload(kit.engine.patches[1])
    assert kit.target.value("f") == "f by old"


def test_modules_that_come_later(kit):
    """Are patched as always."""
    kit.go("m")
    kit.engine.join_apply(kit.patch("p", m=["h"]), "p", 0)
    kit.come("m")
    assert kit.target.value("h", "m") == "h by p"


@pytest.mark.parametrize("fault, code", [("resolve", errno.EINVAL), ("pre_patch", errno.EXDEV),
                                         ("apply", errno.EAGAIN)])
def test_failure_takes_the_whole_patch_back(kit, fault, code):
    """KlpError, one line of the engine that says so, everything as it was."""
    if fault == "pre_patch":
        kit.do["p", "pre_patch", "m"] = lambda obj: -code
    else:
        kit.do["p", "pre_patch", "vmlinux"] = lambda obj: kit.target.faults.update({fault: code}) or 0
    with pytest.raises(KlpError) as caught:
        kit.engine.join_apply(kit.patch("p", vmlinux=["f"], m=["h"]), "p", 0)
    assert caught.value.errno == code
    lines = kit.lines()
    assert "failed to apply patch 'p' (%d)" % -code in lines and lines.count("p: post_unpatch vmlinux") == 1
    assert kit.engine.patches == [] and kit.target.live == [] and not any(kit.target.image.values())


def test_other_code_leaves_the_object_unpatched(kit):
    """ENOEXEC: its code is not what the patch was made for; the rest of the patch is applied."""
    kit.target.faults["resolve"] = errno.ENOEXEC
    kit.engine.join_apply(kit.patch("p", vmlinux=["f"], m=["h"]), "p", 0)
    assert "patch 'p' failed for object 'vmlinux', which stays unpatched by it" in kit.lines()
    assert [(o["patched"], o["loaded"]) for o in kit.engine.describe()[0]["objects"]] == [(False, True), (True, True)]


def test_outcome_of_an_enable(kit):
    """On top, at once; code that was in force may still run, and is waited for by the next transition."""
    task = kit.target.spawn("old")
    kit.target.call_function(task, "f")
    patch = kit.patch("p", vmlinux=["f"])
    take_outcome(kit.engine, patch, 1, "p")
    assert kit.target.value("f") == "f by p"
    take_outcome(kit.engine, patch, 1, "p")  # once is enough
    kit.engine.enable(kit.patch("q", vmlinux=["f"]), "q")
    kit.engine.start()
    assert [b.name for b in kit.engine.look()] == ["old"]


def test_outcome_of_a_replace(kit):
    """The others are gone, without callbacks; no nop is left."""
    kit.load("a", vmlinux=["f"], m=["h"])
    kit.lines()
    take_outcome(kit.engine, kit.patch("r", replace=True, vmlinux=["g"]), 1, "r")
    assert kit.lines() == ["r: pre_patch vmlinux", "r: post_patch vmlinux"]
    assert kit.tree() == {"r": {"vmlinux": ["g,1"]}}
    assert [kit.target.value(*f) for f in (("f",), ("g",), ("h", "m"))] == ["f original", "g by r", "h original"]


def test_outcome_of_a_replace_that_cannot_be_applied_here(kit):
    """What it replaces is dropped all the same."""
    kit.load("a", vmlinux=["f"])
    kit.do["r", "pre_patch", "vmlinux"] = lambda obj: -errno.EXDEV
    with pytest.raises(KlpError):
        take_outcome(kit.engine, kit.patch("r", replace=True, vmlinux=["g"]), 1, "r")
    assert kit.engine.patches == [] and kit.target.value("f") == "f original"


def test_join_above_and_drop_below(kit):
    """A replacing patch that joins before the others are dropped: its nops go with the last of them."""
    old = kit.load("a", vmlinux=["f"])
    kit.engine.join_apply(kit.patch("r", replace=True, vmlinux=["g"]), "r", 1, True)
    assert kit.tree()["r"] == {"vmlinux": ["g,1", "f,1"]}
    kit.engine.drop(old)
    assert kit.tree() == {"r": {"vmlinux": ["g,1"]}} and kit.target.value("f") == "f original"


def test_outcome_of_a_disable(kit):
    """The patch is dropped; its code may still run, so it is not released yet."""
    task = kit.target.spawn()
    patch = kit.load("p", vmlinux=["f"])
    kit.target.call_function(task, "f")
    take_outcome(kit.engine, patch, 0)
    assert kit.engine.patches == [] and kit.target.value("f") == "f original"
    assert kit.target.live == [patch.objects[0].funcs[0]]
    take_outcome(kit.engine, patch, 0)  # gone already


def test_drop_of_what_is_not_there(kit):
    """EINVAL."""
    with pytest.raises(KlpError) as caught:
        kit.engine.drop(kit.patch("p"))
    assert caught.value.errno == errno.EINVAL
