"""Defaults of a new function that its file cannot evaluate: `timeout=unchanged`, `flags=later(lambda: DEFAULT_FLAGS)`.

unchanged: what the function object that is replaced has for the parameter of that name. later: evaluated in the patched
module's namespace, after the pre_patch callbacks, so that it may use what those add.
"""
from errno import EINVAL
from types import FunctionType

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.cpython.resolve.definitions import class_of


class Unchanged:
    """The one object `unchanged`."""

    __slots__ = ()

    def __repr__(self):
        return "unchanged"


unchanged = Unchanged()


class Later:
    """later(function): function takes no arguments; its names are the patched module's."""

    __slots__ = ("function",)

    def __init__(self, function):
        if type(function) is not FunctionType or function.__code__.co_argcount or function.__closure__:
            raise TypeError("later: a function without parameters and free variables, such as lambda: NAME")
        self.function = function

    def __repr__(self):
        return "later(...)"


def open_defaults(fn):
    """Whether a new function has defaults that are not values yet."""
    return any(type(each) in (Unchanged, Later) for each in defaults_by_name(fn).values())


def defaults_by_name(fn, code=None):
    """{parameter: default} of a function or an Image. code: the function's, for an Image."""
    code = code or fn.__code__
    values, by_key = (fn.__defaults__, fn.__kwdefaults__) if isinstance(fn, FunctionType) else (fn.defaults, fn.kwdefaults)
    names = code.co_varnames[:code.co_argcount]
    found = dict(zip(names[len(names) - len(values or ()):], values or ()))
    found.update(by_key or {})
    return found


def settled(new, original, code, namespace, definition, log):
    """(defaults, kwdefaults) of a new function for a function object whose original is the Image `original`.

    namespace: the patched module's dict. KlpError EINVAL: `unchanged` for a parameter that had no default, or what
    `later` has to evaluate raises.
    """
    was = defaults_by_name(original, code)

    def one(name, value):
        if value is unchanged:
            if name not in was:
                raise _refused(log, definition, "its parameter '%s' had no default that could stay unchanged" % name)
            return was[name]
        if type(value) is Later:
            try:
                return FunctionType(value.function.__code__, _around(definition, value.function.__code__, namespace))()
            except Exception as error:
                raise _refused(log, definition, "the default of '%s': %s: %s" % (name, type(error).__name__, error)) from None
        return value
    names = new.__code__.co_varnames[:new.__code__.co_argcount]
    values = new.__defaults__ or ()
    found = tuple(one(name, value) for name, value in zip(names[len(names) - len(values):], values)) or None
    by_key = {name: one(name, value) for name, value in (new.__kwdefaults__ or {}).items()} or None
    return found, by_key


def _around(definition, code, namespace):
    """The names that a default sees: those of the class block come before the module's."""
    cls = class_of(namespace, definition.name)
    own = type.__dict__["__dict__"].__get__(cls) if cls is not None else {}
    names = {name: own[name] for name in code.co_names if name in own}
    return dict(namespace, **names) if names else namespace


def _refused(log, definition, why):
    return KlpError(EINVAL, pr_err(log, "function '%s' in object '%s' cannot be replaced: %s"
                                   % (definition.name, definition.shown, why)))
