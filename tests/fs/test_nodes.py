"""Nodes follow the rules of kernfs, by number, without a mount."""
import errno
import os
from concurrent.futures import Future

import pytest

from klpfs.fs.nodes import PAGE, POLL_NEWS, POLLED, Attr, Dir, Later, Link, Query, Table, Watcher, fail, name_hash


class Told(Watcher):
    def __init__(self):
        self.removals, self.alterations, self.wakes = [], [], []

    def removed(self, node):
        self.removals.append(node.name)

    def altered(self, node):
        self.alterations.append(node.name)

    def woken(self, file):
        self.wakes.append(file)


@pytest.fixture
def table():
    return Table(0, 0, Told())


def attr(table, name="a", mode=0o644, show=lambda: b"1\n", store=lambda data, caller: None, **more):
    return Attr(table, more.pop("parent", table.root), name, mode, show, store, **more)


def refused(number, call, *args):
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number


def test_sizes_and_links_are_those_of_sysfs(table):
    top = Dir(table, table.root, "lp1", 0o755)
    a = attr(table, parent=top)
    Dir(table, top, "vmlinux", 0o755)
    assert (top.size, top.nlink) == (0, 3)
    assert (a.size, a.nlink) == (PAGE, 1)
    assert attr(table, "comm", proc=True).size == PAGE      # 0 in /proc: see Attr


@pytest.mark.parametrize("mode, flags, number", [
    (0o444, os.O_WRONLY, errno.EACCES), (0o444, os.O_RDWR, errno.EACCES), (0o200, os.O_RDONLY, errno.EACCES),
    (0o200, os.O_RDWR, errno.EACCES), (0o644, os.O_RDONLY | os.O_DIRECT, errno.EINVAL)])
def test_an_open_that_the_bits_forbid_is_refused_whoever_asks(table, mode, flags, number):
    refused(number, attr(table, mode=mode).open, flags)


def test_bits_alone_do_not_make_a_file_readable_or_writable(table):
    """After chmod 666 there is still no show, or store."""
    a = attr(table, "force", 0o200, show=None)
    b = attr(table, "transition", 0o444, store=None)
    for node in (a, b):
        node.set(mode=0o666)
    refused(errno.EACCES, a.open, os.O_RDONLY)
    refused(errno.EACCES, b.open, os.O_WRONLY)


def test_chmod_takes_a_mode_away(table):
    a = attr(table)
    a.set(mode=0o444)
    refused(errno.EACCES, a.open, os.O_WRONLY)


def test_a_read_at_0_shows_anew_and_one_that_goes_on_does_not(table):
    values = iter([b"12\n", b"34\n", b"56\n"])
    f = attr(table, show=lambda: next(values)).open(os.O_RDONLY)
    assert f.read(1, 0) == b"1" and f.read(1, 1) == b"2" and f.read(9, 2) == b"\n" and f.read(9, 3) == b""
    assert f.read(9, 0) == b"34\n"
    assert f.read(9, 1) == b"6\n", "a read elsewhere fills the buffer as well"


def test_reads_beyond_the_text_are_empty(table):
    f = attr(table).open(os.O_RDONLY)
    assert f.read(10, 4096) == b"" and f.read(10, 1 << 40) == b""


def test_a_value_is_cut_below_a_page_but_not_that_of_a_proc_file(table):
    assert len(attr(table, "a", show=lambda: b"x" * 9000).open(0).read(9999, 0)) == PAGE - 1
    assert len(attr(table, "b", show=lambda: b"x" * 9000, proc=True).open(0).read(9999, 0)) == 9000


def test_each_write_is_a_whole_value_cut_at_a_page(table):
    got = []
    f = attr(table, store=lambda data, caller: got.append((data, caller))).open(os.O_WRONLY)
    assert f.write(b"1\n", "me") == 2 and f.write(b"x" * 5000, "me") == PAGE
    assert got == [(b"1\n", "me"), (b"x" * PAGE, "me")]


def test_an_empty_write_stores_nothing(table):
    f = attr(table, store=lambda data, caller: pytest.fail("stored")).open(os.O_WRONLY)
    assert f.write(b"", None) == 0


def test_a_command_too_long_is_refused_not_cut(table):
    f = attr(table, store=lambda data, caller: pytest.fail("stored"), limit=10, whole=True).open(os.O_WRONLY)
    refused(errno.E2BIG, f.write, b"x" * 11, None)


def test_a_store_may_take_its_time(table):
    future = Future()
    later = attr(table, store=lambda data, caller: future).open(os.O_WRONLY).write(b"123", None)
    assert isinstance(later, Later) and later.future is future and later.finish(None) == 3


def test_a_show_may_take_its_time(table):
    future = Future()
    f = attr(table, show=lambda: future).open(os.O_RDONLY)
    later = f.read(2, 0)
    assert later.finish(b"abc") == b"ab" and f.read(9, 2) == b"c"


def test_what_is_held_answers_enodev_for_ever(table):
    top = Dir(table, table.root, "lp1", 0o755)
    a = attr(table, parent=top)
    f = a.open(os.O_RDWR)
    top.lookups = a.lookups = 1
    top.remove()
    again = Dir(table, table.root, "lp1", 0o755)
    attr(table, parent=again)
    for call in (lambda: f.read(9, 0), lambda: f.read(9, 1), lambda: f.write(b"1", None), lambda: a.open(0), f.seek_end,
                 lambda: f.seek(0, os.SEEK_DATA)):
        refused(errno.ENODEV, call)
    assert list(top.listing(2)) == [] and top.nlink == 2
    refused(errno.ENOENT, top.lookup, b"a")


def test_a_store_that_removes_its_own_node_still_answers(table):
    top = Dir(table, table.root, "lp1", 0o755)
    f = attr(table, parent=top, store=lambda data, caller: top.remove()).open(os.O_WRONLY)
    assert f.write(b"0", None) == 1


def test_numbers_are_never_used_again(table):
    seen = set()
    for _ in range(50):
        node = Dir(table, table.root, "lp1", 0o755)
        assert node.ino not in seen
        seen.add(node.ino)
        node.remove()


def test_a_removed_node_is_freed_when_the_kernel_forgets_it(table):
    top = Dir(table, table.root, "lp1", 0o755)
    a = attr(table, parent=top)
    top.lookups, a.lookups = 2, 1
    top.remove()
    assert {top.ino, a.ino} <= set(table.by_id)
    table.forget(top.ino, 1)
    assert top.ino in table.by_id
    table.forget(top.ino, 1)
    table.forget(a.ino, 1)
    assert set(table.by_id) == {1}


def test_a_node_that_is_there_outlives_a_forget(table):
    top = Dir(table, table.root, "lp1", 0o755)
    top.lookups = 1
    table.forget(top.ino, 1)
    assert table.by_id[top.ino] is top
    table.forget(12345, 1)


def test_removal_is_told_once_of_what_the_kernel_knows_and_nothing_leaks(table):
    """What is below comes first, as the kernel lets go of it."""
    top = Dir(table, table.root, "lp1", 0o755)
    for i in range(10):
        Dir(table, top, f"f{i}", 0o755)
    seen = attr(table, "seen", parent=top)
    top.lookups = seen.lookups = 1
    top.remove()
    top.remove()
    assert table.watcher.removals == ["seen", "lp1"] and set(table.by_id) == {1, top.ino, seen.ino}


def test_the_parent_of_a_folder_that_comes_or_goes_has_changed(table):
    """Its link count is cached."""
    node = Dir(table, table.root, "lp1", 0o755)
    node.remove()
    attr(table)
    assert table.watcher.alterations == ["", ""]


def test_names_are_listed_in_the_order_of_sysfs(table):
    """That of a real kernel: enabled, klp_tgt, vmlinux, transition, force."""
    names = ["force", "transition", "vmlinux", "klp_tgt", "enabled"]
    for name in names:
        attr(table, name)
    assert [node.name for _, node in table.root.listing(2)] == ["enabled", "klp_tgt", "vmlinux", "transition", "force"]


def test_the_hash_of_a_name_is_the_kernels():
    assert [name_hash(n) for n in (b"enabled", b"transition",
                                   b"force")] == sorted(name_hash(n) for n in (b"enabled", b"transition", b"force"))
    assert all(2 <= name_hash(b"%d" % i) < 0x7FFFFFFF for i in range(1000))


def test_a_listing_goes_on_where_it_was_whatever_came_and_went(table):
    nodes = {f"n{i:03}": attr(table, f"n{i:03}") for i in range(100)}
    first = list(table.root.listing(2))[:50]
    seen, place = [node.name for _, node in first], first[-1][0]
    for name in seen[10:20]:
        nodes[name].remove()
    for i in range(100):
        attr(table, f"later{i}")
    rest = [node.name for _, node in table.root.listing(place + 1)]
    assert set(seen) | set(rest) >= set(nodes) and not set(seen) & set(rest)


def test_two_names_of_one_hash_have_places_of_their_own(table, monkeypatch):
    monkeypatch.setattr("klpfs.fs.nodes.name_hash", lambda raw: 7)
    for name in "abc":
        attr(table, name)
    assert [(place, node.name) for place, node in table.root.listing(2)] == [(7, "a"), (8, "b"), (9, "c")]


def test_processes_are_listed_by_number_after_the_rest(table):
    proc = Dir(table, table.root, "proc", 0o555, by_number=True)
    for name in ("100", "9", "modules", "20"):
        attr(table, name, parent=proc)
    assert [node.name for _, node in proc.listing(2)] == ["modules", "9", "20", "100"]


def test_a_name_is_there_once(table):
    attr(table)
    refused(errno.EEXIST, attr, table)


def test_chown_and_times_stick(table):
    a = attr(table)
    a.set(uid=1, gid=2, atime=5, mtime=7)
    assert (a.changed.uid, a.changed.gid, a.changed.atime, a.changed.mtime) == (1, 2, 5, 7)
    a.set(mode=0o600)
    assert a.mode & 0o7777 == 0o600 and a.changed.uid == 1


def test_trusted_attributes_stick_and_others_are_not_supported(table):
    a = attr(table)
    refused(errno.ENOTSUP, a.setxattr, b"user.a", b"1", 0)
    refused(errno.ENODATA, a.getxattr, b"user.a")
    refused(errno.ENOTSUP, a.removexattr, b"user.a")
    refused(errno.ENODATA, a.removexattr, b"trusted.a")
    a.setxattr(b"trusted.a", b"1", 0)
    refused(errno.EEXIST, a.setxattr, b"trusted.a", b"1", os.XATTR_CREATE)
    refused(errno.ENODATA, a.setxattr, b"trusted.b", b"1", os.XATTR_REPLACE)
    assert a.getxattr(b"trusted.a") == b"1" and a.listxattr(0) == b"trusted.a\0" and a.listxattr(1000) == b""
    a.removexattr(b"trusted.a")
    assert a.listxattr(0) == b""


def test_poll_says_whether_it_has_changed_since_the_last_read(table):
    a = attr(table)
    f, other = a.open(os.O_RDONLY), a.open(os.O_RDONLY)
    assert f.poll() == POLLED | POLL_NEWS
    f.read(9, 0)
    assert f.poll() == POLLED and other.poll() == POLLED | POLL_NEWS
    a.notify()
    assert f.poll() == POLLED | POLL_NEWS and set(table.watcher.wakes) == {f, other}


def test_poll_of_what_was_removed_has_news(table):
    a = attr(table)
    f = a.open(os.O_RDONLY)
    f.read(9, 0)
    a.remove()
    assert f.poll() == POLLED | POLL_NEWS and table.watcher.wakes == [f]


def test_a_closed_file_is_not_woken(table):
    a = attr(table)
    f = a.open(os.O_RDONLY)
    f.close()
    a.notify()
    assert table.watcher.wakes == []


def test_data_and_hole(table):
    f = attr(table).open(os.O_RDONLY)
    assert f.seek(3, os.SEEK_DATA) == 3 and f.seek(0, os.SEEK_HOLE) == PAGE
    refused(errno.ENXIO, f.seek, PAGE, os.SEEK_DATA)


def test_nobody_seeks_to_the_end_of_a_file_as_in_proc(table):
    f = attr(table, proc=True).open(os.O_RDONLY)
    refused(errno.EINVAL, f.seek, 0, os.SEEK_DATA)
    refused(errno.EINVAL, f.seek_end)


def test_a_link_has_its_target(table):
    assert Link(table, table.root, "b", 0o777, "../../b").target == "../../b"


def test_fail_has_the_errno_and_its_words():
    assert (fail(errno.EIO).errno, fail(errno.EIO).strerror) == (errno.EIO, os.strerror(errno.EIO))


def test_a_query_answers_on_the_open_file_that_asked(table):
    """The write returns when the answer is there; reads take it up, wherever the file position is; others see nothing
    of it."""
    def ask(data, caller):
        future = Future()
        future.set_result(b"answer to " + data)
        return future
    node = Query(table, table.root, "check", 0o600, ask, 16)
    file, other = node.open(os.O_RDWR), node.open(os.O_RDWR)
    assert file.read(100, 0) == b""
    later = file.write(b"one", None)
    assert isinstance(later, Later) and later.finish(later.future.result()) == 3
    assert (file.read(6, 3), file.read(100, 9), file.read(100, 0)) == (b"answer", b" to one", b"")
    assert other.read(100, 0) == b""
    refused(errno.E2BIG, file.write, b"x" * 17, None)
    refused(errno.EACCES, Query(table, table.root, "closed", 0o400, ask).open, os.O_RDWR)
    node.remove()
    refused(errno.ENODEV, file.write, b"two", None)
    refused(errno.ENODEV, file.read, 1, 0)


def test_a_query_that_can_not_be_answered_leaves_no_answer(table):
    """An older answer is gone as well."""
    def ask(data, caller):
        if data == b"bad":
            raise fail(errno.EINVAL)
        future = Future()
        future.set_result(b"good")
        return future
    file = Query(table, table.root, "check", 0o600, ask).open(os.O_RDWR)
    later = file.write(b"ok", None)
    later.finish(later.future.result())
    refused(errno.EINVAL, file.write, b"bad", None)
    assert file.read(100, 0) == b""


def test_what_can_t_be_read_or_written_is_ebadf_however_it_is_asked_for(table):
    """Read-ahead (posix_fadvise) asks for the pages of a file that was opened for writing alone."""
    for proc in (True, False):
        writable = attr(table, f"w{proc}", 0o200, None, proc=proc)
        refused(errno.EBADF, writable.open(os.O_WRONLY).read, 4096, 0)
        readable = attr(table, f"r{proc}", 0o444, store=None, proc=proc)
        refused(errno.EBADF, readable.open(os.O_RDONLY).write, b"1", None)
