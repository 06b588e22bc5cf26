"""Where a version's source comes from."""
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest

from klpfs.builder.error import BuildError
from klpfs.builder.read import sources

ROOT = str(pathlib.Path(__file__).parents[3])

def lay(folder, *paths):
    for each in paths:
        path = folder / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    return folder


def test_a_folder_on_the_import_path(tmp_path):
    lay(tmp_path, "pkg/__init__.py", "pkg/a.py", "pkg/tests/test_a.py", "pkg/__pycache__/a.pyc",
        "pkg-1.dist-info/RECORD", "single.py")
    assert sorted(sources.find(str(tmp_path), "").files) == ["pkg/__init__.py", "pkg/a.py", "single.py"]


def test_a_package_s_own_folder(tmp_path):
    lay(tmp_path, "pkg/__init__.py", "pkg/a.py", "other.py")
    assert sorted(sources.find(str(tmp_path / "pkg"), "").files) == ["pkg/__init__.py", "pkg/a.py"]


def test_a_source_tree_with_src(tmp_path):
    lay(tmp_path, "setup.py", "docs/conf.py", "tests/test_a.py", "src/pkg/__init__.py")
    assert list(sources.find(str(tmp_path), "").files) == ["pkg/__init__.py"]


def test_a_file(tmp_path):
    lay(tmp_path, "mod.py")
    assert list(sources.find(str(tmp_path / "mod.py"), "").files) == ["mod.py"]


def test_a_wheel_and_an_sdist(tmp_path):
    lay(tmp_path, "pkg-1.0/setup.py", "pkg-1.0/pkg/__init__.py")
    with tarfile.open(tmp_path / "pkg-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "pkg-1.0", "pkg-1.0")
    with zipfile.ZipFile(tmp_path / "pkg-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("pkg/__init__.py", "x = 1\n")
        archive.writestr("pkg-1.0.dist-info/METADATA", "")
    for name in ("pkg-1.0.tar.gz", "pkg-1.0-py3-none-any.whl"):
        scratch = tmp_path / ("of-" + name)
        scratch.mkdir()
        found = sources.find(str(tmp_path / name), str(scratch))
        assert list(found.files) == ["pkg/__init__.py"] and sources.version_of(found.label) == "1.0"


def test_what_is_installed():
    found = sources.installed("pytest", sys.executable)
    assert "_pytest/main.py" in found.files and os.path.isfile(found.files["_pytest/main.py"])
    with pytest.raises(BuildError, match="no such distribution"):
        sources.installed("no-such-distribution-here", sys.executable)


@pytest.mark.parametrize("spec, words",
                         [("./nowhere", "no such folder or file"), ("nowhere/at/all", "no such folder or file")])
def test_what_is_not_there(tmp_path, spec, words):
    with pytest.raises(BuildError, match=words):
        sources.find(spec, str(tmp_path))


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "pkg-1.0.tar.gz").write_text("no archive")
    with pytest.raises(BuildError, match="no wheel or sdist"):
        sources.find(str(tmp_path / "pkg-1.0.tar.gz"), str(tmp_path))


def test_a_member_that_leads_out_of_the_archive(tmp_path):
    with tarfile.open(tmp_path / "evil-1.0.tar.gz", "w:gz") as archive:
        lay(tmp_path, "x.py")
        archive.add(tmp_path / "x.py", "../out.py")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(BuildError):
        sources.find(str(tmp_path / "evil-1.0.tar.gz"), str(scratch))
    assert not (tmp_path / "out.py").exists()


def test_the_command_says_what_and_writes_nothing(tmp_path):
    lay(tmp_path, "old/pkg/__init__.py", "new/pkg/__init__.py")

    def run(*arguments):
        done = subprocess.run([sys.executable, "-m", "klpfs", "build", *arguments, "-o", "fix.py"], cwd=tmp_path,
                              capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT})
        return done.returncode, done.stderr
    assert run("old", "new")[0] == 3
    (tmp_path / "new/pkg/__init__.py").write_text("def (:\n")
    code, words = run("old", "new")
    assert code == 1 and "pkg/__init__.py:1" in words and "Traceback" not in words
    assert run("old", "nowhere/else")[0] == 1 and run("old")[0] == 2
    assert run("old", "new", "--python", "/no/python")[0] == 1
    assert not (tmp_path / "fix.py").exists()
    (tmp_path / "old/pkg/__init__.py").write_text("def f(): return 1\n")
    (tmp_path / "new/pkg/__init__.py").write_text("def f(): return 2\n")
    assert run("old", "new")[0] == 0 and "def f" in (tmp_path / "fix.py").read_text()
