"""Scopes of a text, against the compiler's own analysis."""
import ast
import dis
import sys
from types import CodeType

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klpfs.cpython.load.name_rewriter import references
from klpfs.cpython.load.scopes import Scope, Scopes, arguments, bindings, mangle, nonlocals


def test_mangle():
    names = {"__x": "_C__x", "__x__": "__x__", "_x": "_x", "x": "x", "__a.b": "__a.b"}
    assert {name: mangle(name, "_C") for name in names} == names
    assert mangle("__x", None) == mangle("__x", "__") == "__x"


def test_bindings():
    body = ast.parse("a = 1\nglobal b\nb = 2\ndef c(d=(e := 1)): f = 1\nclass g(h): i = 1\nimport j.k, l as m").body
    assert bindings(body, ["z"]) == ({"a", "c", "e", "g", "j", "m", "z"}, {"b"})


@st.composite
def functions(draw, depth=0):
    names = st.sampled_from("abcd")
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["use", "assign", "for", "comp", "walrus", "import", "def", "lambda", "class",
                                     "except", "with", "del"]))
        name, other = draw(names), draw(names)
        simple = {"use": "use(%s)" % name, "assign": "%s = %s" % (name, other),
                  "for": "for %s in %s: pass" % (name, other),
                  "comp": "use([%s for %s in %s if %s])" % (name, other, draw(names), draw(names)),
                  "walrus": "use([(%s := %s) for q in (1,)])" % (name, other), "import": "import %s" % name,
                  "lambda": "use(lambda %s=%s: (%s, %s))" % (name, other, name, draw(names)),
                  "except": "try: %s\n except ValueError as %s: pass" % (other, name),
                  "with": "with %s as %s: pass" % (other, name),
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
    """The names that a Rewriter sees as global in a function are those that its bytecode loads and stores as
    globals."""
    lines = [f"global {declared}"] * bool(declared) + body
    text = "def f():\n" + "".join(f"    {line}\n" for line in lines)
    try:
        code = compile(text, "x", "exec").co_consts[0]
    except SyntaxError:
        return
    wanted = set()

    def walk(code):
        ops = [(op.opname, op.argval) for op in dis.get_instructions(code)]
        wanted.update(name for op, name in ops if op.endswith("_GLOBAL") or op == "LOAD_NAME")
        for each in code.co_consts:
            if type(each) is CodeType:
                walk(each)
    walk(code)
    used, _, _ = references(ast.parse(text).body[0])
    hidden = {"ValueError", "__name__"}
    hidden |= {declared} if declared else set()     # a global statement alone leaves no bytecode
    if sys.version_info[:2] == (3, 12):  # 3.12.1 takes names of one inlined comprehension for another's
        assert wanted - hidden <= set(used)
    else:
        assert set(used) - hidden == wanted - hidden


def test_names_that_a_function_itself_declares_nonlocal():
    """Not those of functions in it."""
    node = ast.parse("def f():\n  nonlocal a\n  if a:\n    nonlocal b\n  def g():\n    nonlocal c").body[0]
    assert nonlocals(node) == {"a", "b"} and nonlocals(ast.parse("lambda: 0", mode="eval").body) == set()


def test_parameters_in_order():
    node = ast.parse("def f(a, /, b, *c, d, **e): pass").body[0]
    assert [argument.arg for argument in arguments(node)] == ["a", "b", "c", "d", "e"]


def test_which_scope_a_name_belongs_to():
    """A class's names are seen by its own block alone; a global statement leads past all."""
    scopes = Scopes(["free"])
    assert not scopes.is_global("free") and scopes.is_global("other") and scopes.inside == 0
    scopes.push(Scope("class", {"own"}, {"declared"}, name="C", runs=False))
    assert not scopes.is_global("own") and scopes.is_global("declared") and scopes.inside == 0
    scopes.push(Scope("function", {"x"}, {"free"}, "self"))
    assert scopes.is_global("own") and not scopes.is_global("x") and scopes.is_global("free") and scopes.inside == 1
    assert scopes.class_name() == "C" and scopes.first_parameter() == "self"
    scopes.push(Scope("comprehension", {"y"}))
    assert not scopes.is_global("x") and scopes.first_parameter() == "self" and scopes.inside == 2
    for _ in range(3):
        scopes.pop()
    assert scopes.class_name() is None and scopes.inside == 0


def test_a_class_around_the_text_is_none_of_its_own():
    """So __class__ is that class's cell there, a global name, and a variable of a class that the text itself makes."""
    scopes = Scopes()
    scopes.push_block("C")
    scopes.push(Scope("function", set()))
    assert scopes.class_name() == "C" and not scopes.in_own_class() and scopes.is_global("__class__")
    scopes.push(Scope("class", set(), name="D", runs=False))
    assert scopes.in_own_class() and not scopes.is_global("__class__")
