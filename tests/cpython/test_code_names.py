"""Global names that code uses, against what dis says of the same code."""
import dis
import os

from klpfs.cpython.code_names import globals_of
from klpfs.cpython.raw import inner


def test_globals_are_what_dis_says():
    """On a large module of the standard library."""
    with open(os.__file__) as file:
        code = compile(file.read(), "os.py", "exec")
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL")

    def by_dis(code):
        found = {op.argval for op in dis.get_instructions(code) if op.opname in loads}
        if not code.co_flags & 1:
            found -= {op.argval for op in dis.get_instructions(code) if op.opname in ("STORE_NAME", "DELETE_NAME")}
        return found.union(*map(by_dis, inner(code)))
    assert len(by_dis(code)) > 50 and globals_of(code) == by_dis(code)
