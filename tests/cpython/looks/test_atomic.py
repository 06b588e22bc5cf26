"""C iterators run in one call, with garbage collection off meanwhile and as it was afterwards."""
import gc

import pytest

from klpfs.cpython.looks import threads


def test_garbage_collection_is_on_again_when_a_look_raises(monkeypatch):
    """As when an audit hook of the program's forbids it."""
    def forbidden():
        raise RuntimeError("forbidden")
    monkeypatch.setattr(threads, "FRAMES", forbidden)
    with pytest.raises(RuntimeError):
        threads.idents()
    assert gc.isenabled()
