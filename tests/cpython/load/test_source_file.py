"""A livepatch file as text: parsed and compiled in slices, with the same outcome as in one piece."""
import ast
import glob
import os

import pytest

from klpfs.cpython.load import source_file as files
from klpfs.cpython.load.source_file import File, _parsed, _slices
from tests.cpython.names_kit import livepatch
from tests.programs import Program

NASTY = '''"""Doc of the module."""
from __future__ import annotations
text = """
    an indented line
def f(): not code
"""
joined = "a \\
    b \\
def c"
@staticmethod
def f(a,
      b="""
    x

def g(): pass
"""):
    return 1

# a comment
def g():
\tpass
class C:
    def m(self): return [
        1]

async def h():
    pass
if text:
    def k(): pass
else:
    def k(): return """
    y
class D: pass
"""
def last(): pass'''


@pytest.fixture
def small(monkeypatch):
    """Slices of a few characters and statements."""
    monkeypatch.setattr(files, "_LONG", 1)
    monkeypatch.setattr(files, "_MANY", 1)
    monkeypatch.setattr(files, "_MOST", 10 ** 6)


def dump(tree):
    return ast.dump(tree, include_attributes=True)


def test_a_text_in_slices_has_the_same_tree(small):
    """Of modules as they are."""
    cuts = []
    for path in sorted(glob.glob(os.path.dirname(os.__file__) + "/[a-c]*.py"))[:12]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert dump(_parsed(text, path, lambda: cuts.append(1))) == dump(ast.parse(text, path))
    assert len(cuts) > 100


def test_no_cut_changes_what_a_text_means(small):
    """Strings, brackets, decorators and continued lines around what looks like the begin of a definition, cut
    anywhere."""
    for at in range(0, len(NASTY), 3):
        for text in (NASTY[at:], NASTY[:at]):
            try:
                whole = dump(ast.parse(text))
            except SyntaxError as error:
                with pytest.raises(SyntaxError) as caught:
                    _parsed(text, "<unknown>", None)
                assert (caught.value.msg, caught.value.lineno) == (error.msg, error.lineno)
            else:
                assert dump(_parsed(text, "<unknown>", None)) == whole


def test_no_slice_has_a_docstring_of_its_own(small):
    found = File(b"'doc'\nx = 1\n'no doc'\ny = 2\n'no doc either'", "f.py")
    space = {}
    for code in found.codes:
        exec(code, space)
    assert len(found.codes) == 3 and space["__doc__"] == "doc" and space["y"] == 2


def test_annotations_of_a_module_are_kept_together(small, monkeypatch):
    """3.14 makes a function of them, one for the module."""
    monkeypatch.setattr(files, "_LAZY", True)
    assert len(_slices(ast.parse("a: int = 1\nb = 2\nc: int = 3").body)) == 1
    assert len(_slices(ast.parse("a = 1\nb = 2\ndef f():\n    c: int = 3").body)) == 3


def test_long_files_let_the_program_in(monkeypatch):
    breaths = []
    source = "".join("def f%d(a):\n    return a + %d\n\n\n" % (n, n) for n in range(1000)).encode()
    found = File(source, "f.py", lambda: breaths.append(1))
    assert len(found.codes) == 1000 // files._MANY and len(breaths) > len(found.codes) + 5
    assert _parsed(found.text, "f.py", None).body[-1].lineno == 3997


def test_short_files_need_no_breath():
    """Giving the interpreter lock away costs a busy program's patch milliseconds."""
    File(b"def f():\n    pass\n", "f.py", lambda: 1 / 0)


def test_helpers_in_any_slice_are_linked(tmp_path, small):
    """Their functions' new code is found in the slice that they are in."""
    program = Program(tmp_path)
    try:
        module = program.module("NAME = 'module'\ndef f(): pass\ndef g(): pass")
        program.patch("""
def first(): return NAME
between = 1
class Kept:
    def m(self): return NAME, between
def f(): return first(), Kept().m()
def g(): return second()
def second(): return Kept().m(), NAME
patch = Patch([Object(%r, [Func('f', f), Func('g', g)])])""" % module.__name__)
        assert (module.f(), module.g()) == (("module", ("module", 1)), (("module", 1), "module"))
    finally:
        program.close()


def test_annotations_are_not_evaluated_when_the_file_is_loaded(program):
    module = program.module("ran = []\ndef note(): ran.append(1)\ndef f(x): pass")
    found = program.load(livepatch(module, "def f(x: note()): pass", "f"))
    assert found.namespace["f"].__annotations__ == {"x": "note()"} and module.ran == []
