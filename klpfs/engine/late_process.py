"""A process that joins a service late takes patches in force, and outcomes, without a transition.

Not in the kernel, which is one system; see docs/PROTOCOL.md#5. Images are switched at once, because the joining
program runs no line yet; or, with running=True, because all other processes have finished: then the code that was in
force may still run, and is kept account of as after a force.
"""
from __future__ import annotations

from errno import ENOEXEC

from klpfs.engine import callbacks
from klpfs.engine.coming_going import apply_object, revert_object
from klpfs.engine.error import KlpError, errno_of
from klpfs.engine.init_patch import free_patch, init_object_loaded, init_patch
from klpfs.engine.log import pr_warn
from klpfs.engine.replace import discard_nops, replaced_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.engine.core import Engine
    from klpfs.engine.data import Mod, Object, Patch


def join_apply(engine: Engine, patch: Patch, name: str, place: int, running: bool) -> None:
    """Applies a patch in force at its place in the order: pre_patch and images object by object, then post_patch.

    A loaded object whose code is not what the patch was made for (ENOEXEC) is left unpatched; any other failure takes
    the whole patch back and raises KlpError.
    """
    init_patch(engine, patch, name, place, resolve=False)
    try:
        for obj in patch.objects:
            mod = engine.target.loaded(obj.name)
            if mod is not None and not obj.loaded:
                _join_object(engine, patch, obj, mod, running)
    except Exception as error:
        pr_warn(engine.log, "failed to apply patch '%s' (%d)" % (name, -errno_of(error)))
        take_back(engine, patch)
        raise
    patch.enabled = True
    for obj in list(patch.objects):
        if obj.loaded:
            callbacks.post_patch(engine, obj)


def take_back(engine: Engine, patch: Patch) -> None:
    """A patch that was not applied to its end is taken out. It may be called again when it was cut off."""
    for obj in patch.objects:
        if obj.patched:
            revert_object(engine, obj)
        callbacks.post_unpatch(engine, obj)
    free_patch(engine, patch)


def _join_object(engine: Engine, patch: Patch, obj: Object, mod: Mod, running: bool) -> None:
    try:
        init_object_loaded(engine, obj, mod)
    except KlpError as error:
        if error.errno != ENOEXEC:
            raise
        obj.left_out = True
        pr_warn(engine.log, "patch '%s' failed for object '%s', which stays unpatched by it" % (patch.name, obj.shown))
        return
    callbacks.pre_patch(engine, obj)
    if not obj.loaded or obj.patched:
        return  # it went while the callback ran
    before = [(func.definition, engine.stacks.top(func.definition)) for func in obj.funcs]
    try:
        apply_object(engine, obj)
    except Exception:
        pr_warn(engine.log, "failed to patch object '%s'" % obj.shown)
        raise
    if running:
        for definition, code in before:
            engine.stacks.may_run(definition, code)


def drop(engine: Engine, patch: Patch, running: bool) -> None:
    """Takes a patch out at once, as a transition does with those that it replaces: no callbacks, no lines."""
    patch.enabled = False
    for obj in patch.objects:
        callbacks.forget(engine, obj)
        if obj.patched:
            for func in obj.funcs:
                if running and func.patched:
                    engine.stacks.table[func.definition].leftover.append(func)  # before it leaves, so the stack stays
            revert_object(engine, obj)
    free_patch(engine, patch)
    for other in engine.patches:
        if other.replace and not replaced_by(engine, other):
            discard_nops(engine, other)  # this patch joined above what it replaces; that is gone now
