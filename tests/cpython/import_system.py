"""The import system as it was when the tests were collected: klpfs hooks it once a process and for good. And loaders of
a program's own."""
import _frozen_importlib as bootstrap
import _frozen_importlib_external as external
import importlib.machinery
import importlib.util

from klpfs.cpython.program import import_hooks
from klpfs.engine.error import place_of

BEFORE = {owner: dict(vars(owner)) for owner in (bootstrap, external, external._LoaderBasics)}
assert not import_hooks._hooked


def changed():
    """Names of the functions that are others than before."""
    return [name for owner, values in BEFORE.items() for name, value in values.items()
            if callable(value) and vars(owner).get(name) is not value]


def restore():
    """Takes the hooks out."""
    for owner, values in BEFORE.items():
        for name, value in values.items():
            if callable(value) and vars(owner).get(name) is not value:
                setattr(owner, name, value)
    import_hooks._hooked, import_hooks._callback, import_hooks._target = False, None, None


class Wrapper:
    """A loader that wraps Python's own, as tools with post-import hooks have it."""

    def __init__(self, inner):
        self.inner = inner

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        self.inner.exec_module(module)
        module.done = "by the wrapper"


class Chained(Wrapper):
    """What wrapt makes of a loader: while that runs, the module's spec has it back in its place."""

    def exec_module(self, module):
        module.__spec__.loader = self.inner
        super().exec_module(module)


class OfItsOwnSpec(Wrapper):
    """The module gets the spec of a file, as by importlib's recipe."""

    def exec_module(self, module):
        module.__spec__ = importlib.util.spec_from_file_location(module.__name__, self.inner.path)
        module.__spec__.loader.exec_module(module)
        module.done = "by the wrapper"


class Own(importlib.machinery.SourceFileLoader):
    """A loader that goes on behind Python's."""

    def exec_module(self, module):
        super().exec_module(module)
        module.done = "by the wrapper"


def finder(name, make):
    """A finder of a module, whose loader is make(spec)."""
    class Finder:
        @staticmethod
        def find_spec(wanted, path=None, target=None):
            if wanted == name:
                spec = importlib.machinery.PathFinder.find_spec(wanted)
                spec.loader = make(spec)
                return spec
    return Finder


def mistake():
    """AttributeError, raised by a line of klpfs's."""
    place_of(5)
