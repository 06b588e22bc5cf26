"""What new functions may be: in class blocks and closures, behind decorators, of every flavour; what goes with their
code.

docs/DESIGN.md#4.
"""
import inspect
import sys
import traceback

import pytest

from klpfs.cpython.images.image import LAZY
from klpfs.cpython.raw import NESTED, inner
from klpfs.cpython.resolve import new_function
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from klpfs.engine.error import KlpError
from tests.cpython.names_kit import livepatch, patch, refused, resolved
from tests.programs import same, snapshot

# -- class blocks

BANK = """
    class Base:
        def m(self): return 'base'
        @classmethod
        def c(cls): return 'base c'
    class Account(Base):
        def __init__(self): self.__balance = 5
        def get(self): return self.__balance
        def m(self): return super().m()
        def plain(self): return 'plain'
        @classmethod
        def c(cls): return super().c()
        @staticmethod
        def s(): return 's'
        @property
        def prop(self): return 1
        @prop.setter
        def prop(self, value): self.__balance = value
        def __hidden(self): return 'hidden'
        def calls(self): return self.__hidden()
        def gen(self): yield 1
    class Sub(Account): pass
"""


def test_super_class_and_mangling_in_a_class_block(program):
    module = program.module(BANK)
    account, sub = module.Account(), module.Sub()
    bound = account.get
    patch(program, module, """
class Account:
    def get(self): return self.__balance + 100
    def m(self): return 'new ' + super().m() + __class__.__name__
    def plain(self): return 'new ' + super().m() + __class__.__name__, [super(__class__, self).m()]
    def c(cls): return 'new ' + super().c()
    def s(): return 'new s'
    def __hidden(self): return 'new hidden'
    def gen(self): yield super().m()
""", "Account.get", "Account.m", "Account.plain", "Account.c", "Account.s", "Account.__hidden=Account._Account__hidden",
          "Account.gen")
    assert (bound(), account.m(), account.c(), account.s(), account.calls()) == (
        105, "new baseAccount", "new base c", "new s", "new hidden")
    assert sub.plain() == ("new baseAccount", ["base"]) and list(sub.gen()) == ["base"]


def test_property_accessors_by_position(program):
    module = program.module(BANK)
    program.patch("""
class Account:
    def getter(self): return self.__balance * 2
    def setter(self, value): self.__balance = value + 1
patch = Patch([Object(%r, [Func("Account.prop", Account.getter, 1), Func("Account.prop", Account.setter, 2)])])
""" % module.__name__)
    account = module.Account()
    account.prop = 10
    assert account.prop == 22


def test_mangling_is_the_real_classs(program):
    """Whatever the block is called."""
    module = program.module(BANK)
    patch(program, module, """
class Fixed:
    def get(self): return self.__balance, __class__.__name__, type(super()).__name__""", "Account.get=Fixed.get")
    assert module.Account().get() == (5, "Account", "super")


def test_a_flat_function_has_no_mangling_but_the_cell_if_there_is_one(program):
    module = program.module(BANK)
    patch(program, module, "def m(self): return super().m(), self._Account__balance", "Account.m=m")
    assert module.Account().m() == ("base", 5)


def test_super_in_a_class_that_cannot_be_found_is_refused(program):
    module = program.module("""
        def make():
            class C:
                def m(self): return 1
            return C
        C = make()
    """)
    errno, line = refused(program, module, "class C:\n  def m(self): return super().m()", "make.<locals>.C.m=C.m")
    assert errno == "EINVAL" and "super()" in line


def test_a_class_block_with_more_than_new_functions_is_a_helper(program):
    module = program.module("class C:\n  tag = 'module'\n  def m(self): pass")
    patch(program, module, "class C:\n  tag = 'file'\n  def m(self): return C.tag", "C.m")
    assert module.C().m() == "file"


def test_nested_class_blocks(program):
    module = program.module("class A:\n  class B:\n    def __init__(self): self.__x = 1\n    def m(self): return 0")
    patch(program, module, "class A:\n  class B:\n    def m(self): return self.__x, __class__.__qualname__", "A.B.m")
    assert module.A.B().m() == (1, "A.B")


# -- closures and nested functions

def test_live_closures_keep_their_cells(program):
    module = program.module("""
        def make(a, b):
            def h(x):
                nonlocal a
                a += 1
                return a + b + x
            return h
        hs = [make(1, 2), make(3, 4)]
    """)
    closures = [fn.__closure__ for fn in module.hs]
    patch(program, module, "def h(x):\n  nonlocals = (a, b)\n  return nonlocals, x", "make.<locals>.h=h")
    assert [fn(9) for fn in module.hs] == [((1, 2), 9), ((3, 4), 9)]
    assert module.make(5, 6)(7) == ((5, 6), 7)
    assert [fn.__closure__ for fn in module.hs] == closures


def test_a_free_variable_that_the_closures_lack_is_refused(program):
    module = program.module("def make(a, b):\n  def h(x): return a\n  return h\nh = make(1, 2)")
    errno, line = refused(program, module, "def h(x):\n  return a, b", "make.<locals>.h=h")
    assert errno == "ENOENT" and "'b'" in line


def test_free_variables_of_new_inner_functions(program):
    module = program.module("def f(n): pass")
    patch(program, module, "def f(n):\n  def inner(): return n\n  return inner(), inner.__qualname__", "f")
    assert module.f(3) == (3, "f.<locals>.inner")


def test_a_recursive_nested_function(program):
    module = program.module("def make():\n  def h(n): return n and h(n - 1)\n  return h\nh = make()")
    patch(program, module, "def h(n): return [n] + (h(n - 1) if n else [])", "make.<locals>.h=h")
    assert module.h(2) == [2, 1, 0] == module.make()(2)


def test_a_lambda_replaced_by_a_lambda_or_a_function(program):
    module = program.module("two = (lambda x: x), (lambda y: y)\ndef make(n):\n  return lambda: n\nthree = make(3)")
    program.patch("""
def one(x): return own + 1
own = 10
patch = Patch([Object(%r, [Func("<lambda>", one, 1), Func("<lambda>", lambda y: own + y, 2),
                           Func("make.<locals>.<lambda>", lambda: [n, own])])])
""" % module.__name__)
    assert (module.two[0](0), module.two[1](1), module.three(), module.make(4)()) == (11, 11, [3, 10], [4, 10])
    assert module.two[0].__code__.co_name == "<lambda>"


def test_decorated_functions_are_replaced_inside_their_decorators(program):
    module = program.module("""
        import functools
        def twice(fn):
            @functools.wraps(fn)
            def wrapper(*args): return [fn(*args)] * 2
            return wrapper
        @twice
        def f(x): return x
        @functools.lru_cache(None)
        def c(x): return x
        @functools.singledispatch
        def s(x): return 's'
        @s.register(int)
        def s_int(x): return 'int'
    """)
    patch(program, module, "def f(x): return -x\ndef c(x): return -x\ndef s(x): return 'S'\ndef s_int(x): return 'INT'",
          "f", "c", "s", "s_int")
    assert (module.f(1), module.c(1), module.s("x"), module.s(1)) == ([-1, -1], -1, "S", "INT")


# -- what is refused

@pytest.mark.parametrize("text, why", [
    ("import functools\n@functools.wraps(print)\ndef f(x): pass", "plain function"),
    ("def outer():\n  def f(x): pass\n  return f\nf = outer()", "plain function"),
    ("from textwrap import dedent as f", "plain function"),
    ("def f(x): yield x", "it is a function, what replaces it a generator"),
    ("async def f(x): pass", "it is a function, what replaces it a coroutine"),
])
def test_new_functions_that_cannot_be(program, text, why):
    module = program.module("def f(x): return x")
    errno, line = refused(program, module, text, "f")
    assert errno == "EINVAL" and why in line
    assert module.f(1) == 1


def test_a_binding_of_an_own_global_that_cannot_be_rewritten_is_refused(program):
    module = program.module("def f(x): return x")
    errno, line = refused(program, module, "X = 1\ndef f(x):\n  global X\n  import os as X", "f")
    assert errno == "EINVAL" and "global X" in line


def test_another_signature_is_a_warning(program):
    module = program.module("def f(x): return x")
    patch(program, module, "def f(x, y=2): return x, y", "f")
    assert module.f(1) == (1, 2)
    assert "other parameters" in program.log.texts()[-1] and program.log.records[-1].priority == 4


# -- attributes, source lines

def test_defaults_annotations_and_docstring_go_with_the_code(program):
    module = program.module("class Local: pass\ndef f(x: int, *, k=1) -> int:\n  'old doc'\n  return x, k")
    before = snapshot(module.f)
    found = patch(program, module, '''
from typing import Optional
D = [1]
def f(x: Local, *, k: Optional[Local] = D, m: "Local" = 0) -> Nowhere:
    "new doc"
    return x, k, m
''', "f")
    assert module.f(1) == (1, [1], 0) and module.f(1)[1] is found.namespace["D"]
    from typing import Optional
    expected = {"x": module.Local, "k": Optional[module.Local], "m": "Local", "return": "Nowhere"}
    if LAZY:                            # evaluated when somebody asks
        with pytest.raises(NameError):
            module.f.__annotations__
        expected["return"] = module.Nowhere = 7
    assert module.f.__annotations__ == expected
    assert module.f.__doc__ == "new doc" and module.f.__name__ == "f"
    program.unpatch(found)
    assert same(before, snapshot(module.f))


def test_annotations_stay_text_where_the_module_has_them_so(program):
    module = program.module("from __future__ import annotations\ndef f(x: Foo): pass")
    patch(program, module, "def f(x: Bar[int]): pass", "f")
    assert module.f.__annotations__ == {"x": "Bar[int]"}


def test_source_and_tracebacks_show_the_livepatch_file(program):
    module = program.module("class C:\n  def boom(self): pass")
    found = patch(program, module, """
class C:
    def boom(self):
        'doc'
        x = 1
        raise KeyError(x)
""", "C.boom")
    assert inspect.getsource(module.C.boom).startswith("    def boom(self):\n        'doc'")
    assert inspect.getsourcefile(module.C.boom) == found.path
    with pytest.raises(KeyError) as caught:
        module.C().boom()
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.filename, last.lineno, last.name, last.line) == (found.path, 7, "boom", "raise KeyError(x)")
    assert module.C.boom.__qualname__ == "C.boom"
    if sys.version_info >= (3, 11):
        assert module.C.boom.__code__.co_qualname == "C.boom"


def test_free_variables_forced_into_code_do_not_move_its_lines(program):
    module = program.module("def make(a):\n  def h(): return a\n  return h\nh = make(1)")
    patch(program, module, "\ndef h():\n    'doc'\n    return 1 / 0\n", "make.<locals>.h=h")
    with pytest.raises(ZeroDivisionError) as caught:
        module.h()
    assert traceback.extract_tb(caught.tb)[-1].lineno == 5
    assert inspect.getsource(module.h).startswith("def h():") and module.h.__doc__ == "doc"
    assert module.h.__code__.co_freevars == ("a",)


@pytest.mark.parametrize("kind, text", [
    ("coroutine", "async def f(x):\n  async with helper(x) as y:\n    return [z async for z in agen(y)]"),
    ("generator", "def f(x):\n  y = yield x\n  yield from (own + i for i in (y, x))"),
])
def test_generators_and_coroutines(program, kind, text):
    module = program.module("""
        import contextlib
        async def agen(n):
            for i in range(n): yield i
        %sdef f(x): %s
    """ % (("async ", "return x") if kind == "coroutine" else ("", "yield x")))
    patch(program, module, """
import contextlib
own = 100
@contextlib.asynccontextmanager
async def helper(x):
    yield x + 1
""" + text, "f")
    if kind == "coroutine":
        with pytest.raises(StopIteration) as caught:
            module.f(2).send(None)
        assert caught.value.value == [0, 1, 2]
    else:
        running = module.f(1)
        assert [next(running), running.send(5)] + list(running) == [1, 105, 101]


def test_a_generator_made_awaitable_stays_so(program):
    module = program.module("import types\n@types.coroutine\ndef c(): yield 1\nasync def main(): return await c()")
    patch(program, module, "def c():\n  yield 2\n  return 3", "c")
    running = module.main()
    assert running.send(None) == 2
    with pytest.raises(StopIteration) as caught:
        running.send(None)
    assert caught.value.value == 3


# -- local and helper classes, closures' variables

def test_classes_made_in_new_code_and_in_helpers_have_their_own_super(program):
    """Also in a class block whose class has no __class__ cell."""
    module = program.module("class A:\n  def m(self): return 'A'\nclass B(A):\n  def m(self): return 'B'")
    patch(program, module, """
class Base:
    def tag(self): return 'base'
class Helper(Base):
    def tag(self): return 'helper ' + super().tag() + __class__.__name__
class B:
    def m(self):
        class Local(Helper):
            def tag(self): return 'local ' + super().tag() + __class__.__name__
        return Local().tag(), super().m(), __class__.__name__
""", "B.m")
    assert module.B().m() == ("local helper baseHelperLocal", "A", "B")


def test_a_flat_function_may_rebind_a_variable_of_its_closures(program):
    module = program.module("""
        def make(n):
            def h():
                nonlocal n
                n += 1
                return n
            return h
        h = make(5)
    """)
    patch(program, module, """
def h():
    nonlocal n
    def inner():
        nonlocal n
        n += 100
    inner()
    return n
""", "make.<locals>.h=h")
    assert (module.h(), module.h(), module.make(0)()) == (105, 205, 100)


def test_nonlocal_without_closures_is_refused(program):
    module = program.module("def f(): pass\ndef make(n):\n  def h(): return n\n  return h\nh = make(1)")
    errno, line = refused(program, module, "def f():\n  nonlocal n\n  n = 1", "f")
    assert errno == "EINVAL" and "nonlocal" in line
    errno, line = refused(program, module, "def helper():\n  nonlocal n\n  n = 1\ndef f(): helper()", "f")
    assert errno == "ENOEXEC" and "'helper'" in line


# -- code taken over from the file is what compiling it alone gives

def whole(code):
    """All that a code object is."""
    lines = list(code.co_lines()) if hasattr(code, "co_lines") else code.co_lnotab
    return [code.co_code, code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, code.co_flags,
            code.co_name, getattr(code, "co_qualname", ""), code.co_firstlineno, lines, code.co_argcount,
            code.co_kwonlyargcount,
            [each for each in code.co_consts if type(each) is not type(code)], list(map(whole, inner(code)))]


TEXTS = {
    "f": """def f(a, b=None, *c, d: int = 2, **e) -> str:
    '''Doc.'''
    global X
    X = a
    return [n for n in range(a)], lambda y: g(y, X)""",
    "C.m": """class C:
    def m(self, __x=1):
        self.__y = __x
        def inner(z):
            return z, __x, self.__p()
        return inner""",
    "gen": """def gen(n):
    class Local:
        X = 1
        Y = X
    for i in range(n):
        yield Local, (each for each in g(i, i))""",
    "co": "async def co(x):\n    async with x as y:\n        return await g(y, None)",
    "g": """def g(a, b):
    import os.path as g2
    try:
        return g2
    except (KeyError, TypeError) as e:
        del a
        raise e""",
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
        codes.append(func.new_code.code)
    assert taken[0] is not None and codes[0] is not codes[1]
    assert whole(codes[0]) == whole(codes[1])
    shared = {id(each) for each in inner(func.new_func.__code__)} | {id(func.new_func.__code__)}
    # Sides are told apart by the identity of their codes.
    assert not shared & {id(each) for code in codes for each in [code] + inner(code)}


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


def test_new_code_is_nested_only_where_the_original_is(program):
    """Else nothing would be remembered in any transition (transition.py), each call a walk over its stack."""
    module = program.module("def f(): pass\ndef make():\n    def inner(): pass\n    return inner\nkept = make()")
    loaded = program.load(livepatch(module, "def help(): return 1\ndef f(): return help()", "f"))
    resolved(program, loaded.patch.objects[0])
    func, = loaded.patch.objects[0].funcs
    assert not func.new_code.code.co_flags & NESTED
    before, after = (program.target.images.image(module.f, func.definition, state)
                     for state in ({}, {func.definition: func}))
    assert not Transition([Entry(module.f, before, after)]).strict
    inner_one = program.load("def inner(): return 2\npatch = Patch([Object(%r, [Func('make.<locals>.inner', inner)])])"
                             % module.__name__)
    resolved(program, inner_one.patch.objects[0])
    assert inner_one.patch.objects[0].funcs[0].new_code.code.co_flags & NESTED


def test_a_flavour_change_is_refused_for_code_of_the_file_too(program):
    module = program.module("def f(): pass")
    loaded = program.load(livepatch(module, "def f(): yield", "f"))
    with pytest.raises(KlpError):
        resolved(program, loaded.patch.objects[0])
    assert "it is a function, what replaces it a generator" in program.log.texts()[-1]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="annotations are evaluated when somebody asks")
def test_annotations_that_use_variables_of_functions_around_stay_text(program):
    """Each closure has its own; the module's of that name is none of them."""
    module = program.module("kind = 5\ndef make(kind):\n  def f(x): return 1\n  return f\nf = make(int)")
    patch(program, module, "def f(x: kind, y: [kind], z: [int]): return 2", "make.<locals>.f=f")
    assert module.f.__annotations__ == {"x": "kind", "y": "[kind]", "z": [int]}
