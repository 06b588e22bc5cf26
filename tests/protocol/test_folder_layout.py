"""Where the runtime folder lies, and which folders are obeyed."""
import ctypes
import errno
import os

import pytest

from klpfs.protocol import folder_layout
from klpfs.protocol.folder import Folder

USER = 65534


@pytest.mark.parametrize("env, root, user", [
    ({"KLPFS_RUNTIME_DIR": "/x", "XDG_RUNTIME_DIR": "/y"}, "/x", "/x"),
    ({"XDG_RUNTIME_DIR": "/y"}, "/run/klpfs", "/y/klpfs"),
    ({}, "/run/klpfs", "/tmp/klpfs-1000"),
])
def test_the_runtime_folder(monkeypatch, env, root, user):
    monkeypatch.setattr(folder_layout, "geteuid", lambda: 0)
    assert folder_layout.runtime_dir(env) == root
    monkeypatch.setattr(folder_layout, "geteuid", lambda: 1000)
    assert folder_layout.runtime_dir(env) == user


@pytest.mark.parametrize("owner, uid_map, user", [
    (0, b"         0       1000          1\n", 0),         # root of a container with a /run of its own
    (65534, b"         0       1000          1\n", 1000),  # unshare -Urm
    (65534, b"      1000       1000          1\n", 0),     # root is nobody there
    (65534, b"", 0)])
def test_root_of_a_user_namespace(monkeypatch, tmp_path, owner, uid_map, user):
    (tmp_path / "uid_map").write_bytes(uid_map)
    monkeypatch.setattr(folder_layout, "geteuid", lambda: 0)
    monkeypatch.setattr(folder_layout, "stat", lambda path: os.stat_result((0, 0, 0, 0, owner, 0, 0, 0, 0, 0)))
    monkeypatch.setattr(folder_layout, "open", lambda path, flags: os.open(tmp_path / path.rpartition("/")[2], flags))
    assert folder_layout.runtime_dir({}) == (f"/tmp/klpfs-{user}" if user else "/run/klpfs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_shell_of_unshare_has_the_runtime_folder_of_its_user():
    """What README says: `unshare -Urm`, and mount in there."""
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"not allowed"
        try:
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            if ctypes.CDLL(None).prctl(4, 1) == 0 and ctypes.CDLL(None).unshare(0x10000000) == 0:   # DUMPABLE, NEWUSER
                with open("/proc/self/uid_map", "w") as file:
                    file.write(f"0 {USER} 1")
                said = f"{os.geteuid()} {folder_layout.runtime_dir({})}".encode()
        finally:
            os.write(its, said)
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(ours, 1000).decode()
    os.close(ours)
    os.close(its)
    if said == "not allowed":
        pytest.skip("user namespaces are not allowed here")
    assert said == f"0 /tmp/klpfs-{USER}"


def test_a_folder_is_made_private(tmp_path):
    path = folder_layout.make_folder(str(tmp_path / "run" / "svc"))
    assert [os.stat(p).st_mode & 0o7777 for p in (path, tmp_path / "run")] == [0o700, 0o700]
    assert folder_layout.make_folder(path) == path


def refused(path):
    with pytest.raises(OSError) as e:
        folder_layout.make_folder(str(path))
    return e.value.errno == errno.EACCES


def test_folders_that_others_can_write_to_are_refused(tmp_path):
    """What lies in the folder is obeyed: EACCES for a folder of mode 0777, a link, or one whose parent others can
    write."""
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    assert refused(tmp_path / "open")
    assert refused(tmp_path / "open" / "svc")
    os.symlink(tmp_path, tmp_path / "link")
    assert refused(tmp_path / "link")
    os.chmod(tmp_path / "open", 0o1777)
    assert folder_layout.make_folder(str(tmp_path / "open" / "mine"))
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file")


def test_a_folder_for_a_group(tmp_path):
    """3770 and the group's, whatever the umask is; its parent can be passed through.

    One that is there gets the same.
    """
    group = os.getgroups()[0] if os.geteuid() else 54321
    for path in (tmp_path / "a" / "svc", tmp_path / "b" / "svc"):
        if path.parent.name == "b":
            folder_layout.make_folder(str(path))
        before = os.umask(0o777)
        try:
            folder_layout.make_folder(str(path), group)
        finally:
            os.umask(before)
        assert (path.stat().st_mode & 0o7777, path.stat().st_gid,
                path.parent.stat().st_mode & 0o777) == (0o3770, group, 0o711)
        assert folder_layout.make_folder(str(path)) == str(path) and Folder(str(path)).file_mode() == 0o640
    assert Folder(folder_layout.make_folder(str(tmp_path / "c"))).file_mode() == 0o600


def test_a_groups_folder_in_which_all_could_exchange_files_is_refused(tmp_path):
    (tmp_path / "svc").mkdir()
    os.chmod(tmp_path / "svc", 0o2770)
    assert refused(tmp_path / "svc")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_roots_folder_is_obeyed_by_others_and_nobody_elses(tmp_path, monkeypatch):
    path = folder_layout.make_folder(str(tmp_path / "svc"), 54321)
    monkeypatch.setattr(folder_layout, "geteuid", lambda: 54321)
    assert folder_layout.make_folder(path, 54321) == path
    os.chown(path, 12345, 54321)
    assert refused(path)


@pytest.mark.parametrize("group, number", [(None, None), ("", None), ("0", 0), (7, 7), ("root", 0)])
def test_groups(group, number):
    assert folder_layout.group_number(group) == number
    with pytest.raises(OSError) as e:
        folder_layout.group_number("no such group")
    assert e.value.errno == errno.EINVAL


# ---- the way to a folder

def way(tmp_path, *modes):
    """Folders of these modes, each in the one before."""
    path = tmp_path
    for mode in modes:
        path = path / "x"
        path.mkdir()
        os.chmod(path, mode)
    return path


@pytest.mark.parametrize("modes, good", [((0o755, 0o755, 0o700), True), ((0o1777, 0o755, 0o700), True),
                                         ((0o775, 0o755, 0o700), True), ((0o777, 0o755, 0o755, 0o700), False),
                                         ((0o755, 0o777, 0o755, 0o700), False)])
def test_a_folder_that_strangers_can_exchange_further_up(tmp_path, modes, good):
    """EACCES for a folder on the way to which all may write."""
    path = way(tmp_path, *modes)
    if good:
        assert folder_layout.make_folder(str(path / "run" / "svc"))
    else:
        assert refused(path / "run" / "svc") and refused(path / "svc")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_link_that_a_stranger_has_made_where_all_may(tmp_path):
    """As in /tmp: it leads where its owner likes. A link of this user's, or of root's, is good."""
    (tmp_path / "real").mkdir()
    os.chmod(way(tmp_path, 0o1777), 0o1777)
    (tmp_path / "x" / "link").symlink_to(tmp_path / "real")
    assert folder_layout.make_folder(str(tmp_path / "x" / "link" / "svc"))
    os.lchown(tmp_path / "x" / "link", 54321, -1)
    assert refused(tmp_path / "x" / "link" / "svc")
