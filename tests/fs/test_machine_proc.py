"""/proc as `klpfs exec` shows it: the service's part over the machine's, which is reached by links."""
import errno
import os

import pytest

from klpfs.fs import machine_proc
from klpfs.fs.machine_proc import MachineDir, MachineLink
from klpfs.fs.nodes import Attr, Dir, Table


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A made /proc."""
    for folder in ("1/task/1", "7/task/7"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("uptime", "modules", "1/status", "7/status", "7/comm"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(machine_proc, "MACHINE", str(tmp_path))
    return tmp_path


@pytest.fixture
def proc(machine):
    return MachineDir(Table(), None, "", 0o555, by_number=True)


def names(node):
    return [child.name for _, child in node.listing(0)]


def gone(node, name):
    with pytest.raises(OSError) as e:
        node.lookup(name)
    return e.value.errno == errno.ENOENT


def test_what_only_the_machine_has_is_a_link_into_its_own(proc):
    for name in ("uptime", "7"):
        link = proc.lookup(os.fsencode(name))
        assert link.__class__ is MachineLink and link.target == f".klpfs/proc/{name}"
    assert gone(proc, b"8") and gone(proc, b"nope")


def test_links_lead_up_from_deeper_directories(proc):
    """Relative, so that one view can be mounted below another."""
    task = proc.below("7").below("task", lists_machine=False)
    assert proc.lookup(b"7").lookup(b"status").target == "../.klpfs/proc/7/status"
    assert task.lookup(b"7").target == "../../.klpfs/proc/7/task/7"
    assert task.below("7").get("stat") is None and gone(task.lookup(b"7"), b"stat")


def test_what_the_service_has_comes_first(proc):
    assert proc.lookup(b"modules").__class__ is MachineLink
    proc.make_room("modules")
    own = Attr(proc.table, proc, "modules", 0o444, lambda: b"lp1\n")
    assert proc.lookup(b"modules") is own and names(proc).count("modules") == 1
    own.remove()
    assert proc.lookup(b"modules").__class__ is MachineLink


def test_a_listing_has_both_the_service_s_and_the_machine_s(proc):
    proc.below("7")
    assert sorted(names(proc)) == ["1", "7", "modules", "uptime"]
    assert proc.lookup(b"7").__class__ is MachineDir


def test_only_the_service_s_tasks_are_listed_but_all_are_found(proc, machine):
    task = proc.below("7").below("task", lists_machine=False)
    (machine / "7/task/9").mkdir()
    task.below("7")
    assert names(task) == ["7"] and task.lookup(b"9").__class__ is MachineLink


def test_a_thread_of_the_service_s_is_found_by_its_number_alone(proc, machine):
    """As /proc/TID, which tools read patch_state of; it is not listed."""
    proc.below("7")
    (machine / "7/task/9").mkdir()
    (machine / "9").mkdir()
    assert proc.lookup(b"9").target == "7/task/9"
    (machine / "9").rmdir(), (machine / "7/task/9").rmdir()
    assert gone(proc, b"9")
    (machine / "1/task/8").mkdir()
    (machine / "8").mkdir()
    assert proc.lookup(b"8").target == ".klpfs/proc/8"


def test_what_the_machine_has_no_longer_is_gone(proc, machine):
    assert "uptime" in names(proc) and proc.lookup(b"uptime")
    (machine / "uptime").unlink()
    assert gone(proc, b"uptime") and "uptime" not in names(proc)


def test_names_of_processes_are_not_cached_those_of_the_kernel_s_files_are(proc):
    """A process comes and goes unseen, and a service has modules of its own; the rest of /proc stays."""
    assert not proc.lookup(b"7").lasting and proc.lookup(b"uptime").lasting
    assert MachineLink(proc.table, proc, "modules", 0o777, "x").lasting is False
    assert proc._link("modules").lasting is False


def test_a_link_to_a_process_goes_when_the_kernel_forgets_it(proc):
    for name, stays in ((b"7", False), (b"uptime", True)):
        node = proc.lookup(name)
        node.lookups = 2
        proc.table.forget(node.ino, 1)
        assert proc.children.get(name) is node
        proc.table.forget(node.ino, 1)
        assert (name in proc.children) is stays and (node.ino in proc.table.by_id) is stays


def test_a_removed_directory_passes_nothing_on(proc):
    own = proc.below("7")
    own.remove()
    assert gone(own, b"status") and names(own) == []
    assert proc.lookup(b"7").__class__ is MachineLink


def test_a_name_with_a_dot_is_found_but_neither_listed_nor_counted(proc):
    before = proc.nlink
    hidden = Dir(proc.table, proc, ".klpfs", 0o555)
    assert proc.lookup(b".klpfs") is hidden and ".klpfs" not in names(proc) and proc.nlink == before
    hidden.remove()
    assert gone(proc, b".klpfs") and proc.nlink == before
