"""Programs to be patched, as real module files, and livepatches for them."""
import importlib
import itertools
import sys
import textwrap

from klpfs.cpython.load import loader as loading
from klpfs.cpython.target import PythonTarget
from klpfs.engine.error import KlpError
from klpfs.engine.log import Log
from klpfs.engine.target import Change

_numbers = itertools.count()
HEAD = "from klpfs import Callbacks, Func, Object, Patch, State, module_param, shadow\n"


class Program:
    """A folder of modules, and one PythonTarget for them. All is taken back at close()."""

    def __init__(self, folder):
        self.folder = folder
        self.log = Log(lambda: 0)
        self.target = PythonTarget(self.log)
        self.loaded, self.imported, self.changes = [], [], {}
        sys.path.insert(0, str(folder))

    def close(self):
        for each in reversed(self.loaded):
            loading.unload(each)
        for name in self.imported:
            sys.modules.pop(name, None)
        sys.path.remove(str(self.folder))
        importlib.invalidate_caches()

    def name(self, stem="prog"):
        """A module name that is not taken."""
        return "%s_%d" % (stem, next(_numbers))

    def write(self, text, name=None):
        """A module file. Returns its name."""
        name = name or self.name()
        (self.folder / (name + ".py")).write_text(textwrap.dedent(text), encoding="utf-8")
        importlib.invalidate_caches()
        return name

    def module(self, text, name=None):
        """Writes and imports a module."""
        name = self.write(text, name)
        self.imported.append(name)
        return importlib.import_module(name)

    def enable_patch(self, patch):
        self.enabled = patch

    def load(self, text, name=None, head=HEAD, **params):
        """Loads a module as insmod does; its path is in the folder. head: goes before the text, in the first line."""
        name = name or self.name("lp")
        source = (head.replace("\n", "; ") if head else "") + "\n" + textwrap.dedent(text)
        found = loading.load(name, source.encode(), str(self.folder / (name + ".py")), params, log=self.log,
                             enable_patch=self.enable_patch)
        self.loaded.append(found)
        return found

    def patch(self, text, **params):
        """Loads a livepatch and puts it in force, without a transition. Returns its LoadedModule."""
        found = self.load(text, **params)
        changes = []
        for obj in found.patch.objects:
            if self.target.loaded(obj.name) is not None:
                for func in obj.funcs:
                    self.target.resolve(obj, func)
                    changes.append(Change(func.definition, self.target.images.state.get(func.definition), func))
        self.target.apply(changes)
        self.changes[found.name] = changes
        return found

    def unpatch(self, loaded):
        self.target.revert(self.changes[loaded.name])
        for change in self.changes[loaded.name]:
            self.target.release(change.after)

    def refused(self, text, **params):
        """Loads a livepatch that can't be put in force; returns (errno name, last log line)."""
        import errno
        try:
            self.patch(text, **params)
        except KlpError as error:
            return errno.errorcode[error.errno], self.log.texts()[-1]
        raise AssertionError("it was not refused")


def annotations(fn):
    """What makes the annotations a function's own: from 3.14 on the function that evaluates them, else the dict."""
    return getattr(fn, "__annotate__", None) or fn.__annotations__


def snapshot(*functions):
    """What a function is, to compare by identity."""
    return [(fn, fn.__code__, fn.__defaults__, fn.__kwdefaults__, fn.__doc__, annotations(fn), fn.__closure__,
             fn.__name__, fn.__qualname__) for fn in functions]


def same(one, other):
    return all(a is b for left, right in zip(one, other) for a, b in zip(left, right))
