"""The functions of a file, as a Python sees them."""
import subprocess
import sys

from klpfs.builder.read.source_listing import listing, python_version
from klpfs.cpython.resolve.fingerprint import OTHERS

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
    assert [line for _, line, _, _ in found][:2] == [2, 3] and len({prints[""] for *_, prints in found}) == 4


LEVELS = """
def plain(): return 1
def doc():
    'words'
def asserts(x): assert x
def debug(): return __debug__
def keeps(): return [lambda: 1]
def shifts(x):
    assert (lambda: x)()
    return lambda: x
"""


def test_fingerprints_of_each_level_where_they_differ(tmp_path):
    """Of the functions that a program without -O has; what is not the same function there has no fingerprint."""
    (tmp_path / "m.py").write_text(LEVELS)
    found = {(name, line): prints for name, line, _, prints in listing({"m": str(tmp_path / "m.py")})["m"]}
    levels = {name: {level: each if each == OTHERS else "other" for level, each in prints.items() if level}
              for (name, _), prints in found.items()}
    assert levels == {
        "plain": {}, "doc": {"-OO": "other"}, "asserts": {"-O": "other", "-OO": "other"},
        "debug": {"-O": "other", "-OO": "other"}, "keeps": {},
        "keeps.<locals>.<lambda>": {}, "shifts": {"-O": "other", "-OO": "other"},
        "shifts.<locals>.<lambda>": {"-O": "-", "-OO": "-"}}


def test_how_the_builder_is_run_makes_no_difference(tmp_path):
    (tmp_path / "m.py").write_text(LEVELS)
    code = ("import json, sys; from klpfs.builder.read.source_listing import listing\n"
            "print(json.dumps(listing({'m': sys.argv[1]})))")
    told = [subprocess.run([sys.executable, *flags, "-c", code, str(tmp_path / "m.py")], capture_output=True,
                           text=True, check=True).stdout for flags in ([], ["-OO"])]
    assert told[0] == told[1] != ""


def test_the_standard_library_is_enough():
    """It runs in interpreters that have nothing of what the builder needs."""
    code = "import sys, klpfs.builder.read.source_listing; print([n for n in ('attr', 'attrs') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_version_is_that_of_fingerprints():
    assert python_version() == "{}.{}".format(*sys.version_info)
