"""What the user of a unit can do to whom: lines of the table in docs/SECURITY.md, with real users, programs, folders and root's
daemon.
"""
import errno
import os
import pathlib
import time

import pytest

from tests.harness import fails
from tests.integration.security.machine import USER, takes_no_other
from tests.integration.security.people import puts
from tests.integration.test_processes_users import PYTHON

pytestmark = [pytest.mark.fuse,
              pytest.mark.skipif(not PYTHON, reason="needs root, setpriv, and a Python that other users can run")]


def test_the_user_of_a_unit_has_a_service_in_roots_tree(machine, user):
    """Root's daemon writes its journal, as that user's: the service goes on without the daemon."""
    machine.works("web")
    journal = os.stat(machine.folder("web") + "/journal")
    assert (journal.st_uid, journal.st_mode & 0o777) == (USER.pw_uid, 0o600)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_the_user_of_a_unit_hands_out_no_file_of_roots(machine, user, kind, tmp_path):
    """In the journal's place: EIO for its own service, no harm to others; with the journal all is as before."""
    machine.works("web")
    folder, secret = machine.folder("web"), tmp_path / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    user.do(os.rename, f"{folder}/journal", f"{folder}/aside")
    user.do(puts, folder, "journal", kind, str(secret))
    begun = time.monotonic()
    assert fails(errno.EIO, machine.trees["web"].insmod, machine.patch()) and time.monotonic() - begun < 5
    machine.works("bank")
    user.do(os.rmdir if kind == "folder" else os.unlink, f"{folder}/journal")
    user.do(os.rename, f"{folder}/aside", f"{folder}/journal")
    assert not [name for name in os.listdir(folder) if pathlib.Path(folder, name).is_file()
                and b"of root" in pathlib.Path(folder, name).read_bytes()]
    machine.works("web")
    assert secret.read_text() == "of root" and os.stat(secret).st_uid == 0


def test_the_user_of_a_unit_takes_no_process_of_another_service(machine, user):
    """As a worker of a group."""
    takes_no_other(machine, user, "web")


def test_the_user_of_a_unit_has_no_other_services_name(machine, user):
    """The runtime folder is root's: it can't rename its folder, nor make one. A journal of another service that it
    copies is not obeyed."""
    assert user.code(os.rename, machine.folder("web"), machine.folder("bank2")) == errno.EACCES
    assert user.code(os.mkdir, machine.folder("bank2")) == errno.EACCES
    machine.works("web")
    journal = pathlib.Path(machine.folder("web"), "journal")
    said = journal.read_bytes()

    def put(data):
        user.do(pathlib.Path.write_bytes, journal.with_name("new"), data)
        user.do(os.rename, journal.with_name("new"), journal)
    put(said.replace(b"service web\n", b"service bank\n"))
    assert fails(errno.EIO, machine.trees["web"].insmod, machine.patch())
    assert machine.lines("web", "the journal is of service 'bank', not of 'web'")
    put(said)
    machine.works("web")
