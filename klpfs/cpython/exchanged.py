"""Definitions in force of which the program has given a function object other code: a debugger, a reloader, a tracer.

The kernel keeps others from a function that is patched (EBUSY); here nothing can, so what was done is looked for, while
no transition runs.
"""
from __future__ import annotations

from operator import eq

from klpfs.cpython.looks import reads
from klpfs.cpython.resolve.code_copies import place
from klpfs.cpython.resolve.owners import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from klpfs.cpython.images.image_table import Images
    from klpfs.cpython.resolve.definitions import Definition


def exchanged(images: Images) -> set[Definition]:
    """The definitions of which a function object that klpfs has changed has neither the code put last, nor a copy of
    that (coverage tools and tracers run those). Under the lock of the agent's thread, outside a transition."""
    changed = [(each, function) for each in list(images.changed.values())
               for function in (each.ref(),) if function is not None]
    found = set()
    for (each, function), code in zip(changed, reads.function_codes([function for _, function in changed])):
        put = each.newest.code
        if code is put:
            continue
        definition = images.registry.member(function)
        if definition is not None and not _is_like(images, definition, code, put):
            found.add(definition)
    return found


def _is_like(images: Images, definition: Definition, code: CodeType, put: CodeType) -> bool:
    """Whether a code is a copy of what klpfs has put, also one that a tool has written instructions into."""
    kind_of(images.registry, definition, code)      # which notes copies
    return id(code) in definition.alike(put) or sum(map(eq, place(code), place(put))) > 1
