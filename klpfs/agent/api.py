"""What a livepatch file imports from klpfs besides its data classes: enable_patch, get_state, get_prev_state, pr_info.

They act on the agent of this process.
"""
from errno import EINVAL

from klpfs.engine.error import KlpError
from klpfs.engine.state import get_prev_state as _prev, get_state as _state
from klpfs.cpython.load.parameters import module_param  # noqa: F401  (exported: klpfs/__init__.py)

_agent = None       # the Agent of this process, set by its start


def enable_patch(patch):
    """klp_enable_patch(): called by a livepatch's init(). Returns 0 when the patch's transition was started.

    KlpError (an OSError): EINVAL outside of init(), not a livepatch, not found functions and the like; EBUSY while a
    transition is pending; EINTR when the load was given up; ENOEXEC, ENOENT, or a pre_patch callback's own.
    """
    if _agent is None:
        raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
    return _agent.enable_patch(patch)


def get_state(patch, id):
    """klp_get_state(): the State of that id that `patch` lists, or None."""
    return _state(patch, id)


def get_prev_state(id):
    """klp_get_prev_state(): during a transition, the newest State of that id among the patches already in force; or None."""
    return _prev(_agent.engine, id) if _agent is not None else None


def pr_info(text):
    """A line in the service's log."""
    if _agent is not None:
        _agent.pr_info(str(text))
