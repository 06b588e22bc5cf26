"""The examples in docstrings of what livepatch files use: they are true."""
import doctest

import pytest

from klpfs.cpython.load import parameters
from klpfs.cpython.resolve import defaults


@pytest.mark.parametrize("module, least", [(parameters, 1), (defaults, 2)], ids=["parameters", "defaults"])
def test_examples(module, least):
    found = [each for each in doctest.DocTestFinder().find(module) if each.examples]
    assert len(found) >= least
    assert doctest.testmod(module).failed == 0
