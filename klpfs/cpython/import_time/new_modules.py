"""Modules that only the new version has: code in the livepatch's file, importable while the patch is in force.

The code of such a module runs when the program imports it. When the patch goes, the module goes too; what the program
has taken from it stays with the program.
"""
from __future__ import annotations

import builtins
import sys
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType

from klpfs.cpython.lazy_imports import stand_in
from klpfs.cpython.raw import module_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_table: dict[str, list[New]] = {}       # name -> the modules of that name that patches bring, the newest last


class New:
    """A module to be, and its loader: run is a function of one parameter, its top level. package: it may have modules
    in it."""

    __slots__ = ("name", "run", "package", "module", "hidden")

    def __init__(self, name: str, run: FunctionType, package: bool = False) -> None:
        self.name, self.run, self.package = name, run, package
        self.module: ModuleType | None = None   # once imported
        self.hidden: ModuleType | None = None   # a module of that name which an older patch brought

    def offer(self) -> None:
        """The module can be imported from now on. Counterpart: withdraw."""
        self.hidden = sys.modules.pop(self.name, None)
        _detach(self.name, self.hidden)
        _table.setdefault(self.name, []).append(self)
        if not any(finder is Finder for finder in sys.meta_path):
            sys.meta_path.insert(0, Finder)

    def withdraw(self) -> None:
        """The module can't be imported any more, and is gone; a module that it hid is back. Counterpart:
        offer."""
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
            for new in news:
                if new.hidden is self.module:
                    new.hidden = self.hidden

    # the loader's side

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self.module = module
        code, space = self.run.__code__, module_dict(module)
        space.setdefault("__builtins__", builtins.__dict__)  # as exec does; before 3.10 a function has no builtins else
        FunctionType(code, space, code.co_name)(Top(module))


class Top:
    """The parameter of a new module's top level: klp.star(MODULE), klp.lazy(STATEMENT)."""

    __slots__ = ("module",)

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def star(self, name: str) -> None:
        """from NAME import *"""
        self.module.__dict__.update(public_names(name, self.module.__dict__))

    def lazy(self, statement: str) -> Any:
        """What the import statement of one name binds in the module when it is lazy (3.15)."""
        return stand_in(statement, self.module.__dict__)


class Finder:
    """The finder of new modules, on sys.meta_path while a patch brings any."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        news = _table.get(name)
        if not news:
            return None
        new = news[-1]
        spec = ModuleSpec(name, new, is_package=new.package)       # type: ignore[arg-type]
        parent = sys.modules.get(name.rpartition(".")[0])
        folders = list(getattr(parent, "__path__", ()) or ())
        if folders:  # where its file would lie: for code that looks for files beside it
            stem = f"{folders[0]}/{name.rpartition('.')[2]}"
            spec.origin = stem + ("/__init__.py" if new.package else ".py")
            spec.has_location = True
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(stem)
        return spec

    @staticmethod
    def invalidate_caches() -> None:
        pass


def public_names(name: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """{name: value} that `from NAME import *` takes, in a module with this namespace."""
    from importlib import import_module
    module = import_module(name, namespace.get("__package__") or namespace.get("__name__"))
    names = getattr(module, "__all__", None)
    if names is None:
        names = [public for public in vars(module) if not public.startswith("_")]
    return {public: getattr(module, public) for public in names}


def _detach(name: str, module: ModuleType | None) -> None:
    """A module is removed from the attributes of its package."""
    parent, _, child = name.rpartition(".")
    holder = sys.modules.get(parent)
    if module is not None and holder is not None and getattr(holder, child, None) is module:
        delattr(holder, child)
