"""What others do to a service and to root's daemon: each in a process of its own user's (Someone)."""
import contextlib
import multiprocessing
import os
import signal
import socket
import time

from klpfs.protocol import folder_layout, wire
from klpfs.service.loop import Loop
from klpfs.service.manager import Manager
from tests import harness
from tests.harness import fails

REPORT = {"t": "report", "seen": -1, "n": 0, "phase": "", "dir": 0, "turn": 0, "clean": True, "over": 0,
          "refused": None, "not_applied": [], "prepared": None, "working": None, "blockers": []}


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
        for pid in harness.read(f"/proc/{self.pid}/task/{self.pid}/children").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()
