"""dev/kmsg answers as the kernel's device does."""
import errno
import os

import pytest

from klpfs.fs.kmsg import Kmsg, record_line
from klpfs.fs.nodes import Later, Table
from klpfs.service.log_ring import LogRecord, LogView


@pytest.fixture
def log():
    log = LogView(size=4)
    for i in range(3):
        log.add(1000 + i, 6, f"line {i}")
    return log


@pytest.fixture
def kmsg(log):
    table = Table()
    return Kmsg(table, table.root, "kmsg", 0o644, log, lambda data: log.add(2000, 4, data.decode()) and None)


@pytest.fixture
def voices(log):
    """voices(**more): a kmsg with lines of the service, and of modules in the processes 7 and 8."""
    log.size = 20

    def make(**more):
        table = Table()
        return Kmsg(table, table.root, "kmsg", 0o644, log, None, **more)
    for pid in (7, 8, 0, 8, 7):
        log.add(3000, 6, f"of {pid}", pid)
    return make


def refused(number, call, *args):
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number


def read(file, at=None):
    return file.read(8192, file.at if at is None else at, os.O_NONBLOCK)


def test_one_record_a_read(kmsg):
    f = kmsg.open(0)
    assert [read(f) for _ in range(3)] == [b"6,0,1000,-;line 0\n", b"6,1,1001,-;line 1\n", b"6,2,1002,-;line 2\n"]


@pytest.mark.parametrize("text", ["x" * 10_000, "\xe9" * 3_000, "\\" * 3_000, "x" + "\xe9" * 3_000,
                                  "xx" + "\n" * 3_000],
                         ids=lambda text: ascii(text[-1]) + str(len(text)))
def test_a_long_line_is_cut(text):
    """As the kernel cuts it, and between escapes, if a line is longer than a log's are."""
    line = record_line(LogRecord(2, 3000, 6, text))
    assert len(line) <= 8192 and len(line) > 8180 and line.endswith(b"\n")
    body = line.rstrip(b"\n").partition(b";")[2]
    assert not body.rpartition(b"\\x")[1] or len(body.rpartition(b"\\x")[2]) >= 2


@pytest.mark.parametrize("text, shown", [
    ("x" * 10_000, b"x" * 1024), ("x" + "\xe9" * 3_000, b"x" + b"\\xc3\\xa9" * 511), ("\\" * 3_000, b"\\x5c" * 1024),
    ("\udcff" * 3_000, b"\\xff" * 1024), ("\n" * 3_000, b"\\x0a" * 1024), ("\x9b" * 3_000, b"\\xc2\\x9b" * 512)],
    ids=lambda text: ascii(text[-1:]))
def test_a_reader_never_gets_einval_for_somebody_s_long_line(log, kmsg, text, shown):
    """1,024 bytes of it, and between two characters; the next line is there."""
    log.add(3000, 6, text)
    log.add(4000, 6, "the next")
    f = kmsg.open(0)
    line, following = [read(f) for _ in range(4)][2:]
    assert line == b"6,3,3000,-;" + shown + b"\n" and len(line) <= 8192
    assert following.endswith(b";the next\n")


def test_a_line_that_has_no_bytes(log, kmsg):
    """A lone surrogate, as a program's text may have one, does not end the reading."""
    log.add(3000, 6, "a\ud800")
    f = kmsg.open(0)
    assert [read(f) for _ in range(4)][3].endswith(b";a\\x5cud800\n")


@pytest.mark.parametrize("text, shown", [("a\\b", rb"a\x5cb"), ("a\nb", rb"a\x0ab"), ("\xe9", rb"\xc3\xa9"),
                                         ("\x7f", rb"\x7f")])
def test_what_is_not_plain_is_shown_by_its_bytes(text, shown):
    assert record_line(LogRecord(1, 2, 3, text)) == b"3,1,2,-;" + shown + b"\n"


def test_at_the_end_a_reader_that_does_not_wait_gets_eagain(kmsg):
    f = kmsg.open(0)
    for _ in range(3):
        read(f)
    refused(errno.EAGAIN, read, f)


def test_at_the_end_a_reader_waits_for_the_next_record(kmsg, log):
    f = kmsg.open(0)
    f.seek_end()
    later = f.read(8192, 0, 0)
    assert isinstance(later, Later) and not later.future.done()
    log.add(3000, 6, "new")
    kmsg.wake()
    assert later.finish(later.future.result()) == b"6,3,3000,-;new\n"


def test_of_two_that_wait_both_get_it(kmsg, log):
    files = [kmsg.open(0), kmsg.open(0)]
    for f in files:
        f.seek_end()
    laters = [f.read(8192, 0, 0) for f in files]
    log.add(3000, 6, "new")
    kmsg.wake()
    assert [later.finish(later.future.result()) for later in laters] == [b"6,3,3000,-;new\n"] * 2


def test_a_wake_without_a_record_makes_it_wait_on(kmsg):
    f = kmsg.open(0)
    f.seek_end()
    later = f.read(8192, 0, 0)
    kmsg.wake()
    assert isinstance(later.finish(later.future.result()), Later)


def test_an_interrupted_reader_does_not_stop_the_others(kmsg, log):
    f = kmsg.open(0)
    f.seek_end()
    later = f.read(8192, 0, 0)
    assert later.future.cancel()
    log.add(3000, 6, "new")
    kmsg.wake()
    assert read(f) == b"6,3,3000,-;new\n"


def test_one_that_fell_behind_gets_epipe_once_and_goes_on_with_the_oldest(kmsg, log):
    f = kmsg.open(0)
    for i in range(10):
        log.add(4000 + i, 6, f"more {i}")
    refused(errno.EPIPE, read, f)
    assert read(f) == b"6,9,4006,-;more 6\n"


def test_a_place_too_small_is_einval_and_the_record_is_passed_over(kmsg):
    f = kmsg.open(0)
    refused(errno.EINVAL, f.read, 5, 0, 0)
    assert read(f) == b"6,1,1001,-;line 1\n"


def test_seeking(kmsg, log):
    f = kmsg.open(0)
    assert read(f, 0).endswith(b"line 0\n") and read(f).endswith(b"line 1\n")
    assert read(f, 0).endswith(b"line 0\n"), "SEEK_SET"
    f.seek_end()
    refused(errno.EAGAIN, read, f, 0)
    log.add(3000, 6, "new")
    assert read(f, 0) == b"6,3,3000,-;new\n", "SEEK_END"
    assert f.seek(0, os.SEEK_DATA) == 0 and read(f, 0).endswith(b"line 0\n")
    refused(errno.ESPIPE, f.seek, 1, os.SEEK_DATA)
    refused(errno.EINVAL, f.seek, 0, os.SEEK_HOLE)


def test_poll(kmsg, log):
    f = kmsg.open(0)
    assert f.poll() == 0x41
    f.seek_end()
    assert f.poll() == 0
    log.add(3000, 6, "new")
    assert f.poll() == 0x41
    for _ in range(9):
        log.add(3000, 6, "more")
    assert f.poll() == 0x4B, "overrun: IN RDNORM PRI ERR"


def test_a_write_adds_a_record(kmsg, log):
    assert kmsg.open(os.O_WRONLY).write(b"hello", None) == 5
    assert log.records[-1].text == "hello"


def test_a_record_too_long_is_refused(kmsg):
    refused(errno.EINVAL, kmsg.open(os.O_WRONLY).write, b"x" * 1025, None)


def test_when_the_service_goes_who_waits_gets_enodev(kmsg):
    f = kmsg.open(0)
    f.seek_end()
    later = f.read(8192, 0, 0)
    kmsg.remove()
    refused(errno.ENODEV, later.finish, later.future.result())
    refused(errno.ENODEV, read, f)


def test_closing_ends_a_wait(kmsg):
    f = kmsg.open(0)
    f.seek_end()
    later = f.read(8192, 0, 0)
    f.close()
    assert later.future.done()


def test_read_ahead_of_who_only_writes_waits_for_no_record(kmsg):
    refused(errno.EBADF, kmsg.open(os.O_WRONLY).read, 4096, 0)
    assert read(kmsg.open(os.O_RDWR)) == b"6,0,1000,-;line 0\n"


def texts(file):
    found = []
    while True:
        try:
            found.append(read(file).decode().rstrip("\n").partition(",-")[2])
        except BlockingIOError:
            return found


def test_the_caller_is_a_field_behind_the_others_where_it_is_asked_for(voices):
    """As with the kernel's CONFIG_PRINTK_CALLER. Lines of the service have none."""
    assert texts(voices(caller=True).open(0))[3:] == [
        ",caller=T7;of 7", ",caller=T8;of 8", ";of 0", ",caller=T8;of 8", ",caller=T7;of 7"]
    assert texts(voices().open(0))[3:8] == [";of 7", ";of 8", ";of 0", ";of 8", ";of 7"]


def test_one_voice_passes_over_what_others_say(voices, log):
    f = voices(voice=lambda: 7).open(0)
    assert texts(f)[3:] == [";of 7", ";of 0", ";of 7"]
    assert f.poll() == 0
    log.add(3001, 6, "of 8", 8)
    assert f.poll() == 0, "nothing that it shows"
    refused(errno.EAGAIN, read, f)
    log.add(3002, 6, "again", 7)
    assert f.poll() == 0x1 | 0x40 and texts(f) == [";again"]


def test_who_has_the_voice_may_change(voices):
    pids = [8, 8]
    f = voices(voice=lambda: pids[0] if pids else None).open(0)
    for _ in range(3):
        read(f)
    assert read(f) == b"6,4,3000,-;of 8\n"
    pids.clear()
    assert texts(f) == [";of 0", ";of 8", ";of 7"]


def test_a_clear_holds_for_each_file_of_the_log(voices):
    one, other = voices(), voices(caller=True)
    one.clear()
    f = other.open(0)
    f.seek(0, os.SEEK_DATA)
    assert texts(f) == []
