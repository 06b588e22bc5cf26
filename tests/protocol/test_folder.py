"""A service's folder in which somebody else has put things: nothing is followed, waited for, or taken for the
service's."""
import ast
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from klpfs.protocol import folder as folder_module
from klpfs.protocol.folder import Folder, mount_of, socket_address
from tests.silent import STRANGER

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(params=["by its path", "held"])
def folder(tmp_path, request):
    """A Folder whose folder is tmp_path / "svc"."""
    (tmp_path / "svc").mkdir(0o700)
    made = Folder(str(tmp_path / "svc"))
    if request.param == "held":
        hold(made)
    yield made
    made.release()


def hold(folder):
    fd = os.open(folder.path, os.O_PATH | os.O_NOFOLLOW)
    folder.hold(fd)
    os.close(fd)


def place(folder, name="file"):
    return Path(folder.path, name)


def refused(call, *arguments):
    """The errno of a call that must not wait; its OSError."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def descriptors():
    return len(os.listdir("/proc/self/fd"))


# ---- what is opened

def test_a_file_of_the_services_own(folder):
    place(folder).write_bytes(b"text")
    before = descriptors()
    assert folder.read("file", 4) == b"text" and folder.look_status("file").st_size == 4
    assert refused(folder.read, "file", 3) == errno.EFBIG
    assert refused(folder.read, "none", 3) == errno.ENOENT
    assert descriptors() == before


@pytest.mark.parametrize("name", ["", ".", "..", "../svc/file", "/etc/passwd"])
def test_a_name_is_one_of_the_folder(folder, name):
    """No way leads out of it."""
    for call in (folder.look, folder.look_socket):
        assert refused(call, name) == errno.EINVAL
    assert refused(folder.open, name, None) == refused(folder.put, "x/" + name, b"") == errno.EINVAL


def make(kind, path):
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "device":
        os.mknod(path, 0o20666, os.makedev(1, 5))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/etc/passwd" if kind == "link" else "nothing")


@pytest.mark.parametrize("kind", ["link", "link to nothing", "fifo", "folder", "socket", "device"])
def test_what_is_no_regular_file(folder, kind):
    """EIO at once; a lock or `keep` of that kind is none either."""
    if kind == "device" and os.geteuid():
        pytest.skip("needs root")
    for name in ("file", "lock", "keep"):
        make(kind, place(folder, name))
    before = descriptors()
    assert refused(folder.read, "file", 100) == errno.EIO
    assert refused(folder.open_lock) == errno.EIO and not folder.keeps
    assert descriptors() == before
    assert not place(folder, "nothing").exists()


@needs_root
def test_a_file_of_another_user(folder):
    """EIO: another user of the folder's group may have put it there."""
    for name in ("file", "lock", "keep"):
        place(folder, name).write_bytes(b"text")
        os.chown(place(folder, name), STRANGER, -1)
    assert refused(folder.read, "file", 100) == errno.EIO
    assert refused(folder.open_lock) == errno.EIO and not folder.keeps
    os.chown(folder.path, STRANGER, -1)         # it is the service's user
    assert folder.read("file", 100) == b"text" and folder.keeps
    os.close(folder.open_lock())


@needs_root
def test_another_name_of_a_file_of_roots(folder, tmp_path):
    """Where fs.protected_hardlinks is 0 a user may make one in its own folder: EIO, it is neither read nor locked."""
    (tmp_path / "secret").write_bytes(b"of root")
    os.chown(folder.path, STRANGER, -1)
    for name in ("file", "lock"):
        os.link(tmp_path / "secret", place(folder, name))
    assert refused(folder.read, "file", 100) == errno.EIO and refused(folder.open_lock) == errno.EIO
    os.chown(folder.path, 0, -1)                # in a folder of root's nobody else can have made it
    assert folder.read("file", 100) == b"of root"


def test_a_sparse_file_is_not_read(folder, monkeypatch):
    """Its size is looked at first."""
    with open(place(folder), "wb") as file:
        file.truncate(6 * 10 ** 9)
    monkeypatch.setattr(folder_module, "read_whole", lambda fd, most: pytest.fail("it is read"))
    assert refused(folder.read, "file", 1 << 20) == errno.EFBIG


def test_a_file_that_grows_while_it_is_read(folder, monkeypatch):
    place(folder).write_bytes(b"12345")
    real = folder.open

    def then_it_grows(self, name, most, flags=os.O_RDONLY):
        fd = real(name, most, flags)
        place(folder).write_bytes(b"1234567890")
        return fd
    monkeypatch.setattr(Folder, "open", then_it_grows)
    assert refused(folder.read, "file", 5) == errno.EFBIG


def test_a_name_that_changes_its_meaning(folder, monkeypatch):
    """What was looked at is opened, not what the name has come to mean."""
    place(folder).write_bytes(b"looked at")
    real = Folder.owns

    def then_it_is_a_link(self, user):
        place(folder).unlink()
        place(folder).symlink_to("/etc/passwd")
        return real(self, user)
    monkeypatch.setattr(Folder, "owns", then_it_is_a_link)
    assert folder.read("file", 1 << 20) == b"looked at"


LEASE = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK); " \
        "import signal; signal.signal(signal.SIGIO, signal.SIG_IGN); print(flush=True); sys.stdin.read()"


def test_a_lease_is_not_waited_for(folder):
    """Whoever has one can hold up an open for as long as lease-break-time, 45 s."""
    place(folder).write_bytes(b"text")
    with subprocess.Popen([sys.executable, "-c", LEASE, place(folder)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        if not holder.stdout.readline():
            pytest.skip("this file system has no leases")
        assert refused(folder.read, "file", 100) == errno.EWOULDBLOCK
        holder.stdin.close()


# ---- file systems that users mount

def at_once(call, *arguments):
    """What call gives or raises, which must be there within seconds."""
    got = []

    def run():
        try:
            got.append(call(*arguments))
        except OSError as error:
            got.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert got, "it waits"
    return got[0]


def test_the_file_system_that_is_silent_is_one(tmp_path, silent):
    """Else the next test says nothing: an lstat() waits for it."""
    silent(tmp_path, 0o40755)
    thread = threading.Thread(target=lambda: os.path.exists(tmp_path / "x"), daemon=True)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()


@pytest.mark.parametrize("mode", [0o40755, 0o100644])
def test_a_file_system_that_a_user_has_mounted_there_is_not_asked(folder, silent, mode):
    """EXDEV at once: its user may never answer."""
    for name in ("file", "lock", "keep", "a.sock"):
        place(folder, name).mkdir() if mode & 0o40000 else place(folder, name).touch()
        silent(place(folder, name), mode)
    for call, arguments in ((folder.look, ("file",)), (folder.read, ("file", 100)), (folder.open_lock, ()),
                            (folder.look_status, ("a.sock",)), (folder.look_socket, ("a.sock",))):
        assert at_once(call, *arguments).errno == errno.EXDEV
    assert at_once(lambda: folder.keeps) is False
    assert sorted(at_once(folder.names)) == ["a.sock", "file", "keep", "lock"]
    assert at_once(folder.remove, "file") is None


def test_the_number_of_a_mount(tmp_path, monkeypatch):
    """None without /proc, and for a process that may not read it: then nothing is said about mounts."""
    fd = os.open(tmp_path, os.O_PATH)
    with open("/proc/self/mountinfo") as table:
        assert mount_of(fd) in [int(line.split()[0]) for line in table]

    def refuse(code):
        def call(*arguments, **more):
            raise OSError(code, os.strerror(code))
        return call
    for code, raises in ((errno.ENOENT, False), (errno.EACCES, False), (errno.EMFILE, True)):
        monkeypatch.setattr(folder_module, "_open", refuse(code))
        assert refused(mount_of, fd) == code if raises else mount_of(fd) is None
    os.close(fd)


def test_a_file_is_opened_without_proc(folder, monkeypatch):
    """As an agent after a chroot: by its name, and only if that is still the file that was looked at."""
    real, looked = os.open, []
    place(folder, "journal").write_bytes(b"text")
    place(folder, "other").write_bytes(b"other")

    def without_proc(path, flags, *more, dir_fd=None):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, "no /proc", path)
        if looked and not flags & os.O_PATH and str(path).endswith("journal"):
            looked.pop()()
        return real(path, flags, *more, dir_fd=dir_fd)
    monkeypatch.setattr(folder_module, "_open", without_proc)
    assert folder.read("journal", 100) == b"text"
    before = descriptors()
    looked.append(lambda: os.replace(place(folder, "other"), place(folder, "journal")))
    assert refused(folder.read, "journal", 100) == errno.ESTALE
    assert descriptors() == before
    looked.append(lambda: (os.unlink(place(folder, "journal")), os.symlink("/etc/passwd", place(folder, "journal"))))
    assert refused(folder.read, "journal", 100) == errno.ELOOP


# ---- what is put, moved, removed

def test_what_is_put_is_whole_and_in_its_place(folder):
    """Also where a fifo, or a link, has its name: that is replaced, not written to."""
    target = place(folder, "target")
    target.write_bytes(b"untouched")
    place(folder, "a").symlink_to(target)
    os.mkfifo(place(folder, "b"))
    for name in ("a", "b", "c"):
        os.close(folder.put(name, b"text"))
        assert folder.read(name, 10) == b"text" and folder.look_status(name).st_mode & 0o777 == 0o600
    assert target.read_bytes() == b"untouched" and sorted(folder.names()) == ["a", "b", "c", "target"]


def test_a_put_that_fails_leaves_nothing(folder):
    """A folder in the file's place: EISDIR."""
    place(folder).mkdir()
    before = descriptors()
    assert refused(folder.put, "file", b"text") == errno.EISDIR
    assert folder.names() == ["file"] and descriptors() == before


@needs_root
def test_what_root_puts_is_the_folders_owners(folder):
    os.chown(folder.path, STRANGER, STRANGER)
    os.chmod(folder.path, 0o3770)
    os.close(folder.put("file", b"text"))
    found = folder.look_status("file")
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (STRANGER, STRANGER, 0o640)


def test_what_is_moved_is_not_followed(folder):
    """A link is moved as the link that it is."""
    place(folder).symlink_to("/etc/passwd")
    folder.move("file", "to")
    assert os.readlink(place(folder, "to")) == "/etc/passwd" and folder.names() == ["to"]
    folder.remove("to")
    folder.remove("to")
    assert folder.names() == [] and os.path.exists("/etc/passwd")


def test_very_many_names(folder, monkeypatch):
    """They are not listed: nobody is held up by a folder that somebody has filled."""
    monkeypatch.setattr(folder_module, "MOST_NAMES", 3)
    for i in range(3):
        place(folder, f"{i}").touch()
    assert sorted(folder.names()) == ["0", "1", "2"]
    place(folder, "3").touch()
    assert refused(folder.names) == errno.EDQUOT


# ---- the folder

def test_a_folder_that_is_held_stays_the_one_that_was_looked_at(tmp_path):
    """Its user may put a link to another in its place: nothing is opened, put or removed there."""
    (tmp_path / "svc").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "journal").write_bytes(b"root's")
    folder = Folder(str(tmp_path / "svc"))
    hold(folder)
    (tmp_path / "svc").rename(tmp_path / "away")
    (tmp_path / "svc").symlink_to("other")
    assert folder.names() == [] and refused(folder.read, "journal", 10) == errno.ENOENT
    os.close(folder.put("file", b"text"))
    folder.remove("journal")
    assert os.listdir(tmp_path / "away") == ["file"] and os.listdir(tmp_path / "other") == ["journal"]
    folder.remove("file")
    assert refused(folder.remove_folder) == errno.ESTALE
    folder.release()
    assert sorted(os.listdir(tmp_path)) == ["away", "other", "svc"]


def test_the_folder_is_removed(folder):
    folder.remove_folder()
    assert not os.path.exists(folder.path)


def test_a_link_in_the_folders_place_is_not_held(tmp_path):
    (tmp_path / "svc").symlink_to("/etc")
    folder = Folder(str(tmp_path / "svc"))
    with pytest.raises(NotADirectoryError):
        hold(folder)


def test_who_may_be_here(folder):
    """The owner and root; in a folder of a group everybody, since nobody else can have made anything in it."""
    owner = os.stat(folder.path).st_uid
    assert folder.owns(0) and folder.owns(owner) and not folder.owns(STRANGER)
    assert folder.lets_in(owner) and not folder.lets_in(STRANGER)
    os.chmod(folder.path, 0o3770)
    assert folder.lets_in(STRANGER) and not folder.owns(STRANGER)


# ---- sockets

@pytest.fixture
def listener(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(folder.path + "/a.sock")
        made.listen(1)
        yield made


def connects(folder, name):
    fd = folder.look_socket(name)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(socket_address(fd))
    finally:
        os.close(fd)
    return True


def test_a_socket_is_connected_to_as_it_was_looked_at(folder, listener):
    """Whatever has its name now."""
    fd = folder.look_socket("a.sock")
    place(folder, "a.sock").unlink()
    place(folder, "a.sock").symlink_to("/nowhere.sock")
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(socket_address(fd))
    os.close(fd)
    assert refused(folder.look_socket, "a.sock") == errno.ENOTSOCK


@needs_root
def test_a_socket_of_somebody_who_has_no_business_here(folder, listener):
    """ENOTSOCK in a private folder; in a group's it is that of a worker."""
    assert connects(folder, "a.sock")
    os.chown(place(folder, "a.sock"), STRANGER, -1)
    assert refused(folder.look_socket, "a.sock") == errno.ENOTSOCK
    os.chmod(folder.path, 0o3770)
    assert connects(folder, "a.sock")


def test_a_long_address_goes_by_way_of_a_descriptor(tmp_path):
    path = tmp_path / ("x" * 100)
    path.mkdir()
    address, fd = Folder(str(path)).bind_address("a.sock")
    assert address == f"/proc/self/fd/{fd}/a.sock" and fd >= 0
    os.close(fd)
    assert Folder("/run").bind_address("a.sock") == ("/run/a.sock", -1)


# ---- nothing else opens anything there

CALLS = {"open", "_open", "openat", "stat", "lstat", "access", "listdir", "scandir", "unlink", "remove", "rename",
         "replace", "link", "symlink", "readlink", "mkfifo", "mknod", "chmod", "lchmod", "chown", "lchown", "truncate",
         "rmdir", "rmtree", "mkdir", "makedirs", "utime", "exists", "lexists", "isfile", "isdir", "islink", "getxattr",
         "setxattr", "read_text", "read_bytes", "write_text", "write_bytes", "add_watch"}
# Functions of agents and coordinators that use files elsewhere: where.
ELSEWHERE = {
    "klpfs/protocol/folder.py": "the helper itself",
    "klpfs/protocol/descriptors.py:open_above": "what the callers here open",
    "klpfs/protocol/folder_layout.py:_user": "/run, /proc/self/uid_map",
    "klpfs/protocol/folder_layout.py:make_folder": "the folder, made and looked at by its path",
    "klpfs/protocol/folder_layout.py:_make": "the same, and the runtime folder",
    "klpfs/protocol/folder_layout.py:check_way": "the folders above",
    "klpfs/service/manager.py:start": "the runtime folder",
    "klpfs/service/manager.py:_look": "the runtime folder",
    "klpfs/service/manager.py:_entry": "a service's folder, looked at (O_PATH, O_NOFOLLOW)",
    "klpfs/service/manager.py:_come": "the same, by its descriptor; the runtime folder",
    "klpfs/service/open_as_writer.py": "the file that a writer names, with the writer's rights",
    "klpfs/service/agentless.py": "/proc/PID",
    "klpfs/service/child_work.py:_child": "/proc/self/fd",
    "klpfs/service/mountinfo.py:mounts": "/proc/self/mountinfo",
    "klpfs/protocol/process_identity.py:_read": "/proc/PID",
    "klpfs/protocol/life.py:_namespace": "/proc/self/ns",
    "klpfs/protocol/long_waits.py": "the watchdog's own folder",
    "klpfs/agent/alone.py": "/proc/self/task",
    "klpfs/agent/fork_warning.py:threads": "/proc/self/task",
    "klpfs/agent/proc.py": "/proc/self",
    "klpfs/agent/server.py:_root": "the program's root",
    "klpfs/agent/run_command.py": "the command that is to be run",
    "klpfs/agent/run_main.py": "the main program's file",
}


def uses_of_files(path):
    """[(function, call)] of a module: where it calls what opens, looks at or changes a file by its name."""
    found, tree = [], ast.parse(path.read_text())
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    def visit(node, function):
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
            if isinstance(child, ast.Call):
                called = child.func
                if isinstance(called, ast.Name) and called.id in CALLS - own:
                    found.append((function, called.id))
                elif isinstance(called, ast.Attribute) and called.attr in CALLS and isinstance(
                        called.value, (ast.Name, ast.Attribute)):
                    base = called.value.id if isinstance(called.value, ast.Name) else called.value.attr
                    if base in ("os", "path", "posix", "shutil", "pathlib", "io") or called.attr == "add_watch":
                        found.append((function, f"{base}.{called.attr}"))
            visit(child, inner)
    visit(tree, "")
    return found


def test_nothing_else_opens_anything_in_a_services_folder():
    """Each call of an agent, a coordinator or the protocol that takes a file's name is the helper's, or known not to be
    for a file there."""
    bad, used = [], set()
    for layer in ("agent", "protocol", "service"):
        for path in sorted((ROOT / "klpfs" / layer).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for function, call in uses_of_files(path):
                known = {name, f"{name}:{function}"} & ELSEWHERE.keys()
                used |= known
                if not known:
                    bad.append(f"{name}:{function}: {call}")
    assert bad == [] and sorted(ELSEWHERE.keys() - used) == []


@pytest.mark.parametrize("text", ["def f(folder): open(folder + '/x')", "def f(p): return os.path.exists(p)",
                                  "from posix import open as _open\ndef f(p): _open(p, 0)"])
def test_a_call_that_opens_is_seen(tmp_path, text):
    (tmp_path / "m.py").write_text(text)
    assert [function for function, _ in uses_of_files(tmp_path / "m.py")] == ["f"]
