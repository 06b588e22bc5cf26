"""Loading modules from bytes: what becomes of a file, what is refused, and that nothing is left of a refused one."""
import errno
import gc
import inspect
import linecache
import os
import sys
import threading
import traceback
from types import SimpleNamespace

import pytest

from klpfs.cpython import no_collection
from klpfs.cpython.load import loader as loading
from klpfs.engine.error import KlpError
from tests.cpython.names_kit import patch


def fails(program, text, **more):
    """(errno name, the one log line) of a load that fails."""
    before, modules = len(program.log.texts()), dict(sys.modules)
    with pytest.raises(KlpError) as caught:
        program.load(text, **more)
    lines = program.log.texts()[before:]
    assert len(lines) == 1, lines
    assert {name for name in set(sys.modules) ^ set(modules) if name.startswith(("lp_", "prog_"))} == set()
    return errno.errorcode[caught.value.errno], lines[0]


def test_a_livepatch(program):
    found = program.load('''
"""CVE-1: a fix."""
__version__, __author__ = "2", "A"
__license__ = "GPL"
def f(): pass
patch = Patch([Object("x", [Func("f", f)])])
def exit(): return None
''', head="from klpfs import *\n")
    assert found.livepatch and found.patch.objects[0].name == "x"
    assert found.name not in sys.modules
    assert found.init() is None and program.enabled is found.patch
    assert found.exit is found.namespace["exit"]


def test_an_own_init_is_called_instead(program):
    found = program.load("patch = Patch([])\ndef init(): return -5")
    assert loading.invoke(found.init) == -5


@pytest.mark.parametrize("value, result", [(None, 0), (0, 0), (7, 0), (-3, -3), (True, 0), ("x", 0)])
def test_what_init_and_callbacks_return(value, result):
    assert loading.invoke(lambda: value) == result


def test_an_ordinary_module_becomes_part_of_the_program(program):
    name = program.name("mod")
    found = program.load("def f(): return __name__\ndef init(): pass\nhalf = __spec__._initializing", name=name)
    assert not found.livepatch and found.patch is None and sys.modules[name] is found.module
    assert __import__(name).f() == name and found.init is found.module.init and found.exit is None
    assert found.module.half and program.target.loaded(name) is not None
    loading.unload(found)
    assert name not in sys.modules


def test_a_function_named_patch_or_imported_as_patch_marks_no_livepatch(program):
    found = program.load("from unittest.mock import patch\ndef f(): pass", name=program.name("mod"))
    assert not found.livepatch


def test_names_that_are_taken(program):
    name = program.name("mod")
    program.load("x = 1", name=name)
    assert fails(program, "x = 2", name=name) == ("EEXIST", "module '%s' is already loaded" % name)
    assert fails(program, "x = 2", name="json") == ("EEXIST", "json: the program has a module of that name")
    lp = program.load("patch = Patch([])")
    assert fails(program, "patch = Patch([])", name=lp.name)[0] == "EEXIST"


def test_a_livepatch_may_have_the_name_of_a_module_of_the_program(program):
    module = program.module("def f(): return 1")
    found = program.patch("def f(): return 2\npatch = Patch([Object(%r, [Func('f', f)])])" % module.__name__, )
    assert module.f() == 2
    loading.unload(found)
    assert sys.modules[module.__name__] is module


@pytest.mark.parametrize("text, number, words", [
    ("x = (", "ENOEXEC", ":2: "), ("a\0b", "ENOEXEC", ":1: "), ("def f():\nreturn", "ENOEXEC", ":3: "),
    ("\n1 / 0", "EINVAL", ":3: ZeroDivisionError"), ("raise SystemExit(3)", "EINVAL", "SystemExit"),
    ("def g():\n  raise KeyError('k')\ng()", "EINVAL", ":3: KeyError: 'k'"),
    ("import no_such_module_x", "ENOENT", ":2: ModuleNotFoundError"),
    ("from klpfs import nope", "ENOENT", "ImportError"),
    ("open('/nowhere/x')", "ENOENT", "FileNotFoundError"), ("raise OSError(28, 'full')", "ENOSPC", "OSError"),
    ("patch = 3", "EINVAL", "'patch' is no Patch"), ("patch = Patch([])\ninit = 3", "EINVAL", "'init' is no function"),
    ("patch = Patch([Object('x', [Func('f', 1)])])", "EINVAL", "TypeError"),
    ("patch = Patch([Object('x', [Func('f', print)])])", "EINVAL", "TypeError"),
    ("class E(Exception):\n  def __str__(self): raise ValueError\nraise E", "EINVAL", "E"),
])
def test_files_that_cannot_be_loaded(program, text, number, words):
    name = program.name("lp")
    found, line = fails(program, text, name=name)
    assert found == number and words in line and line.startswith(name + ": ")
    assert name not in loading._loaded and str(program.folder / (name + ".py")) not in linecache.cache


def test_an_ordinary_module_that_raises_is_not_left_in_sys_modules(program):
    name = program.name("mod")
    assert fails(program, "import sys\nassert __name__ in sys.modules\nraise ValueError", name=name)[0] == "EINVAL"
    assert name not in sys.modules
    program.load("x = 1", name=name)


@pytest.mark.parametrize("text", ["os.pid = os.fork()", "os.pid = os.fork()\nfrom klpfs import Patch\npatch = Patch([])"])
def test_a_child_of_a_load_has_its_name_free_again(program, text):
    """A thread loads, another forks: in the child the load goes, and what the thread has still to do there, if it is
    the one that has forked, makes nothing of it."""
    name, text = program.name("lp" if "patch" in text else "mod"), "import os\n" + text
    pid = os.getpid()
    text += "\nif not os.pid: os.in_child()"
    os.in_child = lambda: loading.abandon(name)
    try:
        program.load(text, name=name)
        if os.pid:
            assert name in loading._loaded and not loading._under_way
            assert os.waitstatus_to_exitcode(os.waitpid(os.pid, 0)[1]) == 0
            return
        left = [name in loading._loaded, name in sys.modules, bool(loading._under_way),
                str(program.folder / (name + ".py")) in linecache.cache]
        program.load("x = 1", name=name)
        os._exit(any(left))
    finally:
        if os.getpid() != pid:
            os._exit(9)
        del os.in_child, os.pid


def test_abandon_a_load_that_has_just_ended(program):
    """The thread had not said yet what it has loaded."""
    name = program.name("mod")
    program.load("x = 1", name=name)
    loading.abandon(name)
    loading.abandon(name)
    assert name not in sys.modules
    program.load("x = 2", name=name)


def test_it_runs_in_the_calling_thread(program):
    found = program.load("import threading\nident = threading.get_ident()")
    assert found.namespace["ident"] == threading.get_ident()


def test_other_encodings_and_line_ends(program):
    name = program.name("lp")
    source = "# -*- coding: latin-1 -*-\r\nx = 'é'\r\ndef f():\r\n    return 1 / 0\r\n"
    found = loading.load(name, source.encode("latin-1"), "/nowhere/%s.py" % name, {}, log=program.log)
    program.loaded.append(found)
    assert found.namespace["x"] == "é"
    assert inspect.getsource(found.namespace["f"]).splitlines() == ["def f():", "    return 1 / 0"]


def test_the_files_lines_are_kept_whatever_becomes_of_it_on_disk(program):
    found = program.load("\ndef boom():\n    return 1 / 0")
    assert not os.path.exists(found.path)
    linecache.checkcache()
    with pytest.raises(ZeroDivisionError) as caught:
        found.namespace["boom"]()
    assert traceback.extract_tb(caught.tb)[-1].line == "return 1 / 0"


def test_modules_that_it_imports_from_insmod_are_what_it_depends_on(program):
    base = program.load("x = 1", name=program.name("mod"))
    user = program.load("import os, json\nfrom %s import x" % base.name, name=program.name("mod"))
    assert user.depends == (base.name,)


def test_dataclasses_and_named_tuples_in_a_livepatch(program):
    found = program.load("""
import dataclasses, typing
@dataclasses.dataclass
class P:
    x: int
    y: "typing.List[int]" = dataclasses.field(default_factory=list)
    def m(self, o: "P") -> "P": return self
class N(typing.NamedTuple):
    a: int = 1
p, n = P(1), N()
""")
    assert found.namespace["p"].y == [] and found.namespace["n"].a == 1


def test_names_that_are_not_looked_up_in_the_file(program):
    """The functions named in a Func, class blocks for them, names imported from klpfs, patch, init, exit,
    __version__."""
    module = program.module("""
        Patch = Object = State = 'module'
        patch, init, __version__ = 'p', 'i', 'v'
        class C:
            tag = 'module'
            def m(self): return 'old m'
        def g(): return 'old g'
        def f(): pass
    """)
    patch(program, module, """
from klpfs import State
__version__ = "9"
class C:
    def m(self): return 'new m', C.tag
def g(): return 'new g'
def f(): return Patch, Object, State, patch, __version__, C.tag, C().m(), g(), f.__module__, __name__, init, exit
def init(): pass
""", "f", "g", "C.m")
    assert module.f() == ("module", "module", "module", "p", "v", "module", ("new m", "module"), "new g",
                          module.__name__, module.__name__, "i", exit)


def test_what_is_imported_from_klpfs_is_there_when_the_program_has_no_such_name(program):
    module = program.module("class Thing: pass\nthing = Thing()\ndef f(): pass")
    patch(program, module, "def f(): return shadow.get_or_alloc(thing, 1, None, 42)", "f")
    assert module.f() == 42


def test_an_empty_file_is_refused(program):
    """EINVAL, as finit_module(2) says; a comment alone is a module."""
    with pytest.raises(KlpError) as caught:
        loading.load("nothing", b"", "/x/nothing.py", log=program.log)
    assert caught.value.errno == errno.EINVAL and len(program.log.texts()) == 1 and "is empty" in program.log.texts()[0]
    loading.unload(loading.load("nothing", b"# nothing but this", "/x/nothing.py", log=program.log))


@pytest.mark.parametrize("result, code", [(-5, -5), (0, 0), (7, 0), (None, 0), (True, 0), (-600, -errno.EINVAL),
                                          (-2 ** 40, -errno.EINVAL), ("x", 0), (-1.5, 0)])
def test_what_a_callback_returns_is_an_errno_or_nothing(result, code):
    assert loading.invoke(lambda: result) == code


def test_a_load_that_is_cut_off_is_taken_back(program):
    """Whatever instruction it was: the name is free, the program does not see the module, collection is on."""
    file = SimpleNamespace(text="", path="/x/cut.py")
    visible = loading._visible("cut", loading._new_module("cut", "/x/cut.py"), file, True, True)
    visible.__enter__()
    no_collection.hold()
    loading.abandon("cut")
    assert "cut" not in sys.modules and gc.isenabled() and "cut" not in loading._under_way
