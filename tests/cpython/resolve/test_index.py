"""The index of a module: every way in which a program keeps a function alive, and what old_name and old_sympos mean.

Counterparts of docs/FACTS-python.md#8.
"""
import ast
import gc
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klpfs.cpython.resolve import index as indexing
from klpfs.cpython.resolve import live_functions
from klpfs.cpython.resolve.definitions import Registry, class_of
from klpfs.cpython.resolve.index import Index
from klpfs.cpython.resolve.owners import Owners
from klpfs.engine.error import KlpError
from tests.cpython.names_kit import many, patch, resolved
from tests.cpython.resolve.index_kit import failure, functions, index
from tests.programs import Program

PLACES = """
    import functools, abc
    registry = {}
    def register(fn):
        registry[fn.__name__] = fn
    def decorated(fn):
        @functools.wraps(fn)
        def wrapper(*args): return fn(*args)
        return wrapper
    def plain(): return 0
    @decorated
    @decorated
    def twice(): return 0
    @functools.lru_cache(None)
    def cached(): return 0
    part = functools.partial(lambda x: x, 1)
    @functools.singledispatch
    def dispatched(x): return 0
    @dispatched.register(int)
    def for_int(x): return 0
    del for_int
    @register
    def registered(): return 0
    class C:
        def method(self): return 0
        @staticmethod
        def static(): return 0
        @classmethod
        def klass(cls): return 0
        @property
        def prop(self): return 0
        @prop.setter
        def prop(self, value): pass
        @prop.deleter
        def prop(self): pass
        @functools.cached_property
        def cachedp(self): return 0
        @functools.singledispatchmethod
        def sdm(self, x): return 0
        class Inner:
            def deep(self): return 0
        bound = None
    C.bound = C().method
    def make(n):
        def h(x): return n + x
        class K:
            def m(self): return n
        return h, K
    made = [make(i) for i in range(3)]
    lambdas = [lambda: 1, lambda: 2]
"""


@pytest.mark.parametrize("name, position, count", [
    ("plain", 0, 1), ("twice", 0, 1), ("decorated.<locals>.wrapper", 0, 2), ("cached", 0, 1), ("dispatched", 0, 1),
    ("for_int", 0, 1), ("registered", 0, 1), ("C.method", 0, 1), ("C.static", 0, 1), ("C.klass", 0, 1),
    ("C.prop", 1, 1),
    ("C.prop", 2, 1), ("C.prop", 3, 1), ("C.cachedp", 0, 1), ("C.sdm", 0, 1), ("C.Inner.deep", 0, 1), ("make", 0, 1),
    ("make.<locals>.h", 0, 3), ("make.<locals>.K.m", 0, 3), ("<lambda>", 1, 1)])
def test_functions_are_found_wherever_they_are_kept(program, name, position, count):
    module = program.module(PLACES)
    found = functions(program, module, name, position)
    assert len(found) == count
    for fn in found:
        assert fn.__code__.co_name == name.rpartition(".")[2] and fn.__globals__ is module.__dict__


def test_a_nested_function_that_nobody_has_made_yet_is_a_definition(program):
    module = program.module("def make():\n  def h(): pass\n  return h")
    assert functions(program, module, "make.<locals>.h") == []


def test_a_function_that_only_a_local_variable_holds(program):
    module = program.module("def f(): pass\ndef get():\n  global f\n  g = f\n  del f\n  return g")
    kept = module.get()
    assert functions(program, module, "f") == [kept]


def test_functions_of_other_modules_are_not_this_ones(program):
    """A name that was imported belongs to where it was defined, as symbols do."""
    module = program.module("from os.path import join\nimport functools\nwraps = functools.wraps")
    assert failure(program, module, "join") == "livepatch: symbol 'join' not found in symbol table"


def test_the_kernels_words(program):
    module = program.module("def f(): pass\nfirst = f\ndef f(): pass")
    name = module.__name__
    assert failure(program, module, "g") == "livepatch: symbol 'g' not found in symbol table"
    assert failure(program, module, "f") == "livepatch: unresolvable ambiguity for symbol 'f' in object '%s'" % name
    assert failure(program, module, "f", 3) == (
        f"livepatch: symbol position 3 for symbol 'f' in object '{name}' not found")
    assert functions(program, module, "f", 1) == [module.first]
    assert functions(program, module, "f", 2) == [module.f]


def test_positions_count_in_the_source_and_dead_definitions_have_theirs(program):
    module = program.module("def f(): pass\ndef f(): pass\nkept = f\ndef f(): pass")
    assert functions(program, module, "f", 2) == [module.kept]
    assert functions(program, module, "f", 3) == [module.f]
    assert "position 1" in failure(program, module, "f", 1)


def test_one_that_is_alive_is_unique(program):
    module = program.module("if True:\n  def f(): return 1\nelse:\n  def f(): return 2")
    assert functions(program, module, "f") == [module.f]


def test_overload_stubs_are_no_definitions(program):
    module = program.module("""
        from typing import overload
        @overload
        def f(x: int) -> int: ...
        @overload
        def f(x: str) -> str: ...
        def f(x): return x
    """)
    assert functions(program, module, "f") == [module.f]


def test_lambdas_of_one_line(program):
    module = program.module("two = (lambda: 1), (lambda: 2)")
    assert functions(program, module, "<lambda>", 1) == [module.two[0]]
    assert functions(program, module, "<lambda>", 2) == [module.two[1]]


def test_lambdas_of_one_line_without_source_cannot_be_told_apart(program):
    module = program.module("two = (lambda: 1), (lambda: 2)")
    (program.folder / (module.__name__ + ".py")).unlink()
    assert "unresolvable ambiguity" in failure(program, module, "<lambda>", 1)


def test_compiled_functions_are_refused_by_name(program):
    module = program.module("from math import sqrt\nimport _struct\nclass C:\n  n = len")
    assert "compiled" in failure(program, module, "sqrt")
    assert "compiled" in failure(program, module, "C.n")


def test_no_code_of_the_program_runs(program):
    """Properties, __getattr__, __class__, __hash__ and __eq__ of the program's objects and metaclasses."""
    module = program.module("""
        ran = []
        class Meta(type):
            def __hash__(cls): ran.append("hash"); return 1
            def __eq__(cls, other): ran.append("eq"); return True
            def __getattribute__(cls, name): ran.append(name); return type.__getattribute__(cls, name)
            def __instancecheck__(cls, x): ran.append("instance"); return True
        class Odd(metaclass=Meta):
            @property
            def __class__(self): ran.append("class"); return int
            def __getattr__(self, name): ran.append(name); raise AttributeError(name)
            def method(self): return 1
        odd = Odd()
        def f(): pass
        f.odd = odd
        ran.clear()
    """)
    found = index(program, module)
    assert found.find("Odd.method", 0, program.log) and found.find("f", 0, program.log)
    assert class_of(module.__dict__, "Odd.method") is module.Odd
    failure(program, module, "odd")
    assert module.ran == []


def test_functions_on_a_frozen_heap_are_found(program):
    """gc.freeze, as prefork servers do: they are in no list of the collector any more."""
    module = program.module(PLACES)
    gc.collect()
    gc.freeze()
    try:
        for name in ("plain", "twice", "cached", "registered", "C.method", "C.static", "make.<locals>.h", "for_int"):
            assert functions(program, module, name)
    finally:
        gc.unfreeze()


def test_code_made_by_exec_in_the_module_is_told_by_its_own_name(program):
    module = program.module("def f(): return 1\nexec(compile('def g(): return 2', '<made>', 'exec'))")
    assert functions(program, module, "g") == [module.g]


def test_qualified_names_are_the_codes_not_the_functions(program):
    """functools.wraps gives a wrapper the name of what it wraps."""
    module = program.module("""
        import functools
        def deco(fn):
            def wrapper(): return fn()
            functools.update_wrapper(wrapper, fn)
            return wrapper
        @deco
        def f(): return 1
        del deco
    """)
    assert module.f.__qualname__ == "f"
    assert functions(program, module, "deco.<locals>.wrapper") == [module.f]
    assert functions(program, module, "f") == [module.f.__wrapped__]


# -- generated modules: positions are the compiler's order, names are the functions' own

NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def bodies(draw, depth=0):
    """Source lines of definitions, nested and repeated; each kept alive in KEEP."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        name, kind = draw(NAMES), draw(st.sampled_from(["def", "class", "lambda"]))
        inner = draw(bodies(depth + 1)) if depth < 2 and draw(st.booleans()) else []
        if kind == "lambda":
            lines += ["%s = lambda: %d" % (name, draw(st.integers(0, 3))), "KEEP.append(%s)" % name]
            continue
        lines.append("class %s:" % name if kind == "class" else "def %s():" % name)
        lines += ["    " + line for line in inner + ["pass"]]
        if kind == "def":
            lines += ["KEEP.append(%s)" % name, "%s()" % name]
    return lines


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=bodies())
def test_positions_follow_the_source(tmp_path_factory, lines):
    text = "KEEP = []\n" + "\n".join(lines) + "\n"
    program = Program(tmp_path_factory.mktemp("gen"))
    try:
        module = program.module(text)
        found = Index(Registry(), module.__name__, module.__dict__)
        wanted = {}
        order = [(node.lineno, node.col_offset) for node in ast.walk(ast.parse(text))
                 if isinstance(node, (ast.FunctionDef, ast.Lambda))]
        assert len(order) == len({each for each in order})
        for fn in module.KEEP:
            wanted.setdefault(fn.__qualname__, {})[fn.__code__.co_firstlineno] = fn
        for name, by_line in wanted.items():
            lines_of = sorted({unit.code.co_firstlineno for unit in found.units.values() if unit.name == name})
            for position, line in enumerate(lines_of, 1):
                definition = found.find(name, position, program.log)
                assert definition.line == line
                assert any(fn.__code__ is definition.code for fn in module.KEEP if fn.__code__.co_firstlineno == line)
            with pytest.raises(KlpError):
                found.find(name, len(lines_of) + 1, program.log)
            if len(lines_of) == 1:
                assert found.find(name, 0, program.log).line == lines_of[0]
            else:
                with pytest.raises(KlpError):
                    found.find(name, 0, program.log)
    finally:
        program.close()


def test_sys_modules_is_left_alone(program):
    before = set(sys.modules)
    module = program.module("def f(): pass\nfirst = f\ndef f(): pass")
    functions(program, module, "f", 1)
    assert not [each for each in set(sys.modules) - before if each.startswith("prog_") and each != module.__name__]


def test_methods_that_are_made_with_globals_of_their_own(program):
    """As attrs makes them: new code would look its names up there, so it is refused, by name."""
    module = program.module("""
        class C:
            pass
        space = {}
        exec(compile("def __init__(self): pass", "<attrs generated init C>", "exec"), space)
        C.__init__ = space["__init__"]
        from posixpath import join
    """)
    name = module.__name__
    assert failure(program, module, "C.__init__") == (
        f"livepatch: function 'C.__init__' in object '{name}' has globals of its own (<attrs generated init C>), it "
        "cannot be patched")
    assert failure(program, module, "join") == "livepatch: symbol 'join' not found in symbol table"


def test_the_heap_is_searched_as_often_for_many_functions_as_for_few(program, monkeypatch):
    searches, real = [], live_functions.functions_of
    for place in ("definitions", "index", "linker"):
        monkeypatch.setattr(f"klpfs.cpython.resolve.{place}.functions_of",
                            lambda spaces: searches.append(1) or real(spaces))
    counts = []
    for size in (2, 40):
        resolved(program, many(program, size)[1].objects[0])
        counts.append(len(searches))
        del searches[:]
    assert counts[0] == counts[1] > 0


def test_function_objects_with_other_defaults_are_found_in_that_one_search(program):
    """As when each function was searched for alone: one definition whose function objects differ keeps their
    defaults."""
    module = program.module("def make(n):\n    def inner(a=n): return a\n    return inner\none, two = make(1), make(2)")
    program.patch("def inner(a=None): return -a\npatch = Patch([Object(%r, [Func('make.<locals>.inner', inner)])])"
                  % module.__name__)
    assert (module.one(), module.two()) == (-1, -2)


def test_methods_that_dataclasses_make(program):
    module = program.module("import dataclasses\n@dataclasses.dataclass\nclass P:\n  x: int\n  y: int = 2")
    patch(program, module, "class P:\n  def __init__(self, x, y=3):\n    self.x, self.y = -x, y", "P.__init__")
    assert module.P(1) == module.P(1, 3) and (module.P(1).x, module.P(1).y) == (-1, 3)


def test_an_index_asks_for_the_places_of_its_own_modules_definitions_alone(program, monkeypatch):
    """A large patch has an index for each module, and thousands of definitions."""
    others = [program.module("def f(): pass") for _ in range(3)]
    for module in others:
        index(program, module).find("f", 0, program.log)
    asked = []
    monkeypatch.setattr(indexing, "Owners", lambda registry, definitions: (
        asked.extend(definitions), Owners(registry, definitions))[1])
    index(program, others[1])
    assert [each.object for each in asked] == [others[1].__name__]


# -- generated twins

CHECKED = """
def checked(g):
    space = dict(globals(), g=g)
    exec(compile('def {0}(*a): return 1, g(*a)'.format(g.__name__), '<@checked>', 'exec'), globals(), space)
    made = space[g.__name__]
    made = type(made)(made.__code__.replace(co_consts=made.__code__.co_consts + (g,)), globals(), g.__name__)
    made.__qualname__ = g.__qualname__
    return made
"""


def test_a_generated_twin_is_no_definition(program):
    """As beartype and ddtrace make them; also by a position, which is the source's."""
    module = program.module(CHECKED + "def f(): return 'source'\nh = f\nf = checked(f)\n"
                                      "class C:\n def m(self): return 'source'\n k = m\n m = checked(m)\n")
    for name, own in ("f", module.h), ("C.m", module.C.k):
        for position in 0, 1:
            assert functions(program, module, name, position) == [own]
        assert failure(program, module, name, 2).endswith("not found")


def test_what_lies_in_a_twin_is_no_definition_either(program):
    module = program.module(
        "def f():\n def inner(): return 'source'\n return inner\nh = f\n"
        "exec(compile('def f():\\n def inner(): return 2\\n return inner', '<@checked>', 'exec'))\n")
    assert functions(program, module, "f") == [module.h]
    assert index(program, module).find("f.<locals>.inner", 0, program.log).code.co_filename == module.__file__


def test_a_generated_function_alone_is_a_definition(program):
    module = program.module("exec(compile('def f(): return 2', '<made>', 'exec'))")
    assert functions(program, module, "f") == [module.f]
