"""The harness itself can fail: a small release of ours, with patches that carry it, and patches that don't."""
import sys

import pytest

from tests import harness
from tests.corpus import session
from tests.corpus.layout import Entry

OLD = '''
class Counter:
    def __init__(self):
        self.count = 0

    def add(self):
        self.count += 1
        return self.count


SEEN = {}


def safe(text):
    return True
'''
WITNESS = '''
import shop
live = shop.Counter()
def check():
    return not shop.safe("<script>"), "safe"
def check_live():
    return live.add() > 0, "counts"
'''
FIX = '''
from klpfs import Callbacks, Func, Object, Patch


def safe(text):
    return "<" not in text

{more}
patch = Patch([Object("shop", [Func("safe", safe){funcs}]{callbacks})], replace=True)
'''
PATCHES = {
    "carries it": (FIX.format(more="", funcs="", callbacks=""), ""),
    "does nothing": (FIX.format(more="", funcs="", callbacks="").replace("not in", "in"), "patched: still BUG"),
    "breaks live objects": (FIX.format(more="class Counter:\n    def add(self):\n        return self.gone\n",
                                       funcs=', Func("Counter.add", Counter.add)', callbacks=""),
                            "an object made before, patched: "),
    "does more than NEW": (FIX.format(more="def more(obj):\n    import shop\n    shop.SEEN[1] = 1\n"
                                      "def less(obj):\n    import shop\n    del shop.SEEN[1]\n", funcs="",
                                      callbacks=", Callbacks(post_patch=more, pre_unpatch=less)"),
                           "unlike NEW: shop:SEEN[1] extra: 1 instead of nothing"),
    "leaves a name behind": (FIX.format(more="def leave(obj):\n    import shop\n    shop.left = 1\n", funcs="",
                                        callbacks=", Callbacks(post_patch=leave)"),
                             "not as before after it was taken out: shop:left extra: 1"),
    "leaves a table changed": (FIX.format(more="def leave(obj):\n    import shop\n    shop.SEEN[1] = 1\n", funcs="",
                                          callbacks=", Callbacks(post_patch=leave)"),
                               "unlike NEW: shop:SEEN[1] extra"),
    "is not taken": (FIX.format(more="", funcs=', Func("nowhere", safe)', callbacks=""),
                     "insmod: Invalid argument: livepatch: symbol 'nowhere' not found"),
    "undoes its own work": (FIX.format(more="def undo(obj):\n    import shop\n    shop.safe = lambda text: False\n",
                                       funcs="", callbacks=", Callbacks(post_unpatch=undo)"),
                            "not as before after it was taken out: shop:safe"),
}


@pytest.fixture
def entry(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SHARED", tmp_path)
    monkeypatch.setattr(Entry, "folder", property(lambda self: tmp_path))
    monkeypatch.setattr(Entry, "interpreter", property(lambda self: sys.executable))
    monkeypatch.setattr(Entry, "witness", property(lambda self: tmp_path / "witness.py"))
    for which, text in (("old", OLD), ("new", OLD.replace("return True", 'return "<" not in text'))):
        (tmp_path / which).mkdir()
        (tmp_path / which / "shop.py").write_text(text)
    (tmp_path / "witness.py").write_text(WITNESS)
    return Entry("shop-1", "shop", "0", "1", ["shop"], "3.11", [], {}, "a")


@pytest.mark.fuse
@pytest.mark.skipif(harness.why_no_fuse() is not None, reason=str(harness.why_no_fuse()))
@pytest.mark.parametrize("name", PATCHES)
def test_each_way_to_go_wrong_is_seen(entry, tmp_path, name):
    text, reason = PATCHES[name]
    (tmp_path / "fix.py").write_text(text)
    result = session.run(entry, tmp_path / "fix.py")
    assert result.ok is not bool(reason)
    assert result.reason.startswith(reason), result.reason
    assert (result.outcome == session.CARRIED) is result.ok


def test_functions_and_callbacks_are_counted():
    text = FIX.format(more="", funcs=', klpfs.Func("b", b)', callbacks=", Callbacks()")
    assert session.counts(text) == (2, 1)


def test_lines_written_by_hand_are_counted():
    built = "a = 1\nb = 2\n"
    assert session.hand_lines(built, built) == 0
    assert session.hand_lines(built, "a = 1\n# why\n\nb = 3\nc = 4\n") == 2
