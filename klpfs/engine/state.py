"""System states (kernel/livepatch/state.c): what patches changed in the system, handed from each to its successor."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Patch, State


def get_state(patch: Patch, id: int) -> State | None:
    """klp_get_state: the State of that id that `patch` lists, or None."""
    for state in patch.states:
        if state.id == id:
            return state
    return None


def get_prev_state(engine: Engine, id: int) -> State | None:
    """klp_get_prev_state: the newest State of that id among the patches already in force, or None.

    For callbacks, so during a transition only; at other times None.
    """
    if engine.transition is None:
        return None
    last = None
    for patch in engine.patches:
        if patch is engine.transition.patch:
            break
        last = get_state(patch, id) or last
    return last


def is_patch_compatible(patch: Patch, older: Sequence[Patch]) -> bool:
    """klp_is_patch_compatible: for each state that they share with an older patch, `patch` is not of a lower version;
    a replacing patch has to handle all states of those that it replaces."""
    for old_patch in older:
        for old_state in old_patch.states:
            state = get_state(patch, old_state.id)
            if state is None:
                if patch.replace:
                    return False
            elif state.version < old_state.version:
                return False
    return True
