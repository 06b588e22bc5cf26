"""The source of a loaded module: believed only where it is that of what is running."""
import py_compile
import sys
import zipfile
import zipimport

import pytest

from klpfs.cpython.resolve.original_source import SourceTree, defaults_of, module_code
from tests.cpython.resolve.index_kit import failure, functions


def test_without_the_source_first_lines_decide(program):
    module = program.module("def f(): return 1\nfirst = f\ndef f(): return 2")
    (program.folder / (module.__name__ + ".py")).unlink()
    assert functions(program, module, "f", 1) == [module.first]
    assert functions(program, module, "f", 2) == [module.f]


def test_what_types_coroutine_does_to_code_does_not_hide_the_source(program):
    """It gives the function a copy of its code, with a flag more."""
    module = program.module("import types\n@types.coroutine\ndef c(): yield\ntwo = (lambda: 1), (lambda: 2)")
    assert functions(program, module, "<lambda>", 2) == [module.two[1]]
    assert functions(program, module, "c") == [module.c]


def test_a_file_that_was_replaced_is_not_believed(program):
    """An upgrade on disk, the very reason for a livepatch, must not shift positions."""
    module = program.module("def f(): return 1\nfirst = f\ndef f(): return 2\ndef g(): pass")
    (program.folder / (module.__name__ + ".py")).write_text("def f(): pass\n" * 3 + "def f(): return 2\n")
    assert functions(program, module, "f", 1) == [module.first]
    assert functions(program, module, "f", 2) == [module.f]
    assert "position 3" in failure(program, module, "f", 3)


def source(module, *live):
    return SourceTree(module.__dict__, [fn.__code__ for fn in live])


def test_places_are_numbers_in_source_order(program):
    module = program.module("def f():\n  def g(): pass\n  return g\ndef f(): pass")
    found = source(module, module.f)
    assert [entry[1] for entry in found.entries] == ["f", "f.<locals>.g", "f"]
    assert found.places("f") == [0, 2] and found.place(module.f.__code__) == 2 and found.name(module.f.__code__) == "f"


def test_functions_that_look_alike_have_no_place(program):
    module = program.module("x = 1\nmade = (lambda: lambda: x)(), (lambda: [lambda: x])()[0]")
    found, code = source(module, *module.made), module.made[0].__code__
    if sys.version_info >= (3, 11):
        assert not found.several(code) and found.place(code) is not None        # columns tell them apart
    else:
        assert found.several(code) and found.place(code) is None


def test_a_function_of_the_file_that_its_source_has_not_is_enough(program):
    """And one of another file says nothing."""
    module = program.module("def f(): return 1")
    other = compile("def g(): pass", "/elsewhere/other.py", "exec").co_consts[0]
    same_file = compile("def g(): pass", module.__file__, "exec").co_consts[0]
    assert SourceTree(module.__dict__, [module.f.__code__, other])
    tree = SourceTree(module.__dict__, [module.f.__code__, same_file])
    assert not tree and tree.code is None and tree.places("f") == []


def test_code_from_a_file_without_its_source(program):
    path = program.folder / "only_code.pyc"
    (program.folder / "only_code.py").write_text("def f(): return 1")
    py_compile.compile(str(program.folder / "only_code.py"), str(path))
    assert module_code({"__file__": str(path)}).co_names == ("f",)


def test_code_from_an_archive(program):
    with zipfile.ZipFile(program.folder / "made.zip", "w") as archive:
        archive.writestr("zipped.py", "def f(): return 1")
    path = str(program.folder / "made.zip")
    loader = zipimport.zipimporter(path)
    assert module_code({"__file__": path + "/zipped.py", "__loader__": loader}).co_names == ("f",)


@pytest.mark.parametrize("path", [None, 3, "/nowhere/x.py", "/nowhere/x.pyc"])
def test_a_module_without_a_file_has_no_source(path):
    assert module_code({"__file__": path}) is None and not SourceTree({"__file__": path}, [])


def test_a_text_that_is_no_python_is_no_source(program):
    path = program.folder / "broken.py"
    for text in (b"def (", b"a\0b", b"\xff\xfe"):
        path.write_bytes(text)
        assert module_code({"__file__": str(path)}) is None
    (program.folder / "cut.pyc").write_bytes(bytes(20))
    assert module_code({"__file__": str(program.folder / "cut.pyc")}) is None


def test_which_parameters_have_defaults(program):
    module = program.module("""
        @staticmethod
        def f(a, b=1, *, c, d=2): pass
        g = lambda x=1: x
        two = (lambda: 1), (lambda x=1: x)
    """)
    assert defaults_of(module.__dict__, module.f.__func__.__code__) == (1, {"d"})
    assert defaults_of(module.__dict__, module.g.__code__) == (1, set())
    assert defaults_of(module.__dict__, module.two[0].__code__) is None         # two of one line
    (program.folder / (module.__name__ + ".py")).unlink()
    assert defaults_of(module.__dict__, module.g.__code__) is None
