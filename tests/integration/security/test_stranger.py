"""What a stranger can do to whom: lines of the table in docs/SECURITY.md, with real users, programs, folders and root's
daemon.
"""
import errno
import os
import pathlib
import shutil

import pytest

from tests import harness
from tests.integration.security.machine import STRANGER, WORKER
from tests.integration.security.people import code_of, connect, makes_folder, puts, reads, write_to
from tests.integration.test_processes_users import PYTHON

pytestmark = [pytest.mark.fuse,
              pytest.mark.skipif(not PYTHON, reason="needs root, setpriv, and a Python that other users can run")]


@pytest.mark.parametrize("service", ["bank", "shop", "web"])
def test_a_stranger_reaches_nothing_of_a_service(machine, stranger, service):
    """Names of sockets are everybody's to read in /proc/net/unix: that is all."""
    folder = machine.folder(service)
    for call in (os.listdir, os.rmdir, write_to):
        assert stranger.code(call, folder) in (errno.EACCES, errno.EISDIR, errno.ENOTEMPTY)
    for path in [*machine.sockets(service), f"{folder}/journal"]:
        for call in (os.stat, connect, os.unlink, write_to):
            assert stranger.code(call, path) == errno.EACCES
    machine.works(service)


def test_a_stranger_reads_roots_tree_and_writes_nothing(machine, stranger, user):
    """As /sys and /proc: names, values, the log, command lines are everybody's to read, stacks are not; nothing is
    written, by the user of a service in it neither."""
    path = machine.patch()
    machine.trees["web"].insmod(path)
    machine.trees["web"].settle()
    tree = machine.trees["web"].path
    files = [pathlib.Path(folder, name) for folder, _, names in os.walk(tree) for name in names
             if not pathlib.Path(folder, name).is_symlink()]
    written = {file.name for file in files if file.stat().st_mode & 0o222}
    assert {"insmod", "rmmod", "check", "enabled", "force", "kmsg", "ftrace_enabled"} <= written
    for who in stranger, user:
        assert {file.name for file in files if who.code(write_to, file) != errno.EACCES} == set()
        hidden = {file.name for file in files if who.code(reads, file) == errno.EACCES}
        assert hidden == {"insmod", "rmmod", "check", "force", "patch_state", "stack", ".clear"} & {f.name for f in files}
    machine.remove("web", path.stem)


def test_a_stranger_makes_no_service(machine, stranger):
    """Nor puts another folder in a service's place: the runtime folder is its owner's."""
    assert stranger.code(os.mkdir, machine.folder("new")) == errno.EACCES
    assert stranger.code(os.rename, machine.folder("bank"), machine.folder("moved")) == errno.EACCES


@pytest.mark.parametrize("way", ["a folder of the stranger's", "a folder of all", "a link of the stranger's"])
def test_a_stranger_prepares_no_folder_for_others(machine, stranger, someone, way):
    """As /tmp/klpfs-UID: what a program finds there is not obeyed, EACCES."""
    place = harness.short_folder()
    place.chmod(0o1777)
    try:
        if way == "a link of the stranger's":
            (place / "real").mkdir()
            os.chown(place / "real", WORKER, -1)
            stranger.do(os.symlink, str(place / "real"), str(place / "klpfs"))
        else:
            stranger.do(os.mkdir, str(place / "klpfs"))
            os.chmod(place / "klpfs", 0o777 if way == "a folder of all" else 0o755)
            os.chown(place / "klpfs", WORKER if way == "a folder of all" else STRANGER, -1)
        for who in (someone(WORKER, WORKER), None):
            call = who.code if who else code_of
            assert call(makes_folder, str(place / "klpfs" / "svc")) == errno.EACCES
        assert not (place / "klpfs" / "svc").exists()
    finally:
        shutil.rmtree(place)
