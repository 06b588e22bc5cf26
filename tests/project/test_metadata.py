"""What the project says of itself: version, supported Pythons, types; and that a bare `pytest` passes over no test."""
import ast
import configparser
import fnmatch
import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest

import klpfs
from klpfs.agent import supported

ROOT = pathlib.Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
METADATA = importlib.metadata.metadata("klpfs")


def test_the_version_comes_from_one_place():
    """klpfs.__version__, a literal, so that it can be read without an import."""
    assert METADATA["Version"] == klpfs.__version__ and SETUP["metadata"]["version"] == "attr: klpfs.__version__"
    tree = ast.parse((ROOT / "klpfs/__init__.py").read_text())
    assert [node.value.value for node in tree.body if isinstance(node, ast.Assign)
            and node.targets[0].id == "__version__"] == [klpfs.__version__]


def test_every_supported_python_is_named():
    named = {each.rpartition(" ")[2] for each in METADATA.get_all("Classifier")
             if re.search(r"Python :: 3\.\d+$", each)}
    known = range(supported.OLDEST[1], supported.NEWEST[1] + 1)
    assert named == {f"3.{minor}" for minor in known} and METADATA["Requires-Python"] == ">=3.9"


def test_the_types_are_for_those_who_use_it():
    assert "Typing :: Typed" in METADATA.get_all("Classifier")
    assert (pathlib.Path(klpfs.__file__).parent / "py.typed").is_file()
    assert "py.typed" in SETUP["options.package_data"]["klpfs"]


def test_no_folder_of_tests_is_passed_over():
    """pytest's own default leaves out folders called build or dist, and ends with 0."""
    skipped = SETUP["tool:pytest"]["norecursedirs"].split()
    folders = {part for path in (ROOT / "tests").rglob("test_*.py") for part in path.relative_to(ROOT).parts[:-1]}
    assert [folder for folder in folders for pattern in skipped if fnmatch.fnmatch(folder, pattern)] == []


@pytest.mark.slow
def test_a_bare_pytest_collects_every_file_of_tests():
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"], cwd=ROOT,
                          capture_output=True, text=True)
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")
             if "def test_" in path.read_text()}
    assert collected == files
