"""Who holds a value by name: modules that imported it, classes that took it as an attribute."""
import ast
import gc
import sys
from types import FunctionType, ModuleType

from klpfs.cpython.import_time.overlays import Attribute, Item
from klpfs.cpython.load.parse import parse

_DICT = type.__dict__["__dict__"].__get__
_MODULE_DICT = ModuleType.__dict__["__dict__"].__get__
_NO_IDENTITY = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), ModuleType)


def copies_of(value, name, owner):
    """Places in the dicts of modules and classes where this very object is held, other than by whom it was made.

    name: what it is called in the module `owner`. Only functions and classes are one object for one definition; other
    values may be shared by chance (constants of a module's code, compiled patterns, what a registry hands out), so those
    are looked for under their name alone, in modules that import it by name as far as their source can be read.
    """
    if issubclass(type(value), _NO_IDENTITY):
        return []
    unique = issubclass(type(value), (FunctionType, type, classmethod, staticmethod, property)) or hasattr(type(value), "cache_clear")
    found = []
    for key, module in list(sys.modules.items()):
        if not issubclass(type(module), ModuleType):  # its __class__ is not asked: some pretend
            continue
        space = _MODULE_DICT(module)
        if str(space.get("__name__")).partition(".")[0] == "klpfs":
            continue
        if unique:
            found += [Item(space, each) for each, one in list(space.items()) if one is value]
        elif key != owner and "." not in name and space.get(name) is value and _imports(space, owner, name):
            found.append(Item(space, name))
    for cls in classes() if unique else ():
        found += [Attribute(cls, each) for each, one in list(_DICT(cls).items()) if one is value]
    return found


def _imports(space, owner, name):
    """Whether a module's source takes a name from `owner`; it is believed to where it has no source."""
    path = space.get("__file__")
    if not isinstance(path, str) or not path.endswith(".py"):
        return path is None
    try:
        with open(path, "rb") as file:
            tree = parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    last = owner.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name in (name, "*") for alias in node.names):
            source = (node.module or "").rpartition(".")[2]
            if source == last or not source or owner.startswith((node.module or "") + "."):
                return True
    return False


def classes():
    """All classes of the program, built-in ones left out."""
    return [each for each in gc.get_objects() if issubclass(type(each), type) and each.__flags__ & 1 << 9]  # Py_TPFLAGS_HEAPTYPE
