"""Functions that a livepatch file imports from klpfs besides its data classes: enable_patch, get_state, get_prev_state,
pr_info.

They act on the agent of this process.
"""
from __future__ import annotations

from errno import EINVAL

from klpfs.cpython.load.parameters import module_param as module_param  # exported: klpfs/__init__.py
from klpfs.engine.error import KlpError
from klpfs.engine.state import get_prev_state as _prev
from klpfs.engine.state import get_state as _state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.agent import Agent
    from klpfs.engine.data import Patch, State

_agent: Agent | None = None     # of this process


def agent() -> Agent | None:
    """The agent of this process, None before klpfs.agent.start()."""
    return _agent


def set_agent(agent: Agent | None) -> None:
    """Makes an agent the one of this process; None: the start was given up."""
    global _agent
    _agent = agent


def enable_patch(patch: Patch) -> int:
    """klp_enable_patch(): called by a livepatch's init(). Returns 0 when the patch's transition was started.

        def init():
            return enable_patch(patch)      # as klpfs does by itself for a file that has `patch` and no init()

    KlpError (an OSError): EINVAL outside of init(), not a livepatch, not found functions and the like; EBUSY while a
    transition is pending; EINTR when the load was given up; ENOEXEC, ENOENT, or a pre_patch callback's own.
    """
    if _agent is None:
        raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
    return _agent.enable_patch(patch)


def get_state(patch: Patch, id: int) -> State | None:
    """klp_get_state(): the State of that id that `patch` lists, or None."""
    return _state(patch, id)


def get_prev_state(id: int) -> State | None:
    """klp_get_prev_state(): during a transition, the newest State of that id among the patches already in force; or
    None."""
    return _prev(_agent.engine, id) if _agent is not None else None


def pr_info(text: str) -> None:
    """A line in the service's log."""
    if _agent is not None:
        _agent.pr_info(str(text))
