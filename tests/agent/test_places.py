"""Where the runtime folder lies, and which folders are obeyed."""
import errno
import os

import pytest

from klpfs.agent import places


@pytest.mark.parametrize("env, root, user", [
    ({"KLPFS_RUNTIME_DIR": "/x", "XDG_RUNTIME_DIR": "/y"}, "/x", "/x"),
    ({"XDG_RUNTIME_DIR": "/y"}, "/run/klpfs", "/y/klpfs"),
    ({}, "/run/klpfs", "/tmp/klpfs-%d" % 1000),
])
def test_the_runtime_folder(monkeypatch, env, root, user):
    monkeypatch.setattr(places, "geteuid", lambda: 0)
    assert places.runtime_dir(env) == root
    monkeypatch.setattr(places, "geteuid", lambda: 1000)
    assert places.runtime_dir(env) == user


def test_a_folder_is_made_private(tmp_path):
    path = places.make_folder(str(tmp_path / "run" / "svc"))
    assert [os.stat(p).st_mode & 0o7777 for p in (path, tmp_path / "run")] == [0o700, 0o700]
    assert places.make_folder(path) == path


def refused(path):
    with pytest.raises(OSError) as e:
        places.make_folder(str(path))
    return e.value.errno == errno.EACCES


def test_folders_that_others_can_write_to_are_refused(tmp_path):
    """What lies in the folder is obeyed: EACCES for a folder of mode 0777, a link, or one whose parent others can write."""
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    assert refused(tmp_path / "open")
    assert refused(tmp_path / "open" / "svc")
    os.symlink(tmp_path, tmp_path / "link")
    assert refused(tmp_path / "link")
    os.chmod(tmp_path / "open", 0o1777)
    assert places.make_folder(str(tmp_path / "open" / "mine"))
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file")


def test_a_long_address_goes_by_way_of_a_descriptor(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    path, fd = places.address(str(folder), "a.sock")
    assert path == "/proc/self/fd/%d/a.sock" % fd and fd >= 0
    os.close(fd)
    assert places.address("/run", "a.sock") == ("/run/a.sock", -1)
