"""ast.parse in a program whose threads may parse as well.

Up to 3.11.7 and 3.12.1 the depth that the tree is converted at is kept once an interpreter: a conversion that another thread's
comes into the middle of, which takes a garbage collection inside of it, ends with SystemError (gh-106905).
"""
import ast
import gc

TRIES = 10


def parse(text, path="<unknown>", mode="exec"):
    """As ast.parse. No collection begins in ours, so that nobody's conversion comes into its middle; if ours came into another's,
    it is done again. SyntaxError, ValueError and so on as ast.parse says."""
    for left in range(TRIES, 0, -1):
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text, path, mode)
        except SystemError:
            if left == 1:
                raise
        finally:
            if collects:
                gc.enable()
