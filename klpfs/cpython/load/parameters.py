"""Module parameters: module_param() in a module's file, values from insmod, reading and writing under parameters/.

Text forms are the kernel's (kernel/params.c): a bool reads Y or N and is written as kstrtobool takes it, an int is a
decimal, hexadecimal or octal number, a str is taken as it is.
"""
from _thread import get_ident
from errno import EEXIST, EINVAL, ENOENT

from klpfs.engine.error import KlpError


class Param:
    """name; type: bool, int, float or str; mode: of its file under parameters/ (0: there is none).

    The value lives in the module's variable of that name (or the one that module_param was assigned to).
    """

    __slots__ = ("name", "type", "mode", "namespace", "variable", "_value")

    def __init__(self, name, type, value, mode, namespace, variable):
        self.name, self.type, self.mode = name, type, mode
        self.namespace, self.variable = namespace, variable
        self._value = value

    @property
    def value(self):
        return self.namespace.get(self.variable, self._value)

    @property
    def text(self):
        """As the file under parameters/ reads, without its newline."""
        return show(self.type, self.value)

    def set(self, text):
        """EINVAL: the text is no such value."""
        self._value = self.namespace[self.variable] = parse(self.type, text)


def show(type, value):
    if type is bool:
        return "Y" if value else "N"
    return repr(value) if type is float else str(value)


def parse(type, text):
    """The value of a parameter's text. KlpError EINVAL. text None: a name without `=value`, which a bool alone takes."""
    if text is None:
        if type is bool:
            return True
        raise KlpError(EINVAL)
    if type is bool:
        return _bool(text)
    if text[-1:] == "\n":
        text = text[:-1]
    if type is str:
        return text
    try:
        return _int(text) if type is int else float(text)
    except ValueError:
        raise KlpError(EINVAL) from None


def _bool(text):
    """kstrtobool: the first characters decide."""
    if text[:1] in ("y", "Y", "1", "t", "T"):
        return True
    if text[:1] in ("n", "N", "0", "f", "F"):
        return False
    if text[:2] in ("on", "oN", "On", "ON"):
        return True
    if text[:2] in ("of", "oF", "Of", "OF"):
        return False
    raise KlpError(EINVAL)


def _int(text):
    """kstrtol with base 0: a sign, then 0x, 0 or decimal digits, nothing else."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isalnum() or not digits.isascii():
        raise ValueError(text)
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" and len(digits) > 1 else 10
    value = int(digits, base)
    return -value if text[:1] == "-" else value


class Declared:
    """The parameters of one module while its top level runs. given: dict name -> text, from insmod."""

    __slots__ = ("module", "given", "params", "namespace", "variable_of", "say")

    def __init__(self, module, given, namespace, variable_of, say):
        self.module, self.given, self.namespace = module, dict(given), namespace
        self.variable_of, self.say, self.params = variable_of, say, {}

    def declare(self, name, type, default, mode):
        if name in self.params:
            raise KlpError(EEXIST, self.say("%s: parameter '%s' is declared twice" % (self.module, name)))
        value = default
        if name in self.given:
            text = self.given[name]
            try:
                value = parse(type, text)
            except KlpError:
                shown = "" if text is None else text
                raise KlpError(EINVAL, self.say("%s: `%s' invalid for parameter `%s'" % (self.module, shown, name))) from None
        self.params[name] = Param(name, type, value, mode, self.namespace, self.variable_of(name) or name)
        return value

    def check_unknown(self):
        """KlpError ENOENT: insmod named a parameter that the module does not have."""
        for name in self.given:
            if name not in self.params:
                raise KlpError(ENOENT, self.say("%s: Unknown parameter `%s'" % (self.module, name)))


_running = {}  # thread id -> Declared of the module whose top level it runs


def running():
    """The Declared of the module whose top level the calling thread runs, or None."""
    return _running.get(get_ident())


class declaring:
    """With statement: module_param() of this thread declares parameters of `declared`."""

    __slots__ = ("declared", "was")

    def __init__(self, declared):
        self.declared = declared

    def __enter__(self):
        self.was = _running.get(get_ident())
        _running[get_ident()] = self.declared

    def __exit__(self, *_):
        if self.was is None:
            _running.pop(get_ident(), None)
        else:
            _running[get_ident()] = self.was


def module_param(name, type=str, default=None, mode=0o644):
    """Declares a parameter of the module whose file is being run; returns the value that insmod gave, else `default`.

    type: bool, int, float or str. default: None means 0, '' or False. mode: of the file under parameters/, 0 for none.
    The variable that it is assigned to is the parameter from then on: writing the file sets it.
    RuntimeError outside a module's top level. TypeError, ValueError: wrong arguments. KlpError EINVAL: insmod's value.
    """
    declared = running()
    if declared is None:
        raise RuntimeError("module_param(%r): only the top level of a module that insmod loads declares parameters" % (name,))
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError("module_param: %r is no name" % (name,))
    if type not in (bool, int, float, str):
        raise TypeError("module_param(%r): the type is bool, int, float or str, not %r" % (name, type))
    if default is None:
        default = type()
    elif type is float and isinstance(default, int):
        default = float(default)
    if not isinstance(default, type) or type is int and isinstance(default, bool):
        raise TypeError("module_param(%r): the default %r is no %s" % (name, default, type.__name__))
    return declared.declare(name, type, default, mode)
