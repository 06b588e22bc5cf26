"""A release laid out for its proof lies in one folder, wherever its files are."""
import os
import sys

from klpfs.builder.build import build
from klpfs.builder.verify.trees import lay_out

WHERE = "import os\nHERE = os.path.dirname(os.path.realpath(__file__))\ndef f(): return {}\n"


def test_a_module_that_asks_where_it_lies_is_the_same_in_both(releases):
    result = build(*releases.pair(WHERE.format(1), WHERE.format(2)), [sys.executable], verify=True)
    assert result.text and not result.refused


def test_what_its_code_writes_beside_itself_does_not_reach_the_files_that_were_given(releases, tmp_path):
    given = releases.write("old", {"p/__init__.py": "", "p/data.txt": "x"})
    lay_out(given, str(tmp_path / "laid"))
    (tmp_path / "laid" / "p" / "data.txt").write_text("y")
    assert (tmp_path / "old" / "p" / "data.txt").read_text() == "x"
    assert sorted(os.listdir(tmp_path / "laid" / "p")) == ["__init__.py", "data.txt"]
