"""Functions of CPython's C API that raise no audit event, where Python's own ways raise one: frames, codes, addresses,
new functions, codes of generators, bytes in memory.

An audit hook is a function of the program's, which may call patched functions. What klpfs runs for such a call must not
call the hook again: so a choice inside another choice uses these (switch/choice.py), and whatever makes a function
object always does (images/image.py). AVAILABLE is False where this interpreter has no `_ctypes` or does not show its C
functions: there the functions are those of Python that raise events.

Imports nothing of klpfs, so that every room may use it.
"""
from __future__ import annotations

import sys
from operator import length_hint
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Callable

_ORDER, _int, _id, _getframe = sys.byteorder, int, id, sys._getframe
_iter, _length_hint = iter, length_hint
_WORD = 4       # bytes


def _find() -> tuple[Any, ...] | None:
    """The functions of C, in the order in which they are used below; None: not to be had."""
    try:
        import _ctypes
        from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_PYTHONAPI, CFuncPtr, _SimpleCData, dlsym

        class Object(_SimpleCData):
            _type_ = "O"

        class Pointer(_SimpleCData):
            _type_ = "P"

        class Bytes(_SimpleCData):
            _type_ = "z"

        class Number(_SimpleCData):
            _type_ = "l"

        c: Any = _ctypes        # of which typeshed does not know all
        program = c.dlopen(None, 0)

        def function(place: str | int, gives: Any, *takes: Any) -> Any:
            kind: Any = type("CFunction", (CFuncPtr,),
                             {"_flags_": FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI, "_restype_": gives})
            made = kind(dlsym(program, place) if type(place) is str else place)
            made.argtypes = takes
            return made
        return (function("PyThreadState_Get", Pointer),
                function("PyThreadState_GetFrame", Object, Pointer),
                function("PyFrame_GetCode", Object, Object),
                function("PyLong_FromVoidPtr", Object, Object),
                function("PyFunction_New", Object, Object, Object),
                function("PyFunction_SetDefaults", Number, Object, Object),
                function("PyFunction_SetKwDefaults", Number, Object, Object),
                function("PyFunction_SetClosure", Number, Object, Object),
                function("PyCode_NewEmpty", Object, Bytes, Bytes, Number),
                function("PyBytes_FromStringAndSize", Object, Pointer, Number),
                function(c._memmove_addr, Pointer, Pointer, Bytes, Number),
                function("PyBytes_FromStringAndSize", Object, Object, Number),
                function("PySys_Audit", Number, Bytes, Bytes, Pointer, Object),
                c.dlsym(program, "PyIter_Next"),
                function("PyGen_GetCode", Object, Object) if sys.version_info >= (3, 12) else None)
    except (ImportError, OSError, AttributeError, ValueError):
        return None


_functions = _find()
AVAILABLE = _functions is not None
(_thread_state, _frame_of, _code_of, _address_of, _new, _set_defaults, _set_kwdefaults, _set_closure, _empty_code,
 _bytes_at, _move, _head, _audit, _iter_next, _generator_code) = _functions or (None,) * 15

frame_code: Callable[[FrameType], CodeType] = _code_of or (lambda frame: frame.f_code)
"""A frame's f_code."""
address: Callable[[object], int] = _address_of or _id
"""An object's id()."""
generator_code: Callable[[Any], CodeType] | None = _generator_code
"""The code of a generator, a coroutine or an asynchronous generator, from 3.12 on; else None."""
head: Callable[[object, int], bytes] | None = _head
"""So many of the first bytes of an object in memory. Only where AVAILABLE."""


def is_audited() -> bool:
    """Whether any audit hook is about, told by an event of klpfs's own: CPython makes an event's arguments for hooks
    alone. False where not AVAILABLE."""
    if _audit is None:
        return False
    argument = _iter((0,))
    try:
        _audit(b"klpfs.look", b"O&", _iter_next, argument)      # hooks get what PyIter_Next gives
    except BaseException:       # of a hook that refuses
        return True
    return _length_hint(argument) == 0


def callers_frame() -> FrameType:
    """The frame of the function that called the caller of this one."""
    if _thread_state is None:
        return _getframe(2)
    # without a name: a frame that holds itself would be garbage that only the collector finds
    return _frame_of(_thread_state()).f_back.f_back     # type: ignore[no-any-return]


def new_function(code: CodeType, space: dict[str, Any], name: str, defaults: tuple[Any, ...] | None,
                 kwdefaults: dict[str, Any] | None, closure: tuple[Any, ...] | None) -> FunctionType:
    """A function object with these attributes. The closure must fit the code."""
    made: FunctionType
    if _new is None:
        made = FunctionType(code, space, name, defaults, closure)
        made.__kwdefaults__ = kwdefaults
        return made
    made = _new(code, space)
    made.__name__ = name
    if defaults is not None:
        _set_defaults(made, defaults)
    if kwdefaults is not None:
        _set_kwdefaults(made, kwdefaults)
    if closure is not None:
        _set_closure(made, closure)
    return made


def new_code() -> CodeType:
    """A code object that nothing else has. Only where AVAILABLE."""
    return _empty_code(b"", b"", 1)     # type: ignore[no-any-return]


def peek(place: int) -> int:
    """The unsigned number in four bytes of memory. Only where AVAILABLE."""
    return _int.from_bytes(_bytes_at(place, _WORD), _ORDER)


def poke(place: int, number: int) -> None:
    """Writes an unsigned number into four bytes of memory. Only where AVAILABLE."""
    _move(place, number.to_bytes(_WORD, _ORDER), _WORD)
