"""klpfs: kernel-grade live patching for running Python programs, through a file system.

This is what a livepatch module imports. In the patched process nothing but the standard library is used.
"""
from __future__ import annotations

from klpfs.engine.data import COMING, GOING, LIVE, Callbacks, Func, Mod, Object, Patch, State
from klpfs.engine.error import KlpError

__version__ = "0.1.0"      # the only place that says it; setup.cfg reads it here

__all__ = ["ABSENT", "COMING", "GOING", "LIVE", "Callbacks", "CodeOf", "Func", "ImportTime", "Keys", "KlpError", "Mod",
           "Named", "NewModule", "Object", "Patch", "State", "enable_patch", "fields", "get_prev_state", "get_state",
           "later", "module_param", "pr_info", "shadow", "unchanged"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.api import enable_patch, get_prev_state, get_state, pr_info
    from klpfs.cpython.import_time import attributes as fields
    from klpfs.cpython.import_time.carried import CodeOf, Keys, Named
    from klpfs.cpython.import_time.import_time import ImportTime
    from klpfs.cpython.import_time.new_modules import New as NewModule
    from klpfs.cpython.import_time.overlays import ABSENT
    from klpfs.cpython.load.parameters import module_param
    from klpfs.cpython.resolve.defaults import Later as later
    from klpfs.cpython.resolve.defaults import unchanged
    from klpfs.engine import shadow

_OF_AGENT = ("enable_patch", "get_prev_state", "get_state", "module_param", "pr_info")


def __getattr__(name: str) -> object:
    """A public name that needs more than plain data, imported when it is first asked for (PEP 562)."""
    if name == "shadow":
        from klpfs.engine import shadow
        return shadow
    if name == "fields":
        from klpfs.cpython.import_time import attributes
        return attributes
    if name == "ImportTime":
        from klpfs.cpython.import_time.import_time import ImportTime
        return ImportTime
    if name in ("ABSENT", "CodeOf", "Keys", "Named"):
        from klpfs.cpython.import_time import carried
        return getattr(carried, name)
    if name == "NewModule":
        from klpfs.cpython.import_time.new_modules import New
        return New
    if name in ("later", "unchanged"):
        from klpfs.cpython.resolve import defaults
        return defaults.Later if name == "later" else defaults.unchanged
    if name in _OF_AGENT:
        from klpfs.agent import api
        return getattr(api, name)
    raise AttributeError(f"module 'klpfs' has no attribute {name!r}")
