"""Annotations of new functions that are evaluated when somebody asks (3.14): in the program's names, never by klpfs."""
import re
import sys
import textwrap

import pytest

from tests.cpython.names_kit import patch, refused
from tests.programs import same, snapshot

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when they are made")


def told(function):
    """What annotationlib gives: (FORWARDREF, STRING)."""
    import annotationlib
    return tuple(annotationlib.get_annotations(function, format=format)
                 for format in (annotationlib.Format.FORWARDREF, annotationlib.Format.STRING))


def test_names_that_are_not_there_refuse_nothing(program):
    """The original's and the new function's: forward references, names for a type checker only."""
    module = program.module("class C:\n    def m(self, n: C, k: Later = 0) -> list[C]: return 1")
    f, before = module.C.m, snapshot(module.C.m)
    patched = patch(program, module, """
H = int
class C:
    def m(self, n: C, k: Later = 0, *, z: H | None = None) -> dict[str, C]: return 2""", "C.m")
    assert f(None, None) == 2 and f.__annotate__.__globals__["C"] is module.C
    forward, text = told(f)
    assert text["n"] == "C" and text["k"] == "Later" and text["return"] == "dict[str, C]"
    assert forward["n"] is module.C and forward["z"] == int | None and type(forward["k"]).__name__ == "ForwardRef"
    with pytest.raises(NameError):
        f.__annotations__
    module.Later = str
    assert f.__annotations__ == {"n": module.C, "k": str, "z": int | None, "return": dict[str, module.C]}
    program.unpatch(patched)
    assert same(before, snapshot(f)) and f.__annotations__ == {"n": module.C, "k": str, "return": list[module.C]}


def test_nothing_of_the_programs_runs(program):
    """Not when the patch is made, put or taken back."""
    module = program.module("ran = []\ndef note(x): ran.append(x); return x\ndef f(x: note(1)): return 1")
    patched = patch(program, module, "def f(x: note(2)) -> note(3): return 2", "f")
    program.unpatch(patched)
    assert module.ran == []
    patch(program, module, "def f(x: note(2)) -> note(3): return 2", "f")
    assert module.ran == [] and module.f.__annotations__ == {"x": 2, "return": 3} and module.ran == [2, 3]


@pytest.mark.parametrize("text, annotations", [
    ("class C:\n  def m(self, a: Inner, __b: Inner = 0) -> C: return 2", {"a": "Inner", "_C__b": "Inner", "return": "C"}),
    ("class C:\n  def m(self, a: Inner, *args: *Many, **kw: 'C'): return 2", {"a": "Inner", "args": "Many", "kw": "'C'"}),
    ("class C:\n  def m(self, a: (lambda: Inner)() = 0): return 2", {"a": "7"}),
])
def test_methods_see_the_names_of_their_class(program, text, annotations):
    module = program.module("class C:\n  class Inner: pass\n  def m(self, a): return 1\nInner = 7\nMany = tuple[int]")
    patch(program, module, text, "C.m")
    values = {"Inner": module.C.Inner, "C": module.C, "7": 7, "'C'": "C", "Many": next(iter(module.Many))}
    assert module.C().m(1) == 2
    assert module.C.m.__annotations__ == {name: values[value] for name, value in annotations.items()}


def test_nested_functions_see_the_variables_around(program):
    """Each function object its own; those that are made later, too."""
    module = program.module("""
def outer(kind, other):
    def inner(x: kind, y: other = None) -> inner: return kind
    return inner
""")
    one, two = module.outer(int, 1), module.outer(str, 2)
    patched = patch(program, module, "def inner(x: list[kind], z: other = None): return kind, 2",
                    "outer.<locals>.inner=inner")
    late = module.outer(bytes, 3)
    for made, kind, other in (one, int, 1), (two, str, 2):
        assert made(0) == (kind, 2) and made.__annotations__ == {"x": list[kind], "z": other}
    assert late(0) == (bytes, 2)
    program.unpatch(patched)
    assert one.__annotations__ == {"x": int, "y": 1, "return": one} and late(0) is bytes


def test_type_parameters(program):
    module = program.module("def f(x): return 1")
    patch(program, module, "def f[T](x: T, y: list[T] = ()) -> T: return 2", "f")
    (parameter,) = module.f.__type_params__
    assert module.f.__annotations__ == {"x": parameter, "y": list[parameter], "return": parameter}


@pytest.mark.parametrize("generic", range(2))
def test_a_generic_and_a_plain_function_of_the_same_head_share_nothing(program, generic):
    """In either order in the file: the name is the function's parameter here, the module's there."""
    module = program.module("T = int\ndef f(x): return 1\ndef g(x): return 1\ndef h(x): return 1")
    heads = ["def f[T](x: T) -> T: return 2\ndef h[T](x: T) -> T: return 2\n", "def g(x: T) -> T: return 2\n"]
    patch(program, module, heads[generic] + heads[not generic], *("fhg" if not generic else "gfh"))
    assert module.g.__annotations__ == {"x": int, "return": int}
    for f in (module.f, module.h):
        (parameter,) = f.__type_params__
        assert f.__annotations__["x"] is f.__annotations__["return"] is parameter


@pytest.mark.parametrize("head", ["class A:", "class A[T]:"])
@pytest.mark.parametrize("original", ["x", "x: T"])
def test_type_parameters_of_a_class_are_its_methods(program, head, original):
    """Whether or not the original's annotations use them, and however the livepatch writes the class."""
    module = program.module(f"T = 5\nclass A[T]:\n  def f(self, {original}): return 1")
    patch(program, module, f"{head}\n  def f(self, x: T) -> list[T]: return 2", "A.f")
    (parameter,) = module.A.__type_params__
    assert module.A.f.__annotations__ == {"x": parameter, "return": list[parameter]}


def test_a_functions_own_type_parameter_is_not_its_plain_successors(program):
    module = program.module("T = 5\nclass A[T]:\n  def f[T](self, x: T) -> T: return 1\ndef g[T](x: T) -> T: return 1")
    patch(program, module, "class A:\n  def f(self, x: T) -> T: return 2\ndef g(x: T) -> T: return 2", "A.f", "g")
    (parameter,) = module.A.__type_params__
    assert module.A.f.__annotations__ == {"x": parameter, "return": parameter}
    assert module.g.__annotations__ == {"x": 5, "return": 5}


@pytest.mark.parametrize("original", ["x", "x: T"])
def test_type_parameters_of_the_function_around(program, original):
    module = program.module(f"T = 5\ndef outer[T](a):\n  def inner({original}): return 1\n  return inner")
    inner = module.outer(1)
    patch(program, module, "def inner(x: T) -> list[T]: return 2", "outer.<locals>.inner=inner")
    (parameter,) = module.outer.__type_params__
    assert inner.__annotations__ == {"x": parameter, "return": list[parameter]}


@pytest.mark.parametrize("text, name", [
    ("def outer(kind):\n  def inner(x): return 1\n  return inner", "kind"),
    ("def outer(a):\n  kind = int\n  def inner(x: a): return 1\n  return inner", "kind"),
    ("def outer(kind):\n  def inner[kind](x: kind): return 1\n  return inner", "kind"),
    ("def outer(kind):\n  class C[kind]:\n    def inner(x): return 1\n  return C.inner", "kind"),
    ("def outer(a):\n  class C:\n    kind = int\n    def inner(x): return 1\n  return C.inner", "kind"),
])
@pytest.mark.parametrize("made", range(2))
def test_what_closures_lack_is_refused(program, text, name, made):
    """It would be the module's, or a NameError for whoever asks. With a function object, and before there is one."""
    module = program.module("kind = 7\n" + text)
    kept = [module.outer(int)] * made
    inner = "  def inner(x: kind): return 2"
    errno_name, line = refused(program, module, *(
        ("class C:\n" + inner, "outer.<locals>.C.inner=C.inner") if "class" in text
        else (inner.strip(), "outer.<locals>.inner=inner")))
    assert errno_name == "EINVAL" and f"its annotations use '{name}', a name of" in line and kept == kept


def test_a_class_in_a_function_whose_block_does_not_have_the_names(program):
    """It can't be found, and need not be."""
    module = program.module("def outer():\n  class C:\n    x = int(1)\n    def m(self, a): return 1\n  return C\nC = outer()")
    patch(program, module, "class C:\n  def m(self, a: int): return 2", "outer.<locals>.C.m=C.m")
    assert module.C.m.__annotations__ == {"a": int}


def test_a_wrapper_keeps_the_annotations_that_functools_gave_it(program):
    """They are another function's, and so are its variables."""
    module = program.module("""
import functools
def outer(f, kind):
    @functools.wraps(f)
    def inner(x: kind): return 1
    return inner
def make(kind):
    def f(x: list[kind]): pass
    return f
g = outer(make(int), str)""")
    patch(program, module, "def inner(x: dict[kind, kind]): return 2", "outer.<locals>.inner=inner")
    assert module.g(0) == 2 and module.g.__annotations__ == {"x": list[int]}


def test_names_of_the_file_lead_to_the_file(program):
    module = program.module("T = 1\ndef f(x): return 1")
    found = patch(program, module, "class T: pass\nclass U: pass\ndef f(x: T, y: U = 0) -> [T for _ in 'ab']: return 2", "f")
    space = found.namespace
    assert module.f.__annotations__ == {"x": space["T"], "y": space["U"], "return": [space["T"]] * 2}


def shown(function):
    """What annotationlib gives in each format, or raises, as text without the names of modules and addresses."""
    import annotationlib
    given = []
    for format in (annotationlib.Format.VALUE, annotationlib.Format.FORWARDREF, annotationlib.Format.STRING):
        try:
            text = repr(annotationlib.get_annotations(function, format=format))
        except Exception as error:
            text = repr(error)
        given.append(re.sub(r"\b(prog|lp)_\d+\b| at 0x[0-9a-f]+", "", text))
    return given


FILE = """
import datetime
from typing import Any, Optional as Maybe
class Both: at = "file"
class Own:
    class In: pass
def helper(x): return [x]
"""


@pytest.mark.parametrize("annotation", [
    "Any", "datetime.datetime", "Own", "Own.In", "helper", "Own.attr", "Own + 1", "Own[int]", "Own | Mod", "Maybe[Own]",
    "Both", "Both.at", "Mod", "Mod.attr", "Missing", "Missing[Own, Mod]", "helper(Own)", "helper(Missing)", "'Own'",
    "(lambda: Own)()", "[Own for _ in 'ab']", "[a for a in (Own.attr, Mod)]", "Inner", "Inner[Own]", "Shadow", "Shadow.a",
    "{'a': Own, 'b': Missing}", "int", "int | Missing", "list[Own.In]", "-Own", "Any.a.b.c",
])
def test_names_of_the_file_are_shown_as_a_module_shows_its_own(program, annotation):
    """In all formats, for a function and a method, whose class comes first. What is raised is the same, too."""
    old = """
class Mod: pass
class Both: at = "module"
class C:
    class Inner: pass
    class Shadow: pass
    def m(self): return 1
def f(): return 1
"""
    new = f"def m(self, a: {annotation}, *b: {annotation}) -> {annotation}: return 2"
    function = f"{FILE}class Shadow: a = 1\n{new.replace('m(self, ', 'f(')}\n"
    module, written = program.module(old), program.module(old.replace("def m(self): return 1", new) + function)
    patch(program, module, f"{function}class C:\n    {new}", "f", "C.m")
    assert shown(module.f) == shown(written.f) and shown(module.C.m) == shown(written.C.m)


def test_what_the_file_and_the_program_get_later_counts(program):
    """When somebody asks, and when a forward reference is evaluated that was made before."""
    module = program.module("def f(x): return 1")
    space = patch(program, module, "class Own: pass\ndef f(x: Own, y: Own.at = 0, z: Later.at[Own] = 0): return 2",
                  "f").namespace
    with pytest.raises(AttributeError):
        module.f.__annotations__
    forward, text = told(module.f)
    assert text == {"x": "Own", "y": "Own.at", "z": "Later.at[Own]"}
    own = space["Own"]
    own.at, module.Later = int, type("Later", (), {"at": list})
    assert forward["y"].evaluate() is int and forward["z"].evaluate() == list[own]
    own = space["Own"] = type("Own", (), {"at": str})
    assert forward["y"].evaluate() is str
    assert module.f.__annotations__ == {"x": own, "y": str, "z": list[own]}


@pytest.mark.skipif(sys.version_info < (3, 15), reason="there are no lazy imports")
def test_lazy_imports_of_the_file_stay_lazy(program):
    """STRING imports nothing, and what can't be imported is a forward reference, as a module's is."""
    import annotationlib
    there = program.write("class Thing: pass")
    program.imported.append(there)
    text = f"lazy from klpfs_nowhere import Gone\nlazy import {there} as there\nlazy from {there} import Thing\n"
    module, written = program.module("def f(): return 1\ndef g(): return 1"), program.module(
        f"{text}def f(a: Gone, b: there.Thing, c: Thing): return 2\ndef g(a: there.Thing, b: Thing): return 2")
    patch(program, module, f"{text}def f(a: Gone, b: there.Thing, c: Thing): return 2\n"
                           "def g(a: there.Thing, b: Thing): return 2", "f", "g")
    texts = annotationlib.get_annotations(module.f, format=annotationlib.Format.STRING)
    assert texts == {"a": "Gone", "b": "there.Thing", "c": "Thing"}
    assert there not in sys.modules
    assert shown(module.f) == shown(written.f) and "ForwardRef('Gone'" in shown(module.f)[1]
    assert shown(module.g) == shown(written.g)
    assert module.g.__annotations__ == {"a": sys.modules[there].Thing, "b": sys.modules[there].Thing}


def test_a_helper_that_has_a_copy_for_the_object_is_that_copy(program):
    """As in bodies: the copy has the names of the function's module."""
    one, two = (program.module(f"def f(x): return 1\ndef size(): return {n}") for n in range(2))
    program.patch("def helper(): return size()\ndef f(x: helper()): return helper()\n"
                  "def g(x: helper()): return helper()\n"
                  f"patch = Patch([Object({one.__name__!r}, [Func('f', f)]), Object({two.__name__!r}, [Func('f', g)])])")
    assert (one.f(0), two.f(0)) == (0, 1)
    assert [module.f.__annotations__ for module in (one, two)] == [{"x": 0}, {"x": 1}]
    assert one.f.__annotate__.__globals__ is not two.f.__annotate__.__globals__


def test_annotations_without_names_of_the_file_have_the_modules_globals(program):
    module = program.module("class T: pass\ndef f(x): return 1\ndef g(x): return 1")
    patch(program, module, "H = int\ndef f(x: T, y: int = 0): return 2\ndef g(x: T, y: H = 0): return 2", "f", "g")
    assert module.f.__annotate__.__globals__ is vars(module) is not module.g.__annotate__.__globals__


def test_a_version_without_annotations_has_none(program):
    """And no function that would make them."""
    module = program.module("def f(x: int): return 1")
    before = module.f.__annotations__
    patched = patch(program, module, "def f(x): return 2", "f")
    assert module.f.__annotations__ == {} and module.f.__annotate__ is None
    program.unpatch(patched)
    assert module.f.__annotations__ is before


def test_what_the_compiler_does_not_take_is_refused(program):
    module = program.module("def f(x): return 1")
    errno_name, line = refused(program, module, "def f(x: (yield 1)): return 2", "f")
    assert errno_name == "EINVAL" and "cannot be replaced" in line and "yield" in line


def test_as_a_module_written_so_would_give(program):
    """VALUE, FORWARDREF and STRING of the new function are those of a function that the program would have had."""
    new = textwrap.dedent("""
        class C:
            def m(self, a: "D", b: int | Missing, *c: list[D], d: Missing.more[D, 1] = 0, **e: Inner) -> -1: return 2
    """)
    head = "class D: pass\nclass C:\n    class Inner: pass\n"
    module = program.module(head + "    def m(self): return 1")
    patch(program, module, new, "C.m")
    written = program.module(head + new.partition(":\n")[2])
    ours, theirs = told(module.C.m), told(written.C.m)
    assert ours[1] == theirs[1] and list(ours[0]) == list(theirs[0])
    shown = [{name: repr(value).replace(written.__name__, module.__name__) for name, value in each.items()}
             for each in (ours[0], theirs[0])]
    assert {k: v for k, v in shown[0].items() if "ForwardRef" not in v} == \
        {k: v for k, v in shown[1].items() if "ForwardRef" not in v}


@pytest.mark.parametrize("program_text, name", [
    ("def f@", "f"), ("class C:\n  def f@", "C.f"), ("class C:\n  class D:\n    def f@", "C.D.f"),
    ("def make(x):\n  def f@\n  return f\nf = make(1)", "make.<locals>.f")])
def test_functions_in_annotations_are_named_by_where_they_lie(program, program_text, name):
    new = "(x: (lambda: 1)): return 2"
    module, written = (program.module(program_text.replace("@", each)) for each in ("(x): return 1", new))
    path = name.rpartition("<locals>.")[2].split(".")
    text = "".join(f"{'  ' * depth}class {block}:\n" for depth, block in enumerate(path[:-1]))
    patch(program, module, f"{text}{'  ' * (len(path) - 1)}def f{new}", f"{name}={'.'.join(path)}")
    named = [eval(".".join(path), vars(each)).__annotations__["x"].__qualname__ for each in (module, written)]
    assert named[0] == named[1]


def test_functions_with_the_same_head_share_the_code(program):
    """Each with its own name, line and class; those in another class don't."""
    module = program.module("class C:\n  class I: pass\n  def m(self): return 1\n  def n(self): return 1\n"
                            "class D:\n  class I: pass\n  def m(self): return 1")
    patch(program, module, "class C:\n  def m(self, a: I): return 2\n  def n(self, a: I): return 2\n"
                           "class D:\n  def m(self, a: I): return 2", "C.m", "C.n", "D.m")
    codes = [f.__annotate__.__code__ for f in (module.C.m, module.C.n, module.D.m)]
    assert [code.co_qualname for code in codes] == [f"{name}.__annotate__" for name in ("C.m", "C.n", "D.m")]
    assert [code.co_firstlineno - codes[0].co_firstlineno for code in codes] == [0, 1, 3]
    assert codes[0].co_consts is codes[1].co_consts is not codes[2].co_consts
    assert [f.__annotations__["a"] for f in (module.C.m, module.C.n, module.D.m)] == [module.C.I] * 2 + [module.D.I]
