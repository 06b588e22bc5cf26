"""Who can do what to whom: each line of the table in docs/SECURITY.md, with real users, programs, folders and root's
daemon.

The machine has three services: `bank` of root's, private; `shop` of root's with a group (`klpfs run --group`); `web` of
a user's in root's runtime folder (`User=` of a unit, mount_scripts/klpfs-run.conf).
"""
import contextlib
import errno
import grp
import multiprocessing
import os
import pathlib
import pwd
import re
import shutil
import socket
import stat
import subprocess
import time

import pytest

from klpfs.protocol import folder_layout, wire
from klpfs.protocol.folder import MOST_NAMES
from klpfs.service.loop import Loop
from klpfs.service.manager import Manager
from tests import harness
from tests.harness import fails, livepatch, until
from tests.integration.test_processes_users import PYTHON

USER = pwd.getpwnam("nobody")                   # of `web`
GROUP = grp.getgrgid(USER.pw_gid)               # of `shop`
WORKER, STRANGER = 54322, 54321                 # of shop's group, and of none
pytestmark = [pytest.mark.fuse,
              pytest.mark.skipif(not PYTHON, reason="needs root, setpriv, and a Python that other users can run")]
REPORT = {"t": "report", "seen": -1, "n": 0, "phase": "", "dir": 0, "turn": 0, "clean": True, "over": 0,
          "refused": None, "not_applied": [], "prepared": None, "working": None, "blockers": []}


# ---- what others do, in processes of theirs

def code_of(call, *arguments):
    """0, or the errno that a call fails with."""
    try:
        call(*arguments)
        return 0
    except OSError as error:
        return error.errno


def connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def write_to(path):
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def reads(path):
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def hello(folder, **more):
    return {"t": "hello", "version": wire.VERSION, "pid": os.getpid(), "comm": "evil", "cmdline": ["evil"],
            "keep": False, "service": os.path.basename(folder), "python": "3", "started": 1, **more}


class Evil:
    """A listening socket in a folder, and the connection that a daemon has made to it."""

    def __init__(self, folder):
        name = os.urandom(6).hex() + ".sock"    # as agents have: the name of one that is dead is not looked at again
        self.folder, self.path = folder, f"{folder}/{name}"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(f"{folder}/.{name}")
        self.sock.listen(8)
        self.sock.settimeout(20)
        os.rename(f"{folder}/.{name}", self.path)

    def accept(self, *messages):
        link = self.sock.accept()[0]
        link.settimeout(20)
        for message in messages:
            link.sendall(wire.encode(message))
        return link


def says(folder, *messages):
    """Answer on a socket, and stay."""
    evil = Evil(folder)
    kept.append((evil, evil.accept(*messages)))


def follows(folder, errno_=0):
    """Be an agent that acknowledges, refuses each load with errno_ if it is not 0, and prepares nothing else."""
    import threading
    evil = Evil(folder)
    link = evil.accept(hello(folder), {"t": "event", "patches": [], "modules": []}, REPORT)
    link.settimeout(None)
    kept.append((evil, link))

    def run():
        reader = wire.Reader()
        while True:
            data = link.recv(1 << 18)
            if not data:
                return
            for message in reader.feed(data):
                if message["t"] == "record":
                    record = message["r"]
                    link.sendall(wire.encode({"t": "ack", "seq": record["seq"]}))
                    report = dict(REPORT, seen=record["seq"])
                    if record["change"] and errno_:
                        report["refused"] = {"n": record["change"]["n"], "errno": errno_, "text": "I won't"}
                    link.sendall(wire.encode(report))
    threading.Thread(target=run, daemon=True).start()


def leads_elsewhere(folder, target):
    """Let the daemon connect, put a link to another service's socket in the socket's place, and close."""
    evil = Evil(folder)
    link = evil.accept()
    os.symlink(target, f"{folder}/x")
    os.rename(f"{folder}/x", evil.path)
    link.close()


def links_hard(folder, target):
    os.link(target, f"{folder}/hard.sock")


def another_answers(folder, pid):
    says(folder, hello(folder, pid=pid))


def child_of_mine():
    """Another process of this user."""
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    return pid


def puts(folder, name, kind, target=None):
    path = f"{folder}/{name}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink(target, path)
    elif kind == "folder":
        os.mkdir(path)
    else:
        with open(path, "wb") as file:
            file.truncate(6 * 10 ** 9)


def fills(folder, count):
    """Make so many files, or remove what was made."""
    for number in range(count):
        os.close(os.open(f"{folder}/f{number}", os.O_CREAT | os.O_WRONLY))
    for name in () if count else os.listdir(folder):
        if name[0] == "f" and name[1:].isdigit():
            os.unlink(f"{folder}/{name}")


def manages(runtime):
    """The services that a daemon of this user has, with how many processes."""
    manager = Manager(Loop(), runtime)
    manager.start()
    manager.settle()
    found = {name: len(service.processes) for name, service in manager.services.items()}
    manager.close()
    return found


def makes_folder(path):
    folder_layout.make_folder(path)


kept = []


def serve(pipe, uid, gid):
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o077)
    while True:
        function, arguments = pipe.recv()
        try:
            pipe.send((function(*arguments), None))
        except Exception as error:
            pipe.send((None, error))


class Someone:
    """A process of another user, which runs functions of this module."""

    def __init__(self, uid, gid):
        fork = multiprocessing.get_context("fork")
        self.pipe, theirs = fork.Pipe()
        self.process = fork.Process(target=serve, args=(theirs, uid, gid), daemon=True)
        self.process.start()
        theirs.close()
        self.pid = self.process.pid

    def do(self, function, *arguments, seconds=30):
        self.pipe.send((function, arguments))
        if not self.pipe.poll(seconds):
            raise AssertionError(f"{function.__name__} does not end")
        value, error = self.pipe.recv()
        if error is not None:
            raise error
        return value

    def code(self, function, *arguments):
        return self.do(code_of, function, *arguments)

    def close(self):
        subprocess.run(["pkill", "-9", "-P", str(self.pid)], check=False)   # its own children alone
        self.process.kill()
        self.process.join()
        self.pipe.close()


# ---- the machine

class Machine:
    def __init__(self, base):
        self.base, self.runtime = base, harness.short_folder()
        self.runtime.chmod(0o755)
        web = self.runtime / "web"
        web.mkdir(0o700)
        os.chown(web, USER.pw_uid, USER.pw_gid)
        as_user = ("setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups")
        self.programs = {
            "bank": harness.Program(self.runtime, "bank"),
            "shop": harness.Program(self.runtime, "shop", options=("--group", GROUP.gr_name)),
            "web": harness.Program(self.runtime, "web", wrap=as_user, python=PYTHON,
                                   environ={"PYTHONPATH": str(harness.HERE.parent), "HOME": "/"})}
        self.mount = harness.Mount(self.runtime, base / "mnt")
        self.trees = {name: self.mount.service(name) for name in self.programs}
        self.count = 0

    def folder(self, name):
        return str(self.runtime / name)

    def sockets(self, name):
        return [str(path) for path in (self.runtime / name).glob("[!.]*.sock")]

    def program(self, name):
        return self.programs[name].do("one()")

    def pids(self, name):
        return {int(each) for each in os.listdir(self.trees[name].path / "proc") if each.isdigit()}

    def lines(self, name, *words):
        return [text for _, _, _, text in self.trees[name].records() if all(word in text for word in words)]

    def patch(self, **more):
        """The path of a new livepatch of one()."""
        self.count += 1
        path = self.base / f"lp{self.count}.py"
        path.write_text(livepatch(path.stem, **more))
        return path

    def works(self, name):
        """The service is patched and is as before, at once; the others are not touched."""
        others = {other: self.program(other) for other in self.programs if other != name}
        begun, tree, path = time.monotonic(), self.trees[name], self.patch()
        before = self.program(name)
        tree.insmod(path)
        tree.settle()
        assert self.program(name) == f"one by {path.stem}"
        assert others == {other: self.program(other) for other in others}
        self.remove(name, path.stem)
        assert self.program(name) == before
        assert time.monotonic() - begun < 10 and self.mount.process.poll() is None

    def remove(self, name, patch):
        tree = self.trees[name]
        tree.set(f"{patch}/enabled", "0")
        until(lambda: patch not in tree.patches(), "the way back")
        tree.rmmod(patch)

    def clean(self):
        """What somebody has left goes: an administrator may remove it at any time."""
        for name in self.programs:
            own = {os.stat(self.runtime / name).st_uid, 0}
            for path in (self.runtime / name).iterdir():
                with contextlib.suppress(FileNotFoundError):       # the daemon removes litter, too
                    found = path.lstat()
                    if found.st_uid not in own or not (stat.S_ISREG(found.st_mode) or stat.S_ISSOCK(found.st_mode)):
                        path.rmdir() if stat.S_ISDIR(found.st_mode) else path.unlink()

    def close(self):
        for thing in (*self.programs.values(), self.mount):
            thing.close()
        shutil.rmtree(self.runtime, ignore_errors=True)


@pytest.fixture(scope="module")
def machine():
    base = harness.short_folder()
    base.chmod(0o755)                           # the mount's rights are looked at, not those of what is above it
    made = Machine(base)
    yield made
    made.close()
    shutil.rmtree(base)


@pytest.fixture
def someone(machine):
    """someone(uid, gid): a process of that user; what it has left in the folders is removed after the test."""
    made = []

    def start(uid, gid):
        made.append(Someone(uid, gid))
        return made[-1]
    yield start
    for each in made:
        each.close()
    machine.clean()
    for name, program in machine.programs.items():
        until(lambda name=name, program=program: machine.pids(name) == {program.pid}, f"the others of {name} to go")


@pytest.fixture
def stranger(someone):
    return someone(STRANGER, STRANGER)


@pytest.fixture
def worker(someone):
    return someone(WORKER, GROUP.gr_gid)


@pytest.fixture
def user(someone):
    return someone(USER.pw_uid, USER.pw_gid)


# ---- a stranger

@pytest.mark.parametrize("service", ["bank", "shop", "web"])
def test_a_stranger_reaches_nothing_of_a_service(machine, stranger, service):
    """Names of sockets are everybody's to read in /proc/net/unix: that is all."""
    folder = machine.folder(service)
    for call in (os.listdir, os.rmdir, write_to):
        assert stranger.code(call, folder) in (errno.EACCES, errno.EISDIR, errno.ENOTEMPTY)
    for path in [*machine.sockets(service), f"{folder}/journal"]:
        for call in (os.stat, connect, os.unlink, write_to):
            assert stranger.code(call, path) == errno.EACCES
    machine.works(service)


def test_a_stranger_reads_roots_tree_and_writes_nothing(machine, stranger, user):
    """As /sys and /proc: names, values, the log, command lines are everybody's to read, stacks are not; nothing is
    written, by the user of a service in it neither."""
    path = machine.patch()
    machine.trees["web"].insmod(path)
    machine.trees["web"].settle()
    tree = machine.trees["web"].path
    files = [pathlib.Path(folder, name) for folder, _, names in os.walk(tree) for name in names
             if not pathlib.Path(folder, name).is_symlink()]
    written = {file.name for file in files if file.stat().st_mode & 0o222}
    assert {"insmod", "rmmod", "check", "enabled", "force", "kmsg", "ftrace_enabled"} <= written
    for who in stranger, user:
        assert {file.name for file in files if who.code(write_to, file) != errno.EACCES} == set()
        hidden = {file.name for file in files if who.code(reads, file) == errno.EACCES}
        assert hidden == {"insmod", "rmmod", "check", "force", "patch_state", "stack", ".clear"} & {f.name for f in files}
    machine.remove("web", path.stem)


def test_a_stranger_makes_no_service(machine, stranger):
    """Nor puts another folder in a service's place: the runtime folder is its owner's."""
    assert stranger.code(os.mkdir, machine.folder("new")) == errno.EACCES
    assert stranger.code(os.rename, machine.folder("bank"), machine.folder("moved")) == errno.EACCES


@pytest.mark.parametrize("way", ["a folder of the stranger's", "a folder of all", "a link of the stranger's"])
def test_a_stranger_prepares_no_folder_for_others(machine, stranger, someone, way):
    """As /tmp/klpfs-UID: what a program finds there is not obeyed, EACCES."""
    place = harness.short_folder()
    place.chmod(0o1777)
    try:
        if way == "a link of the stranger's":
            (place / "real").mkdir()
            os.chown(place / "real", WORKER, -1)
            stranger.do(os.symlink, str(place / "real"), str(place / "klpfs"))
        else:
            stranger.do(os.mkdir, str(place / "klpfs"))
            os.chmod(place / "klpfs", 0o777 if way == "a folder of all" else 0o755)
            os.chown(place / "klpfs", WORKER if way == "a folder of all" else STRANGER, -1)
        for who in (someone(WORKER, WORKER), None):
            call = who.code if who else code_of
            assert call(makes_folder, str(place / "klpfs" / "svc")) == errno.EACCES
        assert not (place / "klpfs" / "svc").exists()
    finally:
        shutil.rmtree(place)


# ---- a worker of the group

def test_a_worker_changes_nothing_that_others_obey(machine, worker):
    """Journal, lock, contents, sockets of others: they are read by their mode, and that is all."""
    path = machine.patch()
    machine.trees["shop"].insmod(path)
    folder = machine.folder("shop")
    names = [name for name in os.listdir(folder) if not name.startswith(".")]
    assert {"journal", "lock"} < set(names) and any(len(name) == 64 for name in names)
    for name in names:
        there = f"{folder}/{name}"
        assert worker.code(os.unlink, there) == errno.EPERM
        assert worker.code(os.rename, there, there + "x") == errno.EPERM
        assert worker.code(os.chmod, there, 0o666) == errno.EPERM
        assert worker.code(write_to, there) in (errno.EACCES, errno.ENXIO)
    assert worker.code(os.chmod, folder, 0o777) == errno.EPERM
    machine.trees["shop"].settle()
    machine.remove("shop", path.stem)
    machine.works("shop")


def test_a_worker_speaks_to_no_process_of_others(machine, worker):
    """A socket is its user's; and an agent turns away whoever is neither its user nor root, whatever the mode is."""
    path, = machine.sockets("shop")
    assert worker.code(connect, path) == errno.EACCES
    os.chmod(path, 0o666)
    try:
        assert worker.code(connect, path) == 0
        until(lambda: machine.lines("shop", f"a connection of process {worker.pid} of user {WORKER} was refused"),
              "the refusal")
    finally:
        os.chmod(path, 0o600)
    machine.works("shop")


@pytest.mark.parametrize("whom", ["root's process", "the first process", "another of its own", "another service's"])
def test_a_worker_speaks_for_no_other_process(machine, worker, whom):
    """Who sends is what the kernel says. One line; nobody of that number is taken for one of the service."""
    pid = {"root's process": machine.programs["shop"].pid, "the first process": 1,
           "another service's": machine.programs["bank"].pid}.get(whom) or worker.do(child_of_mine)
    worker.do(another_answers, machine.folder("shop"), pid)
    until(lambda: machine.lines("shop", f"says that it is process {pid}", f"but is process {worker.pid}"),
          "the refusal")
    assert machine.pids("shop") == {machine.programs["shop"].pid}
    machine.works("shop")


def test_a_worker_speaks_for_no_other_service(machine, worker):
    """One line, no second look."""
    worker.do(says, machine.folder("shop"), dict(hello("/x/bank"), pid=worker.pid))
    until(lambda: machine.lines("shop", "says that it is of service 'bank'"), "the refusal")
    machine.works("shop")
    assert len(machine.lines("shop", "says that it is of service 'bank'")) == 1


def takes_no_other(machine, attacker, service):
    target, = machine.sockets("bank")
    attacker.do(leads_elsewhere, machine.folder(service), target)
    time.sleep(0.5)                             # the daemon tries again each 0.2 s
    bank = machine.programs["bank"].pid
    assert bank not in machine.pids(service) and machine.pids("bank") == {bank}
    machine.works(service)
    machine.works("bank")
    assert attacker.code(links_hard, machine.folder(service), target) in (errno.EPERM, errno.EACCES)


def test_a_worker_takes_no_process_of_another_service(machine, worker):
    """A link to its socket, in the place of one that was connected to; a hard link of it."""
    takes_no_other(machine, worker, "shop")


@pytest.mark.parametrize("name, kind", [("keep", "fifo"), ("keep", "link"), ("keep", "folder"), ("hash", "fifo"),
                                        ("hash", "link"), ("hash", "file"), ("x.sock", "fifo"), ("x.sock", "link"),
                                        ("x.sock", "folder"), ("x.tmp", "folder"), (".x.sock", "fifo")])
def test_a_worker_holds_up_no_daemon(machine, worker, name, kind, tmp_path):
    """Whatever it puts into the folder: it is not waited for, read without a limit, or followed, and the journal is
    not kept because of it."""
    folder, secret = machine.folder("shop"), tmp_path / "secret"
    secret.write_text("of root")
    name = "a" * 64 if name == "hash" else name
    worker.do(puts, folder, name, kind, str(secret))
    worker.do(says, folder, dict(hello(folder, keep=True), pid=worker.pid), {"t": "event"}, REPORT,
              {"t": "want", "sha256": name})
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    begun = time.monotonic()
    assert set(os.listdir(machine.mount.root)) >= {"bank", "shop", "web"} and time.monotonic() - begun < 2
    machine.works("bank")
    left = os.lstat(f"{folder}/keep").st_mode if os.path.lexists(f"{folder}/keep") else 0
    assert not stat.S_ISREG(left) and secret.read_text() == "of root"


@pytest.mark.slow
def test_a_worker_can_fill_its_folder(machine, worker):
    """Then nothing is decided for its service, by name, until the files are removed. Other services do not wait."""
    folder, tree, path = machine.folder("shop"), machine.trees["shop"], machine.patch()
    worker.do(fills, folder, MOST_NAMES + 1, seconds=120)
    begun = time.monotonic()
    assert fails(errno.EDQUOT, tree.insmod, path) and time.monotonic() - begun < 10
    assert machine.lines("shop", f"insmod {path}", f"there are more than {MOST_NAMES} files in")
    machine.works("bank")
    worker.do(fills, folder, 0)
    machine.works("shop")


def test_a_worker_can_refuse_a_patch(machine, worker):
    """It is a process of the service: all are patched, or none is. The writer gets its errno, and the log says who."""
    worker.do(follows, machine.folder("shop"), errno.EPERM)
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    before, path = machine.program("shop"), machine.patch()
    assert fails(errno.EPERM, machine.trees["shop"].insmod, path)
    assert machine.program("shop") == before and not machine.trees["shop"].patches()
    assert machine.lines("shop", f"refused by process {worker.pid}", "of another user: I won't")
    machine.works("bank")


def test_a_worker_can_hold_up_a_transition(machine, worker):
    """It is named in `blockers`; `force`, or its end, completes it. Other services do not wait."""
    folder = machine.folder("shop")
    worker.do(says, folder, dict(hello(folder), pid=worker.pid), {"t": "event", "patches": [], "modules": []}, REPORT)
    until(lambda: worker.pid in machine.pids("shop"), "the worker to be there")
    tree, path = machine.trees["shop"], machine.patch()
    tree.insmod(path)                           # within 2 s it is passed over
    assert machine.program("shop") == f"one by {path.stem}" and tree.get(f"{path.stem}/transition") == "1"
    assert re.search(rf"^{worker.pid}\b", (tree.path / "blockers").read_text(), re.M)
    machine.works("bank")
    os.kill(worker.pid, 9)
    tree.settle()
    machine.remove("shop", path.stem)


def test_a_worker_reads_its_services_patches(machine, worker):
    """Journal and contents are the group's to read: a livepatch is no place for a secret."""
    path = machine.patch()
    machine.trees["shop"].insmod(path)
    machine.trees["shop"].settle()
    folder = pathlib.Path(machine.folder("shop"))
    texts = [worker.do(pathlib.Path.read_bytes, each) for each in folder.iterdir() if len(each.name) == 64]
    assert path.read_bytes() in texts and path.stem.encode() in worker.do(pathlib.Path.read_bytes, folder / "journal")
    machine.remove("shop", path.stem)


# ---- the user of a unit

def test_the_user_of_a_unit_has_a_service_in_roots_tree(machine, user):
    """Root's daemon writes its journal, as that user's: the service goes on without the daemon."""
    machine.works("web")
    journal = os.stat(machine.folder("web") + "/journal")
    assert (journal.st_uid, journal.st_mode & 0o777) == (USER.pw_uid, 0o600)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_the_user_of_a_unit_hands_out_no_file_of_roots(machine, user, kind, tmp_path):
    """In the journal's place: EIO for its own service, no harm to others; with the journal all is as before."""
    machine.works("web")
    folder, secret = machine.folder("web"), tmp_path / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    user.do(os.rename, f"{folder}/journal", f"{folder}/aside")
    user.do(puts, folder, "journal", kind, str(secret))
    begun = time.monotonic()
    assert fails(errno.EIO, machine.trees["web"].insmod, machine.patch()) and time.monotonic() - begun < 5
    machine.works("bank")
    user.do(os.rmdir if kind == "folder" else os.unlink, f"{folder}/journal")
    user.do(os.rename, f"{folder}/aside", f"{folder}/journal")
    assert not [name for name in os.listdir(folder) if pathlib.Path(folder, name).is_file()
                and b"of root" in pathlib.Path(folder, name).read_bytes()]
    machine.works("web")
    assert secret.read_text() == "of root" and os.stat(secret).st_uid == 0


def test_the_user_of_a_unit_takes_no_process_of_another_service(machine, user):
    """As a worker of a group."""
    takes_no_other(machine, user, "web")


def test_the_user_of_a_unit_has_no_other_services_name(machine, user):
    """The runtime folder is root's: it can't rename its folder, nor make one. A journal of another service that it
    copies is not obeyed."""
    assert user.code(os.rename, machine.folder("web"), machine.folder("bank2")) == errno.EACCES
    assert user.code(os.mkdir, machine.folder("bank2")) == errno.EACCES
    machine.works("web")
    journal = pathlib.Path(machine.folder("web"), "journal")
    said = journal.read_bytes()

    def put(data):
        user.do(pathlib.Path.write_bytes, journal.with_name("new"), data)
        user.do(os.rename, journal.with_name("new"), journal)
    put(said.replace(b"service web\n", b"service bank\n"))
    assert fails(errno.EIO, machine.trees["web"].insmod, machine.patch())
    assert machine.lines("web", "the journal is of service 'bank', not of 'web'")
    put(said)
    machine.works("web")


# ---- daemons

def test_a_users_daemon_has_the_services_of_that_user_alone(machine, user, stranger):
    """In root's runtime folder, too: others' folders are left alone."""
    assert user.do(manages, str(machine.runtime)) == {"web": 1}
    assert stranger.do(manages, str(machine.runtime)) == {}
    machine.works("web")


def test_roots_daemon_has_the_services_of_all_users(machine):
    """It is root: it reads and writes in their folders what is theirs, and gives them what it makes."""
    assert set(os.listdir(machine.mount.root)) >= {"bank", "shop", "web"}
    assert {os.stat(machine.folder(name) + "/lock").st_uid for name in ("bank", "shop")} == {0}
    assert os.stat(machine.folder("web") + "/lock").st_uid == USER.pw_uid
