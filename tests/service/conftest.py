"""Fixtures of the service's tests."""
import os
import shutil
import tempfile

import pytest

from klpfs.service import peer
from tests.service.fake_agent import Bench
from tests.service.watch import Watch


@pytest.fixture(autouse=True)
def fake_agents_are_processes():
    """What this process says as an agent, the process says that it claims to be: fake agents live in the test."""
    real = peer.who_sends

    def who_sends(who, pid):
        sender, sender_pid = real(who, pid)
        return sender, pid if sender_pid == os.getpid() else sender_pid
    with pytest.MonkeyPatch.context() as patch:     # of its own: a test may undo its patches
        patch.setattr(peer, "who_sends", who_sends)
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


@pytest.fixture
def watch(bench):
    made = Watch(bench)
    yield made
    made.peers.close()
