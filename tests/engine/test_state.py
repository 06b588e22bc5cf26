"""System states: compatibility, and handing over to the next patch."""
import errno

import pytest

from klpfs import KlpError, State
from klpfs.engine.state import get_prev_state, get_state
from tests.engine.kit import Kit


@pytest.fixture
def kit():
    return Kit(vmlinux=["f"])


@pytest.mark.parametrize("old, new, replace, fits", [
    ([(1, 1)], [(1, 1)], False, True),
    ([(1, 1)], [(1, 2)], True, True),
    ([(1, 2)], [(1, 1)], False, False),   # a lower version
    ([(1, 2)], [(1, 1)], True, False),
    ([(1, 0)], [], False, True),
    ([(1, 0)], [], True, False),          # a replacing patch has to handle it
    ([(1, 0), (2, 0)], [(2, 1)], True, False),
    ([], [(1, 0)], True, True),
])
def test_compatibility(kit, old, new, replace, fits):
    """EINVAL, with its line, when the new patch cannot take over the states of the old one."""
    kit.load("old", kit.patch("old", states=[State(*state) for state in old]))
    kit.lines()
    patch = kit.patch("new", replace=replace, states=[State(*state) for state in new])
    if fits:
        kit.load("new", patch)
    else:
        with pytest.raises(KlpError) as caught:
            kit.engine.enable(patch, "new")
        assert caught.value.errno == errno.EINVAL
        assert kit.lines() == ["Livepatch patch (new) is not compatible with the already installed livepatches."]
        assert [d["name"] for d in kit.engine.describe()] == ["old"]


def test_states_are_found_in_callbacks(kit):
    """get_state: the patch's own; get_prev_state: the newest of those in force before, only during a transition."""
    seen = []

    def look(obj):
        own, prev = get_state(obj.patch, 1), get_prev_state(kit.engine, 1)
        seen.append((own and own.data, prev and prev.data))
        return 0

    for kind in ("pre_patch", "post_patch"):
        kit.do["c", kind, "vmlinux"] = look
    for name in "ab":
        kit.load(name, kit.patch(name, states=[State(1, data=name)]))
    kit.load("c", kit.patch("c", replace=True, states=[State(1, data="c"), State(2)], vmlinux=["f"]))
    assert seen == [("c", "b"), ("c", "b")]
    assert get_prev_state(kit.engine, 1) is None and get_state(kit.engine.patches[0], 3) is None
