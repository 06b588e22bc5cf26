"""What the tests of the index and of definitions share."""
import errno

import pytest

from klpfs.cpython.resolve.index import Index
from klpfs.engine.error import KlpError


def index(program, module):
    return Index(program.target.registry, module.__name__, module.__dict__)


def functions(program, module, name, position=0):
    """The function objects of a definition."""
    definition = index(program, module).find(name, position, program.log)
    return program.target.registry.functions([definition])[definition]


def failure(program, module, name, position=0):
    with pytest.raises(KlpError) as caught:
        index(program, module).find(name, position, program.log)
    assert caught.value.errno == errno.EINVAL
    return program.log.texts()[-1]
