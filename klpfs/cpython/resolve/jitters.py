"""Compilers of the program's (numba, jax, torch.compile) that have a function: what they have made of it runs in its
place, and no new code reaches that.

They are asked for only where they are loaded: it takes a search of the heap for each function.
"""
from __future__ import annotations

import gc
import sys
from types import CellType, FunctionType

from klpfs.cpython.raw import type_module, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# modules of which types, or functions, stand for compiled functions
JITTERS = ("numba", "numba_cuda", "jax", "jaxlib", "torch._dynamo", "torch.jit", "tensorflow.python.eager", "triton",
           "taichi", "pythran", "cupyx.jit")
_HOLDERS = (dict, tuple, list, CellType)    # between such an object and the function


def jitter_of(functions: Iterable[FunctionType]) -> str | None:
    """The type of an object that stands for a compiled copy of one of these functions: 'numba.core.registry.Dispatcher'
    maybe; None: there is none, as far as the collector knows."""
    if not any(name in sys.modules for name in JITTERS):
        return None
    for function in functions:
        referrers = gc.get_referrers(function)
        # not a module's names, to which all its functions refer
        holders = [each for each in referrers
                   if type(each) in _HOLDERS and not (type(each) is dict and "__builtins__" in each)]
        for each in (*referrers, *gc.get_referrers(*holders)):
            if _is_of_jitter(each):
                return f"{type_module(type(each))}.{type_name(type(each))}"
    return None


def _is_of_jitter(found: object) -> bool:
    """Whether an object's type is a jitter's; or a function's module, which closes over what it compiles."""
    name = found.__globals__.get("__name__") if type(found) is FunctionType else type_module(type(found))
    return type(name) is str and any(name == each or name.startswith(each + ".") for each in JITTERS)
