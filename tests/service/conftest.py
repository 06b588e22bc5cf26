"""Fixtures of the service's tests."""
import shutil
import tempfile

import pytest

from tests.service.fake_agent import Bench
from tests.service.watch import Watch


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


@pytest.fixture
def watch(bench):
    made = Watch(bench)
    yield made
    made.peers.close()
