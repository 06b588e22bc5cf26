"""Modules that come and go, outside and inside transitions, and when a patch fails for one."""
import errno

import pytest

from klpfs import KlpError
from tests.engine.kit import Kit


@pytest.fixture
def kit():
    kit = Kit(vmlinux=["f"])
    kit.target.sources["m"] = ["h", "i"]
    kit.target.sources["n"] = ["k"]
    return kit


def start(kit, name, **objects):
    patch = kit.patch(name, **objects)
    kit.engine.enable(patch, name)
    kit.engine.start()
    kit.lines()
    return patch


def test_functions_are_in_place_before_the_module_runs(kit):
    """coming: applying, pre_patch, patched, post_patch; going: pre_unpatch, reverting, post_unpatch."""
    kit.load("p", m=["h"])
    kit.lines()
    kit.come("m")
    assert kit.lines() == ["applying patch 'p' to loading module 'm'", "p: pre_patch m", "p: post_patch m"]
    assert kit.target.value("h", "m") == "h by p"
    kit.engine.going("m")
    assert kit.lines() == ["p: pre_unpatch m", "reverting patch 'p' on unloading module 'm'", "p: post_unpatch m"]
    assert kit.target.value("h", "m") == "h original" and kit.target.live == []


def test_a_module_whose_functions_can_not_all_be_put_is_as_it_was(kit, monkeypatch):
    """No memory at the second: the first leaves its stack as well."""
    kit.load("p", m=["h", "i"])
    put = kit.engine.stacks.put

    def failing(func, patches):
        if func.old_name == "i":
            raise MemoryError
        put(func, patches)
    with monkeypatch.context() as patched:
        patched.setattr(type(kit.engine.stacks), "put", lambda self, *args: failing(*args))
        kit.come("m", refuse=False)
    assert kit.target.value("h", "m") == "h original" and not kit.engine.stacks.table
    obj, = kit.engine.patches[0].objects
    assert not obj.patched and not [func for func in obj.funcs if func.patched]


def test_coming_and_going_of_what_nobody_patches(kit):
    """Says and does nothing; nor does a module that is known, or not known any more."""
    kit.load("p", m=["h"])
    kit.lines()
    kit.come("n")
    kit.go("n")
    kit.engine.going("m")
    kit.come("m")
    kit.lines()
    kit.engine.coming("m")
    kit.go("m")
    kit.lines()
    kit.engine.going("m")
    assert kit.lines() == []


def test_all_patches_oldest_first(kit):
    """Each patch in force is applied, and the newest is what runs."""
    kit.load("a", m=["h", "i"])
    kit.load("b", m=["h"])
    kit.lines()
    kit.come("m")
    assert kit.lines() == [
        "applying patch 'a' to loading module 'm'", "a: pre_patch m", "a: post_patch m",
        "applying patch 'b' to loading module 'm'", "b: pre_patch m", "b: post_patch m"]
    assert (kit.target.value("h", "m"), kit.target.value("i", "m")) == ("h by b", "i by a")
    kit.go("m")
    assert kit.lines()[1::3] == [
        "reverting patch 'a' on unloading module 'm'", "reverting patch 'b' on unloading module 'm'"]


def test_coming_in_a_patching_transition(kit):
    """No post_patch yet: it runs with the others' at the end. A module that goes again runs post_unpatch only."""
    start(kit, "p", m=["h"])
    kit.come("m")
    assert kit.lines() == ["applying patch 'p' to loading module 'm'", "p: pre_patch m"]
    assert kit.target.value("h", "m") == "h by p"
    kit.go("m")
    assert kit.lines() == ["reverting patch 'p' on unloading module 'm'", "p: post_unpatch m"]
    kit.come("m")
    kit.lines()
    kit.finish()
    assert kit.lines() == ["'p': completing patching transition", "p: post_patch m", "'p': patching complete"]


def test_coming_joins_as_the_transition_says(kit):
    """Turned back, its callers get the original; a dirty task in it blocks as any other does."""
    start(kit, "p", m=["h"])
    kit.engine.reverse()
    kit.come("m")
    assert kit.target.value("h", "m") == "h original"
    task = kit.target.spawn("in m")
    kit.target.call_function(task, "h", "m")
    kit.engine.reverse()
    assert [b.name for b in kit.engine.look()] == ["in m"]


def test_coming_between_prepare_and_start(kit):
    """It is prepared with the rest."""
    kit.engine.enable(kit.patch("p", m=["h"]), "p")
    kit.come("m")
    assert kit.target.value("h", "m") == "h original"
    kit.engine.start()
    assert kit.target.value("h", "m") == "h by p"
    kit.finish()


def test_coming_in_an_unpatching_transition(kit):
    """pre_patch and, at the end, post_unpatch; reversed, post_patch."""
    patch = kit.load("p", m=["h"])
    kit.engine.disable(patch)
    kit.lines()
    kit.come("m")
    assert kit.lines() == ["applying patch 'p' to loading module 'm'", "p: pre_patch m"]
    assert kit.target.value("h", "m") == "h original"
    kit.engine.reverse()
    assert kit.target.value("h", "m") == "h by p"
    kit.engine.reverse()
    kit.lines()
    kit.finish()
    assert kit.lines()[1] == "p: post_unpatch m" and kit.target.live == []


def test_coming_in_an_unpatching_transition_below_another_patch(kit):
    """The upper patch's code is what runs, whichever way the transition of the lower one goes."""
    lower = kit.load("lower", m=["h"])
    kit.load("upper", m=["h"])
    kit.engine.disable(lower)
    kit.come("m")
    for _ in range(2):
        assert kit.target.value("h", "m") == "h by upper"
        kit.engine.reverse()
    kit.finish()
    assert kit.target.value("h", "m") == "h by upper"


def test_nop_is_filled_in_when_its_module_comes(kit):
    """A replacing patch leads a module that comes during its transition from the older patch's code to the original."""
    kit.load("a", m=["h"])
    start(kit, "r", replace=True, vmlinux=["f"])
    assert kit.tree()["r"] == {"vmlinux": ["f,1"], "m": ["h,1"]}
    kit.come("m")
    assert kit.lines() == [
        "applying patch 'a' to loading module 'm'", "a: pre_patch m", "a: post_patch m",
        "applying patch 'r' to loading module 'm'"]
    assert kit.target.value("h", "m") == "h original"
    kit.engine.reverse()
    assert kit.target.value("h", "m") == "h by a"
    kit.engine.reverse()
    kit.finish()
    assert kit.tree() == {"r": {"vmlinux": ["f,1"]}} and kit.target.value("h", "m") == "h original"


FAULTS = [
    ("resolve", errno.ENOEXEC, ["failed to initialize patch 'b' for module 'm' (-8)"]),
    ("apply", errno.EAGAIN, ["applying patch 'b' to loading module 'm'", "b: pre_patch m",
                             "failed to apply patch 'b' to module 'm' (-11)", "b: post_unpatch m"]),
    ("pre_patch", errno.EXDEV, ["applying patch 'b' to loading module 'm'", "b: pre_patch m",
                                "pre-patch callback failed for object 'm'"]),
]


def two(kit, fault, code):
    """Patches a (m.i) and b (m.h), the second of which fails for m."""
    kit.load("a", m=["i"])
    kit.load("b", m=["h"])
    kit.lines()
    if fault == "pre_patch":
        kit.do["b", "pre_patch", "m"] = lambda obj: -code
    else:  # the fault is for b: it is planted by a's last callback
        kit.do["a", "post_patch", "m"] = lambda obj: kit.target.faults.update({fault: code})


@pytest.mark.parametrize("fault, code, lines", FAULTS)
def test_refused_module(kit, fault, code, lines):
    """By insmod: the module is refused with the error, and patches that had been applied are reverted."""
    two(kit, fault, code)
    with pytest.raises(KlpError) as caught:
        kit.come("m")
    assert caught.value.errno == code
    assert kit.lines() == (
        ["applying patch 'a' to loading module 'm'", "a: pre_patch m", "a: post_patch m"] + lines
        + ["patch 'b' failed for module 'm', refusing to load module 'm'", "a: pre_unpatch m",
           "reverting patch 'a' on unloading module 'm'", "a: post_unpatch m"])
    assert kit.target.live == [] and not any(o["patched"] for d in kit.engine.describe() for o in d["objects"])
    kit.do.clear()
    kit.come("m")  # the next time it may succeed
    assert kit.target.value("h", "m") == "h by b"


@pytest.mark.parametrize("fault, code, lines", FAULTS)
def test_import_goes_on(kit, fault, code, lines):
    """By a plain import: the failing patch's object stays unpatched, and says so; the others are applied."""
    two(kit, fault, code)
    kit.come("m", refuse=False)
    assert kit.lines()[3:] == lines + ["patch 'b' failed for module 'm', module 'm' stays unpatched by it"]
    assert (kit.target.value("h", "m"), kit.target.value("i", "m")) == ("h original", "i by a")
    told = {d["name"]: (d["objects"][0]["patched"], d["objects"][0]["loaded"]) for d in kit.engine.describe()}
    assert told == {"a": (True, True), "b": (False, True)}
    kit.unload(kit.engine.patches[1])
    kit.go("m")
    assert kit.target.live == []


def test_import_that_a_replacing_patch_fails_for(kit):
    """During its transition the older patches let go of the module too: nothing would lead away from them."""
    kit.load("a", m=["h"])
    start(kit, "r", replace=True, m=["i"])
    kit.do["r", "pre_patch", "m"] = lambda obj: -errno.EXDEV
    kit.come("m", refuse=False)
    assert kit.lines()[-4:] == [
        "patch 'r' failed for module 'm', module 'm' stays unpatched by it", "a: pre_unpatch m", "a: post_unpatch m",
        "patch 'a' failed for module 'm', module 'm' stays unpatched by it"]
    assert kit.target.value("h", "m") == "h original"
    kit.finish()
    assert kit.target.value("h", "m") == "h original"


@pytest.mark.parametrize("other", [False, True])
def test_module_goes_with_what_a_force_left_behind(kit, other):
    """Code that may still run is no matter any more, and is given back; whether or not a patch still has the module."""
    kit.target.load("m")
    patch = kit.load("p", m=["i"])
    kit.target.call_function(kit.target.spawn(), "i", "m")
    if other:
        kit.load("q", m=["h"])
    kit.engine.disable(patch)
    kit.engine.force()
    kit.engine.finish()
    assert patch.objects[0].funcs[0] in kit.target.live
    kit.go("m")
    assert kit.target.live == [] and kit.engine.stacks.table == {}


def test_coming_in_a_callback(kit):
    """A callback that imports a module which is patched: its functions are in place when the import returns."""
    seen = []

    def imports(obj):
        kit.come("m")
        seen.append(kit.target.value("h", "m"))
        return 0

    kit.do["p", "pre_patch", "vmlinux"] = imports
    kit.load("a", m=["h"])
    kit.load("p", vmlinux=["f"], m=["h"])
    assert seen == ["h by a"] and kit.target.value("h", "m") == "h by p"
    assert kit.lines().count("p: pre_patch m") == 1


def test_going_in_its_own_pre_patch(kit):
    """What was prepared for it is taken back as soon as the callback returns."""
    kit.come("m")
    kit.do["p", "pre_patch", "m"] = lambda obj: kit.go("m") or 0
    kit.load("p", m=["h"])
    assert [line for line in kit.lines() if line[:2] == "p:"] == ["p: pre_patch m", "p: post_unpatch m"]
    assert kit.target.live == []
