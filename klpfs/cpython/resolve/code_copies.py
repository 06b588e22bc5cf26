"""Copies of code objects, which tools of the program make: `f.__code__.replace(...)`, types.coroutine, a rewriter of
bytecode. The place of a code in its file says what it may be a copy of, and its content whether it is.
"""
from __future__ import annotations

from types import CodeType
from weakref import getweakrefs, ref

from klpfs.cpython.raw import ITERABLE_COROUTINE
from klpfs.cpython.resolve.fingerprint import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    Place = tuple[str, int, str]

_FIELDS = ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_names", "co_varnames",
           "co_freevars", "co_cellvars", "co_code")


def place(code: CodeType) -> Place:
    """Where a code was compiled: its file, first line and name."""
    return code.co_filename, code.co_firstlineno, code.co_name


def is_watched(code: CodeType) -> bool:
    """Whether there are weak references to a code object that are not klpfs's: those are plain, without a callback."""
    return any(type(each) is not ref or each.__callback__ is not None for each in getweakrefs(code))


def is_alone_there(code: CodeType) -> bool:
    """Whether no other definition of its module can have the code's place: several lambdas may be of one line, and what
    exec makes, as dataclasses do, has names like '<string>' for files."""
    return code.co_name[:1] != "<" and code.co_filename[:1] != "<"


def content(code: CodeType) -> str:
    """A code's fingerprint. Where a tool, or klpfs, has put constants that no compiler makes, a text that no other code
    has."""
    try:
        return fingerprint(code)
    except TypeError:
        return f"code at {id(code):#x}"


def is_copy(code: CodeType, of: CodeType) -> bool:
    """Whether a code does what another does, with the very constants of that. Flags that types.coroutine sets,
    names, file names and lines do not count."""
    if [getattr(code, name) for name in _FIELDS] != [getattr(of, name) for name in _FIELDS] or \
            (code.co_flags ^ of.co_flags) & ~ITERABLE_COROUTINE or len(code.co_consts) != len(of.co_consts) or \
            getattr(code, "co_exceptiontable", b"") != getattr(of, "co_exceptiontable", b""):
        return False
    return all(a is b or type(a) is CodeType is type(b) and is_copy(a, b)
               for a, b in zip(code.co_consts, of.co_consts))
