"""Images: a function object's code and the attributes that go with it, taken and put as a whole.

The version number, by which specialised call sites know a function object, is put right after each change
(version_numbers.py).
"""
from __future__ import annotations

import errno
import gc
import sys
import time
from types import CodeType, FunctionType

from klpfs.engine.error import KlpError

from .. import jit
from ..c_api import new_function
from ..c_originals import original
from ..looks.collection import exchange_code
from ..raw import ITERABLE_COROUTINE, MARK, SUSPENDS, type_dict
from . import version_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_setattr, _getattr, _tuple, _len, _type, _range, _dict = setattr, getattr, tuple, len, type, range, dict
_str, _bool, _zip = str, bool, zip
_referents = gc.get_referents
_sleep = original(time, "sleep")

FLAVOUR = SUSPENDS | ITERABLE_COROUTINE
FREE_THREADED = "t" in sys.abiflags     # the build, whether or not its lock is on
READS_TWICE = sys.version_info[:2] == (3, 10)
COLLECTION_MS = 1000    # a collection that has not ended after this time does not: its thread hangs in a finalizer

# 3.14 evaluates __annotations__ when they are read, which is foreign code: there the function that does it is what
# counts, and the dict only where there is no such function: set by hand, or of a function without annotations
_TYPE = type_dict(FunctionType)         # hasattr would ask for the type's own __annotate__
LAZY = "__annotate__" in _TYPE
TYPED = "__type_params__" in _TYPE
ATTRIBUTES = ("__defaults__", "__kwdefaults__", "__doc__") + \
    (("__annotate__",) if LAZY else ("__annotations__",)) + \
    (("__type_params__",) if TYPED else ())
ANNOTATIONS = 3         # their place
TYPE_PARAMS = 4         # where TYPED
_PLACES = tuple(enumerate(ATTRIBUTES))


def check_interpreter() -> None:
    """Raises KlpError(EOPNOTSUPP) where function objects can't be switched safely: free-threaded builds (one C call is
    not one moment there; with PYTHON_GIL=1 it is, but their counts of references are no proof then either), CPython's
    JIT (jit.py), and a 3.12 whose version numbers can't be put right (it crashes)."""
    if FREE_THREADED:
        raise KlpError(errno.EOPNOTSUPP, "this Python is a free-threaded build")
    if jit.is_on():
        raise KlpError(errno.EOPNOTSUPP, f"{jit.WHY}: start the program with {jit.VARIABLE}=0")
    if sys.version_info[:2] == (3, 12) and not version_numbers.REPAIRS:
        raise KlpError(errno.EOPNOTSUPP, "this Python 3.12 does not tell where its function versions are")


class Image:
    """The code that a function object holds, and a tuple of ATTRIBUTES' values. Images differ by identity, and never
    change.

    version_number: what to put with it; None: the code's own, as a freshly made function has it. cached_annotations:
    from 3.14 on the dict that a read of `__annotations__` has left in the function, or None. The program may hold this
    dict too, and change it.
    """

    __slots__ = ("code", "values", "version_number", "cached_annotations")

    def __init__(self, code: CodeType, values: tuple[Any, ...], version_number: int | None = None) -> None:
        self.code, self.values, self.version_number = code, values, version_number
        self.cached_annotations: dict[str, Any] | None = None

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
    image = Image(function.__code__, _tuple([_get(function, name) for name in ATTRIBUTES]),
                  version_numbers.number_of(function))
    if LAZY:
        image.cached_annotations = _cached(function, image.values[ANNOTATIONS])
    return image


def _get(function: FunctionType, name: str) -> Any:
    """An attribute's value; for __annotate__ the dict where there is no function: reading that runs nothing."""
    value = _getattr(function, name)
    return function.__annotations__ if value is None and name == "__annotate__" else value


def _set(function: FunctionType, name: str, value: Any, cached: dict[str, Any] | None) -> None:
    """Counterpart of _get. cached: annotations that are in the function again afterwards."""
    if name != "__annotate__":
        _setattr(function, name, value)
    elif _type(value) is _dict:
        function.__annotations__ = value                        # clears the other
    elif cached is None:
        _setattr(function, name, value)                         # clears what was cached
    else:
        def give(format: int) -> dict[str, Any]:
            _setattr(function, name, value)                     # before CPython caches what is returned
            return cached
        _setattr(function, name, give)
        if function.__annotations__ is not cached:              # asks for them, so `give` runs
            _setattr(function, name, value)


def copy_annotations(function: FunctionType, like: FunctionType) -> None:
    """Gives a function object the annotations of another, evaluated or not."""
    _set(function, ATTRIBUTES[ANNOTATIONS], _get(like, ATTRIBUTES[ANNOTATIONS]), None)


def _cached(function: FunctionType, annotate: Any) -> dict[str, Any] | None:
    """What the program sees as __annotations__, if a call of annotate has made it already: the function's referent
    before annotate (Objects/funcobject.c: func_traverse), which the attribute would make."""
    if _type(annotate) is _dict:
        return None
    referents = _referents(function)
    for place in _range(_len(referents) - 1, 0, -1):
        if referents[place] is annotate:
            before = referents[place - 1]
            return before if _type(before) is _dict and before is not function.__dict__ else None
    return None


def has_left(function: FunctionType, annotations: Any, annotate: Any) -> bool:
    """Whether the annotations that a function object holds are what `annotate`, its function, has left there when the
    program set `__annotate__` to None: then None is the referent after them, which setting `__annotations__` clears."""
    if _type(annotations) is not _dict or _type(annotate) is not FunctionType:
        return False
    referents, known = _referents(function), annotate.__code__.co_consts
    return not [1 for name in annotations if _type(name) is not _str or name not in known] and _bool(
        [1 for held, after in _zip(referents, referents[1:]) if held is annotations and after is None])


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


def put(function: FunctionType, image: Image, *before: Image) -> None:
    """Makes the function object what the image says. Counterpart: capture.

    before: the Image that was there, and that of a put() which was cut off; an attribute that is neither theirs nor the
    image's was set by the program meanwhile, and stays.
    """
    exact = True
    for place, name in _PLACES:
        value, now = image.values[place], _get(function, name)
        if now is value:
            continue
        if before and not [1 for each in before if now is each.values[place]]:
            exact = False
            continue
        _set(function, name, value, image.cached_annotations)
    _set_code(function, image.code)                             # last: it needs the others
    if not exact or function.__code__ is not image.code:
        version_numbers.renumber(function)
    else:
        version_numbers.set_number(function, image.code, image.version_number)


def put_code(function: FunctionType, code: CodeType) -> None:
    """Gives the function object a code of its own, attributes as they are (a dispatcher's)."""
    _set_code(function, code)
    version_numbers.set_number(function, code)


def put_code_alone(function: FunctionType, code: CodeType) -> None:
    """Gives the function object a code, where its attributes are not those that go with the code: so the function has a
    version number of its own (3.12 specialises calls by the number, and trusts it for the defaults)."""
    _set_code(function, code)
    version_numbers.renumber(function)


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
        version_numbers.take_number(made)
    return made
