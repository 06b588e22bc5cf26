"""Module parameters: module_param() in a module's file, values from insmod, reading and writing under parameters/.

Text forms are the kernel's (kernel/params.c): a bool reads Y or N and is written as kstrtobool takes it, an int is a
decimal, hexadecimal or octal number, a str is taken as it is. A text is at most a page, as in the kernel.

What a module gives (names, defaults, modes) is made plain where it is given; the value of its variable may be anything
when it is read, and is shown without running any code of it (plain.py).
"""
from __future__ import annotations

import _thread
from errno import EEXIST, EINVAL, ENOENT

from klpfs.cpython.c_originals import original
from klpfs.engine.bounds import MAX_ENTRIES, MAX_PARAM_CHARS
from klpfs.engine.error import KlpError
from klpfs.engine.names import why_unshowable
from klpfs.engine.plain import MAX_INT_BITS, plain_int, plain_str, plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Value = TypeVar("Value", bool, int, float, str)

get_ident = original(_thread, "get_ident")
MAX_MODE = 0o777        # of a file under parameters/
type_of = type          # where a parameter is called `type`


class Param:
    """A parameter. name; type: bool, int, float or str; mode: of its file under parameters/ (0: it has no file).

    The value lives in the module's variable of that name (or the one that module_param was assigned to).
    """

    __slots__ = ("name", "type", "mode", "namespace", "variable", "_value")

    def __init__(self, name: str, type: type[Any], value: Any, mode: int, namespace: dict[str, Any],
                 variable: str) -> None:
        self.name, self.type, self.mode = name, type, mode
        self.namespace, self.variable = namespace, variable
        self._value = value

    @property
    def value(self) -> Any:
        return self.namespace.get(self.variable, self._value)

    @property
    def text(self) -> str:
        """The value as the file under parameters/ reads, without its newline."""
        return show(self.type, self.value)

    def set(self, text: str) -> None:
        """Gives the module's variable the value of a text. KlpError EINVAL: the text is no such value."""
        self._value = self.namespace[self.variable] = parse(self.type, text)


def show(type: type[Any], value: Any) -> str:
    """The text of a parameter's value. Of what the module has put in its place that is none of the plain types, the
    type's name, as <name>."""
    if type is bool and (value is True or value is False or type_of(value) in (int, float, str)):
        return "Y" if value else "N"
    if type is float and issubclass(type_of(value), int) and value is not True and value is not False:
        return plain_text(plain_int(value))
    return plain_text(value)


def parse(type: type[Any], text: str | None) -> Any:
    """The value of a parameter's text. None: a name without `=value`, which a bool alone takes.

    KlpError EINVAL: the text is no value of the type.
    """
    if text is None:
        if type is bool:
            return True
        raise KlpError(EINVAL)
    text = text.partition("\0")[0]       # the kernel's functions get a C string
    if type is bool:
        return _bool(text)
    if text[-1:] == "\n":
        text = text[:-1]
    if type is str:
        return text
    try:
        value = _int(text) if type is int else float(text)
    except ValueError:
        raise KlpError(EINVAL) from None
    if type is int and int.bit_length(value) > MAX_INT_BITS:        # type: ignore[arg-type]
        raise KlpError(EINVAL)          # its file could not show it
    return value


def _bool(text: str) -> bool:
    """The value of a bool's text, as kstrtobool takes it: the first characters decide."""
    if text[:1] in ("y", "Y", "1", "t", "T"):
        return True
    if text[:1] in ("n", "N", "0", "f", "F"):
        return False
    if text[:2] in ("on", "oN", "On", "ON"):
        return True
    if text[:2] in ("of", "oF", "Of", "OF"):
        return False
    raise KlpError(EINVAL)


def _int(text: str) -> int:
    """The value of an int's text, as kstrtol with base 0 takes it: a sign, then 0x, 0 or decimal digits, nothing
    else."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isalnum() or not digits.isascii():
        raise ValueError(text)
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" and len(digits) > 1 else 10
    value = int(digits, base)
    return -value if text[:1] == "-" else value


class Declared:
    """The parameters of one module while its top level runs.

    given: {name: text}, from insmod. variable_of(parameter): the variable that it is assigned to, or None. say(text):
    logs.
    """

    __slots__ = ("module", "given", "params", "size", "namespace", "variable_of", "say")

    def __init__(self, module: str, given: dict[str, str | None], namespace: dict[str, Any],
                 variable_of: Callable[[str], str | None], say: Callable[[str], str]) -> None:
        self.module, self.given, self.namespace = module, dict(given), namespace
        self.variable_of, self.say = variable_of, say
        self.params: dict[str, Param] = {}
        self.size = 0                   # characters of their texts

    def declare(self, name: str, type: type[Any], default: Any, mode: int) -> Any:
        """Declares a parameter and returns its value. KlpError EEXIST: declared twice; EINVAL: insmod's text is no
        value, its name can't be a file's, or the module has too many, or too long ones."""
        if name in self.params:
            raise KlpError(EEXIST, self.say(f"{self.module}: parameter '{name}' is declared twice"))
        reason = why_unshowable(name)
        if reason:
            raise KlpError(EINVAL, self.say(f"{self.module}: parameter name '{name[:80]}' {reason}"))
        if len(self.params) >= MAX_ENTRIES:
            raise KlpError(EINVAL, self.say(f"{self.module}: more than {MAX_ENTRIES} parameters"))
        value = default
        if name in self.given:
            text = self.given[name]
            try:
                value = parse(type, text)
            except KlpError:
                shown = "" if text is None else text
                raise KlpError(EINVAL, self.say(f"{self.module}: `{shown}' invalid for parameter `{name}'")) from None
        self.size += len(show(type, value))
        if self.size > MAX_PARAM_CHARS:
            raise KlpError(EINVAL, self.say(
                f"{self.module}: the texts of its parameters have more than {MAX_PARAM_CHARS} characters"))
        self.params[name] = Param(name, type, value, mode, self.namespace, self.variable_of(name) or name)
        return value

    def check_unknown(self) -> None:
        """KlpError ENOENT: insmod named a parameter that the module does not have."""
        for name in self.given:
            if name not in self.params:
                raise KlpError(ENOENT, self.say(f"{self.module}: Unknown parameter `{name}'"))


_running: dict[int, Declared] = {}  # thread id -> Declared of the module whose top level it runs


def running() -> Declared | None:
    """The Declared of the module whose top level the calling thread runs, or None."""
    return _running.get(get_ident())


class declaring:
    """Context manager: module_param() of this thread declares parameters of `declared`."""

    __slots__ = ("declared", "was")

    def __init__(self, declared: Declared) -> None:
        self.declared = declared

    def __enter__(self) -> None:
        self.was = _running.get(get_ident())
        _running[get_ident()] = self.declared

    def __exit__(self, *_: object) -> None:
        if self.was is None:
            _running.pop(get_ident(), None)
        else:
            _running[get_ident()] = self.was


def stop_declaring(module: str) -> None:
    """No thread is in that module's top level any more: in a forked child, where a thread's number may be another's
    soon, or after an exception at whatever instruction."""
    for ident in [ident for ident, declared in list(_running.items()) if declared.module == module]:
        del _running[ident]


def module_param(name: str, type: type[Value] = str, default: Value | None = None,  # type: ignore[assignment]
                 mode: int = 0o644) -> Value:
    """Declares a parameter of the module whose file is being run; returns the value that insmod gave, else `default`.

    type: bool, int, float or str. default: None means 0, '' or False. mode: of the file under parameters/, 0 for no
    file. The variable that it is assigned to is the parameter from then on: writing the file sets it.
    RuntimeError outside a module's top level. TypeError, ValueError: wrong arguments. KlpError EINVAL: insmod's value,
    or a bound of engine/bounds.py.

    >>> with declaring(Declared("fix", {"limit": "7"}, {}, lambda name: name, print)):      # insmod fix.py limit=7
    ...     limit, rate = module_param("limit", int, 100), module_param("rate", float)
    >>> limit, rate
    (7, 0.0)
    >>> module_param("late", int)
    Traceback (most recent call last):
    RuntimeError: module_param('late'): only the top level of a module that insmod loads declares parameters

    Source: include/linux/moduleparam.h.
    """
    declared = running()
    if declared is None:
        raise RuntimeError(f"module_param({name!r}): only the top level of a module that insmod loads declares "
                           "parameters")
    if not issubclass(type_of(name), str) or not str.isidentifier(name):
        raise ValueError(f"module_param: {name!r} is no name")
    name = plain_str(name)
    if not any([type is known for known in (bool, int, float, str)]):
        raise TypeError(f"module_param({name!r}): the type is bool, int, float or str, not {type!r}")
    if not issubclass(type_of(mode), int) or mode is True or mode is False:
        raise TypeError(f"module_param({name!r}): the mode is an int, as 0o644, not {mode!r}")
    mode = plain_int(mode)
    if not 0 <= mode <= MAX_MODE:
        raise ValueError(f"module_param({name!r}): no mode: {oct(mode)}")
    value: Any = default
    if value is None:
        value = type()
    elif type is float and issubclass(type_of(value), int):
        value = float(plain_int(value))
    if not issubclass(type_of(value), type) or type is int and (value is True or value is False):
        raise TypeError(f"module_param({name!r}): the default {value!r} is no {type.__name__}")
    if type is str:
        value = plain_str(value)
    elif type is int:
        value = plain_int(value)
        if int.bit_length(value) > MAX_INT_BITS:
            raise ValueError(f"module_param({name!r}): the default has too many digits to be shown")
    elif type is float:
        value = float.__float__(value)
    return declared.declare(name, type, value, mode)  # type: ignore[no-any-return]
