"""Fixtures of who can do what to whom (docs/SECURITY.md#3): the machine, and processes of others."""
import shutil

import pytest

from tests import harness
from tests.harness import until
from tests.integration.security.machine import GROUP, STRANGER, USER, WORKER, Machine
from tests.integration.security.people import Someone


@pytest.fixture(scope="module")
def machine():
    base = harness.short_folder()
    base.chmod(0o755)                           # the mount's rights are looked at, not those of what is above it
    made = Machine(base)
    yield made
    made.close()
    shutil.rmtree(base)


@pytest.fixture
def someone(machine):
    """someone(uid, gid): a process of that user; what it has left in the folders is removed after the test."""
    made = []

    def start(uid, gid):
        made.append(Someone(uid, gid))
        return made[-1]
    yield start
    for each in made:
        each.close()
    machine.clean()
    for name, program in machine.programs.items():
        until(lambda name=name, program=program: machine.pids(name) == {program.pid}, f"the others of {name} to go")


@pytest.fixture
def stranger(someone):
    return someone(STRANGER, STRANGER)


@pytest.fixture
def worker(someone):
    return someone(WORKER, GROUP.gr_gid)


@pytest.fixture
def user(someone):
    return someone(USER.pw_uid, USER.pw_gid)
