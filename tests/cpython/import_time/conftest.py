"""Modules of a program, and what a livepatch does to them, without an engine."""
import itertools
import sys
import textwrap
import types

import pytest

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.import_time import ImportTime
from klpfs.engine import shadow
from klpfs.engine.data import Object
from klpfs.engine.log import Log

_numbers = itertools.count()


class Patch:
    """A livepatch of one module that has ImportTime's callbacks alone. text: its file, which defines `run` and what
    else the options name: they are texts that are evaluated in the file's namespace."""

    def __init__(self, module, text="", **options):
        space = {"__name__": f"lp_{next(_numbers)}"}
        exec(compile(textwrap.dedent(text), f"/livepatches/{space['__name__']}.py", "exec"), space)
        self.callbacks = ImportTime(space.get("run"), **{name: eval(value, space) for name, value in options.items()})
        self.obj = Object(module.__name__, callbacks=self.callbacks)
        self.obj.patch = types.SimpleNamespace(name="lp", objects=[self.obj])

    def enable(self):
        """Before and after the transition to the patch; what pre_patch says."""
        result = self.callbacks.pre_patch(self.obj)
        self.callbacks.post_patch(self.obj)
        return result

    def disable(self):
        self.callbacks.pre_unpatch(self.obj)
        self.callbacks.post_unpatch(self.obj)

    def replaced(self):
        """A later patch has taken this patch's place."""
        self.callbacks.replaced(self.obj)


@pytest.fixture
def module():
    """module(text, name): a module of the program, imported; its source is in no file."""
    names = []

    def make(text="", name=None):
        made = types.ModuleType(name or f"live_{next(_numbers)}")
        names.append(made.__name__)
        sys.modules[made.__name__] = made
        exec(compile(textwrap.dedent(text), f"{made.__name__}.py", "exec"), made.__dict__)
        return made
    yield make
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def log(monkeypatch):
    """The engine's log."""
    made = Log(lambda: 0)
    monkeypatch.setattr(shadow, "log", made)
    return made


@pytest.fixture(autouse=True)
def nothing_left():
    """No value of a patch is left anywhere."""
    yield
    assert not overlays._stacks


@pytest.fixture
def livepatch():
    return Patch
