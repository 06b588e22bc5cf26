"""The fingerprint of a function's code: what version magic is to the kernel's modules.

A hash of everything that decides what the code does, and of nothing that does not: no file name, no line numbers, no
state of the running interpreter (adaptive instructions, instrumentation). Equal in every run of one CPython version;
another minor version has other bytecode, hence other fingerprints.
"""
from types import CodeType

try:                    # hashlib loads OpenSSL, which costs the program more memory than all of klpfs
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

ITERABLE_COROUTINE = 0x100  # what types.coroutine adds to a copy of the code: a decorator's work, not the source's
_NAMES = ("co_names", "co_varnames", "co_freevars", "co_cellvars")


def fingerprint(code):
    """Hex text of `code` and all code nested in it. TypeError: a constant that no compiler makes."""
    return sha256(_code(code)).hexdigest()


def _code(code):
    numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals,
               code.co_flags & ~ITERABLE_COROUTINE)
    parts = [code.co_name.encode("utf-8", "surrogatepass"), repr(numbers).encode(), code.co_code,
             getattr(code, "co_exceptiontable", b"")]
    parts += [_constant(getattr(code, each)) for each in _NAMES]
    parts += [_constant(each) for each in code.co_consts]
    return _join(b"code", parts)


def _constant(value):
    """Bytes that two constants share only when they are the same constant: 1, 1.0 and True differ, so do 0.0 and -0.0."""
    kind = type(value)
    if kind is str:
        return _join(b"str", [value.encode("utf-8", "surrogatepass")])
    if kind is bytes:
        return _join(b"bytes", [value])
    if value is None or value is Ellipsis or kind in (bool, int):
        return repr(value).encode() if kind is not int else b"%x" % value
    if kind is float:
        return b"float " + value.hex().encode()
    if kind is complex:
        return b"complex %s %s" % (value.real.hex().encode(), value.imag.hex().encode())
    if kind is tuple:
        return _join(b"tuple", [_constant(each) for each in value])
    if kind is frozenset:  # its order depends on the run
        return _join(b"frozenset", sorted(_constant(each) for each in value))
    if kind is slice:
        return _join(b"slice", [_constant(each) for each in (value.start, value.stop, value.step)])
    if kind is CodeType:
        return _code(value)
    raise TypeError("a constant of type %s has no fingerprint" % kind.__name__)


def _join(kind, parts):
    return kind + b"[" + b"".join(b"%d:%s" % (len(part), part) for part in parts) + b"]"
