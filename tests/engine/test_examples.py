"""The examples in the docstrings of the public API, run as they stand."""
import doctest
import importlib

import pytest


@pytest.mark.parametrize("name, classes", [
    ("klpfs.engine.data", ["Mod", "Func", "Callbacks", "Object", "State", "Patch"]),
    ("klpfs.engine.shadow", ["alloc", "get_or_alloc", "free_all"]),
    ("klpfs.engine.error", ["KlpError"]),
])
def test_examples(name, classes):
    """They hold; and what a livepatch's author uses has one."""
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module)
    assert failed == 0 and tried
    assert [each for each in classes if ">>>" not in getattr(module, each).__doc__] == []
