"""Dependencies of a livepatch: which statements of its file the new functions of each object need."""
import ast
import gc

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
    version = loaded.patch.objects[1].funcs[0].version
    assert version.annotations == {"a": int} and version.code.co_name == "m"
