"""Stacks near the recursion limit."""
import contextlib
import inspect
import sys


def below(frames, work):
    """work(), so many frames further down."""
    return below(frames - 1, work) if frames else work()


@contextlib.contextmanager
def room_for(frames):
    """As long, the stack has room for so many frames more, from here."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
