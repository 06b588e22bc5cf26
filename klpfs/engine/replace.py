"""Atomic replace (livepatch.txt, cumulative patches): nops for what older patches changed, and dropping those.

A nop stands for a function that an older patch changed and the replacing one does not; its new code is the original.
Nops, and the objects that exist only to hold them, are dynamic: made at enable, gone once the transition completes.
"""
from __future__ import annotations

from klpfs.engine.callbacks import forget
from klpfs.engine.data import Func, Object, keep
from klpfs.engine.patch import unpatch_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.engine.core import Engine
    from klpfs.engine.data import Patch
    Place = tuple[str, int]     # a function's name in its object, and its position


def position(func: Func) -> int:
    """The position of func's name, from 1. old_sympos 0 says that the name is unique, so 0 and 1 mean one function, as
    in the tree."""
    return func.old_sympos or 1


def find_object(patch: Patch, name: str | None) -> Object | None:
    for obj in patch.objects:
        if obj.name == name:
            return obj
    return None


def by_name(obj: Object) -> dict[Place, Func]:
    """obj's funcs by the function that they stand for, as klp_find_func finds them."""
    return {(func.old_name, position(func)): func for func in obj.funcs}


def add_nops(patch: Patch, older: list[Patch]) -> None:
    """klp_add_nops: gives `patch` a nop for each function of the `older` patches that it does not change itself."""
    for old_patch in older:
        for old_obj in old_patch.objects:
            obj = find_object(patch, old_obj.name)
            if obj is None:
                obj = Object(old_obj.name)
                obj.dynamic = True
                keep(obj, "frozen", patch)
                keep(patch, "objects", (*patch.objects, obj))
            changed = by_name(obj)
            nops = [Func.make_nop(func) for name, func in by_name(old_obj).items() if name not in changed]
            for nop in nops:
                keep(nop, "frozen", patch)
            keep(obj, "funcs", (*obj.funcs, *nops))


def likes_of(engine: Engine, obj: Object) -> dict[Place, Func]:
    """For the nops of obj: the resolved funcs of older patches for the functions that they stand for, by_name."""
    found: dict[Place, Func] = {}
    for old_patch in engine.patches:
        if old_patch is obj.patch:
            break
        old_obj = find_object(old_patch, obj.name)
        if old_obj is not None:
            found.update((name, func) for name, func in by_name(old_obj).items() if func.definition is not None)
    return found


def replaced_by(engine: Engine, patch: Patch) -> list[Patch]:
    """The patches that `patch` takes the place of: all older ones."""
    return engine.patches[:engine.patches.index(patch)] if patch.replace else []


def unpatch_replaced(engine: Engine, patch: Patch) -> None:
    """klp_unpatch_replaced_patches: off every function stack; their callbacks never run."""
    for old_patch in replaced_by(engine, patch):
        old_patch.enabled = False
        for obj in old_patch.objects:
            unpatch_object(engine, obj)
            forget(engine, obj)


def discard_nops(engine: Engine, patch: Patch) -> None:
    """klp_discard_nops; only after unpatch_replaced: a nop must be the last of its stack when it leaves.

    What the target made of nops is released at once: a nop has no code of its own that could still run.
    """
    for obj in list(patch.objects):
        unpatch_object(engine, obj, nops_only=True)
        for func in obj.funcs:
            if func.nop and func.definition is not None:
                engine.target.release(func)
                func.definition = func.new_code = None
        keep(obj, "funcs", tuple([func for func in obj.funcs if not func.nop]))
    keep(patch, "objects", tuple([obj for obj in patch.objects if not obj.dynamic]))
