"""Images: a function object's code and the attributes that go with it, taken and put as a whole.

The version number, by which specialised call sites know a function object, is put right after each change
(version_numbers.py).
"""
from __future__ import annotations

import errno
import sys
import time
from types import CodeType, FunctionType

from klpfs.engine.error import KlpError

from ..c_api import new_function
from ..c_originals import original
from ..looks.collection import exchange_code
from ..raw import ITERABLE_COROUTINE, MARK, SUSPENDS
from . import version_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_setattr, _getattr, _tuple, _len, _type, _range = setattr, getattr, tuple, len, type, range
_sleep = original(time, "sleep")

FLAVOUR = SUSPENDS | ITERABLE_COROUTINE
READS_TWICE = sys.version_info[:2] == (3, 10)
COLLECTION_MS = 1000    # a collection that has not ended after this time does not: its thread hangs in a finalizer
INNER = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")

# 3.14 evaluates __annotations__ when they are read, which is foreign code: there the function that does it is what
# counts
_LAZY = hasattr(FunctionType, "__annotate__")
ATTRIBUTES = ("__defaults__", "__kwdefaults__", "__doc__") + \
    (("__annotate__",) if _LAZY else ("__annotations__",)) + \
    (("__type_params__",) if hasattr(FunctionType, "__type_params__") else ())
_PLACES = tuple(enumerate(ATTRIBUTES))


def check_interpreter() -> None:
    """Raises KlpError(EOPNOTSUPP) where function objects can't be switched safely: free-threaded builds (one C call is
    not one moment there), and a 3.12 whose version numbers can't be put right (it crashes)."""
    if not _getattr(sys, "_is_gil_enabled", lambda: True)():
        raise KlpError(errno.EOPNOTSUPP, "this Python runs without the global interpreter lock")
    if sys.version_info[:2] == (3, 12) and not version_numbers.REPAIRS:
        raise KlpError(errno.EOPNOTSUPP, "this Python 3.12 does not tell where its function versions are")


def body_codes(code: CodeType) -> list[CodeType]:
    """The code, and those of its comprehensions and generator expressions at any depth: the same body, though they may
    run on when its frame is gone."""
    codes = [code]
    for const in code.co_consts:
        if _type(const) is CodeType and const.co_name in INNER:
            codes += body_codes(const)
    return codes


class Image:
    """The code that a function object holds, and a tuple of ATTRIBUTES' values. Images differ by identity, and never
    change.

    version_number: what to put with it; None: the code's own, as a freshly made function has it.
    """

    __slots__ = ("code", "values", "version_number", "annotations")

    def __init__(self, code: CodeType, values: tuple[Any, ...], version_number: int | None = None) -> None:
        self.code, self.values, self.version_number = code, values, version_number
        self.annotations: dict[str, Any] | None = None

    @property
    def defaults(self) -> Any:
        """A tuple, or None."""
        return self.values[0]

    @property
    def kwdefaults(self) -> Any:
        """A dict, or None."""
        return self.values[1]


def capture(function: FunctionType) -> Image:
    """The Image of what the function object holds now: the very objects. Counterpart: put."""
    values = _tuple([_getattr(function, name) for name in ATTRIBUTES])
    image = Image(function.__code__, values, version_numbers.number_of(function))
    if _LAZY and image.values[3] is None:                       # set by hand: reading them runs nothing
        image.annotations = function.__annotations__
    return image


def _frame_size(code: CodeType) -> int:
    """The size of a code's frame, in objects."""
    return code.co_nlocals + _len(code.co_cellvars) + _len(code.co_freevars) + code.co_stacksize


def _set_code(function: FunctionType, code: CodeType) -> None:
    """3.10: never in the middle of a call that has made its frame for less (collection.exchange_code). Waits for a
    collection that is under way, COLLECTION_MS at most."""
    if READS_TWICE and _frame_size(code) > _frame_size(function.__code__):
        for _ in _range(COLLECTION_MS):
            if exchange_code(function, code):
                return
            _sleep(0.001)
    function.__code__ = code


def put(function: FunctionType, image: Image, before: Image | None = None) -> None:
    """Makes the function object what the image says. Counterpart: capture.

    before: the Image that was there; an attribute that is neither its nor the image's was set by the program meanwhile,
    and stays.
    """
    exact = True
    for place, name in _PLACES:
        value, now = image.values[place], _getattr(function, name)
        if now is value:
            continue
        if before is not None and now is not before.values[place]:
            exact = False
            continue
        _setattr(function, name, value)
        if name == "__annotate__" and value is None and image.annotations is not None:
            function.__annotations__ = image.annotations
    _set_code(function, image.code)                             # last: it needs the others
    if not exact or function.__code__ is not image.code:
        version_numbers.renumber(function)
    else:
        version_numbers.set_number(function, image.code, image.version_number)


def put_code(function: FunctionType, code: CodeType) -> None:
    """Gives the function object a code of its own, attributes as they are (a dispatcher's)."""
    _set_code(function, code)
    version_numbers.set_number(function, code)


def clone(function: FunctionType, image: Image) -> FunctionType:
    """A function object of its own with the image, in function's globals, closure and names. Calling it runs that
    image's code, whatever `function` holds. Raises no audit event (c_api.py): its hook may call patched functions, for
    which a dispatcher then makes a clone, and so on for ever."""
    made = new_function(image.code, function.__globals__, function.__name__, image.values[0], image.values[1],
                        function.__closure__)
    made.__qualname__ = function.__qualname__
    made.__module__, made.__doc__ = function.__module__, image.values[2]
    _setattr(made, MARK, True)
    if image.version_number is None or image.version_number == version_numbers.number_of_code(image.code):
        version_numbers.set_number(made, image.code)
    else:
        # the program changed its defaults: the code's number won't do
        version_numbers.renumber(made)
    return made
