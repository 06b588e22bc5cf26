"""Fixtures of the service's tests."""
import os
import shutil
import tempfile

import pytest

from klpfs.service import peers
from tests.service.fake_agent import Bench


@pytest.fixture(autouse=True)
def fake_agents_are_processes():
    """What this process says as an agent, the process says that it claims to be: fake agents live in the test."""
    real = peers.who_sends

    def who_sends(peer, pid):
        sender, sender_pid = real(peer, pid)
        return sender, pid if sender_pid == os.getpid() else sender_pid
    with pytest.MonkeyPatch.context() as patch:     # of its own: a test may undo its patches
        patch.setattr(peers, "who_sends", who_sends)
        yield


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
