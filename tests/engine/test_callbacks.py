"""The four callbacks of an object: what they see, what their errors do, and what is refused while they run."""
import errno

import pytest

from tests.engine.kit import Kit, clean, refused


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g", "twice", "twice"], m=["h", "i"])


def test_pre_patch_refuses(kit):
    """Its errno; post_unpatch for those whose pre_patch had succeeded, and only those."""
    kit.do["p", "pre_patch", "m"] = lambda obj: -errno.EXDEV
    refused(errno.EXDEV, kit.engine.enable, kit.patch("p", vmlinux=["f"], m=["h"]), "p")
    assert kit.lines() == [
        "enabling patch 'p'", "'p': initializing patching transition", "p: pre_patch vmlinux", "p: pre_patch m",
        "pre-patch callback failed for object 'm'", "failed to enable patch 'p'",
        "'p': canceling patching transition, going to unpatch", "'p': completing unpatching transition",
        "p: post_unpatch vmlinux", "'p': unpatching complete"]
    assert clean(kit)


def test_pre_patch_raises(kit):
    """An OSError gives its errno, anything else EINVAL; other callbacks' failures change nothing."""
    def fail(error):
        def callback(obj):
            raise error
        return callback
    for error, code in ((OSError(errno.ENOSPC, "full"), errno.ENOSPC), (ValueError("x"), errno.EINVAL)):
        kit.do["p", "pre_patch", "vmlinux"] = fail(error)
        refused(code, kit.engine.enable, kit.patch("p", vmlinux=["f"]), "p")
        assert clean(kit)
    del kit.do["p", "pre_patch", "vmlinux"]
    for kind in ("post_patch", "pre_unpatch", "post_unpatch"):
        kit.do["p", kind, "vmlinux"] = fail(ValueError("x"))
    kit.unload(kit.load("p", vmlinux=["f"]))
    assert clean(kit)


def test_busy_while_a_callback_runs(kit):
    """Every change is EBUSY then; looking at the tree is not."""
    seen = []

    def callback(obj):
        assert kit.engine.callbacks_running and kit.engine.describe()[0]["name"] == "p"
        for attempt in (kit.engine.start, kit.engine.cancel, kit.engine.reverse, kit.engine.force, kit.engine.finish,
                        lambda: kit.engine.enable(kit.patch("q"), "q"), lambda: kit.engine.disable(obj.patch),
                        lambda: kit.engine.drop(obj.patch), kit.engine.resume,
                        lambda: kit.engine.join_apply(kit.patch("q"), "q", 0),
                        lambda: setattr(kit.engine, "ftrace_enabled", False)):
            refused(errno.EBUSY, attempt)
        seen.append(obj.stage)
        return 0

    for kind in ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch"):
        kit.do["p", kind, "vmlinux"] = callback
    kit.unload(kit.load("p", vmlinux=["f"]))
    assert seen == [None, "post_patch", "pre_unpatch", None] and not kit.engine.callbacks_running


def test_callback_sees_its_module(kit):
    """obj.mod is None for the main program; else the module, with its state."""
    seen = {}
    for obj in ("vmlinux", "m", "n"):
        kit.do["p", "pre_patch", obj] = lambda obj: (
            seen.update({obj.shown: obj.mod and (obj.mod.name, obj.mod.state)}) or 0
        )
        kit.do["p", "post_unpatch",
               obj] = lambda obj: seen.update({obj.shown: obj.mod and (obj.mod.name, obj.mod.state)})
    kit.target.sources["n"] = ["x"]
    kit.load("p", vmlinux=["f"], m=["h"], n=["x"])
    assert seen == {"vmlinux": None, "m": ("m", "LIVE")}
    kit.come("n")
    assert seen["n"] == ("n", "COMING")
    kit.go("n")
    assert seen["n"] == ("n", "GOING")
