"""Dependencies of a livepatch: which statements of its file the new functions of each object need."""
import ast
import gc

from klpfs.cpython.images.image import LAZY
from tests.cpython.names_kit import many, resolved


def test_a_loaded_file_leaves_no_syntax_trees_behind(program):
    def trees():
        return sum(type(each) is ast.FunctionDef for each in gc.get_objects())
    gc.collect()
    before = trees()
    resolved(program, many(program, 40)[1].objects[0])
    assert trees() >= before + 40
    program.target.begin([]).cancel()
    assert trees() == before


def test_an_object_that_comes_after_that_finds_all_in_the_text_again(program):
    """Helpers, annotations and class blocks of a file whose trees were let go."""
    one, two = program.module("def f(): pass"), program.module("class C:\n    def m(self): pass\nNAME = 'two'")
    loaded = program.load("""
def help(): return NAME
def f(): return 'f'
class C:
    def m(self, a: int = 1): return help()
patch = Patch([Object(%r, [Func('f', f)]), Object(%r, [Func('C.m', C.m)])])""" % (one.__name__, two.__name__))
    for obj in loaded.patch.objects:
        resolved(program, obj)
        program.target.begin([]).cancel()
    new_code = loaded.patch.objects[1].funcs[0].new_code
    annotations = new_code.annotations
    if LAZY:
        annotations = annotations.function(None, two.C.m)(1)
    assert annotations == {"a": int} and new_code.code.co_name == "m"


TEXT = """
import functools
LIMIT = 1
table = {'deep': lambda: deep()}
def deep():
    global counter
    counter = LIMIT
def helper(): return table
@functools.lru_cache(None)
def unused(): return helper()
def f1(): return helper()
def f2(): return LIMIT
def f3(): return elsewhere()
patch = Patch([Object('one', [Func('f', f1)]), Object('two', [Func('f', f2), Func('g', f3)]), Object('none')])
"""


def helpers(loaded, object):
    return {name for statement in loaded.dependencies.helpers(object) for name in statement.bound}


def test_helpers_of_an_object_are_what_its_functions_use_and_what_those_use(program):
    """In functions, and when the statement itself runs."""
    loaded = program.load(TEXT)
    assert helpers(loaded, "one") == {"helper", "table", "deep", "LIMIT"}
    assert helpers(loaded, "two") == {"LIMIT"} and helpers(loaded, "none") == helpers(loaded, "no such") == set()


def test_every_statement_that_binds_a_name_is_needed(program):
    loaded = program.load("""
X = 1
if True:
    def h(): return 1
h = [h, X]
def f(): return h
patch = Patch([Object('o', [Func('f', f)])])""")
    assert [sorted(each.bound) for each in loaded.dependencies.binders("h")] == [["h"], ["h"]]
    assert helpers(loaded, "o") == {"h", "X"} and loaded.dependencies.binders("nowhere") == []


def test_names_that_functions_of_the_file_store(program):
    loaded = program.load("def f():\n  global a\n  a = 1\ndef g():\n  global b\n  b = 1\npatch = Patch([])")
    assert loaded.dependencies.stored(set()) == {"a", "b"} and loaded.dependencies.stored({"g"}) == {"a"}


def test_names_that_may_be_unbound(program):
    """Those that functions bind alone, and what they unbind of the others; local ones that are called so do not
    matter."""
    loaded = program.load("""
bound = gone = caught = _C__private = local = 1
def f():
    global bound, late, gone, caught
    bound = late = 1
    del gone
    try: pass
    except ValueError as caught: pass
class C:
    def m(self):
        global __private
        del __private
def g(local): del local
patch = Patch([])""")
    assert loaded.unbindable == {"late", "gone", "caught", "_C__private"}


def test_what_was_forgotten_is_found_again(program):
    """With nodes of another tree: the file has let go of the old one."""
    loaded = program.load(TEXT)
    before = loaded.dependencies.helpers("one")
    assert loaded.dependencies.helpers("one") is before
    loaded.forget_text()
    after = loaded.dependencies.helpers("one")
    assert {each.node for each in after}.isdisjoint(each.node for each in before)
    assert helpers(loaded, "one") == {"helper", "table", "deep", "LIMIT"}
