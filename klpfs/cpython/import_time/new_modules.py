"""Modules that only the new version has: code in the livepatch's file, importable while the patch is in force.

Nothing runs until somebody imports one. When the patch goes, so do they: who has taken something from one keeps that.
"""
import builtins
import sys
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType

_table = {}  # name -> [New, ...], the newest last


class New:
    """A module to be: run is a function of one parameter, its top level. package: it may have modules in it."""

    __slots__ = ("name", "run", "package", "module", "hidden")

    def __init__(self, name, run, package=False):
        self.name, self.run, self.package = name, run, package
        self.module = None
        self.hidden = None  # a module of that name which an older patch brought

    def offer(self):
        """From now on it can be imported."""
        self.hidden = sys.modules.pop(self.name, None)
        _detach(self.name, self.hidden)
        _table.setdefault(self.name, []).append(self)
        if not any(each is Finder for each in sys.meta_path):
            sys.meta_path.insert(0, Finder)

    def withdraw(self):
        news = _table.get(self.name, [])
        newest = bool(news) and news[-1] is self
        if self in news:
            news.remove(self)
        if not news:
            _table.pop(self.name, None)
        if not _table and Finder in sys.meta_path:
            sys.meta_path.remove(Finder)
        if newest:
            if self.module is not None and sys.modules.get(self.name) is self.module:
                del sys.modules[self.name]
                _detach(self.name, self.module)
            if self.hidden is not None and self.name not in sys.modules:
                sys.modules[self.name] = self.hidden
                parent, _, child = self.name.rpartition(".")
                if parent in sys.modules:
                    setattr(sys.modules[parent], child, self.hidden)
        else:
            for each in news:
                if each.hidden is self.module:
                    each.hidden = self.hidden

    # the loader's side

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        self.module = module
        code, space = self.run.__code__, ModuleType.__dict__["__dict__"].__get__(module)
        space.setdefault("__builtins__", builtins.__dict__)  # as exec does; before 3.10 a function has none else
        FunctionType(code, space, code.co_name)(Top(module))


class Top:
    """What the top level of a new module is given: klp.star(MODULE)."""

    __slots__ = ("module",)

    def __init__(self, module):
        self.module = module

    def star(self, name):
        """from NAME import *"""
        self.module.__dict__.update(public_names(name, self.module.__dict__))


class Finder:
    """On sys.meta_path while there is something to find."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        news = _table.get(name)
        if not news:
            return None
        new = news[-1]
        spec = ModuleSpec(name, new, is_package=new.package)
        parent = sys.modules.get(name.rpartition(".")[0])
        folders = list(getattr(parent, "__path__", ()) or ())
        if folders:  # where it would lie: for who looks for files beside it
            stem = "%s/%s" % (folders[0], name.rpartition(".")[2])
            spec.origin = stem + ("/__init__.py" if new.package else ".py")
            spec.has_location = True
            if new.package:
                spec.submodule_search_locations.append(stem)
        return spec

    @staticmethod
    def invalidate_caches():
        pass


def public_names(name, namespace):
    """{name: value} that `from NAME import *` takes, in a module with this namespace."""
    from importlib import import_module
    module = import_module(name, namespace.get("__package__") or namespace.get("__name__"))
    names = getattr(module, "__all__", None)
    if names is None:
        names = [each for each in vars(module) if not each.startswith("_")]
    return {each: getattr(module, each) for each in names}


def _detach(name, module):
    parent, _, child = name.rpartition(".")
    holder = sys.modules.get(parent)
    if module is not None and holder is not None and getattr(holder, child, None) is module:
        delattr(holder, child)
