"""The CPythons that klpfs patches. Here alone it is said which they are.

A minor release changes what klpfs rests on (docs/FACTS-python.md): one that nobody has measured is refused by name,
never assumed. Micro releases of a known minor are taken as they come. Alphas and betas are refused, since CPython's
internals still move between them; release candidates are patched, and the log says what they are.
"""
from __future__ import annotations

import sys

from klpfs.cpython import jit

OLDEST = (3, 9)
NEWEST = (3, 15)                # what a new one takes: docs/HACKING.md#7
UNFINISHED = ("alpha", "beta")          # releaselevels of sys.version_info
CANDIDATE = "candidate"


def why_not(implementation: str, minor: tuple[int, int], level: str = "final",
            free_threaded: bool = False) -> str | None:
    """Why an interpreter can't be patched, None if it can. implementation: as sys.implementation.name; minor: the first
    two numbers of its version; level: as sys.version_info.releaselevel; free_threaded: whether it
    is a free-threaded build, with its lock on or off.

    >>> why_not("cpython", (3, 13))
    >>> why_not("cpython", (3, 16))
    'klpfs patches CPython 3.9 to 3.15, this is 3.16: that takes a newer klpfs'
    """
    version = _shown(minor)
    if implementation != "cpython":
        return f"klpfs patches CPython, this is {implementation} {version}"
    if minor < OLDEST:
        return f"klpfs needs CPython {_shown(OLDEST)} or later, this is {version}"
    if minor > NEWEST:
        known = f"{_shown(OLDEST)} to {_shown(NEWEST)}"
        return f"klpfs patches CPython {known}, this is {version}: that takes a newer klpfs"
    if level in UNFINISHED:
        return f"klpfs patches releases of CPython, this is {version} {level}"
    if free_threaded:
        return ("klpfs does not patch free-threaded builds, with PYTHON_GIL=1 neither: stacks and counts of references "
                "can't be relied on there; use the ordinary build")
    return None


def _shown(minor: tuple[int, int]) -> str:
    return f"{minor[0]}.{minor[1]}"


def unsupported() -> str | None:
    """Why this interpreter can't be patched, None if it can."""
    return why_not(sys.implementation.name, sys.version_info[:2], sys.version_info.releaselevel,
                   "t" in getattr(sys, "abiflags", "")) or \
        (f"{jit.WHY}; start it with {jit.VARIABLE}=0" if jit.will_be_on() else None)


def remark() -> str | None:
    """What the log says of this interpreter, which can be patched; None: nothing."""
    if sys.version_info.releaselevel != CANDIDATE:
        return None
    return f"this is a release candidate of CPython {_shown(sys.version_info[:2])}; klpfs is tried on releases"
