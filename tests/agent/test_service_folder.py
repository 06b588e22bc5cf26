"""What an agent does in its service's folder: dead sockets, what an earlier run left, contents."""
import errno
import fcntl
import hashlib
import os

import pytest

from klpfs.agent import service_folder
from klpfs.agent.server import bind
from klpfs.protocol import life, record_text
from klpfs.protocol.folder import Folder

PATCH = {"name": "lp", "n": 3, "sha256": "s", "params": {}, "fingerprints": ""}
MODULE = {"name": "lp", "sha256": "s", "params": {}, "livepatch": True, "path": "", "uses": [], "forced": False}


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


def left(folder, **more):
    """A journal as an earlier run left it."""
    service_folder.replace(folder, dict(record_text.idle(7), patches=[PATCH], modules=[MODULE], **more))


def begun(folder, keep):
    sock, name = bind(folder)
    try:
        service_folder.begin(folder, name, keep)
    finally:
        sock.close()
    return record_text.load(folder + "/journal")


@pytest.mark.parametrize("keep", [False, True])
def test_the_first_of_a_service(folder, keep):
    """What an earlier run left is put back to idle, or kept; a note says for the daemon which it is."""
    left(folder)
    record = begun(folder, keep)
    assert [p["name"] for p in record["patches"]] == (["lp"] if keep else []) and record["seq"] == (7 if keep else 8)
    assert os.path.exists(folder + "/keep") == keep
    assert begun(folder, False)["patches"] == [] and not os.path.exists(folder + "/keep")


def test_what_was_under_way_is_ended(folder):
    """Nobody lives who could be in its way: what was started is finished."""
    left(folder, transition={"n": 9, "patch": "lp", "dir": 0, "turn": 1, "step": "start", "replace": False,
                             "forced": False})
    record = begun(folder, True)
    assert (record["patches"], record["modules"], record["transition"], record["seq"]) == ([], [], None, 8)


@pytest.mark.parametrize("socket_is", ["refuses", "removed"])
def test_beside_a_process_that_lives_and_has_no_socket(folder, socket_is):
    """A program that has closed its descriptors, and has none left for another: what it has in force stays decided."""
    left(folder)
    sock, name = bind(folder)
    life.note(Folder(folder), name)
    sock.close()
    if socket_is == "removed":
        os.unlink(f"{folder}/{name}")
    assert begun(folder, False)["seq"] == 7 and service_folder.living(folder, [name]) == (
        [name] if socket_is == "refuses" else [])
    life.forget(Folder(folder), name)
    assert begun(folder, False)["seq"] == 8


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user")
def test_a_socket_that_may_not_be_asked_is_a_processs(tmp_path):
    """A worker that runs as another user of the group: its socket is for itself and root."""
    folder = str(tmp_path / "shop")
    os.mkdir(folder)
    left(folder)
    os.chmod(tmp_path, 0o755)
    os.chown(folder, 65534, 65534)
    os.chmod(folder, 0o3770)
    sock, name = bind(folder)
    pid = os.fork()
    if not pid:
        try:
            os.chdir(folder)
            os.setresuid(65534, 65534, 65534)
            os._exit(2 if service_folder.answers(".", name) else 1)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    sock.close()


def test_beside_others(folder):
    """One that comes while others live changes nothing but that the service is to be kept; the dead go."""
    left(folder)
    other, name = bind(folder)
    dead, gone = bind(folder)
    dead.close()
    assert begun(folder, False)["seq"] == begun(folder, True)["seq"] == 7
    assert (
        os.path.exists(folder + "/keep")
        and os.path.exists(f"{folder}/{name}")
        and not os.path.exists(f"{folder}/{gone}")
    )
    other.close()


def test_while_somebody_coordinates(folder, monkeypatch):
    """Who holds the lock lives: nothing is done, after a while."""
    left(folder)
    monkeypatch.setattr(service_folder, "TRIES", 2)
    with open(folder + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert begun(folder, False)["seq"] == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_service_of_another_user(folder):
    """Is for its own processes to begin."""
    left(folder)
    os.chown(folder, 54321, -1)
    os.chown(folder + "/journal", 54321, -1)
    assert begun(folder, False)["seq"] == 7 and not os.path.exists(folder + "/lock")


def test_sockets_made_for_children(folder):
    """Those of the dead are removed, those on which somebody listens stay, others' are not looked at."""
    alive, dead, others = bind(folder), bind(folder), bind(folder)
    dead[0].close()
    others[0].close()
    assert service_folder.living(folder, [alive[1], dead[1], "gone.sock"]) == [alive[1]]
    assert sorted(os.listdir(folder)) == sorted([alive[1], others[1]])
    alive[0].close()


@pytest.mark.parametrize("mask", [0o777, 0])
def test_a_socket_is_its_users_whatever_the_mask(folder, mask):
    before = os.umask(mask)
    try:
        sock, name = bind(folder)
    finally:
        os.umask(before)
    assert os.stat(f"{folder}/{name}").st_mode & 0o777 == 0o600
    sock.close()


def test_contents(folder):
    """What lies under its hash, when it is that; a fifo or a link in its place is nothing, and holds nobody up."""
    sha = hashlib.sha256(b"text").hexdigest()
    path = f"{folder}/{sha}"
    assert service_folder.content(folder, sha) is None and service_folder.content(folder, "../x") is None
    os.mkfifo(path)
    assert service_folder.content(folder, sha) is None
    os.unlink(path)
    os.symlink("/dev/zero", path)
    assert service_folder.content(folder, sha) is None
    os.unlink(path)
    for data, found in ((b"other", None), (b"text", b"text")):
        with open(path, "wb") as file:
            file.write(data)
        assert service_folder.content(folder, sha) == found


# ---- what others have put there

@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
@pytest.mark.parametrize("name", ["lock", "journal", "keep"])
def test_what_is_no_file(folder, tmp_path, name, kind):
    """Nothing is waited for, followed or written to; a journal or a lock of that kind is named."""
    folder += "/svc"
    os.mkdir(folder)
    (tmp_path / "target").write_text("root's")
    {"fifo": os.mkfifo, "link": lambda path: os.symlink(tmp_path / "target", path), "folder": os.mkdir}[kind](
        f"{folder}/{name}")
    sock, own = bind(folder)
    try:
        if name == "keep" and kind != "folder":
            service_folder.begin(folder, own, True)
            assert os.path.isfile(folder + "/keep") and not os.path.islink(folder + "/keep")
        else:
            with pytest.raises(OSError) as caught:
                service_folder.begin(folder, own, True)
            assert caught.value.errno == (errno.EISDIR if name == "keep" else errno.EIO)
    finally:
        sock.close()
    assert (tmp_path / "target").read_text() == "root's"


def test_a_journal_of_another_service(folder):
    """Copied here, or the folder was renamed: it is left as it is, by name."""
    said = b"klpfs 2\nseq 7\nservice bank\nend\n"
    with open(folder + "/journal", "wb") as file:
        file.write(said)
    with pytest.raises(record_text.OtherService, match="of service 'bank'"):
        begun(folder, False)
    with open(folder + "/journal", "rb") as file:
        assert file.read() == said


def test_a_link_to_a_socket_is_nobodys(folder, tmp_path):
    """It is another service's process: nobody lives here because of it, and it is not connected to."""
    (tmp_path / "other").mkdir()
    other, name = bind(str(tmp_path / "other"))
    os.symlink(f"{tmp_path}/other/{name}", folder + "/x.sock")
    assert not service_folder.answers(folder, "x.sock")
    with pytest.raises(BlockingIOError):
        other._accept()
    left(folder)
    assert begun(folder, False)["patches"] == [] and not os.path.lexists(folder + "/x.sock")
    assert service_folder.answers(str(tmp_path / "other"), name)
    other.close()


def test_without_descriptors_nobody_is_dead(folder, monkeypatch):
    """A failure of ours says nothing of others: their sockets stay."""
    other, name = bind(folder)

    def refuse(self, name):
        raise OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(service_folder.Folder, "look_socket", refuse)
    assert service_folder.living(folder, [name]) == [name]
    with pytest.raises(OSError):
        service_folder.sweep(folder, "")
    monkeypatch.undo()
    assert os.path.exists(f"{folder}/{name}")
    other.close()


def test_a_sparse_content_is_not_read(folder, monkeypatch):
    with open(f"{folder}/{'a' * 64}", "wb") as file:
        file.truncate(6 * 10 ** 9)
    assert service_folder.content(folder, "a" * 64) is None
