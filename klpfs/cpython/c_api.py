"""Functions of CPython's C API that raise no audit event, where Python's own ways raise one: frames, codes, addresses,
new functions, codes of generators, bytes in memory. And what Python has no way to ask for that does no harm.

An audit hook is a function of the program's, which may call patched functions. What klpfs runs for such a call must not
call the hook again: so a choice inside another choice uses these (switch/choice.py), and whatever makes a function
object always does (images/image.py). AVAILABLE is False where this interpreter has no `_ctypes` or does not show its C
functions: there the functions are those of Python that raise events.

From 3.14 on a call by ctypes is an event itself. There ctypes is used when this module is imported, to make descriptors
of functions and members of C, which raise none: a function of C is made a method of `object`, a member of C's an
attribute. What is left to ctypes (LOUD) is not called within the program's calls, but for what switch/waiting.py asks
of objects that end where no hook is about.

Imports nothing of klpfs, so that every room may use it.
"""
from __future__ import annotations

import sys
from itertools import compress, starmap
from operator import and_, eq, length_hint, not_
from posix import sysconf
from types import FrameType, FunctionType, TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType
    from typing import Any, Callable

_ORDER, _int, _id, _getframe = sys.byteorder, int, id, sys._getframe
_iter, _length_hint, _list, _map = iter, length_hint, list, map
_WORD = 4       # bytes
LOUD = sys.version_info >= (3, 14)
"""Whether calls by ctypes raise an audit event: those of peek, poke, head, new_code, bytes_of, objects_at and
is_audited."""


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
                function("PyGen_GetCode", Object, Object) if sys.version_info >= (3, 12) else None,
                function("PyObject_SelfIter", Object, Pointer),
                function("mincore", Number, Pointer, Number, Pointer),
                function("PyDescr_NewMethod", Object, Object, Pointer),
                function("PyDescr_NewMember", Object, Object, Pointer),
                function("PyInterpreterState_Head", Pointer),
                function("PyInterpreterState_Main", Pointer),
                lambda name: dlsym(program, name))
    except (ImportError, OSError, AttributeError, ValueError):
        return None


_functions = _find()
AVAILABLE = _functions is not None
(_thread_state, _frame_of, _code_of, _address_of, _new, _set_defaults, _set_kwdefaults, _set_closure, _empty_code,
 _bytes_at, _move, _head, _audit, _iter_next, _generator_code, _object_at, _mincore, _new_method, _new_member,
 _newest_interpreter, _main_interpreter, _place) = _functions or (None,) * 22


# --------------------------------------------------------------------------------------------------------- descriptors

POINTER = 8 if sys.maxsize > 2 ** 32 else 4    # bytes
_NOARGS, _ONE = 4, 8                            # methodobject.h: METH_NOARGS, METH_O
OBJECT, _BYTE, _NUMBER = 6, 9, 11              # descrobject.h: _Py_T_OBJECT, Py_T_UBYTE, Py_T_UINT
_kept: list[bytes] = []                         # descriptors point into them


def _memory(text: bytes) -> int:
    """The address of bytes that stay."""
    _kept.append(text)
    return _id(text) + bytes.__basicsize__ - 1


def _struct(*fields: int) -> int:
    """The address of a C struct of pointers, and of ints (given as negative), each of which takes a pointer's room."""
    return _memory(b"".join([field.to_bytes(POINTER, _ORDER) if field >= 0 else
                             (-field).to_bytes(_WORD, _ORDER) + bytes(POINTER - _WORD) for field in fields]))


def method(name: str, arguments: int) -> Any:
    """A function of C as a method of `object`: called with an object, and with another where `arguments` is 1, else 0.
    Only where AVAILABLE. OSError: there is no such function."""
    flags = _ONE if arguments else _NOARGS
    return _new_method(object, _struct(_memory(name.encode() + b"\0"), _place(name), -flags, 0))


def member(kind: type, at: int, of: int = _NUMBER) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    """(read, write) of what objects of a type have `at` bytes from their beginning: an unsigned number of four bytes;
    of: _BYTE for one byte, OBJECT for a reference, None where there is none. Only where AVAILABLE."""
    made = _new_member(kind, _struct(_memory(b"klpfs\0"), -of, at, 0, 0))
    return made.__get__, made.__set__


def byte_member(kind: type, at: int) -> Callable[[Any], int]:
    """The function that reads the byte that objects of a type have at that place. Only where AVAILABLE."""
    return member(kind, at, _BYTE)[0]


def _place_of(sample: object, value: object) -> int:
    """Where an object has its only reference to a value, in bytes from its beginning."""
    size = type(sample).__basicsize__
    text, wanted = _head(sample, size), _id(value).to_bytes(POINTER, _ORDER)
    places = [at for at in range(2 * POINTER, size, POINTER) if text[at:at + POINTER] == wanted]
    if len(places) != 1:
        raise ValueError(f"{value!r} is at {places}")
    return places[0]


_PAGE = sysconf("SC_PAGE_SIZE")        # bytes
_vector = _memory(bytes(4)) if AVAILABLE else 0      # mincore's answer, a byte for each page


class _Here(Exception):
    """Raised for its traceback, which has the frame."""


def _silent() -> tuple[Any, ...]:
    """What takes the places of ctypes' functions where LOUD: (code of a frame, address, new function, setters of
    defaults, kwdefaults and closure, code of a generator, frame of a traceback)."""
    cell = 0

    def sample(a: int = 1, *, b: int = 2) -> int:
        return cell
    places = [_place_of(sample, value) for value in (sample.__defaults__, sample.__kwdefaults__, sample.__closure__)]
    at = 0
    try:
        raise _Here
    except _Here as error:
        at = _place_of(error.__traceback__, error.__traceback__.tb_frame)       # type: ignore[union-attr]
    return (method("PyFrame_GetCode", 0), method("PyLong_FromVoidPtr", 0),
            method("PyFunction_New", 1), *[member(FunctionType, place, OBJECT)[1] for place in places],
            method("PyGen_GetCode", 0), member(TracebackType, at, OBJECT)[0])


_frame_of_traceback: Any = None
if LOUD and AVAILABLE:
    try:
        (_code_of, _address_of, _new, _set_defaults, _set_kwdefaults, _set_closure, _generator_code,
         _frame_of_traceback) = _silent()
    except (OSError, ValueError):       # a build that is made otherwise: audit hooks hear what is called
        pass


def _generator_of() -> Callable[[FrameType], Any] | None:
    """Reads where a frame has its generator, or asks CPython for it, from 3.11 on."""
    def generator() -> Any:
        yield
    made = generator()
    frame = made.gi_frame
    try:
        read = method("PyFrame_GetGenerator", 0) if sys.version_info >= (3, 11) else \
            member(FrameType, _place_of(frame, made), OBJECT)[0]
        return read if read(frame) is made else None
    except (OSError, ValueError, SystemError):
        return None


def _code_of_function() -> Callable[[FunctionType], CodeType] | None:
    """Reads where a function has its code."""
    def sample() -> None:
        pass
    try:
        return member(FunctionType, _place_of(sample, sample.__code__), OBJECT)[0]
    except ValueError:                  # a build that is made otherwise
        return None


frame_code: Callable[[FrameType], CodeType] = _code_of or (lambda frame: frame.f_code)
"""A frame's f_code."""
address: Callable[[object], int] = _address_of or _id
"""An object's id()."""
generator_code: Callable[[Any], CodeType] | None = _generator_code
"""The code of a generator, a coroutine or an asynchronous generator, from 3.12 on; else None."""
generator_of: Callable[[FrameType], Any] | None = _generator_of() if AVAILABLE else None
"""The generator, coroutine or asynchronous generator whose frame it is, where its code is of one; None: not to be told.
"""
function_code: Callable[[FunctionType], CodeType] | None = _code_of_function() if AVAILABLE else None
"""A function's __code__; None: not without an audit event."""
newest_interpreter: Callable[[], int] | None = _newest_interpreter
"""The address of the interpreter that was made last, of those that are there. Only where AVAILABLE; LOUD."""
main_interpreter: Callable[[], int] | None = _main_interpreter
"""The address of the interpreter that was made first. Only where AVAILABLE; LOUD."""
head: Callable[[object, int], bytes] | None = _head
"""So many of the first bytes of an object in memory. Only where AVAILABLE; LOUD."""


def is_audited() -> bool:
    """Whether any audit hook is about, told by an event of klpfs's own: CPython makes an event's arguments for hooks
    alone. False where not AVAILABLE. Raises what a signal handler raises in the middle of it, where no hook is."""
    if _audit is None:
        return False
    argument = _iter((0,))
    try:
        _audit(b"klpfs.look", b"O&", _iter_next, argument)      # hooks get what PyIter_Next gives
    except BaseException:
        if _length_hint(argument) and not (LOUD and _refused()):
            raise               # no hook's, for none was asked
        return True             # of a hook that refuses
    return _length_hint(argument) == 0


def _refused() -> bool:
    """Whether a hook refuses the event that the call of a C function is itself."""
    try:
        _audit(b"klpfs.look", b"O&", _iter_next, _iter((0,)))
    except BaseException:       # whatever the hook raises
        return True
    return False


def callers_frame() -> FrameType:
    """The frame of the function that called the caller of this one."""
    if _thread_state is None:
        return _getframe(2)
    if _frame_of_traceback is not None:
        try:
            raise _Here
        except _Here as error:      # without a name, as below
            return _frame_of_traceback(error.__traceback__).f_back.f_back   # type: ignore[no-any-return]
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
    """A code object that nothing else has. Only where AVAILABLE; LOUD."""
    return _empty_code(b"", b"", 1)     # type: ignore[no-any-return]


def peek(place: int) -> int:
    """The unsigned number in four bytes of memory. Only where AVAILABLE; LOUD."""
    return _int.from_bytes(_bytes_at(place, _WORD), _ORDER)


def poke(place: int, number: int) -> None:
    """Writes an unsigned number into four bytes of memory. Only where AVAILABLE; LOUD."""
    _move(place, number.to_bytes(_WORD, _ORDER), _WORD)


def bytes_of(place: int, size: int) -> Iterator[bytes]:
    """Iterator over one text: so many bytes of memory, at an address at which there was an object once; over none where
    there is no memory any more. Only where AVAILABLE; LOUD.

    Memory of objects may be given back to the system, and others' may come in its place that must not be read. So it
    is asked first whether it is resident, which what nobody ever touched is not: in the same C call, as nobody gives
    any back meanwhile without the interpreter lock."""
    if _mincore is None or not place:
        return _iter(())
    pages = (place % _PAGE + size + _PAGE - 1) // _PAGE
    asked = starmap(_mincore, ((place & -_PAGE, place % _PAGE + size, _vector),))
    fine = _map(not_, _map(and_, asked, (0xffffffff,)))
    resident = _map(eq, starmap(_bytes_at, ((_vector, pages),)), (b"\1" * pages,))
    return starmap(_bytes_at, compress(((place, size),), _map(and_, fine, resident)))


def objects_at(places: Iterable[int]) -> Iterator[Any]:
    """The objects at addresses; there are references to each. Only where AVAILABLE; LOUD."""
    return _map(_object_at, places)
