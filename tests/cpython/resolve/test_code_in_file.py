"""New functions: code taken over from the file is what compiling it alone gives; what a large patch costs is linear."""
import ast
import dis
import gc
import os

import pytest
from tests.programs import Program

from klpfs.engine.core import Engine
from klpfs.engine.error import KlpError
from klpfs.cpython.resolve import live_functions, new_function
from klpfs.cpython.switch import switching
from klpfs.cpython.code_names import globals_of
from klpfs.cpython.raw import inner, NESTED
from klpfs.cpython.switch.switching import Entry

ENDING = "\npatch = Patch([Object(%r, [%s])])"


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    made.close()


def livepatch(module, text, *names):
    return text + ENDING % (module.__name__, ", ".join("Func(%r, %s)" % (name, name) for name in names))


def whole(code):
    """All that a code object is."""
    lines = list(code.co_lines()) if hasattr(code, "co_lines") else code.co_lnotab
    return [code.co_code, code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, code.co_flags, code.co_name,
            getattr(code, "co_qualname", ""), code.co_firstlineno, lines, code.co_argcount, code.co_kwonlyargcount,
            [each for each in code.co_consts if type(each) is not type(code)], list(map(whole, inner(code)))]


TEXTS = {
    "f": "def f(a, b=None, *c, d: int = 2, **e) -> str:\n    '''Doc.'''\n    global X\n    X = a\n    return [n for n in range(a)], lambda y: g(y, X)",
    "C.m": "class C:\n    def m(self, __x=1):\n        self.__y = __x\n        def inner(z):\n            return z, __x, self.__p()\n        return inner",
    "gen": "def gen(n):\n    class Local:\n        X = 1\n        Y = X\n    for i in range(n):\n        yield Local, (each for each in g(i, i))",
    "co": "async def co(x):\n    async with x as y:\n        return await g(y, None)",
    "g": "def g(a, b):\n    import os.path as g2\n    try:\n        return g2\n    except (KeyError, TypeError) as e:\n        del a\n        raise e",
}
MODULE = """
X = int = str = 1
def f(a, b=X, *c, d: int = 2, **e) -> str: pass
class C:
    def m(self, __x=1): pass
def gen(n): yield
async def co(x): pass
def g(a, b): pass
"""


@pytest.mark.parametrize("name", TEXTS)
def test_code_taken_over_from_the_file_is_what_compiling_it_alone_gives(program, monkeypatch, name):
    """Compiled twice: as it is, and never taken over."""
    text, codes, real, taken = TEXTS[name], [], new_function.as_in_file, []

    def take(*args):
        taken.append(real(*args))
        return taken[-1]
    for how in (take, lambda *args: None):
        monkeypatch.setattr("klpfs.cpython.target.as_in_file", how)
        module = program.module(MODULE)
        loaded = program.load(livepatch(module, text, name))
        obj = loaded.patch.objects[0]
        func = obj.funcs[0]
        func.obj = obj
        program.target.resolve(obj, func)
        codes.append(func.version.code)
    assert taken[0] is not None and codes[0] is not codes[1]
    assert whole(codes[0]) == whole(codes[1])
    shared = {id(each) for each in inner(func.new_func.__code__)} | {id(func.new_func.__code__)}
    assert not shared & {id(each) for code in codes for each in [code] + inner(code)}     # versions are told apart by identity


@pytest.mark.parametrize("text, name", [
    ("HELP = 1\ndef f(a): return HELP", "f"), ("def f(a): return super", "f"), ("f = lambda a: a", "f"),
    ("class D:\n    def m(self): return self.__x", "C.m=D.m"), ("class C:\n    def m(self): return __class__", "C.m"),
    ("def help(): pass\nclass C:\n    def m(self): return help()", "C.m"),
])
def test_code_with_names_of_its_own_is_compiled_alone(program, monkeypatch, text, name):
    taken, real = [], new_function.as_in_file
    monkeypatch.setattr("klpfs.cpython.target.as_in_file", lambda *args: taken.append(real(*args)) or taken[-1])
    module = program.module("super = 1\ndef f(a): pass\nclass C:\n    def m(self): return __class__\nf2 = 1")
    if "lambda" in text:
        module = program.module("f = lambda a: 1")
    old, _, new = name.partition("=")
    old = "<lambda>" if "lambda" in text else old
    program.patch(text + "\npatch = Patch([Object(%r, [Func(%r, %s)])])" % (module.__name__, old, new or name))
    assert taken == [None] or "super" in text


def test_globals_are_what_dis_says():
    """On a large module of the standard library."""
    with open(os.__file__) as file:
        code = compile(file.read(), "os.py", "exec")
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL")

    def by_dis(code):
        found = {op.argval for op in dis.get_instructions(code) if op.opname in loads}
        if not code.co_flags & 1:
            found -= {op.argval for op in dis.get_instructions(code) if op.opname in ("STORE_NAME", "DELETE_NAME")}
        return found.union(*map(by_dis, inner(code)))
    assert len(by_dis(code)) > 50 and globals_of(code) == by_dis(code)


def many(program, count):
    """A module of `count` functions, a livepatch that replaces them, loaded; its Patch."""
    module = program.module("".join("def f%d(a): return 0\n" % n for n in range(count)))
    names = ["f%d" % n for n in range(count)]
    return module, program.load(livepatch(module, "".join("def f%d(a): return 1\n" % n for n in range(count)), *names)).patch


def resolved(program, obj):
    for func in obj.funcs:
        func.obj = obj
        program.target.resolve(obj, func)


def test_the_heap_is_searched_as_often_for_many_functions_as_for_few(program, monkeypatch):
    searches, real = [], live_functions.functions_of
    for place in ("definitions", "index", "linker"):
        monkeypatch.setattr("klpfs.cpython.resolve.%s.functions_of" % place, lambda spaces: searches.append(1) or real(spaces))
    counts = []
    for size in (2, 40):
        resolved(program, many(program, size)[1].objects[0])
        counts.append(len(searches))
        del searches[:]
    assert counts[0] == counts[1] > 0


def test_function_objects_with_other_defaults_are_found_in_that_one_search(program):
    """As when each function was searched for alone: one definition whose function objects differ keeps their defaults."""
    module = program.module("def make(n):\n    def inner(a=n): return a\n    return inner\none, two = make(1), make(2)")
    program.patch("def inner(a=None): return -a\npatch = Patch([Object(%r, [Func('make.<locals>.inner', inner)])])"
                  % module.__name__)
    assert (module.one(), module.two()) == (-1, -2)


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
    assert version.annotations == {"a": int} and switching and version.code.co_name == "m"


def test_new_code_is_nested_only_where_the_original_is(program):
    """Else nothing would be remembered in any transition (transition.py), each call a walk over its stack."""
    module = program.module("def f(): pass\ndef make():\n    def inner(): pass\n    return inner\nkept = make()")
    loaded = program.load(livepatch(module, "def help(): return 1\ndef f(): return help()", "f"))
    resolved(program, loaded.patch.objects[0])
    version = loaded.patch.objects[0].funcs[0].version
    assert not version.code.co_flags & NESTED
    t = switching.Transition([Entry(module.f, program.target.images.image(module.f, version.definition, {}),
                                     program.target.images.image(module.f, version.definition, {version.definition: loaded.patch.objects[0].funcs[0]}))])
    assert not t.strict
    inner_one = program.load("def inner(): return 2\npatch = Patch([Object(%r, [Func('make.<locals>.inner', inner)])])"
                             % module.__name__)
    resolved(program, inner_one.patch.objects[0])
    assert inner_one.patch.objects[0].funcs[0].version.code.co_flags & NESTED


def test_a_flavour_change_is_refused_for_code_of_the_file_too(program):
    module = program.module("def f(): pass")
    loaded = program.load(livepatch(module, "def f(): yield", "f"))
    with pytest.raises(KlpError):
        resolved(program, loaded.patch.objects[0])
    assert "it is a function, what replaces it a generator" in program.log.texts()[-1]


def test_transitions_that_are_over_leave_nothing_in_cycles(program):
    """It would wait there for the program's next garbage collection, megabytes of it for a large patch."""
    engine, left = Engine(program.target, program.log), []
    for size in (2, 40):
        patch = many(program, size)[1]
        gc.collect()
        gc.disable()
        try:
            for step in (lambda: engine.enable(patch, "p%d" % size), engine.start, engine.look, engine.finish,
                         lambda: engine.disable(patch), engine.look, engine.finish):
                step()
            left.append(gc.collect())
        finally:
            gc.enable()
    assert left == [0, 0]
