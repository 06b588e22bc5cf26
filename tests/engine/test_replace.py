"""Atomic replace: nops, the outcome in both directions, callbacks of the new patch alone."""
import pytest

from tests.engine.kit import Kit


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g", "twice", "twice"], m=["h", "i"])


def test_replaced_patches_are_gone_at_once(kit):
    """One transition for all: the tree has the new patch alone, its nops are gone; only its callbacks ran."""
    kit.load("a", vmlinux=["f"], m=["h"])
    kit.load("b", m=["i"])
    kit.lines()
    kit.engine.enable(kit.patch("r", replace=True, vmlinux=["g"]), "r")
    kit.engine.start()
    assert kit.tree()["r"] == {"vmlinux": ["g,1", "f,1"], "m": ["h,1", "i,1"]}
    assert [o["dynamic"] for o in kit.engine.describe()[-1]["objects"]] == [False, True]
    assert [kit.target.value(*f) for f in (("f",), ("g",), ("h", "m"), ("i", "m"))] == [
        "f original", "g by r", "h original", "i original"]
    kit.finish()
    assert kit.tree() == {"r": {"vmlinux": ["g,1"]}}
    assert [line for line in kit.lines() if line[1] == ":"] == ["r: pre_patch vmlinux", "r: post_patch vmlinux"]
    assert len(kit.target.live) == 1


def test_reverse_leaves_the_old_patches_as_they_were(kit):
    """As if nothing had happened."""
    kit.load("a", vmlinux=["f"], m=["h"])
    was = kit.engine.describe()
    kit.engine.enable(kit.patch("r", replace=True, vmlinux=["g", "f"]), "r")
    kit.engine.start()
    kit.engine.reverse()
    kit.finish()
    assert kit.engine.describe() == was and kit.target.value("f") == "f by a" and kit.target.value("h", "m") == "h by a"
    kit.unload(kit.engine.patches[0])
    assert kit.target.live == []


def test_disable_leads_to_the_original(kit):
    """Not to the old patches."""
    kit.load("a", vmlinux=["f"])
    kit.unload(kit.load("r", replace=True, vmlinux=["f"]))
    assert kit.target.value("f") == "f original" and kit.engine.patches == []


def test_later_patches_stack_on_it(kit):
    """A patch that does not replace lies above; the next one that does replaces both."""
    kit.load("r", replace=True, vmlinux=["f"])
    kit.load("a", vmlinux=["f", "g"])
    assert kit.target.value("f") == "f by a"
    kit.load("r2", replace=True, vmlinux=["g"])
    assert list(kit.tree()) == ["r2"] and kit.target.value("f") == "f original" and kit.target.value("g") == "g by r2"


def test_positions(kit):
    """A nop is for that function of the name which the older patch changed; 0 and 1 are the same one."""
    patch = kit.patch("a", vmlinux=["twice", "f"])
    patch.objects[0].funcs[0].old_sympos = 2
    kit.load("a", patch)
    new = kit.patch("r", replace=True, vmlinux=["f"])
    new.objects[0].funcs[0].old_sympos = 1
    kit.engine.enable(new, "r")
    assert kit.tree()["r"] == {"vmlinux": ["f,1", "twice,2"]}
    kit.engine.start()
    kit.finish()
    assert kit.target.value("twice", position=2) == "twice original"


def test_dirty_task_in_what_is_only_taken_away(kit):
    """A nop's function blocks as any other: old code on a stack keeps the replace pending."""
    task = kit.target.spawn("in f")
    kit.load("a", vmlinux=["f"])
    kit.target.call_function(task, "f")
    kit.engine.enable(kit.patch("r", replace=True, vmlinux=["g"]), "r")
    kit.engine.start()
    assert [b.name for b in kit.engine.look()] == ["in f"]
    assert kit.target.call_function(task, "g") == "g original"
    assert kit.target.value("g") == "g by r"


def test_forced_replace(kit):
    """The replaced patches may still run: their modules are never unloaded, the new one's may."""
    task = kit.target.spawn()
    old, new = kit.load("a", vmlinux=["f"]), kit.patch("r", replace=True, vmlinux=["g"])
    kit.target.call_function(task, "f")
    kit.engine.enable(new, "r")
    kit.engine.start()
    kit.engine.force()
    kit.engine.finish()
    assert old.forced and not new.forced and old.objects[0].funcs[0] in kit.target.live


def test_patch_can_be_loaded_again(kit):
    """Its nops are not part of it any more."""
    kit.load("a", vmlinux=["f"])
    patch = kit.patch("r", replace=True, m=["h"])
    kit.engine.enable(patch, "r")
    kit.engine.cancel()
    assert [obj.name for obj in patch.objects] == ["m"] and len(patch.objects[0].funcs) == 1
    kit.load("r", patch)
    assert kit.tree() == {"r": {"m": ["h,1"]}}
