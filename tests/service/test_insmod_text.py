"""What is written to insmod and rmmod, and the file that is opened for it."""
import errno
import os
import signal
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from klpfs.service import insmod_text
from klpfs.service.snapshots import Caller

ME = Caller(os.getpid(), os.geteuid(), os.getegid())


def fails(code, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, caught.value


@pytest.mark.parametrize("text, words", [
    (b"/a/b.py\n", ["/a/b.py"]),
    (b"  a.py\tx=1  y= ", ["a.py", "x=1", "y="]),
    (b'"a b.py" x="1 2"', ["a b.py", "x=1 2"]),
    (b'"x=1 2"', ["x=1 2"]),
    (b"'it is.py' q='\"'", ["it is.py", 'q="']),
    (b"a\\ b", ["a\\", "b"]),
    (b"a.py ''", ["a.py", ""]),
    (b"\xff.py", ["\udcff.py"])])
def test_words(text, words):
    """Blanks separate, quotes group, wherever they begin; a backslash is nothing special."""
    assert insmod_text.words(text) == words


@pytest.mark.parametrize("text", [b"", b"\n", b"  ", b"'a", b'a "b', b"a\0b", b"''"])
def test_no_words(text):
    fails(errno.EINVAL, insmod_text.words, text)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_text(text):
    """Whatever is written: words, or EINVAL."""
    try:
        assert insmod_text.words(text)
    except OSError as error:
        assert error.errno == errno.EINVAL


def test_parameters():
    """A parameter may have no value; the last of several counts; without a name: EINVAL."""
    assert insmod_text.insmod_text(b"a.py debug n=1 n=2 s='a=b c'") == ("a.py", {"debug": None, "n": "2", "s": "a=b c"})
    fails(errno.EINVAL, insmod_text.insmod_text, b"a.py =1")


@pytest.mark.parametrize("path, name", [("/x/a-b.py", "a_b"), ("a.b.py", "a"), ("a", "a"), ("./CVE-2025-27516.py", "CVE_2025_27516")])
def test_module_name(path, name):
    """As kmod makes it of a file's name."""
    assert insmod_text.module_name(path) == name


@pytest.mark.parametrize("path", ["", "/", ".py", "a/", "a\nb.py", "x" * 256])
def test_no_module_name(path):
    fails(errno.EINVAL, insmod_text.module_name, path)


def test_rmmod_text():
    assert insmod_text.rmmod_text(b"a-b\n") == "a_b"
    fails(errno.EINVAL, insmod_text.rmmod_text, b"a b")


def test_read(tmp_path):
    """The bytes, by an absolute path, or by one relative to where the writer is."""
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    assert insmod_text.read(str(tmp_path / "a.py"), ME, ME.uid) == b"x = 1\n"
    child = subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        assert insmod_text.read("a.py", Caller(child.pid, ME.uid, ME.gid), ME.uid) == b"x = 1\n"
        assert insmod_text.read("../" + tmp_path.name + "/a.py", Caller(child.pid, ME.uid, ME.gid), ME.uid) == b"x = 1\n"
    finally:
        child.communicate(b"\n")
    for path in ("a.py", str(tmp_path / "a.py")):      # of a process that can't be seen: what it means by a path can't be told
        fails(errno.EACCES, insmod_text.read, path, Caller(0, ME.uid, ME.gid), ME.uid)


def test_at_once(tmp_path):
    """A file that was just written is read without waiting; what is not there, or lies on another kind of file system, is
    left to who may wait."""
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    (tmp_path / "b.py").symlink_to("a.py")
    assert insmod_text.read_at_once(str(tmp_path / "a.py"), ME, ME.uid) == b"x = 1\n"
    assert insmod_text.read_at_once(str(tmp_path / "b.py"), ME, ME.uid) in (b"x = 1\n", None)    # a link's time of use is to be written
    assert insmod_text.read_at_once("/proc/self/comm", ME, ME.uid) is None
    assert insmod_text.read_at_once(str(tmp_path / "none.py"), ME, ME.uid) is None
    (tmp_path / "a.py").chmod(0o666)
    fails(errno.EACCES, insmod_text.read_at_once, str(tmp_path / "a.py"), ME, ME.uid)


def test_what_is_no_file(tmp_path):
    """ENOENT, EISDIR, EINVAL for a fifo (and no waiting), ELOOP, ENOTDIR, EFBIG."""
    fails(errno.ENOENT, insmod_text.read, str(tmp_path / "none"), ME, ME.uid)
    fails(errno.EISDIR, insmod_text.read, str(tmp_path), ME, ME.uid)
    os.mkfifo(tmp_path / "fifo")
    fails(errno.EINVAL, insmod_text.read, str(tmp_path / "fifo"), ME, ME.uid)
    os.symlink("loop", tmp_path / "loop")
    fails(errno.ELOOP, insmod_text.read, str(tmp_path / "loop"), ME, ME.uid)
    (tmp_path / "big").write_bytes(b"")
    os.truncate(tmp_path / "big", insmod_text.LARGEST + 1)
    fails(errno.EFBIG, insmod_text.read, str(tmp_path / "big"), ME, ME.uid)
    fails(errno.ENOTDIR, insmod_text.read, str(tmp_path / "big" / "x"), ME, ME.uid)


def test_strangers_can_write(tmp_path):
    """A file that others, a foreign group or a foreign owner can write to is refused."""
    path = tmp_path / "a.py"
    path.write_bytes(b"")
    path.chmod(0o666)
    fails(errno.EACCES, insmod_text.read, str(path), ME, ME.uid)
    path.chmod(0o664)
    assert insmod_text.read(str(path), ME, ME.uid) == b""
    if os.geteuid() == 0:
        os.chown(path, 0, 54321)
        fails(errno.EACCES, insmod_text.read, str(path), ME, ME.uid)
        os.chown(path, 54321, 0)
        path.chmod(0o644)
        fails(errno.EACCES, insmod_text.read, str(path), ME, ME.uid)


def test_strangers_of_an_acl(tmp_path):
    """Named users and groups that may write are strangers too."""
    path = tmp_path / "a.py"
    path.write_bytes(b"")

    def acl(*entries):
        rows = [(1, 6, 2 ** 32 - 1), *entries, (16, 6, 2 ** 32 - 1), (32, 4, 2 ** 32 - 1)]
        try:
            os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in sorted(rows)))
        except OSError as e:
            pytest.skip(f"no ACLs here: {e.strerror}")
    group = (4, 4, 2 ** 32 - 1)
    for entries, stranger in (((2, 6, 54321),), True), (((8, 6, 54321),), True), (((2, 6, ME.uid),), False), (((2, 4, 54321),), False):
        acl(group, *entries)
        assert path.stat().st_mode & 0o020
        if stranger:
            fails(errno.EACCES, insmod_text.read, str(path), ME, ME.uid)
        else:
            assert insmod_text.read(str(path), ME, ME.uid) == b""


def test_what_is_not_the_writers(tmp_path):
    """/dev/stdin or a shell's <(...) would be the daemon's own descriptors."""
    with open(tmp_path / "a.py", "wb") as file:
        file.write(b"x")
        file.flush()
        for path in ("/proc/self/fd/%d" % file.fileno(), "/dev/fd/%d" % file.fileno(), "/proc/%d/cwd/a.py" % os.getpid()):
            fails(errno.ELOOP, insmod_text.read, path, ME, ME.uid)
            assert insmod_text.read_at_once(path, ME, ME.uid) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that acts for another user")
def test_with_the_writers_rights(open_path):
    """What the writer may not read, root's daemon does not read for it; and it is root again afterwards."""
    path = open_path / "secret.py"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    fails(errno.EACCES, insmod_text.read, str(path), Caller(os.getpid(), 54321, 54321), 0)
    assert insmod_text.read(str(path), ME, 0) == b"secret"
    path.chmod(0o644)
    assert insmod_text.read(str(path), Caller(os.getpid(), 54321, 54321), 0) == b"secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: chroot")
def test_in_the_writers_root(tmp_path):
    """A path means what it means for the writer; symbolic links stay inside its root."""
    (tmp_path / "a.py").write_bytes(b"inside")
    (tmp_path / "b.py").symlink_to("/a.py")
    (tmp_path / "proc").mkdir()
    inside, says = os.pipe()
    pid = os.fork()
    if not pid:
        os.chroot(tmp_path)
        os.chdir("/")
        os.write(says, b"1")
        signal.pause()
    try:
        caller = Caller(pid, 0, 0)
        os.read(inside, 1)
        for path in ("/a.py", "/b.py", "a.py", "../../a.py", "./b.py"):
            assert insmod_text.read(path, caller, 0) == b"inside", path
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(inside)
        os.close(says)
