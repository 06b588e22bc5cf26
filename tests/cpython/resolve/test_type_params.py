"""Type parameters of new functions (3.12): what belongs to them is evaluated when somebody asks, in the program's names;
the new code's use of them."""
import ast
import gc
import re
import sys
import weakref

import pytest

from tests.cpython.names_kit import patch, refused

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")

DEFAULTS = sys.version_info >= (3, 13)      # of type parameters
DEFERRED = sys.version_info >= (3, 14)      # annotations; bounds and the like in other formats than values
# {name: (the program, with @ for the function's parameters and result, where the function's definition is, what gives its
# function object, names in the heads that its closures do not have)}
CONTEXTS = {
    "module": ("def f@", "f", "f", ""),
    "class": ("class C:\n  Attr = int\n  def f@\n  After = str", "C.f", "C.f", ""),
    "class in a class": ("class C:\n  Attr = int\n  class D:\n    Attr = list\n    def f@\n    After = str", "C.D.f", "C.D.f",
                         ""),
    "generic class": ("class C[T, *Ts]:\n  Attr = int\n  def f@\n  After = str", "C.f", "C.f", ""),
    "in a generic class": ("class C[T, *Ts]:\n  class D:\n    Attr = int\n    def f@\n    After = str", "C.D.f", "C.D.f", ""),
    "function": ("def make(T, Attr=bytes):\n  def f@\n  return f\nf0 = make(float)", "make.<locals>.f", "f0", "T Attr"),
    "closure": ("def make(T, Attr=bytes):\n  def f@ or T or Attr\n  return f\nf0 = make(float)", "make.<locals>.f", "f0", ""),
    "generic function": ("def make[T](x, Attr=bytes):\n  def f@\n  return f\nf0 = make(1)", "make.<locals>.f", "f0", "Attr"),
    "class in a function": ("def make(T):\n  class C:\n    Attr = int\n    def f@\n  return C\nC = make(1)",
                            "make.<locals>.C.f", "C.f", "T Attr"),
}
HEADS = ["P: Glob", "P: Attr", "P: T", "P: After", "P: Later", "P: list[Glob]", "P: (Glob, Attr)", "P: (T, Later)",
         "P: 'Glob'", "P: Attr | Later", "P: (Glob if Glob else Later)", "T: Glob", "T: list[T]", "P, Q: list[P]",
         "P: print", "__P: Glob, Q: list[__P]", "P: Glob, **R, *Us", "P: [Glob for _ in 'ab']", "P: [x for x in (T, Attr)]",
         "P: (lambda: Later)"]
HEADS += ["P = Glob", "P = Attr", "P: T = T", "P = Later", "P: Later = Glob", "**R = [Attr]", "*Us = *tuple[T, Glob]",
          "P = Glob, Q = list[P]"] * DEFAULTS
BEFORE = "class Glob: pass\nT = 5\nAttr = After = 'of the module'\n"


def texts(context, head):
    """A program, what it would be with new type parameters, and a livepatch that gives it these."""
    program, name, _, _ = CONTEXTS[context]
    blocks = name.rpartition("<locals>.")[2].split(".")[:-1]
    lines = [f"{'  ' * depth}class {block}:" for depth, block in enumerate(blocks)]
    new = f"[{head}](self=0): return 2"
    return (BEFORE + program.replace("@", "(self=0): return 1"), BEFORE + program.replace("@", new),
            "\n".join([*lines, f"{'  ' * len(blocks)}def f{new}"]))


def said(call):
    try:
        return repr(call())
    except Exception as error:
        return repr(error)


def shown(function, module):
    """What the type parameters of a function give whoever asks, with the module's name left out."""
    found = []
    for parameter in function.__type_params__:
        found += [type(parameter).__name__, repr(parameter), repr(getattr(parameter, "__infer_variance__", None))]
        for what in ("bound", "constraints", "default"):
            found.append(said(lambda what=what: getattr(parameter, f"__{what}__")))  # noqa: B023
            evaluate = getattr(parameter, f"evaluate_{what}", None)
            if evaluate is not None:
                import annotationlib
                found += [said(lambda format=format: annotationlib.call_evaluate_function(evaluate, format))  # noqa: B023
                          for format in (annotationlib.Format.FORWARDREF, annotationlib.Format.STRING)]
                found.append(evaluate.__globals__ is vars(module) if hasattr(evaluate, "__globals__") else None)
    return [re.sub(r"0x\w+|\bprog_\d+\b|owner=<function [^>]*>|owner=[^,)]*", "", str(line)) for line in found]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_as_a_module_written_so_would_give(program, context, head):
    """Values and, from 3.14 on, all formats, before and after a name turns up; or the refusal says which name."""
    old, new, livepatch = texts(context, head)
    _, name, get, lacking = CONTEXTS[context]
    pair = f"{name}={name.rpartition('<locals>.')[2]}"
    try:
        written = program.module(new)
    except SyntaxError:
        pytest.skip("no Python of this version")
    module = program.module(old)
    own = [each.name for each in ast.parse(f"def f[{head}](): pass").body[0].type_params]
    used = [each for each in lacking.split() if each not in own and re.search(rf"\b{each}\b", head)]
    if used:
        errno_name, line = refused(program, module, livepatch, pair)
        assert errno_name == "EINVAL" and any(f"its type parameters use '{each}', a name of" in line for each in used)
        return
    ours, theirs = eval(get, vars(module)), eval(get, vars(written))
    before = ours.__type_params__
    patched = patch(program, module, livepatch, pair)
    assert ours() == theirs() == 2 and shown(ours, module) == shown(theirs, written)
    for each in module, written:
        each.Later = each.Glob
    assert shown(ours, module) == shown(theirs, written)
    program.unpatch(patched)
    assert ours.__type_params__ is before and ours() == 1


def test_nothing_of_the_programs_runs(program):
    """Not when the patch is made, put or taken back; each once, when it is asked for."""
    module = program.module("ran = []\ndef note(x): ran.append(x); return x\ndef f(): return 1")
    patched = patch(program, module, "def f[T: note(1), U: (note(2), 3)](): return T", "f")
    module.f()
    program.unpatch(patched)
    assert module.ran == []
    patch(program, module, "def f[T: note(1), U: (note(2), 3)](): return T", "f")
    one, two = module.f.__type_params__
    assert (one.__bound__, two.__constraints__, one.__bound__, module.ran) == (1, (2, 3), 1, [1, 2])


def test_names_of_the_file_lead_to_the_file(program):
    """Also to what only a bound uses, whose own names are the program's."""
    module = program.module("NAME = 'program'\nT = U = 1\ndef f(x): return 1")
    found = patch(program, module, """
class T:
    def name(self): return NAME
class U: pass
class X(T): pass
def f[V: T, W: (T, U)](x: X): return 2""", "f")
    one, two = module.f.__type_params__
    assert one.__bound__ is found.namespace["T"] and two.__constraints__ == (found.namespace["T"], found.namespace["U"])
    assert one.__bound__().name() == module.f.__annotations__["x"]().name() == "program"


@pytest.mark.parametrize("bound", ["Own", "Own.at", "Own | Glob", "list[Own]", "Own + 1", "Glob[Own]", "(Own, Later)"])
@pytest.mark.parametrize("where", ["f", "C.f", "make.<locals>.f"])
def test_names_of_the_file_are_shown_as_a_module_shows_its_own(program, where, bound):
    """In all formats, from 3.14 on; also where the original's type parameters look the same."""
    old = "class Glob: pass\nclass Own: pass\n"
    text = {"f": "def f@\n", "C.f": "class C:\n  def f@\n",
            "make.<locals>.f": "def make():\n  def f@\n  return f\nf = make()\n"}[where]
    head, own = f"[T: {bound}](self=0)", "class Own: at = int\n"
    module = program.module(old + text.replace("@", f"{head}: return 1"))
    written = program.module(old + own + text.replace("@", f"{head}: return 2"))
    new = text.partition("f = make")[0] if where != "make.<locals>.f" else "def f@\n"
    patch(program, module, own + new.replace("@", f"{head}: return 2"),
          f"{where}={'f' if 'make' in where else where}")
    ours, theirs = (each.C.f if where == "C.f" else each.f for each in (module, written))
    assert ours() == 2
    lines, expected = ([re.sub(r"\blp_\d+\b", "", line) for line in shown(function, each) if line not in ("True", "False")]
                       for function, each in ((ours, module), (theirs, written)))
    assert lines == expected


def test_each_function_object_has_its_own_where_they_differ(program):
    """Those that are made later, too."""
    module = program.module("def make(kind):\n  def f(x): return kind\n  return f")
    one, two = module.make(int), module.make(str)
    patched = patch(program, module, "def f[T: kind, U: list[T]](x: T) -> U: return kind, 2", "make.<locals>.f=f")
    late = module.make(bytes)
    program.target.images.settle()
    for made, kind in (one, int), (two, str), (late, bytes):
        bound, of_it = made.__type_params__
        assert made(0) == (kind, 2) and bound.__bound__ is kind and of_it.__bound__ == list[bound]
        if DEFERRED:
            assert made.__annotations__ == {"x": bound, "return": of_it}
    program.unpatch(patched)
    assert one.__type_params__ == two.__type_params__ == () and one(0) is int


@pytest.mark.parametrize("original", ["(x): return 1", "[T](x): return T", "[T: str](x: T) -> T: return 1",
                                      "[U](x): return U, [U for _ in 'a']"])
@pytest.mark.parametrize("body, value", [
    ("T", "T"), ("[T for _ in 'ab']", "[T, T]"), ("(lambda: T)()", "T"), ("list[T]", "list[T]"), ("T.__bound__", "Glob"),
    ("(lambda T: T)(3)", "3"), ("[T for T in (1, 2)]", "[1, 2]"), ("U", "'of the module'"), ("(T, __name__)", "(T, __name__)"),
])
def test_new_code_that_uses_its_own_type_parameters(program, original, body, value):
    """Those that its function object has, whatever the original's were."""
    module = program.module(f"class Glob: pass\nT = 5\nU = 'of the module'\ndef f{original}")
    if body == "U" and "[U]" in original:       # the function object has a variable of that name
        errno_name, line = refused(program, module, f"def f[T: Glob](x): return {body}", "f")
        assert errno_name == "EINVAL" and "'U' was a type parameter of what it replaces" in line
        return
    before = module.f(0), module.f.__type_params__
    patched = patch(program, module, f"def f[T: Glob](x): return {body}", "f")
    (parameter,) = module.f.__type_params__
    assert module.f(0) == eval(value, dict(vars(module), T=parameter))
    program.unpatch(patched)
    assert (module.f(0), module.f.__type_params__) == before


def test_new_code_of_every_kind_uses_its_type_parameters(program):
    """A method with super(), names that are mangled, inner functions, classes, generics."""
    module = program.module("""
class B:
    def m(self): return 'base'
class C(B):
    Attr = int
    def m(self): return 1
""")
    patch(program, module, """
class C:
    def m[__T: Attr, U: list[__T]](self, x: __T = None):
        class Inner[V: U]:
            kept = U, [U for _ in 'a']
            def f(self, y: U) -> V: return U
        def inner[V: __T](): return U, V
        type Alias = dict[__T, U]
        return super().m(), Inner.kept, Inner.f, inner, Alias""", "C.m")
    one, two = module.C.m.__type_params__
    base, kept, f, inner, alias = module.C().m()
    assert (base, kept, f(0, 0)) == ("base", (two, [two]), two) and one.__name__ == "__T" and one.__bound__ is int
    assert inner()[0] is two and inner()[1].__bound__ is one and alias.__value__ == dict[one, two]
    assert f.__annotations__["y"] is two and f.__annotations__["return"].__bound__ is two


@pytest.mark.parametrize("head", ["T: kind", "T: (kind, int), **P", "*Ts", "T"] + ["T = kind", "T: kind = list[kind]"] * DEFAULTS)
@pytest.mark.parametrize("uses", ["", "T"])
def test_closures_keep_type_parameters_that_do_not_change(program, head, uses):
    """Also where nobody could evaluate them: the variables are those of their bounds alone."""
    uses = uses and head.partition(":")[0].strip("*= kind")
    module = program.module(f"def make(kind):\n  def f[{head}](x): return 1, {uses}\n  return f\n"
                            "one, two = make(int), make(str)")
    before = module.one.__type_params__, module.two.__type_params__
    patched = patch(program, module, f"def f[{head}](x): return 2, {uses}", "make.<locals>.f=f")
    late = module.make(bytes)
    program.target.images.settle()
    assert (module.one.__type_params__, module.two.__type_params__) == before and late.__type_params__ not in before
    for f in module.one, module.two, late:
        assert f(0) == (2, *f.__type_params__[:bool(uses)])
    program.unpatch(patched)
    assert module.one(0)[0] == late(0)[0] == 1


@pytest.mark.parametrize("old, new", [
    ("T: kind", "T: list[kind]"), ("T: kind", "U: kind"), ("T: kind", "T: kind, U: kind"), ("T", "T: kind")]
    + [("T: kind", "T = kind"), ("T = kind", "T: kind"), ("T = kind", "*T = kind"), ("*T = kind", "**T = kind")] * DEFAULTS)
def test_type_parameters_that_do_change_are_not_kept(program, old, new):
    module = program.module(f"def make(kind):\n  def f[{old}](x): return 1\n  return f\none = make(int)")
    errno_name, line = refused(program, module, f"def f[{new}](x): return 2", "make.<locals>.f=f")
    assert errno_name == "EINVAL" and "its type parameters use 'kind', a name of" in line


@pytest.mark.parametrize("line", ["", "T = 5\n"])
@pytest.mark.parametrize("original, name, get, value", [
    ("class A[T, *Us]:\n  def f(self): return 1", "A.f", "A().f", "A"),
    ("class A[T, *Us]:\n  def f(self): return T", "A.f", "A().f", "A"),
    ("class A[T, *Us]:\n  T = 7\n  class B:\n    def f[T](self): return 1", "A.B.f", "A.B().f", "A"),
    ("class A[T, *Us]:\n  class B:\n    def f(self): return 1", "A.B.f", "A.B().f", "A"),
    ("class A[T]:\n  class B[Us]:\n    def f(self): return Us", "A.B.f", "A.B().f", "A"),
    ("def a[T, *Us](x):\n  def f(self=0): return 1\n  return f\nf = a(0)", "a.<locals>.f", "f", "a"),
    ("def a[T, *Us](x):\n  class B:\n    def f(self=0): return 1\n  return B\nB = a(0)", "a.<locals>.B.f", "B().f", "a"),
])
def test_new_code_uses_type_parameters_of_what_it_lies_in(program, original, name, get, value, line):
    """Whether or not the original did; never the module's of the same name."""
    module = program.module(line + original)
    blocks = name.rpartition("<locals>.")[2].split(".")[:-1]
    text = "".join(f"{'  ' * depth}class {block}:\n" for depth, block in enumerate(blocks))
    text += "  " * len(blocks) + "def f(self=0): return T, [T for _ in 'a'], (lambda: (lambda T: T)(3))()"
    patched = patch(program, module, text, f"{name}={name.rpartition('<locals>.')[2]}")
    parameter = eval(value, vars(module)).__type_params__[0]
    assert eval(get, vars(module))() == (parameter, [parameter], 3)
    program.unpatch(patched)


def test_new_code_can_use_no_type_parameters_that_closures_differ_in(program):
    module = program.module("def make(kind):\n  def f(x): return kind\n  return f\nf = make(int)")
    errno_name, line = refused(program, module, "def f[T: kind](x): return T, kind", "make.<locals>.f=f")
    assert errno_name == "EINVAL" and "its body uses its type parameters, which each of its function objects has" in line
    patch(program, module, "def f[T: int](x): return T, kind", "make.<locals>.f=f")
    assert module.f(0) == (*module.f.__type_params__, int)


@pytest.mark.parametrize("text", ["def f(x): return T", "def f(x): return (lambda: [T])()", "def f(x):\n  nonlocal T\n  T = 1",
                                  "def f[T](x):\n  nonlocal T\n  T = 1"])
@pytest.mark.parametrize("line", ["", "T = 5\n"])
def test_a_type_parameter_of_the_original_is_not_its_successors(program, text, line):
    """The name would be the module's, but the function object's variable hides it."""
    module = program.module(f"{line}def f[T](x): return T")
    errno_name, line = refused(program, module, text, "f")
    assert errno_name == "EINVAL" and "type parameter" in line and "'T'" in line


@pytest.mark.parametrize("text, values", [
    ("class C:\n  def f[U](self, x: U, y: list[T], z: dict[T, U] = 0) -> T: return 2", "{'x': U, 'y': list[T], 'z': dict[T, U]"
     ", 'return': T}"),
    ("class C:\n  def f(self, x: (lambda: [T])(), y: Glob): return 2", "{'x': [T], 'y': Glob}"),
])
def test_annotations_use_type_parameters(program, text, values):
    """In whatever version; never the module's of the same name."""
    module = program.module("class Glob: pass\nT = U = 5\nclass C[T]:\n  def f(self, x): return 1")
    patch(program, module, text, "C.f")
    names = {each.__name__: each for each in (*module.C.__type_params__, *module.C.f.__type_params__)}
    assert module.C.f.__annotations__ == eval(values, dict(vars(module), **names))


@pytest.mark.skipif(DEFERRED, reason="annotations are evaluated when somebody asks")
def test_annotations_whose_type_parameters_each_closure_has_for_itself_stay_text(program):
    module = program.module("T = kind = 5\ndef make(kind):\n  def f(x): return kind\n  return f\nf = make(int)")
    patch(program, module, "def f[T: kind](x: T, y: kind, z: list[int]): return 2", "make.<locals>.f=f")
    assert module.f.__annotations__ == {"x": "T", "y": "kind", "z": list[int]}


def test_a_patch_of_a_patched_function(program):
    """What its original had counts, not what the first patch gave it."""
    module = program.module("class Glob: pass\nclass C[T]:\n  def f[U: T](self): return U")
    text = "class C:\n  def f[V: (T, Glob)](self): return V"
    for _ in range(2):
        patch(program, module, text, "C.f")
        (parameter,) = module.C.f.__type_params__
        assert module.C().f() is parameter and parameter.__constraints__ == (*module.C.__type_params__, module.Glob)


def test_a_module_that_is_loaded_again(program):
    """The new class's names, not the old one's."""
    import importlib
    module = program.module("class C:\n  class Attr: pass\n  def f(self): return 1")
    patch(program, module, "class C:\n  def f[T: Attr](self): return 2", "C.f")
    old = module.C
    importlib.reload(module)
    program.target.refresh(module.__name__)
    assert module.C is not old and module.C().f() == 2
    assert module.C.f.__type_params__[0].__bound__ is module.C.Attr


def test_a_patch_keeps_no_function_of_the_program_alive(program):
    """Not by what it knows of the surroundings of its functions."""
    module = program.module("class C:\n  A = int\n  def f(self): return 1\n  def g(self): return 1")
    patch(program, module, "class C:\n  def f[T: A](self, x: T = 0): return T", "C.f")
    gone = weakref.ref(module.C.f), weakref.ref(module.C.g)
    del module.C.f, module.C.g
    gc.collect()
    assert [each() for each in gone] == [None, None]
