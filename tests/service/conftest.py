"""Fixtures of the service's tests."""
import shutil
import tempfile

import pytest

from tests.service.fake_agent import Bench


@pytest.fixture
def folder():
    """A service's folder; short, since sockets are bound in it."""
    path = tempfile.mkdtemp(prefix="klp", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def bench(folder):
    made = Bench(folder)
    yield made
    made.close()
