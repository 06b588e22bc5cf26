"""Notices: the kernel is asked to forget what has gone, where nobody can hold that up."""
import errno
import os
import socket
import struct

import pytest

from klpfs.fs import notices as notices_module
from klpfs.fs.nodes import Attr, Dir, Table
from klpfs.fs.notices import Notices
from klpfs.service.loop import Loop
from tests.harness import until

INVAL_ENTRY, PRUNE = 3, 9


class Mount:
    """Notices on one end of a socket; `kernel` is its other end. The clock goes on when a test says so."""

    def __init__(self):
        self.now = 0.0
        self.loop, self.table = Loop(lambda: self.now), Table()
        self.kernel, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kernel.settimeout(10)
        self.notices = Notices(self.ours.fileno(), self.table, self.loop)
        self.table.watcher.removed = self.notices.removed
        self.folder = Dir(self.table, self.table.root, "folder", 0o755)

    def node(self, name, parent=None):
        node = Dir(self.table, parent or self.folder, name, 0o755)
        node.lookups = 1
        return node

    def later(self, seconds=10.0):
        self.now += seconds
        self.loop.run_once(0)

    def take(self):
        """The next message: its code, and the numbers or the parent and name in it."""
        length, code, unique = struct.unpack_from("=IiQ", message := self.kernel.recv(1 << 20))
        assert (length, unique) == (len(message), 0)
        if code == PRUNE:
            count, _, _ = struct.unpack_from("=IIQ", message, 16)
            return code, list(struct.unpack_from(f"={count}Q", message, 32))
        parent, size, _ = struct.unpack_from("=QII", message, 16)
        return code, (parent, message[32:32 + size])

    def silent(self):
        self.kernel.setblocking(False)
        try:
            return not self.kernel.recv(1 << 20)
        except BlockingIOError:
            return True
        finally:
            self.kernel.settimeout(10)


@pytest.fixture
def mount():
    made = Mount()
    yield made
    made.notices.close()
    made.kernel.close()
    made.ours.close()
    made.loop.close()


@pytest.fixture
def old(mount, monkeypatch):
    """A mount of a kernel that has no NOTIFY_PRUNE."""
    write = os.write

    def of_old_kernel(fd, data):
        if fd == mount.ours.fileno() and struct.unpack_from("=Ii", data)[1] == PRUNE:
            raise OSError(errno.EINVAL, "no such notice")
        return write(fd, data)
    monkeypatch.setattr(notices_module.os, "write", of_old_kernel)
    monkeypatch.setattr(notices_module, "MANY", 2)
    return mount


def test_what_goes_together_is_told_in_one_message_children_first(mount):
    top = mount.node("top")
    inner = mount.node("inner", top)
    top.remove()
    assert mount.silent(), "not at once"
    mount.later()
    assert mount.take() == (PRUNE, [inner.ino, top.ino]) and mount.silent()


def test_what_the_kernel_has_forgotten_meanwhile_is_not_told(mount):
    gone, kept = mount.node("gone"), mount.node("kept")
    gone.remove(), kept.remove()
    mount.table.forget(gone.ino, 1)
    mount.later()
    assert mount.take() == (PRUNE, [kept.ino])


def test_nothing_is_told_when_nothing_went(mount):
    mount.notices.again()
    mount.later()
    assert mount.silent()


def test_what_a_program_holds_is_told_again_with_the_next(mount):
    held = mount.node("held")
    held.remove()
    mount.later()
    assert mount.take() == (PRUNE, [held.ino])
    mount.later()
    assert mount.silent()
    mount.notices.again()                      # a file of it was closed
    mount.later()
    assert mount.take() == (PRUNE, [held.ino])


def test_many_are_told_in_pieces_those_that_stay_last(mount, monkeypatch):
    monkeypatch.setattr(notices_module, "BATCH", 2)
    nodes = [mount.node(str(n)) for n in range(3)]
    for node in nodes:
        node.remove()
    mount.later()
    mount.later()
    assert mount.take()[1] == [nodes[1].ino, nodes[0].ino] and mount.take()[1] == [nodes[2].ino, nodes[0].ino]


def test_nothing_of_a_freed_node_is_kept(mount):
    for n in range(1000):
        node = mount.node(str(n))
        node.remove()
        mount.table.forget(node.ino, 1)
    mount.later()
    assert not mount.notices._dead


def test_an_older_kernel_is_told_by_names_once_many_have_gathered(old):
    first, second = old.node("first"), old.node("second")
    first.remove()
    old.later()
    assert old.silent(), "few do no harm"
    second.remove()
    old.later()
    assert [old.take(), old.take()] == [(INVAL_ENTRY, (old.folder.ino, b"first")),
                                        (INVAL_ENTRY, (old.folder.ino, b"second"))]


def test_never_where_a_program_has_the_folder_open(old):
    """It may hold the folder's lock, and behind our message all others would wait for it."""
    nodes = [old.node("first"), old.node("second")]
    for node in nodes:
        node.remove()
    old.folder.listers = 1
    old.later()
    assert old.silent() and not old.notices._child
    old.folder.listers = 0
    old.notices.again()
    old.later()
    assert old.take()[0] == INVAL_ENTRY


def test_a_name_that_is_there_again_is_left_alone(old):
    for name in ("first", "second"):
        old.node(name).remove()
    again = Attr(old.table, old.folder, "first", 0o444)
    old.later()
    assert again.parent is old.folder and old.take() == (INVAL_ENTRY, (old.folder.ino, b"second"))


def test_a_child_that_the_kernel_holds_up_is_neither_waited_for_nor_joined_by_others(old, monkeypatch):
    started = []

    def held_up():
        started.append(1)
        return pid
    pid = os.fork()
    if not pid:
        import signal
        signal.pause()
        os._exit(0)
    monkeypatch.setattr(notices_module.os, "fork", held_up)
    for name in "abcd":
        old.node(name).remove()
        old.later()
    assert started == [1]
    old.notices.close()
    until(lambda: not old.notices._is_writing(), "the child to end by SIGKILL")


def test_the_child_has_nothing_of_ours_but_the_mount(old):
    """A lock or a connection that a held-up child kept would outlive the daemon."""
    ours, other = socket.socketpair()
    for name in "ab":
        old.node(name).remove()
    old.later()
    old.take(), old.take()
    other.close()
    ours.settimeout(10)
    assert ours.recv(1) == b"", "no copy of `other` is left"
    ours.close()
    until(lambda: not old.notices._is_writing(), "the child to end")


def test_the_child_is_waited_for_once_it_has_ended(old):
    for name in "ab":
        old.node(name).remove()
    old.later()
    assert old.notices._child
    old.take(), old.take()

    def reaped():
        old.later()
        return not old.notices._child
    until(reaped, "no dead process to be left")
