"""Frames that a fork has left behind: those of its parent's other threads, which the child does not have.

Python forgets the threads in the child, but not what their frames refer to: code, functions and values keep these
references for good, and no stack shows them. So in such a child references tell nothing about what runs
(looks/hidden.py), and are not counted.
"""
from __future__ import annotations

from klpfs.cpython import interpreters
from klpfs.cpython.no_collection import thread_frames

_here = False           # in this process


def are_here() -> bool:
    """Whether this process has frames of threads that it does not have."""
    return _here


def would_be() -> bool:
    """Whether a fork now would leave frames behind: another thread has some, or this process has them itself. Before a
    fork, once klpfs's own threads have ended. True where asking for frames is not safe."""
    try:
        return _here or len(thread_frames()) > 1
    except interpreters.Apart:
        return True


def note(left: bool) -> None:
    """In the child: `left` is what would_be has answered its parent."""
    global _here
    _here = left
