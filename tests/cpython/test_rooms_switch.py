"""The rules of the rooms whose code runs inside the program's calls, or must not be torn: switch, looks, images.

Each room's `__init__` says its rule in words; ROOMS says it for these tests. A mutant of each kind shows that they can
fail.
"""
import ast
import builtins
import importlib
import pathlib
import symtable
import sys
import types

import pytest

import klpfs.cpython
from tests.cpython.programs import done, make, transition

FOLDER = pathlib.Path(klpfs.cpython.__file__).parent
# Of functools, time, types and weakref the names that are C's: see test_no_python_function_of_the_standard_library
IN_C = frozenset("__future__ _collections _ctypes _interpreters _thread errno functools gc itertools operator "
                 "posix sys time types weakref".split())
BELOW = ("klpfs.engine.", "klpfs.cpython.c_api", "klpfs.cpython.c_originals", "klpfs.cpython.control_flow", "klpfs.cpython.interpreters",
         "klpfs.cpython.jit", "klpfs.cpython.left_behind", "klpfs.cpython.no_collection", "klpfs.cpython.raw")


class Room:
    """imports: prefixes of what the files may import. slow: files whose functions run when there is time, so they may
    call builtins by name; at_import: functions that only run at import."""

    def __init__(self, imports, slow=(), at_import=()):
        self.imports, self.slow, self.at_import = imports, slow, at_import


ROOMS = {
    "switch": Room(BELOW + ("klpfs.cpython.switch", "klpfs.cpython.images", "klpfs.cpython.looks")),
    "looks": Room(BELOW + ("klpfs.cpython.looks", "klpfs.cpython.switch.rules", "klpfs.cpython.switch.choice"),
                  slow=("dry_run.py", "run_by.py"), at_import=("samples", "_number", "_find", "_running_state",     # of reads.py
                                                      "_code_place")),                             # of at_address.py
    # check_interpreter: once a transition, before it begins
    "images": Room(BELOW + ("klpfs.cpython.images", "klpfs.cpython.looks.collection"), slow=("image_table.py",),
                   at_import=("_find_numbers", "check_interpreter")),
}
FILES = [(room, path.name) for room in ROOMS for path in sorted((FOLDER / room).glob("*.py"))]
EXCEPTIONS = {name for name, value in vars(builtins).items()
              if isinstance(value, type) and issubclass(value, BaseException)}
BUILTINS = set(dir(builtins)) - EXCEPTIONS - {"__name__", "__debug__", "property"}


class _NoAnnotations(ast.NodeTransformer):
    """Annotations are never evaluated, and what stands under `if TYPE_CHECKING` never runs."""

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        return ast.copy_location(ast.Assign([node.target], node.value) if node.value else ast.Pass(), node)

    def visit_If(self, node):
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def source(room, file):
    return (FOLDER / room / file).read_text()


def _bare(text):
    return ast.fix_missing_locations(_NoAnnotations().visit(ast.parse(text)))


def imported(text, package):
    """Full names of what a file imports: 'itertools', 'klpfs.cpython.looks.threads', 'klpfs.engine.error.KlpError'."""
    for node in ast.walk(_bare(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            yield from (".".join(base + ([node.module] if node.module else []) + [alias.name]) for alias in node.names)


def wrong_imports(text, room, file):
    return [name for name in imported(text, "klpfs.cpython." + room)
            if not name.startswith(ROOMS[room].imports) and name.partition(".")[0] not in IN_C]


def wrong_names(text, room, file):
    """Builtins that functions of a file use by their plain name, and attributes of modules that they read when they
    run."""
    rule = ROOMS[room]
    if file in rule.slow:
        return []
    tree = _bare(text)
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in rule.at_import]
    bare = ast.unparse(tree)
    found = []
    module = symtable.symtable(bare, file, "exec")
    ours = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}

    def walk(scope, top):
        for child in scope.get_children():
            if not (top and child.get_name() in ("genexpr", "listcomp", "setcomp", "dictcomp")):    # they run at import
                if child.get_type() == "function":
                    found.extend(symbol.get_name() for symbol in child.get_symbols()
                                 if symbol.is_global() and symbol.get_name() in BUILTINS - ours)
                walk(child, False)
    walk(module, True)
    modules = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.Lambda)):
            body = function.body if isinstance(function.body, list) else [function.body]
            found += [f"{node.value.id}.{node.attr}" for part in body for node in ast.walk(part)
                      if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules]
    return found


@pytest.mark.parametrize("room, file", FILES, ids=[f"{room}/{file}" for room, file in FILES])
def test_imports(room, file):
    """A file imports what its room may, and no more."""
    assert wrong_imports(source(room, file), room, file) == []


@pytest.mark.parametrize("room, file", FILES, ids=[f"{room}/{file}" for room, file in FILES])
def test_builtins_are_captured(room, file):
    """The program may have put a function of its own in a builtin's place, or in a module's of the standard library."""
    assert wrong_names(source(room, file), room, file) == []


def is_python(value):
    """Whether calling it runs Python code that is not klpfs's."""
    if (getattr(value, "__module__", None) or "").partition(".")[0] == "klpfs":
        return False
    return type(value) is types.FunctionType or isinstance(value, type) and any(
        type(each) is types.FunctionType for each in vars(value).values())


@pytest.mark.parametrize("room, file", FILES, ids=[f"{room}/{file}" for room, file in FILES])
def test_no_python_function_of_the_standard_library(room, file):
    """What a file has imported from it is C."""
    module = importlib.import_module(f"klpfs.cpython.{room}.{file[:-3]}".replace(".__init__", ""))
    assert [name for name, value in vars(module).items() if is_python(value)] == []


MUTANTS = [
    (wrong_imports, "switch", "choice.py", "import _thread\n", "import threading\n", ["threading"]),
    (wrong_imports, "looks", "threads.py", "import sys\n", "from ..load import loader\n",
     ["klpfs.cpython.load.loader"]),
    (wrong_imports, "images", "image.py", "from ..looks.collection", "from ..switch.switching",
     ["klpfs.cpython.switch.switching.exchange_code"]),
    (wrong_names, "switch", "choice.py", "else _id(code)\n", "else id(code)\n", ["id"]),
    (wrong_names, "looks", "threads.py", "_map(_dict_get, every", "map(_dict_get, every", ["map"]),
    (wrong_names, "looks", "threads.py", "every = chain.from", "every = sys.modules.from", ["sys.modules"]),
    (wrong_names, "looks", "collection.py", "_bool(seen)", "bool(seen)", ["bool"]),
    (wrong_names, "images", "image.py", "_setattr(made, MARK", "setattr(made, MARK", ["setattr"]),
    (wrong_names, "images", "version_numbers.py", "_code_number(code) if", "_code_number(sys.intern(code)) if",
     ["sys.intern"]),
]


@pytest.mark.parametrize("check, room, file, old, new, expected", MUTANTS,
                         ids=["-".join((mutant[0].__name__, mutant[2])) for mutant in MUTANTS])
def test_a_breach_is_found(check, room, file, old, new, expected):
    """The checks fail when a file breaks its room's rule."""
    text = source(room, file)
    assert old in text
    assert sorted(set(check(text.replace(old, new), room, file))) == expected


def test_python_functions_are_found():
    import functools
    import threading
    assert is_python(functools.wraps) and is_python(threading.Thread)
    assert not is_python(functools.partial) and not is_python(len) and not is_python(types.FunctionType)


@pytest.mark.parametrize("text", ["def A():\n return ({v}, B())\ndef B(): return {v}",
                                  "def A():\n yield {v}\n yield B()\ndef B(): return {v}"],
                         ids=["functions", "generators"])
def test_calls_and_looks_meet_nothing_that_the_program_has_put_in_the_place_of_a_builtin(monkeypatch, text):
    """In a transition: calls through dispatchers, choices, first calls of a side, looks."""
    ran = []

    def stand_in(name, real, frame=sys._getframe):
        def called(*args, **more):
            ran.append((name, frame(1).f_code.co_filename, frame(1).f_lineno))
            return real(*args, **more)
        return called
    d = make(text)
    t = transition(d[0], d[1])
    t.install()
    kept = d[0]["A"]()
    t.start()
    with monkeypatch.context() as patch:
        for name in ("id", "len", "getattr", "setattr", "hasattr", "isinstance", "issubclass", "vars", "map", "zip",
                     "max", "min", "sorted", "any", "all"):
            patch.setattr(builtins, name, stand_in(name, getattr(builtins, name)))
        d[0]["A"]()
        d[0]["B"]()
        t.look()
        d[0]["A"]()
    del kept
    fast = [str(FOLDER / room / file) for room, file in FILES if file not in ROOMS[room].slow]
    assert [call for call in ran if call[1] in fast] == [] and done(t)
