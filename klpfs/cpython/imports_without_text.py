"""Imports of the standard library's modules that evaluate text while they are imported.

CPython forgets that a KeyboardInterrupt has ended the program whenever text is evaluated (eval or exec of a str, in any
thread: run_eval_code_obj in Python/pythonrun.c): the process then ends with status 1 instead of by SIGINT. klpfs
imports while the program runs, and namedtuple(), which functools and tokenize call, evaluates text. Code objects do no
harm. tests/project/test_text.py looks for text.
"""
from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_done = False


def import_without_text() -> None:
    """Imports functools and tokenize, once; namedtuple() evaluates compiled code meanwhile, in every thread. Called
    before klpfs imports anything that imports these two."""
    global _done
    if _done:
        return
    if "functools" not in sys.modules or "tokenize" not in sys.modules:
        import collections
        names = collections.__dict__
        names["eval"] = _eval           # ahead of the builtin of that name
        try:
            import functools  # noqa: F401
            import tokenize  # noqa: F401
        finally:
            names.pop("eval", None)
    _done = True


def _eval(source: Any, *spaces: Any) -> Any:
    """eval() of compiled code, for namedtuple(), which gives the namespace."""
    if type(source) is str:
        source = compile(source, "<string>", "eval", dont_inherit=True)
    return eval(source, *spaces)
