"""Code objects as a tree of definitions: names, order, flavours, as the compiler made them."""
import sys

import pytest

from klpfs.cpython.resolve.codes import flavour, nested, positions, tree

TEXT = """
def f():
    def g(): pass
    class K:
        def m(self): return [lambda: each for each in ()]
    return g
class C:
    def m(self): pass
    async def m(self): yield
    def gen(self): yield
pair = (lambda: f), (lambda: C)
async def co(): pass
"""
NAMES = ["f", "f.<locals>.g", "f.<locals>.K.m", "f.<locals>.K.m.<locals>.<listcomp>.<lambda>",
         "C.m", "C.m", "C.gen", "<lambda>", "<lambda>", "co"]


def module():
    return compile(TEXT, "x.py", "exec")


def test_all_definitions_in_source_order_with_the_code_around_them():
    found = tree(module())
    names = [name.replace(".<listcomp>", "") for _, name, _ in found]       # 3.12 has no code of its own for them
    assert names == [name.replace(".<listcomp>", "") for name in NAMES]
    assert [around.co_name for _, _, around in found] == ["<module>", "f", "f", "m"] + ["<module>"] * 6
    assert [code.co_firstlineno for code, _, _ in found] == sorted(code.co_firstlineno for code, _, _ in found)


def test_only_what_lies_directly_in_a_code():
    """Through class bodies, but not through another definition."""
    code = module()
    assert [name for _, name in nested(code)] == ["f", "C.m", "C.m", "C.gen", "<lambda>", "<lambda>", "co"]
    assert [name for _, name in nested(nested(code)[0][0])] == ["f.<locals>.g", "f.<locals>.K.m"]


def test_names_are_the_functions_own():
    """What Python itself gives the function objects."""
    space = {}
    exec(module(), space)
    names = {id(code): name for code, name, _ in tree(space["f"].__code__)}
    assert names[id(space["f"]().__code__)] == space["f"]().__qualname__


def test_flavours():
    flavours = {name: flavour(code) for code, name, _ in tree(module())}
    assert (flavours["f"], flavours["C.gen"], flavours["co"], flavours["C.m"]) == (
        "function", "generator", "coroutine", "async generator")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="codes have no columns before 3.11")
def test_definitions_of_one_line_have_other_positions():
    one, two = [code for code, name, _ in tree(module()) if name == "<lambda>"]
    assert one.co_firstlineno == two.co_firstlineno and positions(one) != positions(two)
    assert positions(one) == positions(one.replace(co_name="other"))
