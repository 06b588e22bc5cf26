"""What runs of a release while it is imported."""
import importlib
import sys

from klpfs.builder.verify.ran import Ran

TEXT = """
import threading
def ran(): return 1
def other(): return 2
def deco(f): return f
@deco
def in_thread(): return ran()
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
"""


def of(folder, monkeypatch, name, text, wanted=True):
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    found = Ran(str(folder), wanted)
    with found:
        importlib.import_module(name)
    del sys.modules[name]
    return found.found


def test_functions_that_run_at_import_by_their_first_lines(tmp_path, monkeypatch):
    found = of(tmp_path, monkeypatch, "klp_ran_a", TEXT)
    assert {f"klp_ran_a.py:{line}" for line in (3, 5, 6)} <= found.keys() and "klp_ran_a.py:4" not in found
    assert all(each.startswith("klp_ran_a.py:") for each in found) and sys.getprofile() is None


def test_where_the_watch_was_stopped_nothing_is_known(tmp_path, monkeypatch):
    assert "" in of(tmp_path, monkeypatch, "klp_ran_b", "import sys\nsys.setprofile(None)\n")


def test_nothing_is_watched_unless_it_is_wanted(tmp_path, monkeypatch):
    assert of(tmp_path, monkeypatch, "klp_ran_c", "def f(): pass\nf()\n", wanted=False) == {}
