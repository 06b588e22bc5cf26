"""Making a patch ready, and undoing that (klp_init_patch, klp_init_object, klp_free_patch in kernel/livepatch/core.c).

Checks what the tree can show, finds loaded objects and their functions. What fails leaves nothing behind.
"""
from __future__ import annotations

from errno import EEXIST, EINVAL

from klpfs.engine.bounds import MAX_OBJECTS, MAX_PATCH_BYTES
from klpfs.engine.data import LIVE, Mod, freeze, keep, thaw
from klpfs.engine.error import KlpError, Orphan, first_line_of
from klpfs.engine.log import pr_err
from klpfs.engine.names import why_unshowable
from klpfs.engine.replace import add_nops, likes_of, position, replaced_by
from klpfs.engine.state import is_patch_compatible
from klpfs.engine.target import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from klpfs.engine.core import Engine
    from klpfs.engine.data import Func, Object, Patch
    from klpfs.engine.log import Log

OF_PATCH = ("enabled", "transition", "force", "replace", "stack_order")
OF_OBJECT = ("patched",)


def check_fields(log: Log, patch: Patch, name: str) -> None:
    """Checks that the fields of a patch, which its livepatch may have set to anything, are what they are said to be,
    and fixes them. KlpError EINVAL."""
    try:
        freeze(patch)
    except (AttributeError, TypeError, ValueError) as error:
        text = "the patch of '%s' can't be used: %s" % (name, first_line_of(error))
        raise KlpError(EINVAL, pr_err(log, text)) from None


def check_names(log: Log, patch: Patch, name: str) -> None:
    """Checks the names of a patch. KlpError EINVAL: the tree cannot show a name; EEXIST: it would show a name twice."""
    _check_name(log, name, "patch", ())
    seen, size = set(), 0
    if len(patch.objects) > MAX_OBJECTS:
        raise KlpError(EINVAL, pr_err(log, "patch '%s' has more than %d objects" % (name, MAX_OBJECTS)))
    for obj in patch.objects:
        _check_name(log, obj.shown, "object", OF_PATCH)
        if obj.shown in seen:
            raise KlpError(EEXIST, pr_err(log, "object '%s' is twice in patch '%s'" % (obj.shown, name)))
        seen.add(obj.shown)
        funcs = set()
        for func in obj.funcs:
            shown = "%s,%d" % (func.old_name, position(func))
            _check_name(log, shown, "function", OF_OBJECT)
            if shown in funcs:
                text = "function '%s' is twice in object '%s' of patch '%s'" % (shown, obj.shown, name)
                raise KlpError(EEXIST, pr_err(log, text))
            funcs.add(shown)
            size += len(shown) if shown.isascii() else 4 * len(shown)
        size += len(obj.shown) if obj.shown.isascii() else 4 * len(obj.shown)
    if size > MAX_PATCH_BYTES:
        text = "the names of patch '%s' are more than %d kB" % (name, MAX_PATCH_BYTES >> 10)
        raise KlpError(EINVAL, pr_err(log, text))


def check_states(log: Log, patch: Patch, name: str, in_force: Sequence[Patch]) -> None:
    """Checks a patch's states against those of the patches in force. KlpError EINVAL."""
    if not is_patch_compatible(patch, in_force):
        text = "Livepatch patch (%s) is not compatible with the already installed livepatches." % name
        raise KlpError(EINVAL, pr_err(log, text))


def _check_name(log: Log, name: str, what: str, attributes: tuple[str, ...]) -> None:
    reason = why_unshowable(name, attributes)
    if reason:
        raise KlpError(EINVAL, pr_err(log, "%s name %r %s" % (what, name[:80], reason)))


def init_patch(engine: Engine, patch: Patch, name: str, place: int, resolve: bool = True) -> None:
    """klp_init_patch: patch is among engine.patches, at `place`, its loaded objects are resolved. KlpError: as before.

    resolve=False: all objects count as not loaded for now (a joiner goes through them one by one).
    """
    keep(patch, "name", name)
    if patch.mod is None:
        keep(patch, "mod", Mod(name, LIVE))
    patch.enabled = patch.forced = False
    try:
        engine.patches.insert(place, patch)
        add_nops(patch, replaced_by(engine, patch))
        for obj in patch.objects:
            init_object(engine, patch, obj, resolve)
    except Orphan:
        raise
    except BaseException:
        free_patch(engine, patch)
        raise


def init_object(engine: Engine, patch: Patch, obj: Object, resolve: bool) -> None:
    """klp_init_object."""
    keep(obj, "patch", patch)
    obj.patched = False
    for func in obj.funcs:
        keep(func, "obj", obj)
        func.patched = func.transition = False
    mod = engine.target.loaded(obj.name) if resolve else None
    if mod is not None:
        init_object_loaded(engine, obj, mod)


def init_object_loaded(engine: Engine, obj: Object, mod: Mod) -> None:
    """klp_init_object_loaded: finds obj's functions in its module. KlpError: obj counts as not loaded.

    Unlike in the kernel, a function may be in other objects of the patch, too: a module may have two names (os.path). A
    nop is left out then; two functions of the patch's own are EEXIST, and so is one whose nop is in a transition.
    """
    obj.mod = None if obj.name is None else mod
    obj.loaded = True
    obj.left_out = False
    found = {func.definition: func for each in (obj.patch.objects if obj.patch is not None else ()) if each is not obj
             for func in each.funcs if func.definition is not None}
    likes = likes_of(engine, obj) if any(func.nop for func in obj.funcs) else {}
    try:
        for func in obj.funcs:
            if func.nop:
                like = likes.get((func.old_name, position(func)))
                if like is None:
                    continue  # its older patch could not patch it here, so there is nothing to take back
                engine.target.resolve_nop(obj, func, like)
            else:
                engine.target.resolve(obj, func)
                if func.definition is None:
                    continue
            other = found.get(func.definition)
            if other is not None and func.nop:
                release(engine, func)
                continue
            if other is not None and other.nop and (not other.patched or engine.transition is None):
                _take_off(engine, other)
            elif other is not None:
                text = "function '%s' of object '%s' is patched twice" % (func.old_name, obj.shown)
                raise KlpError(EEXIST, pr_err(engine.log, text), func)
            found[func.definition] = func
    except Orphan:
        raise
    except BaseException:
        free_object_loaded(engine, obj)
        raise


def _take_off(engine: Engine, nop: Func) -> None:
    """A nop that is not needed is left out, also where a joiner has put it in force already."""
    if nop.patched:
        stack = engine.stacks.table[nop.definition]
        change = Change(nop.definition, stack.without(nop), stack.top)
        if change.before is not change.after:
            engine.target.revert([change])
        engine.stacks.take(nop)
    release(engine, nop)


def free_object_loaded(engine: Engine, obj: Object) -> None:
    """klp_free_object_loaded: obj's module is not there any more (or obj never got it)."""
    obj.mod = None
    obj.loaded = False
    for func in obj.funcs:
        release(engine, func)


def release(engine: Engine, func: Func) -> None:
    """Gives back what the target made of func, once."""
    if func.definition is not None:
        engine.target.release(func)
        func.definition = func.new_code = None


def free_patch(engine: Engine, patch: Patch) -> None:
    """klp_free_patch_start: the patch leaves the list and the tree; it could be enabled anew.

    Code that may still run because of a force stays the target's until it was seen not to (Stacks.settle).
    """
    if patch in engine.patches:
        engine.patches.remove(patch)
    patch.enabled = False
    for obj in patch.objects:
        for func in obj.funcs:
            if not engine.stacks.runs(func):
                release(engine, func)
        keep(obj, "funcs", tuple([func for func in obj.funcs if not func.nop]))
        obj.mod = None
        obj.loaded = obj.left_out = False
    keep(patch, "objects", tuple([obj for obj in patch.objects if not obj.dynamic]))
    thaw(patch)
