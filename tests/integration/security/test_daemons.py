"""What daemons of root's and of a user's can do to whom: lines of the table in docs/SECURITY.md, with real users, programs, folders and root's
daemon.
"""
import os

import pytest

from tests.integration.security.machine import USER
from tests.integration.security.people import manages, reads
from tests.integration.test_processes_users import PYTHON

pytestmark = [pytest.mark.fuse,
              pytest.mark.skipif(not PYTHON, reason="needs root, setpriv, and a Python that other users can run")]


def test_a_users_daemon_has_the_services_of_that_user_alone(machine, user, stranger):
    """In root's runtime folder, too: others' folders are left alone."""
    assert user.do(manages, str(machine.runtime)) == {"web": 1}
    assert stranger.do(manages, str(machine.runtime)) == {}
    machine.works("web")


def test_roots_daemon_has_the_services_of_all_users(machine):
    """It is root: it reads and writes in their folders what is theirs, and gives them what it makes."""
    assert set(os.listdir(machine.mount.root)) >= {"bank", "shop", "web"}
    assert {os.stat(machine.folder(name) + "/lock").st_uid for name in ("bank", "shop")} == {0}
    assert os.stat(machine.folder("web") + "/lock").st_uid == USER.pw_uid
