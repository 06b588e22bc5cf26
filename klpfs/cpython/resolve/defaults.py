"""Defaults of a new function that its file cannot evaluate: `timeout=unchanged`, `flags=later(lambda: DEFAULT_FLAGS)`.

unchanged: the default that the function object which is replaced has for the parameter of that name. later: a default
that is evaluated in the patched module's namespace, after the pre_patch callbacks, so that it may use what those add.
"""
from __future__ import annotations

from types import CodeType, FunctionType

from klpfs.cpython.raw import type_dict
from klpfs.cpython.resolve.definitions import class_of, not_replaceable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.cpython.images.image import Image
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.engine.log import Log


class Unchanged:
    """The type of the one object `unchanged`: a default of a new function that stays what it was.

    EINVAL, when the patch is enabled, where the parameter has no default in the program.

    >>> def connect(host, timeout=unchanged): ...       # the default of `timeout` is the patched module's
    >>> connect.__defaults__
    (unchanged,)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "unchanged"


unchanged = Unchanged()


class Later:
    """A default of a new function that is evaluated in the patched module: later(lambda: NAME).

    function: takes no arguments and has no free variables, else TypeError; its names are the patched module's, and
    those of the class block that the replaced function stands in. What it raises refuses the patch with EINVAL.

    >>> later = Later       # from klpfs import later
    >>> def connect(host, flags=later(lambda: DEFAULT_FLAGS)): ...      # DEFAULT_FLAGS is the patched module's
    >>> later(0)
    Traceback (most recent call last):
    TypeError: later: a function without parameters and free variables, such as lambda: NAME
    """

    __slots__ = ("function",)

    def __init__(self, function: FunctionType) -> None:
        if type(function) is not FunctionType or function.__code__.co_argcount or function.__closure__:
            raise TypeError("later: a function without parameters and free variables, such as lambda: NAME")
        self.function = function

    def __repr__(self) -> str:
        return "later(...)"


def has_open_defaults(fn: FunctionType) -> bool:
    """Whether a new function has defaults that are not values yet."""
    return any(type(value) in (Unchanged, Later) for value in defaults_by_name(fn).values())


def defaults_by_name(fn: FunctionType | Image, code: CodeType | None = None) -> dict[str, Any]:
    """{parameter: default} of a function or an Image. code: the function's, for an Image."""
    values: tuple[Any, ...] | None
    if isinstance(fn, FunctionType):
        code, values, by_key = code or fn.__code__, fn.__defaults__, fn.__kwdefaults__
    else:
        values, by_key = fn.defaults, fn.kwdefaults
    assert code is not None
    names = code.co_varnames[:code.co_argcount]
    found = dict(zip(names[len(names) - len(values or ()):], values or ()))
    found.update(by_key or {})
    return found


def settled(new: FunctionType, original: Image, code: CodeType, namespace: dict[str, Any], definition: Definition,
            log: Log, divided: Callable[[CodeType], CodeType] = lambda code: code,
            ) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    """(defaults, kwdefaults) of a new function for a function object whose original is the Image `original`.

    code: the original's. namespace: the patched module's dict. divided: gives the code of what `later` has to evaluate
    its names (Callbacks.divided). KlpError EINVAL: `unchanged` for a parameter that had no default, or what `later` has
    to evaluate raises.
    """
    old_defaults = defaults_by_name(original, code)

    def value_of(name: str, value: Any) -> Any:
        if value is unchanged:
            if name not in old_defaults:
                raise not_replaceable(log, definition,
                                      f"its parameter '{name}' had no default that could stay unchanged")
            return old_defaults[name]
        if type(value) is Later:
            try:
                its_code = value.function.__code__
                names = _around(definition, its_code, namespace)
                return FunctionType(divided(its_code) if names is namespace else its_code, names)()
            except Exception as error:
                why = f"the default of '{name}': {type(error).__name__}: {error}"
                raise not_replaceable(log, definition, why) from None
        return value
    names = new.__code__.co_varnames[:new.__code__.co_argcount]
    values = new.__defaults__ or ()
    defaults = tuple(value_of(name, value) for name, value in zip(names[len(names) - len(values):], values)) or None
    return defaults, {name: value_of(name, value) for name, value in (new.__kwdefaults__ or {}).items()} or None


def _around(definition: Definition, code: CodeType, namespace: dict[str, Any]) -> dict[str, Any]:
    """The names that a default sees: those of the class block come before the module's."""
    cls = class_of(namespace, definition.name)
    attributes = type_dict(cls) if cls is not None else {}
    names = {name: attributes[name] for name in code.co_names if name in attributes}
    return dict(namespace, **names) if names else namespace
