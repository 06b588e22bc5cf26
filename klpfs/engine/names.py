"""The rule for names that the tree can show: of patches, objects, functions, modules, parameters and services; and the
name that it shows for the main program.

Source: docs/DESIGN.md#3.
"""
from __future__ import annotations

MAX_NAME_BYTES = 255        # of a name in a directory (NAME_MAX)
VMLINUX = "vmlinux"         # the main program, an object whose name is None, in the tree and the log
NULL = "(null)"            # the same where the kernel prints its name as it is: klp_find_object_symbol()


def why_unshowable(name: str, attributes: tuple[str, ...] = ()) -> str:
    """Why the tree can't show `name`, in words for the log; "" when it can.

    attributes: names that the folder has already. A name with bytes that are no UTF-8 (surrogates, as os.fsdecode makes
    them) can be shown; other surrogates can't be a file's name.
    """
    if name in attributes:
        return "is the name of an attribute"
    if not name or "/" in name or name in (".", ".."):
        return "cannot be a file name"
    try:
        length = len(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return "cannot be a file name"
    if length > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if any(character < " " or "\x7f" <= character < "\xa0" for character in name):
        return "has control characters"
    return ""


def showable(name: str) -> bool:
    """Whether the tree can show `name`."""
    return not why_unshowable(name)
