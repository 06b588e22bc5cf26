"""Names in new code: the file's own, then the patched module's, then builtins; helpers; unresolved symbols.

Counterparts of p4_globals.py and of DESIGN section 4.
"""
import sys

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.programs import Program

from klpfs.cpython.load.scopes import bindings, mangle
from tests.cpython.names_kit import patch, refused


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    made.close()


def test_own_names_first_then_the_modules_then_builtins(program):
    module = program.module("X = Y = 'module'\ndef g(): return 'module g'\ndef f(): pass")
    patch(program, module, "X = 'file'\ndef f(): return X, Y, g(), len('abc')\n", "f")
    assert module.f() == ("file", "module", "module g", 3)


def test_own_state_is_one_and_live(program):
    """New functions, helpers, callbacks and parameters see one value, `global` included; the module's dict stays clean."""
    module = program.module("def f(): pass\ndef g(): pass")
    before = set(module.__dict__)
    found = patch(program, module, """
COUNT = 0
def helper():
    global COUNT
    COUNT += 10
def f():
    global COUNT
    COUNT += 1
    helper()
    return COUNT
def g():
    return COUNT
def pre(obj):
    return COUNT
""", "f", "g")
    assert (module.f(), module.g(), found.namespace["COUNT"]) == (11, 11, 11)
    found.namespace["COUNT"] = 5
    assert (module.g(), module.f(), found.namespace["pre"](None)) == (5, 16, 16)
    assert set(module.__dict__) == before


def test_module_globals_are_live(program):
    module = program.module("LIMIT = 1\ndef f(): pass")
    patch(program, module, "def f(): return LIMIT", "f")
    assert module.f() == 1
    module.LIMIT = 2
    assert module.f() == 2


def test_global_of_the_module_stores_in_the_module(program):
    module = program.module("N = 1\ndef f(): pass")
    patch(program, module, "def f():\n global N\n N += 1\n return N", "f")
    assert module.f() == 2 and module.N == 2


def test_every_binding_and_use_of_a_global(program):
    module = program.module("def f(): pass")
    found = patch(program, module, """
A = B = C = D = E = None
L = []
def f():
    global A, B, C, D, E
    A, (B, *C) = 1, (2, 3, 4)
    for D in range(3): pass
    with open("/dev/null") as E: pass
    E = None
    if (A := 7): L.append(A)
    A += 1
    del C
    C = [A for _ in range(2)]
    return A, B, C, D, E, L, [B + x for x in C], {A: B}, (lambda: A + B)()
""", "f")
    assert module.f() == (8, 2, [8, 8], 2, None, [7], [10, 10], {8: 2}, 10)
    assert found.namespace["A"] == 8


def test_local_names_hide_own_ones(program):
    module = program.module("def f(x): pass\nclass K: pass")
    patch(program, module, """
x = y = z = w = v = e = m = 'file'
def f(x):
    y = 1
    def inner(z):
        nonlocal y
        y += 1
        return x, y, z, w
    import os as v
    try: raise ValueError
    except ValueError as e: kind = type(e)
    class Local:
        m = 2
        def get(self): return m
    return inner(3), v.__name__, kind, [w for w in (5,)], Local.m, Local().get(), {m: m for m in (6,)}
""", "f")
    assert module.f(0) == ((0, 2, 3, "file"), "os", ValueError, [5], 2, "file", {6: 6})


def test_names_that_are_not_looked_up_in_the_file(program):
    """The functions named in a Func, class blocks for them, names imported from klpfs, patch, init, exit, __version__."""
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
    assert module.f() == ("module", "module", "module", "p", "v", "module", ("new m", "module"), "new g", module.__name__,
                          module.__name__, "i", exit)


def test_what_is_imported_from_klpfs_is_there_when_the_program_has_no_such_name(program):
    module = program.module("class Thing: pass\nthing = Thing()\ndef f(): pass")
    patch(program, module, "def f(): return shadow.get_or_alloc(thing, 1, None, 42)", "f")
    assert module.f() == 42


def test_an_unresolved_symbol_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "\n\ndef f():\n  return nowhere(1)", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in function 'f'" in line and ".py:5 " in line
    assert module.f() == 1


def test_an_unresolved_symbol_of_a_helper_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "def helper():\n  return nowhere\ndef f():\n  return helper()", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in helper 'helper'" in line


@pytest.mark.parametrize("known", [
    "def set_it():\n  global LATE\n  LATE = 1\ndef f(): pass", "def f(): return LATE",
    "SOMETIMES = False\nif SOMETIMES:\n  LATE = 1\ndef f(): pass", "LATE = 1\ndef f(): pass",
    "class C:\n  def m(self):\n    global LATE\n    import os as LATE\ndef f(): pass"])
def test_names_that_the_module_stores_anywhere_or_the_original_uses_are_known(program, known):
    module = program.module(known)
    patch(program, module, "def f():\n  try: return LATE\n  except NameError: return 'later'", "f")
    assert module.f() in (1, "later")
    module.LATE = 2
    assert module.f() == 2


def test_a_global_that_only_the_files_functions_store_is_the_files(program):
    module = program.module("def f(): pass\ndef g(): pass")
    found = patch(program, module, "def f():\n  global made\n  made = 1\ndef g(): return made", "f", "g")
    module.f()
    assert module.g() == 1 and found.namespace["made"] == 1 and "made" not in module.__dict__


# -- helpers

def test_a_helpers_other_names_are_the_objects(program):
    module = program.module("LIMIT = 3\ndef low(): return 'low'\nlen = lambda x: 'own len'\ndef f(): pass")
    patch(program, module, """
import functools
def deep(): return LIMIT, low(), len('')
@functools.lru_cache(None)
def cached(): return deep()
class Helper:
    def get(self): return [LIMIT for _ in range(2)], cached()
table = {'h': lambda: Helper().get()}
def f(): return table['h']()
""", "f")
    assert module.f() == ([3, 3], (3, "low", "own len"))
    module.LIMIT = 4
    assert module.f()[0] == [4, 4]


def test_a_helper_of_several_objects_resolves_in_each(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    found = program.patch("""
COUNT = []
def low(): return TAG
def helper():
    COUNT.append(1)
    return low() + shared()
def shared(): return '!'
def f1(): return helper()
def f2(): return helper()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert (one.f(), two.f()) == ("one!", "two!")
    assert len(found.namespace["COUNT"]) == 2


def test_a_shared_helper_that_is_no_plain_function_is_refused(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    errno, line = program.refused("""
class Helper:
    def get(self): return TAG
def f1(): return Helper().get()
def f2(): return Helper().get()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert errno == "EINVAL" and "'Helper'" in line


def test_a_helper_that_nobody_uses_is_not_checked(program):
    module = program.module("def f(): pass")
    patch(program, module, "def unused(): return nowhere\ndef f(): return 1", "f")
    assert module.f() == 1


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is new in 3.10")
def test_match_statements(program):
    module = program.module("def f(x): pass")
    patch(program, module, """
POINT = 1
class Own:
    A = 'a'
def f(x):
    match x:
        case Own.A: return POINT
        case {'k': v, **rest}: return v, rest
        case [POINT_, *others]: return POINT_, others
        case other: return other
""", "f")
    assert [module.f(each) for each in ("a", {"k": 1, "l": 2}, [1, 2], 5)] == [1, (1, {"l": 2}), (1, [2]), 5]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters(program):
    module = program.module("def f[T](x: T) -> T:\n  return x\nclass C: pass")
    patch(program, module, "own = 1\ndef f[T: C](x: T) -> T:\n  return x, own", "f")
    assert module.f(1) == (1, 1) and module.f.__type_params__[0].__name__ == "T"


def test_mangle():
    assert [mangle(each, "_C") for each in ("__x", "__x__", "_x", "x", "__a.b")] == ["_C__x", "__x__", "_x", "x", "__a.b"]
    assert mangle("__x", None) == mangle("__x", "__") == "__x"


def test_private_names_of_the_file_in_class_blocks(program):
    """A name of the file that a method can only mean mangled."""
    module = program.module("class C:\n  def m(self): pass")
    patch(program, module, "_C__own = 7\nclass C:\n  def m(self): return __own", "C.m")
    assert module.C().m() == 7


# -- scopes, against the compiler's own analysis

@st.composite
def functions(draw, depth=0):
    names = st.sampled_from("abcd")
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["use", "assign", "for", "comp", "walrus", "import", "def", "lambda", "class", "except",
                                     "with", "del"]))
        name, other = draw(names), draw(names)
        simple = {"use": "use(%s)" % name, "assign": "%s = %s" % (name, other), "for": "for %s in %s: pass" % (name, other),
                  "comp": "use([%s for %s in %s if %s])" % (name, other, draw(names), draw(names)),
                  "walrus": "use([(%s := %s) for q in (1,)])" % (name, other), "import": "import %s" % name,
                  "lambda": "use(lambda %s=%s: (%s, %s))" % (name, other, name, draw(names)),
                  "except": "try: %s\n except ValueError as %s: pass" % (other, name), "with": "with %s as %s: pass" % (other, name),
                  "del": "del %s" % name}
        if kind in simple:
            lines += simple[kind].split("\n")
        elif depth < 2:
            inner = draw(functions(depth + 1))
            lines.append("def %s(%s=%s):" % (name, other, draw(names)) if kind == "def" else "class %s:" % name)
            lines += ["    " + each for each in inner]
    return lines or ["pass"]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(body=functions(), declared=st.sampled_from([None, "a", "b"]))
def test_what_is_global_is_what_the_compiler_says(body, declared):
    """The names that a Rewriter sees as global in a function are those that its bytecode loads and stores as globals."""
    import ast
    import dis
    from types import CodeType
    from klpfs.cpython.load.name_rewriter import references
    text = "def f():\n" + ("    global %s\n" % declared if declared else "") + "".join("    %s\n" % each for each in body)
    try:
        code = compile(text, "x", "exec").co_consts[0]
    except SyntaxError:
        return
    wanted = set()

    def walk(code):
        ops = [(op.opname, op.argval) for op in dis.get_instructions(code)]
        own = {name for op, name in ops if op in ("STORE_NAME", "DELETE_NAME")}
        wanted.update(name for op, name in ops if op.endswith("_GLOBAL") or op == "LOAD_NAME" and name not in own)
        for each in code.co_consts:
            if type(each) is CodeType:
                walk(each)
    walk(code)
    used, _, _ = references(ast.parse(text).body[0])
    hidden = {"ValueError", "__name__"} | ({declared} if declared else set())  # a global statement alone leaves no bytecode
    if sys.version_info[:2] == (3, 12):  # 3.12.1 takes names of one inlined comprehension for another's
        assert wanted - hidden <= set(used)
    else:
        assert set(used) - hidden == wanted - hidden


def test_bindings():
    import ast
    body = ast.parse("a = 1\nglobal b\nb = 2\ndef c(d=(e := 1)): f = 1\nclass g(h): i = 1\nimport j.k, l as m").body
    assert bindings(body, ["z"]) == ({"a", "c", "e", "g", "j", "m", "z"}, {"b"})
