"""The rooms of klpfs/cpython: what each may import, so that its rule (in its `__init__`) can hold.

test_rooms_switch.py has the rules of the rooms whose code runs inside the program's calls.
"""
import ast
import pathlib

import pytest

import klpfs.cpython

FOLDER = pathlib.Path(klpfs.cpython.__file__).parent
BELOW = ("klpfs.engine", "klpfs.cpython.raw", "klpfs.cpython.code_names", "klpfs.cpython.c_api", "klpfs.cpython.jit",
         "klpfs.cpython.c_originals", "klpfs.cpython.control_flow", "klpfs.cpython.diverted_names",
         "klpfs.cpython.interpreters",
         "klpfs.cpython.lazy_imports",
         "klpfs.cpython.left_behind", "klpfs.cpython.no_collection", "klpfs.cpython.warning_filters")
# A room imports those above it in this list; rooms of one line know each other.
ORDER = (
    ("switch", "looks", "images"),
    ("load",),
    ("resolve",),
    ("program",),
    ("import_time",),
)


class Room:
    """What the files of a room may import: parts of klpfs, modules of the standard library, and such modules that are
    imported when they are needed (late), since a program that is never patched does not need them."""

    def __init__(self, parts, library, late=""):
        self.parts, self.library, self.late = parts, frozenset(library.split()), frozenset(late.split())


ROOMS = {
    "load": Room(
        BELOW + ("klpfs.cpython.load", "klpfs.protocol.names"),
        # os: modinfo.py, for commands
        library="__future__ _frozen_importlib _imp _thread _weakref ast errno functools gc os re sys types",
        late="importlib.machinery io klpfs linecache tokenize",
    ),
    "resolve": Room(
        BELOW + ("klpfs.cpython.resolve", "klpfs.cpython.load", "klpfs.cpython.looks.atomic",
                 "klpfs.cpython.looks.collection", "klpfs.cpython.looks.frozen_moment", "klpfs.cpython.looks.reads",
                 "klpfs.cpython.images.image"),
        library="__future__ _thread _sha2 _sha256 ast errno functools gc hashlib itertools opcode operator sys types weakref",
        late="ast builtins marshal zipimport",
    ),
    "program": Room(
        BELOW + ("klpfs.cpython.resolve.codes", "klpfs.cpython.looks"),
        library="__future__ _frozen_importlib _frozen_importlib_external _weakref ast posix sys",
    ),
    "import_time": Room(
        BELOW + ("klpfs.cpython.import_time", "klpfs.cpython.looks", "klpfs.cpython.resolve.live_functions",
                 "klpfs.cpython.load.parse", "klpfs.cpython.switch.dispatcher"),
        library="__future__ _abc abc ast builtins collections enum errno functools gc importlib.machinery itertools sys "
                "types zlib",
        late="importlib ctypes",    # ctypes: class_block.py, in 3.12
    ),
}
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py"))


def imports(text, package):
    """[(module, whether it is imported when the file is, whether the import is relative)] of what a file imports when
    it runs."""
    found = []

    def walk(node, at_import):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_import, False) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = ".".join(package.split(".")[:len(package.split(".")) - child.level + 1]) if child.level else ""
                module = ".".join(part for part in (base, child.module) if part)
                # Out of a package files are imported.
                in_package = (FOLDER.parent.parent / module.replace(".", "/")).is_dir()
                found.extend((f"{module}.{alias.name}" if in_package else module, at_import, bool(child.level))
                             for alias in child.names)
            walk(child, at_import and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))
    walk(ast.parse(text), True)
    return found


def breaches(text, room):
    """What a file of a room imports against its rule."""
    rule = ROOMS[room]
    found = []
    for module, at_import, relative in imports(text, "klpfs.cpython." + room):
        parts = module.split(".")
        inside = any(".".join(parts[:n]) in rule.parts for n in range(1, len(parts) + 1))
        if not (inside or module in (rule.library if at_import else rule.library | rule.late)):
            found.append(module)
        elif relative:
            found.append("relative " + module)
    return found


def files_of(rooms):
    return [file for file in FILES if file.partition("/")[0] in rooms]


@pytest.mark.parametrize("file", files_of(ROOMS))
def test_a_file_imports_what_its_room_may(file):
    assert breaches((FOLDER / file).read_text(), file.partition("/")[0]) == []


@pytest.mark.parametrize("room, text, found", [
    ("load", "from klpfs.cpython.resolve import codes", ["klpfs.cpython.resolve.codes"]),
    ("load", "from klpfs.cpython.resolve.codes import tree", ["klpfs.cpython.resolve.codes"]),
    ("load", "import tokenize", ["tokenize"]),
    ("load", "def f():\n import tokenize", []),
    ("load", "from . import parse", ["relative klpfs.cpython.load.parse"]),
    ("load", "if TYPE_CHECKING:\n from typing import Any", []),
    ("resolve", "import os", ["os"]),
    ("resolve", "from klpfs.cpython import target", ["klpfs.cpython.target"]),
    ("resolve", "from klpfs.agent.agent import Agent", ["klpfs.agent.agent"]),
    ("resolve", "from klpfs.cpython import raw\nimport klpfs.engine.log", []),
    ("program", "def f():\n import threading", ["threading"]),
    ("import_time", "from klpfs.cpython.switch import choice", ["klpfs.cpython.switch.choice"]),
    ("import_time", "from klpfs.cpython.looks import threads\nimport weakref", ["weakref"]),
])
def test_a_breach_is_found(room, text, found):
    assert breaches(text, room) == found


def rooms_of(text, package):
    """The rooms that a file imports of."""
    for module, _at_import, _relative in imports(text, package):
        parts = module.split(".")
        if parts[:2] == ["klpfs", "cpython"] and len(parts) > 2:
            yield parts[2]


@pytest.mark.parametrize("file", files_of(sum(ORDER, ())))
def test_arrows_between_rooms_point_one_way(file):
    room = file.partition("/")[0]
    level = next(at for at, rooms in enumerate(ORDER) if room in rooms)
    allowed = sum(ORDER[:level + 1], ()) + tuple(part.rpartition(".")[2] for part in BELOW)
    assert set(rooms_of((FOLDER / file).read_text(), "klpfs.cpython." + room)) <= set(allowed)


def test_every_room_has_its_place_and_says_its_rule():
    rooms = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert rooms == set(sum(ORDER, ()))
    for room in rooms:
        assert "The rule of this room" in ast.get_docstring(ast.parse((FOLDER / room / "__init__.py").read_text()))


@pytest.mark.parametrize("file", FILES)
def test_typing_is_not_imported_when_the_program_runs(file):
    """It costs the patched process more than an agent; annotations are never evaluated."""
    package = ".".join(["klpfs", "cpython", *file.split("/")[:-1]])
    assert [module for module, _, _ in imports((FOLDER / file).read_text(), package)
            if module in ("typing", "collections.abc")] == []


def test_import_hooks_import_nothing_while_the_program_imports():
    text = (FOLDER / "program" / "import_hooks.py").read_text()
    assert [module for module, at_import, _ in imports(text, "klpfs.cpython.program") if not at_import] == []
