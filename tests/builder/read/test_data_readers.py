"""Who reads a data file that differs."""
import sys

import pytest

from klpfs.builder.build import build
from klpfs.builder.error import NothingToDo
from klpfs.builder.read.data_readers import readers_of_data
from klpfs.builder.read.modules import pair
from klpfs.builder.read.sources import of_folder


@pytest.fixture
def releases(tmp_path):
    def of(old, new):
        for version, files in (("old", old), ("new", new)):
            for path, text in files.items():
                (tmp_path / version / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / version / path).write_text(text)
        return [of_folder(str(tmp_path / version), version) for version in ("old", "new")]
    return of


@pytest.mark.parametrize("code", [
    "x = open('data.json')", "x = files('pkg').joinpath('data.json')", "x = pkgutil.get_data('pkg', 'sub/data.json')",
    "def f():\n    return os.path.join(HERE, 'data.json')", "NAMES = ['other', 'data.json']",
    "x = f'{HERE}/data.json'"])
def test_code_that_names_the_file_reads_it(releases, code):
    code = "'''about data.json'''\n" + code
    old, new = releases({"pkg/a.py": code, "pkg/sub/data.json": "1", "pkg/more.txt": "1"},
                        {"pkg/a.py": code, "pkg/sub/data.json": "2", "pkg/more.txt": "2"})
    assert readers_of_data(pair(old, new)) == {"pkg/sub/data.json": f"pkg/a.py:{1 + code.count(chr(10))}"}


@pytest.mark.parametrize("code", ["'''data.json'''", "x = 'about data.json'", "x = 'mydata.json'",
                                  "# data.json\nx = 1"])
def test_words_are_no_name(releases, code):
    old, new = releases({"pkg/a.py": code, "pkg/data.json": "1"}, {"pkg/a.py": code, "pkg/data.json": "2"})
    assert readers_of_data(pair(old, new)) == {}


def test_files_that_come_and_go_and_old_readers(releases):
    """OLD's code, which runs on, may open a file that NEW's no longer names; another package's file is another."""
    old, new = releases({"pkg/a.py": "x = open('gone.txt')", "pkg/gone.txt": "1", "other/new.txt": "1",
                         "other/b.py": ""},
                        {"pkg/a.py": "\nx = open('new.txt')", "pkg/new.txt": "1", "other/new.txt": "2",
                         "other/b.py": ""})
    assert readers_of_data(pair(old, new)) == {
        "pkg/gone.txt (removed)": "pkg/a.py:1", "pkg/new.txt (added)": "pkg/a.py:2"}


def test_a_build_warns_of_it(releases):
    code = "def f(): return open('data.json'), {}\n"
    old, new = releases({"pkg/a.py": code.format(1), "pkg/data.json": "1", "pkg/more.txt": "1"},
                        {"pkg/a.py": code.format(2), "pkg/data.json": "2", "pkg/more.txt": "2"})
    old.requires, new.requires = ["a<2"], ["a>=2"]
    result = build(old, new, [sys.executable])
    assert result.warned == ["data file pkg/data.json: not carried, and pkg/a.py:1 reads it",
                             "NEW wants a>=2 (OLD: a<2); the livepatch doesn't bring it"]
    assert "data file pkg/more.txt: not carried" in result.notes and "data file pkg/data.json" in result.text
    new.files["pkg/a.py"] = old.files["pkg/a.py"]
    words = "; data file pkg/data.json: not carried, and pkg/a.py:1 reads it; NEW wants a"
    with pytest.raises(NothingToDo, match=words):
        build(old, new, [sys.executable])
