"""Two versions of a program, built into a livepatch, with the old one running in this process."""
import importlib
import itertools
import sys
import textwrap

from klpfs.builder.build import build
from klpfs.builder.read.sources import of_folder
from klpfs.engine.core import Engine
from klpfs.engine.log import Log
from klpfs.cpython.load import loader as loading
from klpfs.cpython.target import PythonTarget

_numbers = itertools.count()


class Upgrade:
    """Modules of OLD, imported on demand; NEW; one engine. `{p}` in a source is the name of this upgrade's package."""

    def __init__(self, folder):
        self.name = "upg_%d" % next(_numbers)
        self.folder = folder / self.name
        self.log = Log(lambda: 0)
        self.target = PythonTarget(self.log)
        self.engine = Engine(self.target, self.log)
        self.loaded = []
        self.path = str(self.folder / "old")

    def write(self, old, new):
        """old, new: {file name: text}, or the text of the package's __init__.py."""
        for version, files in (("old", old), ("new", new)):
            for name, text in (files if isinstance(files, dict) else {"__init__.py": files}).items():
                path = self.folder / version / self.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text).replace("{p}", self.name), encoding="utf-8")
            init = self.folder / version / self.name / "__init__.py"
            if not init.exists():
                init.write_text("")
        sys.path.insert(0, self.path)
        importlib.invalidate_caches()

    def build(self, **more):
        """build.Result of OLD and NEW."""
        old, new = (of_folder(str(self.folder / each), each) for each in ("old", "new"))
        return build(old, new, [sys.executable], **more)

    def module(self, name=""):
        """Imports a module of the program."""
        return importlib.import_module(self.name + ("." + name if name else ""))

    def new_module(self, name=""):
        """The same module as NEW has it, imported apart from the program."""
        kept = {key: sys.modules.pop(key) for key in list(sys.modules) if key.partition(".")[0] == self.name}
        sys.path.insert(0, str(self.folder / "new"))
        importlib.invalidate_caches()
        try:
            return self.module(name)
        finally:
            sys.path.remove(str(self.folder / "new"))
            for key in [key for key in sys.modules if key.partition(".")[0] == self.name]:
                del sys.modules[key]
            sys.modules.update(kept)
            importlib.invalidate_caches()

    def enable_patch(self, patch):
        self.engine.enable(patch, self.loaded[-1].name)

    def insmod(self, text=None, settle=True):
        """Loads a livepatch, by default what build() gives, and waits until it is in force. Returns the LoadedModule."""
        text = self.build().text if text is None else text
        name = "fix_%d" % next(_numbers)
        found = loading.load(name, text.encode(), str(self.folder / (name + ".py")), {}, log=self.log, enable_patch=self.enable_patch)
        self.loaded.append(found)
        try:
            self.engine.enable(found.patch, name)
        except BaseException:
            loading.unload(self.loaded.pop())
            raise
        self.engine.start()
        if settle:
            self.settle()
        return found

    def settle(self):
        assert self.engine.look() == []
        self.engine.finish()

    def disable(self, found):
        self.engine.disable(found.patch)
        self.settle()

    def close(self):
        for each in reversed(self.loaded):
            if each.patch.enabled:
                self.disable(each)
            loading.unload(each)
        for key in [key for key in sys.modules if key.partition(".")[0] == self.name]:
            del sys.modules[key]
        if self.path in sys.path:
            sys.path.remove(self.path)
        importlib.invalidate_caches()
