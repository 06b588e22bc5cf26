"""A program of a test's own, for the import hooks, which are taken out behind it."""
import pytest

from tests.cpython import import_system
from tests.programs import Program


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    import_system.restore()
    made.close()
