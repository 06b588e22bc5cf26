"""Bounds of what a process says about itself, kept where it is made. The shapes of messages (protocol/shapes.py) are as
wide or wider, so a process that keeps these bounds is always understood; tests/agent/test_bounds.py holds each of them
against its shape.

A foreign user's message is 4 MB at most, so what must be in one message is smaller, at 4 bytes a character.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

MAX_ENTRIES = 4096          # modules, or patches, of a service; parameters of a module; words of a command line
MAX_OBJECTS = 4096          # of a patch
MAX_PATCH_BYTES = 5 << 19   # the names of a patch's objects and functions, as they are told
MAX_PARAM_CHARS = 1 << 18   # the texts of a module's parameters
MAX_FRAMES = 256            # of a stack: the innermost and the outermost
MAX_FRAME_CHARS = 1024      # of a frame
MAX_BLOCKERS = 1024         # that are told
MAX_BLOCKER_NAME = 255      # characters of a blocker's name
MAX_STACK_CHARS = 1 << 18   # the frames of all blockers; those behind are told without frames
MAX_TASKS = 1 << 15         # that are told
MAX_TASK_NAME = 64          # characters of a task's name
MAX_INSIDE = 64             # stacks that a dry run tells of a function
MAX_SURVEYED = 10_000       # functions that a dry run tells of
MAX_PATHS = 128             # entries of sys.path that a dry run tells
MAX_PATH_CHARS = 1024       # of an entry
MAX_SURVEY_CHARS = 1 << 19  # of all its texts
MAX_SURVEY_VALUES = 200_000     # in all its lists and rows


def middle_left_out(members: list[T], most: int) -> tuple[list[T], int, list[T]]:
    """The first members, how many are left out, the last members: `most` at most, and a line for those between.

    >>> middle_left_out([1, 2, 3, 4, 5, 6, 7], 5)
    ([1, 2], 3, [6, 7])
    >>> middle_left_out([1, 2], 5)
    ([1, 2], 0, [])
    """
    if len(members) <= most:
        return members, 0, []
    half = (most - 1) // 2
    return members[:most - 1 - half], len(members) - most + 1, members[len(members) - half:]
