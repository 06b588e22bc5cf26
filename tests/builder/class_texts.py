"""Texts of classes in two versions, compared, for tests of what objects hold."""
import ast
import textwrap

from klpfs.builder.plan.object_layout import Layout, compare


def classdef(text: str) -> ast.ClassDef:
    """The last class of a text."""
    return ast.parse(textwrap.dedent(text)).body[-1]


def layout(old: str, new: str, *readers: str) -> Layout:
    """How objects of the old text's class come to have what the new text's class expects. readers: texts of modules."""
    return compare(classdef(old), classdef(new),
                   lambda attribute: [ast.parse(textwrap.dedent(each)) for each in readers])


def lacked(old: str, new: str, *readers: str) -> "dict[str, str]":
    """{attribute that old objects lack: the text of its value}; nothing else differs."""
    found = layout(old, new, *readers)
    assert not found.refused and not found.converted
    return {each.name: each.source for each in found.lacked}


def init(body: str, parameters: str = "", name: str = "C", before: str = "") -> str:
    """The text of a class whose constructor has a body."""
    before, body = textwrap.indent(before, "    "), textwrap.indent(textwrap.dedent(body), "        ")
    return f"class {name}:\n{before}\n    def __init__(self{parameters}):\n{body}\n"


NOTHING = init("pass")
