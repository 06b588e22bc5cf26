"""ast.parse in a program whose threads may parse as well.

Up to 3.11.7 and 3.12.1 the depth that the tree is converted at is kept once an interpreter: a conversion that another
thread's comes into the middle of, which takes a garbage collection inside of it, ends with SystemError (gh-106905).
"""
from __future__ import annotations

import ast

from klpfs.cpython import no_collection
from klpfs.cpython.load.compiler_warnings import Unheard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRIES = 10


def parse(text: str | bytes, path: str = "<unknown>", mode: str = "exec") -> Any:
    """The tree that ast.parse gives: ast.Module, or ast.Expression for mode "eval". SyntaxError, ValueError and so on
    as it does.

    What the compiler warns of is not heard. No collection begins in our conversion, so that nobody's conversion comes
    into its middle; if ours came into another thread's, it is done again.
    """
    for left in range(TRIES, 0, -1):
        held = False
        try:
            held = no_collection.hold()
            with Unheard():
                return ast.parse(text, path, mode)
        except SystemError:
            if left == 1:
                raise
        finally:
            if held:
                no_collection.let_go()
