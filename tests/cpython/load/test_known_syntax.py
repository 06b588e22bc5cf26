"""Every kind of syntax of the running Python is known; one that is not is refused by name, in livepatches and builds."""
import ast
import sys

import pytest

from klpfs.cpython.load import known_syntax
from klpfs.engine.error import KlpError


def test_all_syntax_of_this_python_is_known():
    """Where this fails, a CPython has come with nodes or fields: decide what they are to names (name_rewriter.py,
    scopes.py), to comparison and to the texts that are written (klpfs/builder); then put them into the table."""
    assert known_syntax._not_known(vars(ast)) == {}


@pytest.fixture
def classes(monkeypatch):
    """classes(name=fields, ...): ast has other classes for nodes of these names, as a later Python may."""
    def make(**later):
        found = {name: type(name, (ast.AST,), {"_fields": fields[0], "_field_types": fields[1]})
                 for name, fields in later.items()}
        monkeypatch.setattr(known_syntax, "UNKNOWN", known_syntax._not_known({**vars(ast), **found}))
        return found
    return make


def tree(node):
    return ast.Module(body=[ast.Expr(value=node, lineno=3, col_offset=0)], type_ignores=[])


@pytest.mark.parametrize("fields, set, words", [
    ((("a",), {}), {"a": 1}, "Query"), (((), {}), {}, "Query")])
def test_a_node_that_is_not_known(classes, fields, set, words):
    node = classes(Query=fields)["Query"](**set)
    assert known_syntax.unknown_in(tree(node)) == (3, f"klpfs does not know the syntax {words}")
    assert known_syntax.unknown_in(ast.parse("a")) is None


def test_a_field_that_is_not_known(classes):
    """Where it says something."""
    found = classes(Yield=(("value", "later"), {}), Await=(("value",), {}))
    assert known_syntax.unknown_in(tree(found["Yield"](value=None, later=1)))[1].endswith("the syntax Yield.later")
    assert known_syntax.unknown_in(tree(found["Yield"](value=None, later=0))) is None
    assert known_syntax.unknown_in(tree(found["Await"](value=None))) is None


def test_a_field_that_may_be_left_out_now(classes):
    """As the value of a dict comprehension was in 3.15."""
    found = classes(GeneratorExp=(("elt", "generators"), {"elt": "ast.expr | None"}))
    assert known_syntax.unknown_in(tree(found["GeneratorExp"](elt=None, generators=[])))[1].endswith("GeneratorExp.elt")
    assert known_syntax.unknown_in(tree(found["GeneratorExp"](elt=ast.Name("a"), generators=[]))) is None


def test_a_livepatch_of_unknown_syntax_is_enoexec_and_says_where(program, monkeypatch):
    monkeypatch.setattr(known_syntax, "UNKNOWN", {ast.Await: ["value"]})
    monkeypatch.setattr(known_syntax, "_KNOWN", known_syntax._KNOWN.replace("Await value;", ""))
    with pytest.raises(KlpError) as e:
        program.load("def f(): pass\nasync def g():\n  await f()\npatch = Patch([])", "lp")
    from errno import ENOEXEC
    assert e.value.errno == ENOEXEC
    assert program.log.texts()[-1] == f"lp: {program.folder}/lp.py:4: klpfs does not know the syntax Await"
    assert "lp" not in sys.modules


def test_known_python_pays_for_no_walk(monkeypatch):
    monkeypatch.setattr(ast, "walk", None)
    assert known_syntax.unknown_in(ast.parse("a")) is None
