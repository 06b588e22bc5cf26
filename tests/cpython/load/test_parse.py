"""Parsing beside the program's threads."""
import ast
import gc

import pytest

from klpfs.cpython.load import parse as parsing


def test_as_ast_parse_does():
    assert ast.dump(parsing.parse("x = 1", "m.py")) == ast.dump(ast.parse("x = 1"))
    assert isinstance(parsing.parse("f(x)", mode="eval"), ast.Expression)
    with pytest.raises(SyntaxError) as caught:
        parsing.parse("def (", "m.py")
    assert caught.value.filename == "m.py"


@pytest.mark.parametrize("enabled", [True, False])
def test_a_conversion_that_came_into_another_is_done_again(monkeypatch, enabled):
    """Without a collection in it; which is then as it was."""
    real, seen = ast.parse, []

    def parse(*args):
        seen.append(gc.isenabled())
        if len(seen) < 4:
            raise SystemError("AST constructor recursion depth mismatch (before=26, after=21)")
        return real(*args)
    monkeypatch.setattr(parsing.ast, "parse", parse)
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert parsing.parse("x").body and seen == [False] * 4
        assert gc.isenabled() is enabled
        monkeypatch.setattr(parsing, "TRIES", 2)
        seen.clear()
        with pytest.raises(SystemError):
            parsing.parse("x")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
