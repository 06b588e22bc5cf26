"""What a release wants of other packages, wherever its metadata says it, and what of that is new."""
import sys

import pytest

from klpfs.builder.read.requirements import new_wishes, requires_of
from klpfs.builder.read.sources import installed, of_folder

HEADERS = ("Metadata-Version: 2.1\nName: pkg\nRequires-Dist: a >=2\nRequires-Dist: b[x] ; extra == 'y'\n\n"
           "Requires-Dist: c, in the description\n")


@pytest.mark.parametrize("path, text, wanted", [
    ("pkg-1.dist-info/METADATA", HEADERS, ["a >=2", "b[x] ; extra == 'y'"]),
    ("pkg-1.dist-info/METADATA", "Name: pkg\n", []),
    ("PKG-INFO", HEADERS, ["a >=2", "b[x] ; extra == 'y'"]),
    ("src/pkg.egg-info/requires.txt", "a>=2\n\n[y]\nb\n\n[:os_name == 'nt']\nc\n",
     ["a>=2", "b; extra == 'y'", "c; os_name == 'nt'"]),
    pytest.param("pyproject.toml", "[project]\nname = 'pkg'\ndependencies = ['a>=2']\n", ["a>=2"],
                 marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in 3.11")),
    ("pyproject.toml", "[project]\nname = 'pkg'\ndynamic = ['dependencies']\n", None),
    ("pyproject.toml", "[project\n", None),
    ("setup.cfg", "[options]\ninstall_requires =\n    a>=2\n    b\n", ["a>=2", "b"]),
    ("setup.cfg", "[options\n", None), ("setup.cfg", "[metadata]\nname = pkg\n", None), ("setup.py", "", None)])
def test_where_metadata_says_it(tmp_path, path, text, wanted):
    where = tmp_path / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(text)
    assert requires_of(str(tmp_path)) == wanted


def test_of_several_releases_in_a_folder_nothing_is_known(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "METADATA").write_text(HEADERS)
    assert requires_of(str(tmp_path)) is None and requires_of(str(tmp_path / "none")) is None


def test_a_release_knows_it(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "setup.py").write_text("")
    (tmp_path / "PKG-INFO").write_text(HEADERS)
    assert of_folder(str(tmp_path), "pkg").requires == ["a >=2", "b[x] ; extra == 'y'"]
    assert any(each.startswith("pluggy") for each in installed("pytest", sys.executable).requires)


def test_what_is_new_is_said_with_what_it_was():
    assert new_wishes(["urllib3<2,>=1.21", "idna"], ["urllib3>=2.0", "idna", "h11"]) == [
        "NEW wants urllib3>=2.0 (OLD: urllib3<2,>=1.21); the livepatch doesn't bring it",
        "NEW wants h11; the livepatch doesn't bring it"]


@pytest.mark.parametrize("old, new", [
    (["a (>=1,<2)"], ["a<2,>=1"]), (["Some.Pkg"], ["some-pkg"]), (["a; os_name == \"nt\""], ["a ; (os_name == 'nt')"]),
    (["a", "b"], ["a"]), (["a"], ["a", "b; extra == 'x'"]), (None, ["a"]), (["a"], None), (["a [x, y]"], ["a[x,y]"])])
def test_what_is_the_same_otherwise_written_or_wanted_by_an_extra_or_not_known_is_not_said(old, new):
    assert new_wishes(old, new) == []
