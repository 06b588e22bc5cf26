"""The functions of a file, as a Python sees them."""
import subprocess
import sys

from klpfs.builder.read.source_listing import listing, python_version

TEXT = """
def f(a):
    def g(): return a
    return g
class C:
    @staticmethod
    def m(): return lambda: 1
"""


def test_functions_in_source_order_with_lines_and_free_variables(tmp_path):
    (tmp_path / "m.py").write_text(TEXT)
    found = listing({"m": str(tmp_path / "m.py")})["m"]
    assert [(name, free) for name, _, free, _ in found] == [
        ("f", []), ("f.<locals>.g", ["a"]), ("C.m", []), ("C.m.<locals>.<lambda>", [])]
    assert [line for _, line, _, _ in found][:2] == [2, 3] and len({code for *_, code in found}) == 4


def test_the_standard_library_is_enough():
    """It runs in interpreters that have nothing of what the builder needs."""
    code = "import sys, klpfs.builder.read.source_listing; print([n for n in ('attr', 'attrs') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_version_is_that_of_fingerprints():
    assert python_version() == "{}.{}".format(*sys.version_info)
