"""The file that a writer names: opened with that writer's rights, root and folder; what strangers can write to is
refused."""
import errno
import os
import signal
import struct
import subprocess
import sys

import pytest

from klpfs.service import open_as_writer
from klpfs.service.snapshots import Caller

ME = Caller(os.getpid(), os.geteuid(), os.getegid())


def fails(code, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, caught.value


def test_read(tmp_path):
    """The bytes, by an absolute path, or by one relative to where the writer is."""
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    assert open_as_writer.read(str(tmp_path / "a.py"), ME, ME.uid) == b"x = 1\n"
    child = subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        assert open_as_writer.read("a.py", Caller(child.pid, ME.uid, ME.gid), ME.uid) == b"x = 1\n"
        assert open_as_writer.read("../" + tmp_path.name + "/a.py", Caller(child.pid, ME.uid, ME.gid),
                                   ME.uid) == b"x = 1\n"
    finally:
        child.communicate(b"\n")
    # of a process that can't be seen: what it means by a path can't be told
    for path in ("a.py", str(tmp_path / "a.py")):
        fails(errno.EACCES, open_as_writer.read, path, Caller(0, ME.uid, ME.gid), ME.uid)


def test_at_once(tmp_path):
    """A file that was just written is read without waiting; what is not there, or lies on another kind of file system,
    is left to who may wait."""
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    (tmp_path / "b.py").symlink_to("a.py")
    assert open_as_writer.read_at_once(str(tmp_path / "a.py"), ME, ME.uid) == b"x = 1\n"
    # a link's time of use is to be written
    assert open_as_writer.read_at_once(str(tmp_path / "b.py"), ME, ME.uid) in (b"x = 1\n", None)
    assert open_as_writer.read_at_once("/proc/self/comm", ME, ME.uid) is None
    assert open_as_writer.read_at_once(str(tmp_path / "none.py"), ME, ME.uid) is None
    (tmp_path / "a.py").chmod(0o666)
    fails(errno.EACCES, open_as_writer.read_at_once, str(tmp_path / "a.py"), ME, ME.uid)


def test_what_is_no_file(tmp_path):
    """ENOENT, EISDIR, EINVAL for a fifo (and no waiting), ELOOP, ENOTDIR, EFBIG."""
    fails(errno.ENOENT, open_as_writer.read, str(tmp_path / "none"), ME, ME.uid)
    fails(errno.EISDIR, open_as_writer.read, str(tmp_path), ME, ME.uid)
    os.mkfifo(tmp_path / "fifo")
    fails(errno.EINVAL, open_as_writer.read, str(tmp_path / "fifo"), ME, ME.uid)
    os.symlink("loop", tmp_path / "loop")
    fails(errno.ELOOP, open_as_writer.read, str(tmp_path / "loop"), ME, ME.uid)
    (tmp_path / "big").write_bytes(b"")
    os.truncate(tmp_path / "big", open_as_writer.MAX_MODULE_BYTES + 1)
    fails(errno.EFBIG, open_as_writer.read, str(tmp_path / "big"), ME, ME.uid)
    fails(errno.ENOTDIR, open_as_writer.read, str(tmp_path / "big" / "x"), ME, ME.uid)


def test_strangers_can_write(tmp_path):
    """A file that others, a foreign group or a foreign owner can write to is refused."""
    path = tmp_path / "a.py"
    path.write_bytes(b"")
    path.chmod(0o666)
    fails(errno.EACCES, open_as_writer.read, str(path), ME, ME.uid)
    path.chmod(0o664)
    assert open_as_writer.read(str(path), ME, ME.uid) == b""
    if os.geteuid() == 0:
        os.chown(path, 0, 54321)
        fails(errno.EACCES, open_as_writer.read, str(path), ME, ME.uid)
        os.chown(path, 54321, 0)
        path.chmod(0o644)
        fails(errno.EACCES, open_as_writer.read, str(path), ME, ME.uid)


def test_strangers_of_an_acl(tmp_path):
    """Named users and groups that may write are strangers too."""
    path = tmp_path / "a.py"
    path.write_bytes(b"")

    def acl(*entries):
        rows = [(1, 6, 2 ** 32 - 1), *entries, (16, 6, 2 ** 32 - 1), (32, 4, 2 ** 32 - 1)]
        try:
            os.setxattr(path, "system.posix_acl_access",
                        struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in sorted(rows)))
        except OSError as e:
            pytest.skip(f"no ACLs here: {e.strerror}")
    group = (4, 4, 2 ** 32 - 1)
    for entries, stranger in (
        (((2, 6, 54321),), True),
        (((8, 6, 54321),), True),
        (((2, 6, ME.uid),), False),
        (((2, 4, 54321),), False),
    ):
        acl(group, *entries)
        assert path.stat().st_mode & 0o020
        if stranger:
            fails(errno.EACCES, open_as_writer.read, str(path), ME, ME.uid)
        else:
            assert open_as_writer.read(str(path), ME, ME.uid) == b""


def test_what_is_not_the_writers(tmp_path):
    """/dev/stdin or a shell's <(...) would be the daemon's own descriptors."""
    with open(tmp_path / "a.py", "wb") as file:
        file.write(b"x")
        file.flush()
        for path in (f"/proc/self/fd/{file.fileno()}", f"/dev/fd/{file.fileno()}",
                     f"/proc/{os.getpid()}/cwd/a.py"):
            fails(errno.ELOOP, open_as_writer.read, path, ME, ME.uid)
            assert open_as_writer.read_at_once(path, ME, ME.uid) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that acts for another user")
def test_with_the_writers_rights(open_path):
    """What the writer may not read, root's daemon does not read for it; and it is root again afterwards."""
    path = open_path / "secret.py"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    fails(errno.EACCES, open_as_writer.read, str(path), Caller(os.getpid(), 54321, 54321), 0)
    assert open_as_writer.read(str(path), ME, 0) == b"secret"
    path.chmod(0o644)
    assert open_as_writer.read(str(path), Caller(os.getpid(), 54321, 54321), 0) == b"secret"


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
            assert open_as_writer.read(path, caller, 0) == b"inside", path
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(inside)
        os.close(says)
