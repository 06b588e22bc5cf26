"""Changed code that tells of the machine, as far as it makes values when it is imported."""
import ast

import pytest

from klpfs.builder.plan.machine_readers import reads_machine

TEXT = """
def f():
    def g():
        return os.getpid()
    return g
@d(os.environ)
def h(): pass
def i(x=os.cpu_count()): pass
"""
F, H, I = ast.parse(TEXT).body      # noqa: E741


@pytest.mark.parametrize("node, ran, reads", [
    (F, None, True), (F, {""}, True), (F, {"m.py:2", "m.py:3"}, True), (F, {"m.py:2"}, False), (F, {"m.py:3"}, False),
    (F, set(), False), (H, set(), True), (I, set(), True), (ast.parse("X = os.environ['X']"), set(), True),
    (ast.parse("class C:\n    def f(self): os.getpid()"), set(), False),
])
def test_what_runs_at_import_alone_makes_values(node, ran, reads):
    assert reads_machine([node], "m.py", ran) == reads
