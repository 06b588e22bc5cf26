"""The graphs of a package in two programs, and of one program before and after."""
import sys

import pytest

from klpfs.builder.verify.compare import Difference
from tests import harness
from tests.corpus import graphs

SHOP = ("import os\nLIMIT = {limit}\nENVIRON = dict(os.environ)\n"
        "class C:\n    def __init__(self): self.limit = LIMIT\nMADE = C()\n")


@pytest.fixture
def releases(tmp_path):
    for which, limit in (("old", 1), ("new", 2)):
        (tmp_path / which).mkdir()
        (tmp_path / which / "shop.py").write_text(SHOP.format(limit=limit))
    return graphs.Releases.of(tmp_path)


def of(tmp_path, which, releases, beside=None):
    return graphs.of_new(sys.executable, tmp_path / which, releases, {"PYTHONPATH": str(tmp_path / which)}, beside)


def test_objects_that_modules_hold_are_compared_without_asking_them(tmp_path, releases):
    fresh, again = of(tmp_path, "new", releases), of(tmp_path, "new", releases, ["MORE"])
    found = graphs.unlike_new(of(tmp_path, "old", releases), fresh, again, "", releases, sys.executable)
    assert found == ["shop:LIMIT value: 1 instead of 2", "shop:MADE.limit value: 1 instead of 2"]
    assert graphs.unlike_new(fresh, fresh, again, "", releases, sys.executable) == []


def test_what_was_there_before_is_to_be_there_again(tmp_path, releases):
    before, after = of(tmp_path, "old", releases), of(tmp_path, "new", releases)
    assert graphs.not_taken_back(before, before) == []
    assert any(each.startswith("shop:LIMIT") for each in graphs.not_taken_back(before, after))


def test_numbers_that_were_drawn_meanwhile_are_no_matter(tmp_path, releases, monkeypatch):
    found = [Difference(f"shop:{path}", what, "1", "2") for path, what in (
        ("RANDOM!getstate()", "value"), ("RANDOM!getstate()", "kind"), ("RANDOM.x", "value"))]
    monkeypatch.setattr(graphs, "judge_back", lambda *_: found)
    graph = of(tmp_path, "old", releases)
    assert graphs.not_taken_back(graph, graph) == [graphs.words(each) for each in found[1:]]


def test_new_runs_where_the_entrys_program_does(tmp_path, releases):
    """The folder that a package remembers is no difference between the releases."""
    (tmp_path / "new" / "shop.py").write_text("import os\nHERE = os.getcwd()\n")
    (tmp_path / "old" / "shop.py").write_text(f"HERE = {str(harness.HERE.parent)!r}\n")
    fresh, again = of(tmp_path, "new", releases), of(tmp_path, "new", releases, ["MORE"])
    patched = of(tmp_path, "old", releases)
    assert not any("HERE" in each for each in graphs.unlike_new(patched, fresh, again, "", releases, sys.executable))


def test_a_program_that_ends_is_no_graph(tmp_path, releases):
    (tmp_path / "new" / "shop.py").write_text("import os\nos._exit(1)\n")
    with pytest.raises(AssertionError, match="NEW can't be described"):
        of(tmp_path, "new", releases)
