"""Which version of the patched functions is on the caller's stack: there must be one only.

Used by the programs and by the new functions of their livepatches (livepatches.py), so each checks what it was called
by. A version is '0' for the program's own code, else the stem of the livepatch that the code comes from. The functions
are given in the environment: PATCHED="FILE:NAME:LINE ...", the end of the file's path, the function's own name, and the
line at which it begins, for a file may have others of the name.
"""
import os
import sys

PATCHES = ("lp_a", "lp_b")
PATCHED = {tuple(each.rsplit(":", 2)) for each in os.environ.get("PATCHED", "").split()}
NAMES = {name for _, name, _ in PATCHED}


class MixedStack(Exception):
    """Two versions of functions that were patched together are on one stack."""


def version_of(code):
    """'0', 'lp_a', 'lp_b'; None for the code of another function."""
    file = code.co_filename
    stem = file.rpartition("/")[2].partition(".")[0]
    if stem in PATCHES:
        return stem
    if code.co_name in NAMES and any(
            name == code.co_name and int(line) == code.co_firstlineno and file.endswith(end) for end, name, line in PATCHED):
        return "0"
    return None


def version():
    """The version of the caller's stack (str). MixedStack when there are two.

    An asyncio task's stack ends with its own frames; what is below the event loop is another task.
    """
    frame, found = sys._getframe(1), []
    while frame is not None:
        code = frame.f_code
        if code.co_name == "_run" and code.co_filename.endswith("asyncio/events.py"):
            break
        this = version_of(code)
        if this is not None:
            found.append((this, code.co_name, frame.f_lineno))
        frame = frame.f_back
    versions = {each[0] for each in found}
    if len(versions) > 1:
        sys.stderr.write(f"MixedStack: {found}\n")
        raise MixedStack(found)
    return versions.pop() if versions else "none"
