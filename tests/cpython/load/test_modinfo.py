"""What a module's file says of itself, by its text alone."""
import ast
import errno
import os

import pytest

from klpfs.cpython.load.modinfo import modinfo
from klpfs.engine.error import KlpError


def test_modinfo_reads_and_never_runs(program):
    source = b'''"""A fix.

More."""
from klpfs import Patch, module_param
import beside, json
__version__ = "1.2"
__license__ = "MIT"
ran = open("/nowhere")
limit = module_param("limit", int, 3)
on = module_param("on", type=bool)
patch = Patch([])
'''
    (program.folder / "beside.py").write_text("")
    assert modinfo(str(program.folder / "fix-1.py"), source) == [
        ("filename", str(program.folder / "fix-1.py")), ("version", "1.2"), ("license", "MIT"),
        ("description", "A fix. More."), ("depends", "beside"), ("name", "fix_1"), ("livepatch", "Y"),
        ("vermagic", f"{os.uname().release} klpfs"), ("parm", "limit:int"), ("parm", "on:bool")]


def test_modinfo_of_what_is_no_module():
    with pytest.raises(KlpError) as caught:
        modinfo("x.py", b"(")
    assert caught.value.errno == errno.ENOEXEC


@pytest.mark.parametrize("source", [
    "x = " + "-" * 100000 + "1", "x = " + "(" * 100000, "x = f" + ".f" * 100000,
    "p = module_param('p', " + "-" * 500 + "1)", "x = 1" + " + 1" * 100000, "__version__ = 0x" + "f" * 10000,
    "p = module_param('p', 0x" + "f" * 10000 + ")",
], ids=lambda source: source[:14])
def test_modinfo_of_what_python_has_no_room_for(source):
    """The fields or ENOEXEC, as this Python has it: no other error. (How deep is too deep differs.)"""
    try:
        assert ("name", "x") in modinfo("x.py", source.encode())
    except KlpError as e:
        assert e.errno == errno.ENOEXEC and e.strerror.startswith("x.py:1: ") and len(e.strerror) > len("x.py:1: ")


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("too deep"), ValueError("too long")])
def test_modinfo_of_what_can_not_be_read_is_no_executable(monkeypatch, error):
    def parse(source, path):
        raise error
    with monkeypatch.context() as patched, pytest.raises(KlpError, match="x.py:1: .") as caught:
        patched.setattr(ast, "parse", parse)
        modinfo("x.py", b"")
    assert caught.value.errno == errno.ENOEXEC


def test_the_docstring_is_its_description():
    assert ("description", "What it does.") in modinfo("/a/fix.py", b'"""What it does."""\n')


def test_parameters_are_listed_in_the_order_of_the_text():
    """Under conditions, too; a name that is no constant is not known without running the file."""
    source = b"if True:\n    a = module_param('a', int)\nb = klpfs.module_param('b', type=bool)\nc = module_param(name)"
    assert [value for field, value in modinfo("/a/x.py", source) if field == "parm"] == ["a:int", "b:bool"]
