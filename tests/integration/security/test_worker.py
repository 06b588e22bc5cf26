"""What a worker of a service's group can do to whom: lines of the table in docs/SECURITY.md, with real users, programs, folders and root's
daemon.
"""
import errno
import os
import pathlib
import re
import stat
import time

import pytest

from klpfs.protocol.folder import MOST_NAMES
from tests.harness import fails, livepatch, until
from tests.integration.security.machine import WORKER, takes_no_other
from tests.integration.security.people import (
    REPORT,
    another_answers,
    child_of_mine,
    connect,
    fills,
    follows,
    hello,
    puts,
    says,
    write_to,
)
from tests.integration.test_processes_users import PYTHON

pytestmark = [pytest.mark.fuse,
              pytest.mark.skipif(not PYTHON, reason="needs root, setpriv, and a Python that other users can run")]


def test_a_worker_changes_nothing_that_others_obey(machine, worker):
    """Journal, lock, contents, sockets and notes of others: they are read by their mode, and that is all."""
    path = machine.patch()
    machine.trees["shop"].insmod(path)
    folder = machine.folder("shop")
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    assert {"journal", "lock"} < set(names) and any(len(name) == 64 for name in names)
    for name in names:
        there = f"{folder}/{name}"
        assert worker.code(os.unlink, there) == errno.EPERM
        assert worker.code(os.rename, there, there + "x") == errno.EPERM
        if os.path.islink(there):       # a note of a life: the link leads nowhere
            assert name.endswith(".life") and worker.code(write_to, there) == errno.ENOENT
            continue
        assert worker.code(os.chmod, there, 0o666) == errno.EPERM
        assert worker.code(write_to, there) in (errno.EACCES, errno.ENXIO)
    assert worker.code(os.chmod, folder, 0o777) == errno.EPERM
    machine.trees["shop"].settle()
    machine.remove("shop", path.stem)
    machine.works("shop")


def test_a_worker_speaks_to_no_process_of_others(machine, worker):
    """A socket is its user's; and an agent turns away whoever is neither its user nor root, whatever the mode is."""
    path, = machine.sockets("shop")
    assert worker.code(connect, path) == errno.EACCES
    os.chmod(path, 0o666)
    try:
        assert worker.code(connect, path) == 0
        until(lambda: machine.lines("shop", f"a connection of process {worker.pid} of user {WORKER} was refused"),
              "the refusal")
    finally:
        os.chmod(path, 0o600)
    machine.works("shop")


@pytest.mark.parametrize("whom", ["root's process", "the first process", "another of its own", "another service's"])
def test_a_worker_speaks_for_no_other_process(machine, worker, whom):
    """Who sends is what the kernel says. One line; nobody of that number is taken for one of the service."""
    pid = {"root's process": machine.programs["shop"].pid, "the first process": 1,
           "another service's": machine.programs["bank"].pid}.get(whom) or worker.do(child_of_mine)
    worker.do(another_answers, machine.folder("shop"), pid)
    until(lambda: machine.lines("shop", f"says that it is process {pid}", f"but is process {worker.pid}"),
          "the refusal")
    assert machine.pids("shop") == {machine.programs["shop"].pid}
    machine.works("shop")


def test_a_worker_speaks_for_no_other_service(machine, worker):
    """One line, no second look."""
    worker.do(says, machine.folder("shop"), dict(hello("/x/bank"), pid=worker.pid))
    until(lambda: machine.lines("shop", "says that it is of service 'bank'"), "the refusal")
    machine.works("shop")
    assert len(machine.lines("shop", "says that it is of service 'bank'")) == 1


def test_a_worker_takes_no_process_of_another_service(machine, worker):
    """A link to its socket, in the place of one that was connected to; a hard link of it."""
    takes_no_other(machine, worker, "shop")


@pytest.mark.parametrize("name, kind", [("keep", "fifo"), ("keep", "link"), ("keep", "folder"), ("hash", "fifo"),
                                        ("hash", "link"), ("hash", "file"), ("x.sock", "fifo"), ("x.sock", "link"),
                                        ("x.sock", "folder"), ("x.tmp", "folder"), (".x.sock", "fifo")])
def test_a_worker_holds_up_no_daemon(machine, worker, name, kind, tmp_path):
    """Whatever it puts into the folder: it is not waited for, read without a limit, or followed, and the journal is
    not kept because of it."""
    folder, secret = machine.folder("shop"), tmp_path / "secret"
    secret.write_text("of root")
    name = "a" * 64 if name == "hash" else name
    worker.do(puts, folder, name, kind, str(secret))
    worker.do(says, folder, dict(hello(folder, keep=True), pid=worker.pid), {"t": "event"}, REPORT,
              {"t": "want", "sha256": name})
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    begun = time.monotonic()
    assert set(os.listdir(machine.mount.root)) >= {"bank", "shop", "web"} and time.monotonic() - begun < 2
    machine.works("bank")
    left = os.lstat(f"{folder}/keep").st_mode if os.path.lexists(f"{folder}/keep") else 0
    assert not stat.S_ISREG(left) and secret.read_text() == "of root"


@pytest.mark.slow
def test_a_worker_can_fill_its_folder(machine, worker):
    """Then nothing is decided for its service, by name, until the files are removed. Other services do not wait."""
    folder, tree, path = machine.folder("shop"), machine.trees["shop"], machine.patch()
    worker.do(fills, folder, MOST_NAMES + 1, seconds=120)
    begun = time.monotonic()
    assert fails(errno.EDQUOT, tree.insmod, path) and time.monotonic() - begun < 10
    assert machine.lines("shop", f"insmod {path}", f"there are more than {MOST_NAMES} files in")
    machine.works("bank")
    worker.do(fills, folder, 0)
    machine.works("shop")


def test_a_worker_can_refuse_a_patch(machine, worker):
    """It is a process of the service: all are patched, or none is. The writer gets its errno, and the log says who."""
    worker.do(follows, machine.folder("shop"), errno.EPERM)
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    before, path = machine.program("shop"), machine.patch()
    assert fails(errno.EPERM, machine.trees["shop"].insmod, path)
    assert machine.program("shop") == before and not machine.trees["shop"].patches()
    assert machine.lines("shop", f"refused by process {worker.pid}", "of another user: I won't")
    machine.works("bank")


def test_a_worker_can_hold_up_a_transition(machine, worker):
    """It is named in `blockers`; `force`, or its end, completes it. Other services do not wait."""
    folder = machine.folder("shop")
    worker.do(says, folder, dict(hello(folder), pid=worker.pid), {"t": "event", "patches": [], "modules": []}, REPORT)
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    tree, path = machine.trees["shop"], machine.patch()
    tree.insmod(path)                           # within 2 s it is passed over
    assert machine.program("shop") == f"one by {path.stem}" and tree.get(f"{path.stem}/transition") == "1"
    assert re.search(rf"^{worker.pid}\b", (tree.path / "blockers").read_text(), re.M)
    machine.works("bank")
    os.kill(worker.pid, 9)
    tree.settle()
    machine.remove("shop", path.stem)


def test_a_worker_reads_its_services_patches(machine, worker):
    """Journal and contents are the group's to read: a livepatch is no place for a secret."""
    path = machine.patch()
    machine.trees["shop"].insmod(path)
    machine.trees["shop"].settle()
    folder = pathlib.Path(machine.folder("shop"))
    texts = [worker.do(pathlib.Path.read_bytes, each) for each in folder.iterdir() if len(each.name) == 64]
    assert path.read_bytes() in texts and path.stem.encode() in worker.do(pathlib.Path.read_bytes, folder / "journal")
    machine.remove("shop", path.stem)
