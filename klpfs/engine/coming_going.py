"""Modules that come and go (klp_module_coming, klp_module_going).

Both may be called while a callback runs, by the callback's own thread or by another: they look at each object's marks,
not at the caller. A module that is known already, or not known any more, is passed over, so calls may be repeated.
"""
from __future__ import annotations

from klpfs.engine import callbacks
from klpfs.engine.data import COMING, GOING, LIVE, Mod
from klpfs.engine.error import errno_of
from klpfs.engine.init_patch import free_object_loaded, init_object_loaded, release
from klpfs.engine.log import pr_notice, pr_warn
from klpfs.engine.patch import patch_object, patch_of, unpatch_object
from klpfs.engine.replace import find_object, replaced_by
from klpfs.engine.steps import FINISHING
from klpfs.engine.target import Change
from klpfs.engine.transition import PATCHED, UNPATCHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Object, Patch


def module_coming(engine: Engine, name: str | None, refuse: bool, mod: Mod | None = None) -> None:
    """Applies every patch in force, oldest first, to a module whose body ran but whose code nobody runs yet.

    refuse: the first patch that fails is taken back with those before it, KlpError. Else (a plain import) the failing
    patch's object stays unpatched and the others go on.
    """
    known = mod or engine.target.loaded(name)
    mod = known or Mod(name or "__main__", COMING)
    for patch in list(engine.patches):
        obj = find_object(patch, name)
        if obj is None or obj.loaded or _over(engine, patch):
            continue
        try:
            apply_to_module(engine, patch, obj, mod)
        except Exception:
            free_object_loaded(engine, obj)
            if not refuse:
                leave_out(engine, patch, obj)
                if patch.replace and _pending(engine, patch):
                    _leave_out_replaced(engine, patch, name)
                continue
            _refuse(engine, patch, obj, mod, patch)
            raise
    failure = _join_unpatching(engine, name)
    if failure is not None:
        obj, error = failure
        patch = patch_of(obj)
        if refuse:
            _refuse(engine, patch, obj, mod, None)
            raise error
        take_back(engine, obj)
        leave_out(engine, patch, obj)
    if known is None:
        mod.state = LIVE  # a Mod that the caller gave: the caller sets LIVE, after init()


def _refuse(engine: Engine, patch: Patch, obj: Object, mod: Mod, limit: Patch | None) -> None:
    pr_warn(engine.log, "patch '%s' failed for module '%s', refusing to load module '%s'"
            % (patch.name, obj.shown, obj.shown))
    mod.state = GOING
    cleanup_module_patches_limited(engine, obj.name, limit)


def leave_out(engine: Engine, patch: Patch, obj: Object) -> None:
    """The object runs as it is, and counts as loaded and unpatched."""
    obj.left_out = True
    pr_warn(engine.log, "patch '%s' failed for module '%s', module '%s' stays unpatched by it"
            % (patch.name, obj.shown, obj.shown))


def _leave_out_replaced(engine: Engine, patch: Patch, name: str | None) -> None:
    """The nops failed with the rest, so nothing would lead consistently away from the patches that are being replaced:
    the module stays unpatched by them too."""
    for old_patch in replaced_by(engine, patch):
        obj = find_object(old_patch, name)
        if obj is not None and obj.loaded:
            take_back(engine, obj)
            leave_out(engine, old_patch, obj)


def apply_to_module(engine: Engine, patch: Patch, obj: Object, mod: Mod) -> None:
    """Applies a patch to its part of a coming module. KlpError with obj as before, but for its `loaded` mark."""
    if enter_module(engine, patch, obj, mod, apply_object) and not _pending(engine, patch):
        callbacks.post_patch(engine, obj)


def enter_module(engine: Engine, patch: Patch, obj: Object, mod: Mod, put: Callable[[Engine, Object], None]) -> bool:
    """Resolves obj, calls pre_patch, then put(engine, obj). False: the module went while the callback ran. KlpError as
    apply_to_module."""
    try:
        init_object_loaded(engine, obj, mod)
    except Exception as error:
        pr_warn(engine.log, "failed to initialize patch '%s' for module '%s' (%d)"
                % (patch.name, obj.shown, -errno_of(error)))
        raise
    pr_notice(engine.log, "applying patch '%s' to loading module '%s'" % (patch.name, obj.shown))
    callbacks.pre_patch(engine, obj)
    if not obj.loaded or obj.patched:
        return False
    try:
        put(engine, obj)
    except Exception as error:
        pr_warn(engine.log, "failed to apply patch '%s' to module '%s' (%d)"
                % (patch.name, obj.shown, -errno_of(error)))
        callbacks.post_unpatch(engine, obj)
        raise
    return True


def apply_object(engine: Engine, obj: Object) -> None:
    """obj's functions on their stacks, and in force: at once, or as the patching transition under way says. Its reverse
    is revert_object."""
    try:
        patch_object(engine, obj)
        transition = engine.transition
        if transition is not None and _pending(engine, patch_of(obj)) and transition.kind == PATCHED:
            transition.add(obj)
        else:
            changes = [engine.stacks.change(func, True) for func in obj.funcs if func.patched]
            engine.target.apply([change for change in changes if change.before is not change.after])
    except Exception:
        unpatch_object(engine, obj)
        raise


def _join_unpatching(engine: Engine, name: str | None) -> tuple[Object, Exception] | None:
    """A module that came joins the unpatching transition under way, once all patches are in force in it: what the
    transition leads away from may lie below what newer patches made of the same functions. (object, error) if it
    can't, else None."""
    transition = engine.transition
    if transition is None or transition.kind != UNPATCHED or transition.step == FINISHING:
        return None
    obj = find_object(transition.patch, name)
    if obj is None or not obj.patched:
        return None
    try:
        transition.add(obj)
    except Exception as error:
        pr_warn(engine.log, "failed to apply patch '%s' to module '%s' (%d)"
                % (transition.patch.name, obj.shown, -errno_of(error)))
        return obj, error
    return None


def cleanup_module_patches_limited(engine: Engine, name: str | None, limit: Patch | None = None) -> None:
    """Takes a module's functions out of all patches, oldest first, up to the patch `limit`."""
    if engine.transition is not None and engine.transition.in_target is not None:
        obj = find_object(engine.transition.patch, name)
        if obj is not None:
            engine.transition.drop(obj)  # first of all: it holds versions of the older patches too
    for patch in list(engine.patches):
        if patch is limit:
            break
        obj = find_object(patch, name)
        if obj is None or not obj.loaded and not obj.left_out:
            continue
        obj.left_out = False
        if obj.mod is not None:
            obj.mod.state = GOING
        take_back(engine, obj, "reverting patch '%s' on unloading module '%s'" % (patch.name, obj.shown))
    forget_leftovers(engine, name)


def take_back(engine: Engine, obj: Object, line: str | None = None) -> None:
    """Takes a loaded object out of its patch. line: for the log, if it was patched."""
    callbacks.pre_unpatch(engine, obj)  # only where post_patch ran: not in this patch's own transition
    if obj.patched:
        if line is not None:
            pr_notice(engine.log, line)
        revert_object(engine, obj)
    callbacks.post_unpatch(engine, obj)
    free_object_loaded(engine, obj)


def revert_object(engine: Engine, obj: Object) -> None:
    """The reverse of apply_object; where an exception cuts it off, it is called again."""
    transition, pending = engine.transition, _pending(engine, patch_of(obj))
    if not (pending and transition is not None and transition.in_target is None):   # else nothing was put in force yet
        stacks = [(func, engine.stacks.table[func.definition]) for func in obj.funcs if func.patched]
        changes = [Change(func.definition, stack.without(func), stack.top) for func, stack in stacks]
        # Dropped from a transition, a function has the image of its goal, whatever the stack says.
        changes = [change for change in changes if pending or change.before is not change.after]
        if changes:
            engine.target.revert(changes)
    unpatch_object(engine, obj)     # behind what can be cut off: an object that is not patched is not reverted again


def forget_leftovers(engine: Engine, name: str | None) -> None:
    """Code of functions that went with their module needs no account any more."""
    for stack in list(engine.stacks.table.values()):
        if stack.object == name and not stack.funcs:
            for code in engine.stacks.forget(stack.definition):
                if code is not None:
                    release(engine, code)


def _pending(engine: Engine, patch: Patch) -> bool:
    """Whether patch is in transition, and the outcome is not yet everywhere in place."""
    transition = engine.transition
    return transition is not None and transition.patch is patch and transition.step != FINISHING


def _over(engine: Engine, patch: Patch) -> bool:
    """Whether patch is on its way out for good: its last callbacks run, or those of what replaces it."""
    return engine.transition is not None and engine.transition.step == FINISHING and not patch.enabled
