"""Programs to be patched, taken back when their test is over."""
import pytest

from tests.cpython.machine import Machine
from tests.programs import Program


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.close()
