"""Annotations that differ are refused where code near by looks at them when it is called."""
import ast

import pytest

from klpfs.builder.error import NothingToDo
from klpfs.builder.plan.annotation_readers import decorators_of, may_read, reads_annotations

OLD, NEW = "class C:\n    x: int = 1\n", "class C:\n    x: str = 1\n"
READER = "import typing\ndef hints(cls): return typing.get_type_hints(cls)\n"


@pytest.mark.parametrize("expression", [
    "typing.get_type_hints(C)", "get_type_hints(C)", "C.__annotations__", "getattr(C, '__annotations__')",
    "inspect.get_annotations(C)", "annotationlib.call_annotate_function(C.__annotate__, 1)",
    "inspect.signature(C).return_annotation", "[p.annotation for p in signature(C).parameters.values()]"])
def test_a_function_reads_them(expression):
    text = f"x = 1\ndef f():\n    return {expression}\n"
    assert may_read(text.encode()) and reads_annotations(ast.parse(text)) == 3


@pytest.mark.parametrize("text", [
    "import typing\nfrom typing import get_type_hints", "def f(): return inspect.signature(g).parameters",
    "def f(node): return node.annotation", "def f(): return C.annotations", "FIELDS = typing.get_type_hints(C)",
    "class D:\n    fields = C.__annotations__", "class B:\n    def __init_subclass__(cls): cls.__annotations__",
    "class M(type):\n    def __new__(m, n, b, d): return d['__annotations__']",
    "def fields(c): return c.__annotations__\nclass M(type):\n    def __init__(c, *a): c.fields = fields(c)"])
def test_nothing_reads_them_at_a_call(text):
    assert reads_annotations(ast.parse(text)) == 0


def test_what_decorators_have_made_of_them_is_compared():
    tree = ast.parse("def fields(c):\n    c.names = list(c.__annotations__)\n    return c\n@fields\nclass C: pass\n")
    assert reads_annotations(tree) == 2 and reads_annotations(tree, decorators_of(tree)) == 0


@pytest.mark.parametrize("line, reader, files", [
    (2, "/__init__.py:4", {"__init__.py": "{}" + READER}),
    (3, "/r.py:2", {"__init__.py": "from {p} import r\n{}", "r.py": READER}),
    (3, "/r.py:2", {"__init__.py": "from {p}.r import hints\n{}", "r.py": READER}),
    (2, "/r.py:3", {"__init__.py": "{}", "r.py": "from {p} import C\n" + READER})])
def test_they_are_refused_by_file_line_and_reader(upgrade, line, reader, files):
    old, new = ({name: text.replace("{}", form) for name, text in files.items()} for form in (OLD, NEW))
    upgrade.write(old, new)
    (refusal,) = upgrade.build().refused
    assert (refusal.what, refusal.line) == ("annotations of C (x)", line) and refusal.path.endswith("/__init__.py")
    assert refusal.why == f"they are not carried, and {upgrade.name}{reader} reads annotations"


def test_a_reader_that_has_nothing_to_do_with_them_refuses_nothing(upgrade):
    upgrade.write({"__init__.py": OLD, "r.py": READER}, {"__init__.py": NEW, "r.py": READER})
    with pytest.raises(NothingToDo, match=r"annotations that differ are not carried"):
        upgrade.build()
