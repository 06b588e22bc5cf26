"""What a function object is made to be: its code and the attributes that go with it, taken and put as a whole.

CPython 3.12 and later tell function objects apart by a version number, which specialised call sites check. Setting
`__code__` clears it. 3.12 then draws a new one from another counter than the one that functions are made with, and the
two collide: a call site takes one function for another and crashes; 3.13 and 3.14 give none at all, and the call sites
stay slow for ever. So the number is put right after each change (see _find_numbers and FACTS-python.md, trap T0).
"""
import errno
import sys
import types
from time import sleep as _sleep

from klpfs.engine.error import KlpError
from klpfs.cpython.looks.look import exchange_code
from klpfs.cpython.raw import MARK

_setattr, _getattr, _id, _tuple, _len = setattr, getattr, id, tuple, len
_Function, _Code = types.FunctionType, types.CodeType

GENERATOR, COROUTINE, ITERABLE_COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200   # Include/cpython/code.h
NESTED = 0x10       # defined in another function
FLAVOUR = GENERATOR | COROUTINE | ITERABLE_COROUTINE | ASYNC_GENERATOR
SUSPENDS = GENERATOR | COROUTINE | ASYNC_GENERATOR
READS_TWICE = sys.version_info[:2] == (3, 10)      # a call reads the function's code before and after it allocates its frame
WAITS = 1000
INNER = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")

# 3.14 evaluates __annotations__ when they are read, which is foreign code: there the function that does it is what counts
_LAZY = hasattr(_Function, "__annotate__")
ATTRIBUTES = ("__defaults__", "__kwdefaults__", "__doc__") + \
    (("__annotate__",) if _LAZY else ("__annotations__",)) + \
    (("__type_params__",) if hasattr(_Function, "__type_params__") else ())


# ------------------------------------------------------------------------------------------- function version numbers

def _find_numbers():
    """(read, write, code_number) for functions' and codes' version numbers; None where they can't be told for certain.

    3.12 to 3.14 keep func_version in a function's last eight bytes and co_version somewhere in the code. Both are found
    by what they must do: equal in fresh functions, counting up with each code, cleared when __code__ is set
    (https://github.com/python/cpython/issues/114388 and Objects/funcobject.c).
    """
    if sys.version_info < (3, 12) or sys.implementation.name != "cpython":
        return None
    try:
        from _ctypes import _SimpleCData
    except ImportError:
        return None

    class Word(_SimpleCData):
        _type_ = "I"
    word, last = Word.from_address, _Function.__basicsize__ - 8
    probes = [eval("lambda: %d" % i, {}) for i in range(8)]
    at = [o for o in range(16, _Code.__basicsize__ - 3, 4)
          if all(word(_id(f.__code__) + o).value == word(_id(f) + last).value for f in probes)]
    if len(at) != 1 or len({word(_id(f) + last).value for f in probes}) != len(probes):
        return None
    at = at[0]
    a, b = probes[0].__code__.replace(), probes[1].__code__.replace()
    step = word(_id(b) + at).value - word(_id(a) + at).value
    probes[0].__code__ = a
    if step < 1 or word(_id(probes[0]) + last).value > 1:       # 0; 3.14: 0 or 1, "cleared"
        return None

    def read(function):
        return word(_id(function) + last).value

    def write(function, number):
        word(_id(function) + last).value = number

    def code_number(code):
        return word(_id(code) + at).value
    probe = probes[1]
    write(probe, 12345)
    if read(probe) != 12345:
        return None
    write(probe, code_number(probe.__code__))
    return read, write, code_number


_NUMBERS = _find_numbers()
REPAIRS = _NUMBERS is not None      # this interpreter's numbers can be put right
NEEDS_REPAIR = sys.version_info >= (3, 12)
_read, _write, _code_number = _NUMBERS or (None, None, None)


def number(function):
    """The function's version number, 0 where there is none or it can't be read. For tests and for `capture`."""
    return _read(function) if _read else 0


def check_interpreter():
    """Raises KlpError(EOPNOTSUPP) where function objects can't be switched safely: free-threaded builds (one C call is
    not one moment there), and a 3.12 whose version numbers can't be put right (it crashes)."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise KlpError(errno.EOPNOTSUPP, "this Python runs without the global interpreter lock")
    if sys.version_info[:2] == (3, 12) and not REPAIRS:
        raise KlpError(errno.EOPNOTSUPP, "this Python 3.12 does not tell where its function versions are")


# ------------------------------------------------------------------------------------------------------------- codes

def body_codes(code):
    """The code, and those of its comprehensions and generator expressions at any depth: the same body, though they may
    run on when its frame is gone. List of code objects."""
    found = [code]
    for const in code.co_consts:
        if type(const) is _Code and const.co_name in INNER:
            found += body_codes(const)
    return found


def own_code(code, flags=0):
    """A code object equal to `code` that nobody else has, its comprehensions' too: versions are told apart by identity.
    flags are added to its co_flags."""
    consts = _tuple([own_code(c) if type(c) is _Code and c.co_name in INNER else c for c in code.co_consts])
    return code.replace(co_consts=consts, co_flags=code.co_flags | flags)


# ------------------------------------------------------------------------------------------------------------ images

class Image:
    """What a function object holds: code, and a tuple of ATTRIBUTES' values. Told apart by identity, never changed.

    number: the version number to put with it; None: the code's own, as a freshly made function has it.
    """

    __slots__ = ("code", "values", "number", "annotations")

    def __init__(self, code, values, number=None):
        self.code, self.values, self.number = code, values, number
        self.annotations = None

    defaults = property(lambda self: self.values[0])
    kwdefaults = property(lambda self: self.values[1])
    doc = property(lambda self: self.values[2])


class Version(Image):
    """The image of new code, for all function objects of a definition: its code object is its own."""

    __slots__ = ()


def capture(function):
    """The Image of what the function object holds now: the very objects."""
    image = Image(function.__code__, _tuple([_getattr(function, a) for a in ATTRIBUTES]), _read(function) if _read else None)
    if _LAZY and image.values[3] is None:                       # set by hand: reading them runs nothing
        image.annotations = function.__annotations__
    return image


def new_version(function, like=None):
    """The Version that the livepatch's `function` defines, for function objects whose code is `like` (None: any).

    A generator function made awaitable by types.coroutine carries that as a flag of its code, which the new code, written
    without the decorator, gets as well.
    """
    flags = like.co_flags & ITERABLE_COROUTINE if like is not None and function.__code__.co_flags & GENERATOR else 0
    made = capture(function)
    version = Version(own_code(function.__code__, flags), made.values)
    version.annotations = made.annotations
    return version


def _room(code):
    """What a frame of it needs, in objects."""
    return code.co_nlocals + _len(code.co_cellvars) + _len(code.co_freevars) + code.co_stacksize


def _set_code(function, code):
    """3.10: never in the middle of a call that has made its frame for less (look.exchange_code). Waits for a collection that
    is under way; one that has not ended after WAITS ms does not: its thread hangs in a finalizer."""
    if READS_TWICE and _room(code) > _room(function.__code__):
        for _ in range(WAITS):
            if exchange_code(function, code):
                return
            _sleep(0.001)
    function.__code__ = code


def put(function, image, held=None, code=True):
    """Makes the function object what the image says.

    held: the Image that was there before; an attribute that is neither its nor the image's was set by the program
    meanwhile, and stays. code=False: the code stays, too.
    """
    exact = True
    for i, name in enumerate(ATTRIBUTES):
        value, now = image.values[i], _getattr(function, name)
        if now is value:
            continue
        if held is not None and now is not held.values[i]:
            exact = False
            continue
        _setattr(function, name, value)
        if name == "__annotate__" and value is None and image.annotations is not None:
            function.__annotations__ = image.annotations
    if code:
        _set_code(function, image.code)                         # last: it needs the others
    if _write:
        if not exact or function.__code__ is not image.code:
            renumber(function)
        else:
            _write(function, _code_number(image.code) if image.number is None else image.number)


def put_code(function, code):
    """Gives the function object a code of its own, attributes as they are (a dispatcher's)."""
    _set_code(function, code)
    if _write:
        _write(function, _code_number(code))


def renumber(function):
    """Gives the function object a version number that no other has: a new code's."""
    if _write:
        _write(function, _code_number(function.__code__.replace()))


def clone(function, image):
    """A function object of its own with the image, in function's globals, closure and names. Calling it runs that
    version, whatever `function` holds."""
    made = _Function(image.code, function.__globals__, function.__name__, image.values[0], function.__closure__)
    made.__kwdefaults__, made.__qualname__ = image.values[1], function.__qualname__
    made.__module__, made.__doc__ = function.__module__, image.values[2]
    _setattr(made, MARK, True)
    if _write:
        if image.number is None or image.number == _code_number(image.code):
            _write(made, _code_number(image.code))
        else:
            renumber(made)                                      # the program changed its defaults: the code's number won't do
    return made
