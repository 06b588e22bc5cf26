"""The four callbacks of an object: when each may run, and the marks that let each run once (callbacks.txt).

A mark is set before its callback is called, so that a process which forks in the middle of one does not run it twice;
only pre_patch has to succeed to be marked. obj.stage is the last callback that counts:

    None -> pre_patch -> post_patch -> pre_unpatch -> None (post_unpatch)
               |             ^              |
               |             +--------------+  an unpatching transition was reversed
               +-> None (post_unpatch)         a patching transition failed, was reversed or canceled
"""
from __future__ import annotations

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.engine.core import Engine
    from klpfs.engine.data import Object


def pre_patch(engine: Engine, obj: Object) -> None:
    """Raises KlpError with the callback's errno when it refuses; the object then counts as never touched."""
    mod = obj.mod
    result = _call(engine, obj, "pre_patch")
    if result < 0:
        raise KlpError(-result, pr_warn(engine.log, "pre-patch callback failed for object '%s'" % obj.shown))
    obj.post_unpatch_enabled = True
    obj.stage = "pre_patch"
    if not obj.loaded:  # its module went while the callback ran
        obj.mod = mod
        post_unpatch(engine, obj)
        obj.mod = None


def post_patch(engine: Engine, obj: Object) -> None:
    if obj.stage in ("pre_patch", "pre_unpatch"):
        obj.stage = "post_patch"
        _call(engine, obj, "post_patch")


def pre_unpatch(engine: Engine, obj: Object) -> None:
    if obj.stage == "post_patch":
        obj.stage = "pre_unpatch"
        _call(engine, obj, "pre_unpatch")


def post_unpatch(engine: Engine, obj: Object) -> None:
    """Only where pre_patch succeeded: the kernel's post_unpatch_enabled."""
    if obj.post_unpatch_enabled:
        obj.post_unpatch_enabled = False
        obj.stage = None
        _call(engine, obj, "post_unpatch")


def forget(engine: Engine, obj: Object) -> None:
    """The callbacks of a replaced patch never run. `replaced` is called instead: what the callbacks keep is to go."""
    if obj.post_unpatch_enabled:
        _call(engine, obj, "replaced")
    obj.post_unpatch_enabled = False
    obj.stage = None


def _call(engine: Engine, obj: Object, name: str) -> int:
    callback = getattr(obj.callbacks, name, None) if obj.callbacks is not None else None
    if callback is None:
        return 0
    engine.callbacks_running += 1
    try:
        return engine.target.call(callback, obj)
    finally:
        engine.callbacks_running -= 1
