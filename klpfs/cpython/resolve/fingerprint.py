"""The fingerprint of a function's code: what version magic is to the kernel's modules.

A hash of everything that decides what the code does, and of nothing that does not: no file name, no line numbers, no
state of the running interpreter (adaptive instructions, instrumentation). Equal in every run of one CPython version;
another minor version has other bytecode, hence other fingerprints, and so has a program that is run with -O (no
assert, another __debug__) or -OO (no docstrings). A livepatch for several has a text of all: '3.9:HASH 3.11:HASH
3.11-O:HASH'; what it doesn't say of a level is as without -O.
"""
from __future__ import annotations

import sys
from types import CodeType

from klpfs.cpython.raw import ITERABLE_COROUTINE, LEVELS

try:                    # hashlib loads OpenSSL, which costs the program more memory than all of klpfs
    from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from hashlib import sha256

OTHERS = "-"                    # in the place of a fingerprint: at this level the code has other functions of that name
_NAMES = ("co_names", "co_varnames", "co_freevars", "co_cellvars")


def fingerprint(code: CodeType) -> str:
    """Hex text of a code object and all code nested in it. TypeError: a constant that no compiler makes."""
    digest: str = sha256(_code(code)).hexdigest()
    return digest


def python_version() -> str:
    """The version of this Python, as fingerprints name it: '3.11'."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def this_python() -> tuple[str, str]:
    """(version, level) of this process, as fingerprints name them: ('3.11', '-O')."""
    return python_version(), LEVELS[min(sys.flags.optimize, len(LEVELS) - 1)]


def of_this_python(text: str) -> str | None:
    """The fingerprint, or OTHERS, that a text of several has for this process; None: the text is not for this version
    of Python."""
    by_python = dict(part.partition(":")[::2] for part in text.split())
    version, level = this_python()
    return by_python.get(version + level, by_python.get(version))


def _code(code: CodeType) -> bytes:
    numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals,
               code.co_flags & ~ITERABLE_COROUTINE)     # types.coroutine's, a decorator's work, not the source's
    parts = [code.co_name.encode("utf-8", "surrogatepass"), repr(numbers).encode(), code.co_code,
             getattr(code, "co_exceptiontable", b"")]
    parts += [_constant(getattr(code, name)) for name in _NAMES]
    parts += [_constant(const) for const in code.co_consts]
    return _join(b"code", parts)


def _constant(value: object) -> bytes:
    """Bytes that two constants share only when they are the same constant: 1, 1.0 and True differ, so do 0.0 and
    -0.0."""
    kind = type(value)
    if type(value) is str:
        return _join(b"str", [value.encode("utf-8", "surrogatepass")])
    if type(value) is bytes:
        return _join(b"bytes", [value])
    if value is None or value is Ellipsis or type(value) is bool:
        return repr(value).encode()
    if type(value) is int:
        return b"%x" % value
    if type(value) is float:
        return b"float " + value.hex().encode()
    if type(value) is complex:
        return b"complex %s %s" % (value.real.hex().encode(), value.imag.hex().encode())
    if type(value) is tuple:
        return _join(b"tuple", [_constant(item) for item in value])
    if type(value) is frozenset:    # its order depends on the run
        return _join(b"frozenset", sorted(_constant(item) for item in value))
    if type(value) is slice:
        return _join(b"slice", [_constant(part) for part in (value.start, value.stop, value.step)])
    if type(value) is CodeType:
        return _code(value)
    raise TypeError(f"a constant of type {kind.__name__} has no fingerprint")


def _join(kind: bytes, parts: list[bytes]) -> bytes:
    return kind + b"[" + b"".join(b"%d:%s" % (len(part), part) for part in parts) + b"]"
