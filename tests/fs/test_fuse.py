"""The kernel's protocol, spoken by a test in the kernel's place, over a socket."""
import errno
import os
import select
import socket
import stat
import struct
from concurrent.futures import Future

import pytest

from klpfs.fs import fuse
from klpfs.fs.fuse import MAX_WRITE
from klpfs.fs.nodes import Attr, Dir
from klpfs.fs.tree import after
from tests.fs.kernel import (
    BATCH_FORGET,
    COPY_FILE_RANGE,
    CREATE,
    DESTROY,
    FALLOCATE,
    FLUSH,
    FORGET,
    FSYNC,
    FSYNCDIR,
    GETATTR,
    GETXATTR,
    INIT,
    INTERRUPT,
    IOCTL,
    LINK,
    LISTXATTR,
    LOOKUP,
    LSEEK,
    MKDIR,
    MKNOD,
    OPEN,
    POLL,
    READ,
    READDIR,
    READDIRPLUS,
    READLINK,
    RELEASE,
    REMOVEXATTR,
    RENAME,
    RENAME2,
    RMDIR,
    SETATTR,
    SETXATTR,
    STATFS,
    STATX,
    SYMLINK,
    TMPFILE,
    UNLINK,
    WRITE,
    Kernel,
)


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    assert made.said == [], "unexpected log lines"
    made.session.close()
    made.end.close()
    os.close(made.fd)
    made.loop.close()


ENABLED = "shop/sys/kernel/livepatch/lp1/enabled"


def test_init_takes_what_it_needs_of_what_the_kernel_offers(kernel):
    number, body = kernel.call(INIT, 0, struct.pack("=IIII", 7, 45, 131072, 0xFFFFFFFF) + bytes(48))
    major, minor, _, flags, _, _, max_write, gran = struct.unpack_from("=IIIIHHII", body)
    assert (number, major, minor, max_write, gran, len(body)) == (0, 7, 38, MAX_WRITE, 1, 64)
    assert flags == 1 << 3 | 1 << 4 | 1 << 5 | 1 << 13 | 1 << 18 | 1 << 23 and kernel.ready == [1]


def test_init_asks_for_nothing_that_the_kernel_has_not(kernel):
    _, body = kernel.call(INIT, 0, struct.pack("=IIII", 7, 31, 131072, 1 << 3))
    assert struct.unpack_from("=IIII", body)[1:4:2] == (31, 1 << 3)


def test_too_old_a_kernel_is_refused_with_a_line(kernel):
    assert kernel.errno(INIT, 0, struct.pack("=IIII", 7, 12, 0, 0)) == errno.EPROTO
    assert "7.12" in kernel.said.pop() and kernel.ready == []


def test_lookup_gives_number_timeouts_and_attributes(kernel):
    number, body = kernel.call(LOOKUP, kernel.lookup("shop/sys/kernel/livepatch/lp1"), b"enabled\0")
    node, generation, entry_valid, attr_valid, _, _, ino, size, blocks = struct.unpack_from("=QQQQIIQQQ", body)
    mode, nlink, uid, gid, _, blksize = struct.unpack_from("=IIIIII", body, 40 + 60)
    assert (number, node, generation, entry_valid, attr_valid) == (0, ino, 0, 3600, 3600)
    assert (oct(mode), nlink, size, blocks, blksize) == ("0o100644", 1, 4096, 0, 4096)


def test_an_unknown_name_is_plain_enoent_so_that_it_is_not_cached(kernel):
    assert kernel.errno(LOOKUP, 1, b"nothing\0") == errno.ENOENT
    assert kernel.errno(LOOKUP, kernel.lookup(ENABLED), b"x\0") == errno.ENOTDIR
    assert kernel.errno(LOOKUP, 99999, b"x\0") == errno.ESTALE


def test_nodes_are_found_by_number_for_an_exported_mount(kernel):
    node = kernel.lookup("shop/sys")
    assert struct.unpack_from("=Q", kernel.call(LOOKUP, node, b".\0")[1])[0] == node
    assert struct.unpack_from("=Q", kernel.call(LOOKUP, node, b"..\0")[1])[0] == kernel.lookup("shop")


def test_open_read_close(kernel):
    node, handle = kernel.open(ENABLED)
    assert (
        kernel.read(handle, node) == (0, b"1\n")
        and kernel.read(handle, node, 1, 9) == (0, b"\n")
        and kernel.read(handle, node, 2) == (0, b"")
    )
    assert kernel.call(RELEASE, node, struct.pack("=QIIQ", handle, 0, 0, 0)) == (0, b"")
    assert kernel.read(handle, node)[0] == errno.EBADF


def test_open_asks_for_no_cache_and_no_flush(kernel):
    node = kernel.lookup(ENABLED)
    _, body = kernel.call(OPEN, node, struct.pack("=II", 0, 0))
    assert struct.unpack("=QIi", body)[1:] == (1 | 32 | 64, 0)
    assert kernel.errno(FLUSH, node, bytes(24)) == errno.ENOSYS


@pytest.mark.parametrize("name, flags, number",
                         [("transition", os.O_WRONLY, errno.EACCES), ("force", os.O_RDONLY, errno.EACCES),
                          ("enabled", os.O_DIRECT, errno.EINVAL)])
def test_open_checks_the_bits_itself(kernel, name, flags, number):
    assert kernel.errno(OPEN, kernel.lookup(f"shop/sys/kernel/livepatch/lp1/{name}"),
                        struct.pack("=II", flags, 0)) == number


def test_a_folder_is_not_opened_as_a_file(kernel):
    assert kernel.errno(OPEN, kernel.lookup("shop/sys"), struct.pack("=II", 0, 0)) == errno.EISDIR


def test_a_write_is_counted_and_its_caller_known(kernel):
    node, handle = kernel.open("shop/insmod", os.O_WRONLY)
    assert kernel.call(WRITE, node, kernel.write_body(handle, b"who\n"), uid=5, gid=6,
                       pid=77) == (0, struct.pack("=II", 4, 0))
    assert kernel.shop.log.records[-1].text == "5,6,77"


def test_a_long_write_to_an_attribute_is_short(kernel):
    node, handle = kernel.open(ENABLED, os.O_WRONLY)
    assert kernel.call(WRITE, node, kernel.write_body(handle, b"0" + b"x" * 5000)) == (0, struct.pack("=II", 4096, 0))


def test_an_error_of_the_store_is_the_writes(kernel):
    node, handle = kernel.open(ENABLED, os.O_WRONLY)
    assert kernel.call(WRITE, node, kernel.write_body(handle, b"junk"))[0] == errno.EINVAL


def test_a_mistake_of_ours_is_eio_and_a_line_and_the_mount_lives_on(kernel):
    parent = Dir(kernel.table, kernel.table.root, "odd", 0o755)
    Attr(kernel.table, parent, "broken", 0o444, lambda: 1 // 0)
    node, handle = kernel.open("odd/broken")
    assert kernel.read(handle, node)[0] == errno.EIO
    assert "ZeroDivisionError" in kernel.said.pop()
    assert kernel.read(*reversed(kernel.open(ENABLED)))[1] == b"1\n"


class Odd(Exception):
    pass


def raises(error):
    def call(*arguments):
        raise error
    return call


NO_ERRNOS = [OSError(600, "x"), OSError(512, "x"), OSError(2 ** 40, "x"), OSError(0, "x"), OSError(-5, "x"),
             OSError("x"),
             OSError("22", "x"), OSError(True, "x")]


@pytest.mark.parametrize("error", [*NO_ERRNOS, Odd(), KeyboardInterrupt(), OverflowError()], ids=repr)
@pytest.mark.parametrize("when", ["at once", "later", "in what is made of it"])
def test_a_request_always_gets_an_answer(kernel, error, when):
    """Also where what it failed with is no errno: the kernel would refuse it, the caller wait for ever."""
    if when == "at once" and isinstance(error, KeyboardInterrupt):
        error = Odd()                          # the other would be a signal, which ends the daemon
    parent, future = Dir(kernel.table, kernel.table.root, "odd", 0o755), Future()
    show = {"at once": raises(error), "later": lambda: future,
            "in what is made of it": lambda: after(future, raises(error))}
    Attr(kernel.table, parent, "file", 0o444, show[when])
    node, handle = kernel.open("odd/file")
    read = kernel.send(READ, node, kernel.read_body(handle))
    kernel.run()
    if when == "later":
        future.set_exception(error)
    elif when != "at once":
        future.set_result(b"")
    kernel.wait_for(lambda: read in kernel.replies)
    assert kernel.replies.pop(read) == (errno.EIO, b"")
    assert len(kernel.said) == (not isinstance(error, OSError))
    kernel.said.clear()


@pytest.mark.parametrize("made", [None, "text", 7, [b"x"]], ids=repr)
def test_an_answer_that_is_no_answer_is_eio_and_a_line(kernel, made):
    parent, future = Dir(kernel.table, kernel.table.root, "odd", 0o755), Future()
    file = Attr(kernel.table, parent, "file", 0o644, lambda: future, lambda data, caller: future)
    node, handle = kernel.open("odd/file")
    read = kernel.send(READ, node, kernel.read_body(handle))
    kernel.run()
    future.set_result(made)
    kernel.wait_for(lambda: read in kernel.replies)
    assert kernel.replies.pop(read)[0] == errno.EIO and len(kernel.said) == 1 and file.opened
    kernel.said.clear()


def test_an_interrupt_that_fails_answers_who_was_interrupted(kernel):
    node, handle = kernel.open("shop/insmod", os.O_WRONLY)
    slow = kernel.send(WRITE, node, kernel.write_body(handle, b"slow"))
    kernel.run()
    kernel.shop.answers.pop().interrupt = raises(Odd("no"))
    kernel.send(INTERRUPT, 0, struct.pack("=Q", slow))
    kernel.run()
    assert kernel.replies.pop(slow) == (errno.EIO, b"") and "Odd: no" in kernel.said.pop()


def test_others_go_on_while_a_write_waits(kernel):
    node, handle = kernel.open("shop/insmod", os.O_WRONLY)
    slow = kernel.send(WRITE, node, kernel.write_body(handle, b"slow"))
    kernel.run()
    assert slow not in kernel.replies and kernel.read(*reversed(kernel.open(ENABLED)))[1] == b"1\n"
    kernel.shop.answers.pop().succeed()
    kernel.take()
    assert kernel.replies.pop(slow) == (0, struct.pack("=II", 4, 0))


def test_an_interrupted_write_answers_eintr(kernel):
    node, handle = kernel.open("shop/insmod", os.O_WRONLY)
    slow = kernel.send(WRITE, node, kernel.write_body(handle, b"slow"))
    kernel.send(INTERRUPT, 0, struct.pack("=Q", slow))
    kernel.run()
    assert kernel.replies.pop(slow)[0] == errno.EINTR


def test_a_write_that_can_no_longer_be_interrupted_answers_when_it_is_done(kernel):
    node, handle = kernel.open("shop/insmod", os.O_WRONLY)
    slow = kernel.send(WRITE, node, kernel.write_body(handle, b"slow"))
    kernel.run()
    answer = kernel.shop.answers.pop()
    answer.interrupt = None
    kernel.send(INTERRUPT, 0, struct.pack("=Q", slow))
    kernel.run()
    assert slow not in kernel.replies
    answer.succeed()
    kernel.take()
    assert kernel.replies.pop(slow)[0] == 0


def test_an_interrupt_that_comes_too_late_is_nothing(kernel):
    kernel.send(INTERRUPT, 0, struct.pack("=Q", 4242))
    kernel.run()
    assert kernel.replies == {} and kernel.notices == []


def test_a_reader_of_the_log_waits_and_is_interrupted_or_told(kernel):
    node, handle = kernel.open("shop/dev/kmsg")
    assert kernel.read(handle, node)[1] == b"6,0,1000000,-;ready\n"
    body = kernel.read_body(handle, 21)
    first, second = kernel.send(READ, node, body), None
    kernel.run()
    kernel.send(INTERRUPT, 0, struct.pack("=Q", first))
    kernel.run()
    assert kernel.replies.pop(first)[0] == errno.EINTR
    second = kernel.send(READ, node, body)
    kernel.run()
    kernel.shop.line("next")
    kernel.take()
    assert kernel.replies.pop(second) == (0, b"6,1,1000001,-;next\n")
    assert kernel.read(handle, node, 42, flags=os.O_NONBLOCK)[0] == errno.EAGAIN


def test_seek_end_in_the_log_is_seen_by_its_question_for_the_size(kernel):
    node, handle = kernel.open("shop/dev/kmsg")
    assert kernel.call(GETATTR, node, struct.pack("=IIQ", 1, 0, handle))[0] == 0
    assert kernel.read(handle, node, 0, flags=os.O_NONBLOCK)[0] == errno.EAGAIN
    valid = struct.unpack_from("=Q", kernel.call(GETATTR, node, struct.pack("=IIQ", 0, 0, 0))[1])[0]
    assert valid == 0, "so that it is asked each time"


def test_lseek(kernel):
    node, handle = kernel.open(ENABLED)
    assert kernel.call(LSEEK, node, struct.pack("=QQII", handle, 0, os.SEEK_HOLE, 0)) == (0, struct.pack("=Q", 4096))
    assert kernel.errno(LSEEK, node, struct.pack("=QQII", handle, 4096, os.SEEK_DATA, 0)) == errno.ENXIO
    assert kernel.errno(LSEEK, node, struct.pack("=QQII", 0, 0, os.SEEK_DATA, 0)) == errno.EINVAL


@pytest.mark.parametrize("op, number", [
    (SYMLINK, errno.EPERM), (MKDIR, errno.EPERM), (UNLINK, errno.EPERM), (RMDIR, errno.EPERM), (RENAME, errno.EPERM),
    (RENAME2, errno.EPERM), (LINK, errno.EPERM), (CREATE, errno.EACCES), (IOCTL, errno.ENOTTY),
    (FALLOCATE, errno.EOPNOTSUPP), (COPY_FILE_RANGE, errno.EXDEV), (FSYNCDIR, errno.EINVAL), (FSYNC, 0),
    (TMPFILE, errno.ENOSYS), (STATX, errno.ENOSYS), (200, errno.ENOSYS), (DESTROY, 0)])
def test_what_sysfs_does_not_do_is_refused_as_it_does(kernel, op, number):
    assert kernel.errno(op, kernel.lookup("shop"), bytes(64)) == number


def test_mknod_of_a_file_is_eacces_and_of_a_fifo_eperm(kernel):
    assert kernel.errno(MKNOD, 1, struct.pack("=IIII", stat.S_IFREG, 0, 0, 0) + b"x\0") == errno.EACCES
    assert kernel.errno(MKNOD, 1, struct.pack("=IIII", stat.S_IFIFO, 0, 0, 0) + b"x\0") == errno.EPERM


def test_statfs(kernel):
    body = kernel.call(STATFS)[1]
    assert len(body) == 80 and struct.unpack_from("=QQQQQIIII", body) == (0, 0, 0, 0, 0, 4096, 255, 4096, 0)


def setattr_body(valid, size=0, atime=0, mtime=0, mode=0, uid=0, gid=0):
    return struct.pack("=IIQQQQQQIIIIIIII", valid, 0, 0, size, 0, atime & (1 << 64) - 1, mtime & (1 << 64) - 1, 0, 0, 0,
                       0, mode, 0, uid, gid, 0)


def test_chmod_chown_utime_stick_and_truncate_changes_nothing(kernel):
    node = kernel.lookup(ENABLED)
    kernel.call(SETATTR, node, setattr_body(1 | 2 | 4, mode=0o600, uid=1, gid=2))
    kernel.call(SETATTR, node, setattr_body(16 | 32, atime=5, mtime=-7))
    number, body = kernel.call(SETATTR, node, setattr_body(8, size=10))
    _, size, _, atime, mtime, _ = struct.unpack_from("=QQQQqq", body, 16)
    mode, _, uid, gid = struct.unpack_from("=IIII", body, 16 + 60)
    assert (number, size, oct(mode), uid, gid, atime, mtime) == (0, 4096, "0o100600", 1, 2, 5, -7)


def test_extended_attributes(kernel):
    node = kernel.lookup(ENABLED)
    assert kernel.errno(SETXATTR, node, struct.pack("=II", 1, 0) + b"user.a\0v") == errno.ENOTSUP
    assert kernel.errno(SETXATTR, node, struct.pack("=II", 3, 0) + b"trusted.a\0a\0b") == 0
    assert kernel.call(GETXATTR, node, struct.pack("=II", 0, 0) + b"trusted.a\0") == (0, struct.pack("=II", 3, 0))
    assert kernel.call(GETXATTR, node, struct.pack("=II", 9, 0) + b"trusted.a\0") == (0, b"a\0b")
    assert kernel.errno(GETXATTR, node, struct.pack("=II", 2, 0) + b"trusted.a\0") == errno.ERANGE
    assert kernel.errno(GETXATTR, node, struct.pack("=II", 2, 0) + b"user.a\0") == errno.ENODATA
    assert kernel.call(LISTXATTR, node, struct.pack("=II", 99, 0)) == (0, b"trusted.a\0")
    assert kernel.call(LISTXATTR, node, struct.pack("=II", 99, 0), uid=1000) == (0, b"")
    assert (
        kernel.errno(REMOVEXATTR, node, b"trusted.a\0") == 0
        and kernel.errno(REMOVEXATTR, node, b"user.a\0") == errno.ENOTSUP
    )


def test_a_link_is_read(kernel):
    kernel.shop.module("h", holders=("m",))
    assert kernel.call(READLINK, kernel.lookup("shop/sys/module/h/holders/m")) == (0, b"../../m")
    assert kernel.errno(READLINK, kernel.lookup("shop")) == errno.EINVAL


@pytest.mark.parametrize("op, size", [(READDIR, 4096), (READDIR, 64), (READDIRPLUS, 4096), (READDIRPLUS, 200)])
def test_a_folder_is_listed_with_numbers_and_types_however_small_the_place(kernel, op, size):
    node = kernel.lookup("shop/sys/kernel/livepatch/lp1")
    listed = kernel.names(node, op, size)
    assert [name for name, _, _ in listed[:2]] == [".", ".."] and listed[0][1] == node
    assert {name: kind for name, _, kind in listed[2:]} == {
        **dict.fromkeys(("enabled", "transition", "force", "replace", "stack_order"), 8),
        **dict.fromkeys(("vmlinux", "mod1", "mod2"), 4),
    }
    assert all(ino == kernel.lookup(f"shop/sys/kernel/livepatch/lp1/{name}") for name, ino, _ in listed[2:])


def test_what_readdirplus_gave_is_freed_only_when_it_was_forgotten(kernel):
    top = kernel.lookup("shop/sys/kernel/livepatch/lp1")
    names = {name: ino for name, ino, _ in kernel.names(top, READDIRPLUS)}
    kernel.shop.delete("lp1")
    assert names["enabled"] in kernel.table.by_id
    kernel.end.send(struct.pack("=IIQQIIIHH", 40 + 8 + 32, BATCH_FORGET, 0, 0, 0, 0, 0, 0, 0)
                    + struct.pack("=IIQQQQ", 2, 0, names["enabled"], 1, names["force"], 1))
    kernel.run()
    assert (
        names["enabled"] not in kernel.table.by_id
        and names["force"] not in kernel.table.by_id
        and names["transition"] in kernel.table.by_id
    )
    kernel.send(FORGET, top, struct.pack("=Q", 1))
    kernel.run()
    assert top not in kernel.table.by_id and kernel.replies == {}, "FORGET has no answer"


def test_readdirplus_gives_no_entry_for_a_name_that_is_asked_for_anyway(kernel):
    """Node 0: the kernel takes the name and the number, and keeps nothing."""
    top = kernel.lookup("shop/sys/kernel/livepatch/lp1")
    inner = kernel.table.by_id[top].children[b"vmlinux"]
    body = kernel.call(READDIRPLUS, top, kernel.read_body(0))[1]
    assert inner.lookups == 0 and b"vmlinux" in body and struct.pack("=Q", inner.ino) in body


@pytest.mark.parametrize("path, seconds", [
    ("shop", 0), ("shop/sys/kernel/livepatch", 3600), ("shop/sys/kernel/livepatch/lp1", 0), (ENABLED, 3600),
    ("shop/sys/kernel/livepatch/lp1/mod1", 0), ("shop/sys/kernel/livepatch/lp1/mod1/patched", 3600),
    ("shop/sys/module/m", 0), ("shop/sys/module/m/parameters/x", 0), ("shop/sys/module/m/refcnt", 0),
    (".exec/shop", 3600), (".exec/shop/proc/.klpfs", 0),  # what a session has there ends with the daemon
    ("shop/proc/4711", 0), ("shop/proc/4711/cmdline", 0), ("shop/proc/4711/task/100", 0), ("shop/insmod", 3600)])
def test_the_kernel_asks_each_time_for_names_that_may_go_and_texts_that_may_grow(kernel, path, seconds):
    parent, _, name = path.rpartition("/")
    body = kernel.call(LOOKUP, kernel.lookup(parent) if parent else 1, os.fsencode(name) + b"\0")[1]
    assert struct.unpack_from("=Q", body, 16)[0] == seconds


def test_a_lookup_gives_the_attributes_of_now(kernel):
    """Though the answer is kept, for it is given often."""
    parent, name = kernel.lookup("shop/sys/kernel"), b"livepatch\0"

    def looked_up():
        body = kernel.call(LOOKUP, parent, name)[1]
        mode, links = struct.unpack_from("=II", body, 40 + 60)
        return oct(mode), links, struct.unpack_from("=Q", body, 16)[0]
    first = looked_up()
    kernel.shop.add("lp3")
    assert (first, looked_up()) == (("0o40755", 4, 3600), ("0o40755", 5, 3600))
    kernel.shop.delete("lp3")
    kernel.call(SETATTR, kernel.lookup("shop/sys/kernel/livepatch"), setattr_body(1, mode=0o700))
    assert looked_up() == ("0o40700", 4, 3600)
    kernel.shop.add("lp4", transition=True)
    parent, name = kernel.lookup("shop/sys/kernel/livepatch/lp4/mod1"), b"func_1,1\0"
    assert looked_up()[2] == 0
    kernel.shop.change("lp4", transition=False)
    assert looked_up()[2] == 3600
    kernel.run()
    kernel.notices.clear()


PRUNED = 9


def pruned(kernel):
    """The numbers of the nodes that the kernel was asked to forget."""
    kernel.wait_for(lambda: any(code == PRUNED for code, _ in kernel.notices))
    found = [body for code, body in kernel.notices if code == PRUNED]
    kernel.notices[:] = [notice for notice in kernel.notices if notice[0] != PRUNED]
    return [number for body in found for number in struct.unpack_from(f"={(len(body) - 16) // 8}Q", body, 16)]


def test_what_has_gone_the_kernel_is_asked_to_forget(kernel):
    """Children first; and its parent's link count has changed, which is said before any answer."""
    parent, top = kernel.lookup("shop/sys/kernel/livepatch"), kernel.lookup("shop/sys/kernel/livepatch/lp1")
    inner = kernel.lookup("shop/sys/kernel/livepatch/lp1/mod1")
    kernel.shop.delete("lp1")
    kernel.take()
    assert kernel.notices.pop() == (2, struct.pack("=Qqq", parent, -1, 0))
    assert pruned(kernel) == sorted([top, inner], reverse=True)


def test_what_the_kernel_never_saw_is_not_told(kernel):
    kernel.shop.delete("lp1")
    kernel.run()
    assert kernel.notices == []


def test_a_new_patch_makes_the_kernel_ask_for_the_parents_links_again(kernel):
    parent = kernel.lookup("shop/sys/kernel/livepatch")
    kernel.shop.add("lp9")
    kernel.wait_for(lambda: kernel.notices)
    assert kernel.notices == [(2, struct.pack("=Qqq", parent, -1, 0))]


def test_no_answer_waits_for_the_kernel_to_forget(kernel):
    """Whoever holds a folder: who reads that a patch has gone finds no folder, and neither waits."""
    node, handle = kernel.open("shop/sys/kernel/livepatch/lp2/enabled")
    kernel.lookup("shop/sys/kernel/livepatch/lp1")
    kernel.shop.delete("lp1")
    read = kernel.send(READ, node, kernel.read_body(handle))
    kernel.run(1)
    assert kernel.replies.pop(read) == (0, b"1\n")
    parent = kernel.lookup("shop/sys/kernel/livepatch")
    assert kernel.errno(LOOKUP, parent, b"lp1\0") == errno.ENOENT
    assert [n for n, _, _ in kernel.names(parent)] == [".", "..", "lp2"]


def test_a_file_of_a_removed_folder_that_is_held_is_not_found_by_its_name(kernel):
    """The kernel may believe the name: it is sent back to look again. What is opened by a descriptor is not looked up:
    ENODEV, as sysfs has it."""
    top, node = kernel.lookup("shop/sys/kernel/livepatch/lp1"), kernel.lookup(ENABLED)
    kernel.shop.delete("lp1")
    for task in (7, 8):
        number, _ = kernel.call(OPEN, node, struct.pack("=II", 0, 0), pid=task)
        assert number == errno.ESTALE
    assert kernel.errno(LOOKUP, top, b"enabled\0") == errno.ENOENT
    number, _ = kernel.call(OPEN, node, struct.pack("=II", 0, 0), pid=7)
    assert number == errno.ENODEV, "again, without a lookup: by a held descriptor"


def test_held_nodes_after_removal(kernel):
    top = kernel.lookup("shop/sys/kernel/livepatch/lp1")
    node, handle = kernel.open(ENABLED, os.O_RDWR)
    kernel.shop.delete("lp1")
    assert (
        kernel.read(handle, node)[0] == errno.ENODEV
        and kernel.call(WRITE, node, kernel.write_body(handle, b"1"))[0] == errno.ENODEV
    )
    assert (
        kernel.errno(GETATTR, node, struct.pack("=IIQ", 0, 0, 0)) == 0
        and kernel.errno(GETATTR, top, struct.pack("=IIQ", 0, 0, 0)) == 0
    )
    assert kernel.errno(GETATTR, node, struct.pack("=IIQ", 1, 0, handle)) == errno.ENODEV, "SEEK_END"
    assert (
        kernel.call(READDIR, top, kernel.read_body(0)) == (0, b"")
        and kernel.errno(LOOKUP, top, b"enabled\0") == errno.ENOENT
    )


def test_poll_and_its_notice(kernel):
    node, handle = kernel.open("shop/sys/kernel/livepatch/lp1/transition")
    body = struct.pack("=QQII", handle, 99, 1, select.POLLPRI)
    assert kernel.call(POLL, node, body) == (0, struct.pack("=II", 0x145 | 0xA, 0))
    kernel.read(handle, node)
    assert kernel.call(POLL, node, body) == (0, struct.pack("=II", 0x145, 0))
    kernel.shop.change("lp1", transition=True)
    kernel.take()
    assert kernel.notices == [(1, struct.pack("=Q", 99))]
    assert kernel.call(POLL, node, body) == (0, struct.pack("=II", 0x145 | 0xA, 0))


def test_an_answer_that_nobody_waits_for_gives_back_what_was_in_it(kernel, monkeypatch):
    """The caller was killed: the kernel takes no answer (ENOENT), and will not forget or release."""
    top, opened = kernel.lookup("shop/sys/kernel/livepatch/lp1"), len(kernel.session._opened)
    node = kernel.lookup(ENABLED)
    before = kernel.table.by_id[node].lookups

    def gone(fd, data):
        raise OSError(errno.ENOENT, "gone")
    monkeypatch.setattr("klpfs.fs.fuse._write", gone)
    monkeypatch.setattr("klpfs.fs.fuse.os.write", gone)
    kernel.send(LOOKUP, top, b"enabled\0")
    kernel.send(OPEN, node, struct.pack("=II", 0, 0))
    kernel.send(READDIRPLUS, top, kernel.read_body(0))
    kernel.run()
    assert kernel.table.by_id[node].lookups == before and len(kernel.session._opened) == opened


def test_what_has_arrived_is_taken_in_before_an_answer(kernel, monkeypatch):
    """Also for a request that was read behind a RELEASE, without another wait."""
    node, handle = kernel.open(ENABLED)
    told, tell = socket.socketpair()
    kernel.loop.add(told.fileno(), lambda events: (told.recv(9), kernel.shop.change("lp1", enabled=False)))
    kernel.send(RELEASE, node, struct.pack("=QIIQ", 12345, 0, 0, 0))
    read = kernel.send(READ, node, kernel.read_body(handle))
    release = fuse._OPERATIONS[RELEASE]

    def event_arrives_late(session, header, message):
        tell.send(b"!")
        return release(session, header, message)
    monkeypatch.setitem(fuse._OPERATIONS, RELEASE, event_arrives_late)
    kernel.run(1)
    assert kernel.replies.pop(read) == (0, b"0\n")
    told.close()
    tell.close()


def test_however_many_agents_have_something_to_say(kernel):
    """More than the loop looks at in its short way: each is taken in before the request that was there with them."""
    pairs, seen = [socket.socketpair() for _ in range(150)], []
    for told, _ in pairs:
        kernel.loop.add(told.fileno(), lambda events, told=told: seen.append(told.recv(1)))
    node, handle = kernel.open("shop/dev/kmsg", os.O_WRONLY)
    kernel.table.by_id[node].write = lambda text: (seen.append(text), kernel.loop.stop(), None)[2]
    for _, tell in pairs:
        tell.send(b"!")
    kernel.send(WRITE, node, kernel.write_body(handle, b"request"))
    kernel.loop.run()
    assert seen == [b"!"] * 150 + [b"request"]
    for pair in pairs:
        kernel.loop.remove(pair[0].fileno())
        for end in pair:
            end.close()
    kernel.take()
    kernel.replies.clear()


def test_tasks_are_asked_for_before_a_lookup_and_a_listing(kernel):
    assert [n for n, _, _ in kernel.names(kernel.lookup("shop/proc/4711/task"))] == [".", "..", "100", "101"]
    _, body = kernel.call(LOOKUP, kernel.lookup("shop/proc/4711/task"), b"100\0")
    assert struct.unpack_from("=Q", body, 16)[0] == 0, "their names are not cached"


def test_the_kernel_is_told_to_drop_a_task_that_has_ended(kernel, monkeypatch):
    """Else both would keep something of each for as long as there is memory."""
    monkeypatch.setattr("klpfs.fs.tree.FRESH", 0.0)
    parent, task = kernel.lookup("shop/proc/4711/task"), kernel.lookup("shop/proc/4711/task/101")
    kernel.shop.tasks.remove((101, "worker"))
    assert kernel.errno(LOOKUP, parent, b"101\0") == errno.ENOENT
    assert task in pruned(kernel)
    kernel.send(FORGET, task, struct.pack("=Q", 1))
    kernel.run()
    assert task not in kernel.table.by_id


def test_an_unmount_ends_the_session(kernel):
    kernel.end.close()
    kernel.loop.run_once(0)
    assert kernel.ended == [1]


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ECONNABORTED])
def test_an_unmount_is_what_the_kernel_calls_it(kernel, monkeypatch, code):
    """ECONNABORTED where the connection was aborted, as it may be at the last close after a lazy unmount."""
    def read(*arguments):
        raise OSError(code, "")
    monkeypatch.setattr(fuse, "_read", read)
    kernel.session.serve()
    assert kernel.ended == [1] and kernel.said == []


def test_random_bytes_do_no_harm(kernel):
    """What the kernel would never send is answered by an error, and a line."""
    node = kernel.lookup(ENABLED)
    for op in range(60):
        for body in (b"", b"\0", b"\xff" * 7, b"\xff" * 200):
            if op in (INTERRUPT, FORGET, BATCH_FORGET) and len(body) < 200:
                continue
            kernel.send(op, node, body)
            kernel.run(1)
    kernel.said.clear()
    kernel.replies.clear()
    assert kernel.read(*reversed(kernel.open("shop/sys/kernel/livepatch/lp2/enabled")))[1] == b"1\n"
