"""Two versions of a program, built into a livepatch, with the old one running in this process."""
from __future__ import annotations

import importlib
import itertools
import pathlib
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

from klpfs.builder.build import Result, build
from klpfs.builder.read.sources import of_folder
from klpfs.cpython.load import loader as loading
from klpfs.cpython.target import PythonTarget
from klpfs.engine.core import Engine
from klpfs.engine.log import Log

_numbers = itertools.count()

LOOKS = 200


class Upgrade:
    """Modules of OLD, imported on demand; NEW; one engine. `{p}` in a source is the name of this upgrade's package."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.name = f"upg_{next(_numbers)}"
        self.folder = folder / self.name
        self.log = Log(lambda: 0)
        self.target = PythonTarget(self.log)
        self.engine = Engine(self.target, self.log)
        self.loaded: list[Any] = []
        self.path = str(self.folder / "old")

    def write(self, old: str | dict[str, str], new: str | dict[str, str]) -> None:
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

    def build(self, **options: Any) -> Result:
        """The build of OLD and NEW."""
        old, new = (of_folder(str(self.folder / version), version) for version in ("old", "new"))
        return build(old, new, [sys.executable], **options)

    def module(self, name: str = "") -> ModuleType:
        """Imports a module of the program."""
        return importlib.import_module(self.name + ("." + name if name else ""))

    def new_module(self, name: str = "") -> ModuleType:
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

    def enable_patch(self, patch: Any) -> None:
        """What load() calls for a livepatch."""
        self.engine.enable(patch, self.loaded[-1].name)

    def insmod(self, text: str | None = None, settle: bool = True) -> Any:
        """Loads a livepatch, by default what build() gives, waits until it is in force. Returns the LoadedModule."""
        text = self.build().text if text is None else text
        name = f"fix_{next(_numbers)}"
        found = loading.load(name, text.encode(), str(self.folder / (name + ".py")), {}, log=self.log,
                             enable_patch=self.enable_patch)
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

    def settle(self) -> None:
        self.look_until_clean()
        self.engine.finish()

    def look_until_clean(self) -> None:
        """Looks till nothing is in the way: what has just ended, in a thread of another test's say, may be for a
        moment."""
        for _ in range(LOOKS):
            found = self.engine.look()
            if not found:
                return
        raise AssertionError(found)

    def disable(self, found: Any) -> None:
        self.engine.disable(found.patch)
        self.settle()

    def close(self) -> None:
        for module in reversed(self.loaded):
            if module.patch.enabled:
                self.disable(module)
            loading.unload(module)
        for key in [key for key in sys.modules if key.partition(".")[0] == self.name]:
            del sys.modules[key]
        if self.path in sys.path:
            sys.path.remove(self.path)
        importlib.invalidate_caches()


def there_and_back(upgrade: Upgrade, old: str | dict[str, str], new: str | dict[str, str], *expressions: str,
                   module: str = "") -> Result:
    """Each expression, evaluated in the module: as in NEW while the patch is in force, as in OLD before and after."""
    upgrade.write(old, new)
    program, after = upgrade.module(module), upgrade.new_module(module)

    def values(space: ModuleType) -> list[Any]:
        found = []
        for expression in expressions:
            try:
                found.append(eval(expression, vars(space)))
            except Exception as error:
                found.append((type(error).__name__, str(error)))
        return found

    before = values(program)
    result = upgrade.build()
    assert not result.refused, result.refused
    patch = upgrade.insmod(result.text)
    assert values(program) == values(after) != before, result.text
    upgrade.disable(patch)
    assert values(program) == before
    return result


def running(upgrade: Upgrade, old: str, new: str) -> tuple[ModuleType, Callable[[], Any]]:
    """(module of OLD, how to take it to NEW: a function that gives insmod's module)."""
    upgrade.write(old, new)
    result = upgrade.build()
    assert not result.refused, result.refused
    return upgrade.module(), lambda: upgrade.insmod(result.text)
