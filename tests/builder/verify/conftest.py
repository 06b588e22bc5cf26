import sys
import textwrap
import types

import pytest

from klpfs.builder.read.sources import of_folder
from klpfs.builder.verify.describe import Description
from klpfs.builder.verify.graphs import Graph


class Releases:
    """Two releases in folders."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, version, files):
        """files: {path: text}, or the text of m.py. Returns the Release."""
        for path, text in (files if isinstance(files, dict) else {"m.py": files}).items():
            where = self.folder / version / path
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(textwrap.dedent(text))
        return of_folder(str(self.folder / version), version.upper())

    def pair(self, old, new):
        return self.write("old", old), self.write("new", new)


@pytest.fixture
def releases(tmp_path):
    return Releases(tmp_path)


class Modules:
    """Modules of this process, described; taken out of sys.modules at the end."""

    def __init__(self):
        self.names = []

    def describe(self, text, name="klp_described", tree="/tree", **options):
        """The graph of a module of this text. tree: the folder that it is said to lie in."""
        module = types.ModuleType(name)
        sys.modules[name] = module
        self.names.append(name)
        exec(compile(textwrap.dedent(text), f"{tree}/{name}.py", "exec", dont_inherit=True), module.__dict__)
        return Graph(**Description([name], tree, [], [], **options).take())

    def close(self):
        for name in self.names:
            sys.modules.pop(name, None)


@pytest.fixture
def modules():
    made = Modules()
    yield made
    made.close()
