"""The agent's server: connections, descriptors that are closed or used up, peers that are not obeyed."""
import errno
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from klpfs.agent.server import Server
from tests import harness
from tests.agent.client import Coordinator


class Agent:
    def __init__(self):
        self.said, self.greeted = [], []
        self.messages = self.outbox = self.alone = self
        self.own_tids = set()

    def soon(self):
        return False

    def is_alone(self):
        return False

    def say(self, text, priority):
        self.said.append(text)

    def greet(self, connection):
        self.greeted.append(connection)
        connection.close()

    def tick(self):
        pass

    disconnected = tick


class Full:
    """A listening socket of a process without descriptors. tried: how often it was to accept."""

    def __init__(self, sock):
        self.sock, self.tried = sock, 0
        self.fileno = sock.fileno
        self.close = sock.close

    def _accept(self):
        self.tried += 1
        raise OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def server(tmp_path):
    made = Server(Agent(), str(tmp_path))
    made.listen()
    made._new_wake()
    yield made
    made.after_fork()


def test_a_name_that_is_removed_at_exit_is_not_bound_anew(server, tmp_path):
    """While the program runs it is; at exit a thread that has not stopped yet leaves no socket behind."""
    os.unlink(tmp_path / server.name)
    server._check_own()
    assert sorted(os.listdir(tmp_path))[1:] == [server.name] and server.agent.said[-1].endswith("a new one is bound")
    server._look_at = 0.0
    server.remove()
    server._check_own()
    assert os.listdir(tmp_path) == []
    server.listen()             # a thread that had looked just before
    server.remove()
    assert os.listdir(tmp_path) == []


def test_without_descriptors_it_does_not_spin(server, tmp_path):
    """Who connects waits; there is a pause between two tries, in which all else goes on."""

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / server.name))
        real, server.sock = server.sock, Full(server.sock)
        server._round()
        assert server.sock.tried == 1
        server._round()
        assert server.sock.tried == 1
        server.sock = real
        server._round()
        assert len(server.agent.greeted) == 1


def test_a_connection_that_the_program_closes_at_once_is_nothing(server, monkeypatch):
    """A program that closes all its descriptors may do so between accept(2) and the first look at the connection."""
    class Closing:
        def _accept(self):
            ours, theirs = socket.socketpair()
            theirs.close()
            fd = ours.detach()
            os.close(fd)
            return fd, ""
    monkeypatch.setattr(Server, "_listening", lambda self: True)
    real, server.sock = server.sock, Closing()
    try:
        server._accept()
    finally:
        server.sock = real
    assert not server.agent.greeted and not server.agent.said


def test_a_peer_that_does_not_end_its_message_is_cut_off(agent, c):
    agent.limits.message = 0.1
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(os.path.join(agent.folder, agent.server.name))
    slow.sendall(b"\x10\0\0\0{")
    slow.settimeout(20)
    while slow.recv(1 << 16):
        pass
    c.until_line("does not end its message")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_foreign_peer_is_turned_away(agent, c):
    """Peer credentials: neither this user nor root."""
    os.chmod(agent.folder, 0o755)
    parent = os.path.dirname(agent.folder)
    while parent != "/":
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
        parent = os.path.dirname(parent)
    os.chmod(os.path.join(agent.folder, agent.server.name), 0o777)
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(agent.folder, agent.server.name))
            os._exit(len(s.recv(10)))
        except BaseException:
            os._exit(99)
    assert os.waitpid(pid, 0)[1] == 0
    c.until_line("of user 65534 was refused")


def test_closed_descriptors_are_bound_anew(agent):
    """The program closes descriptors that are not its own: a new socket is bound, the old name is gone, and nothing is
    written to whatever has the numbers now."""
    c = Coordinator(agent.folder, agent.server.name)
    c.until(lambda c: len(c.messages) >= 3)
    old, fds = agent.server.name, [agent.server.sock.fileno(), *agent.server._wake] + [x.fd for x in agent.server.connections]
    read, write = os.pipe()
    os.set_blocking(read, False)
    for fd in fds:
        os.dup2(write, fd)      # closed, and somebody else's at once
    harness.until(lambda: agent.server.name != old, "a new socket")
    again = Coordinator(agent.folder, agent.server.name)
    again.insmod("lp")
    assert not os.path.exists(os.path.join(agent.folder, old))
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    for fd in fds + [read, write]:
        os.close(fd)
    again.close()
    c.close()


BUSY = """
import os, resource, sys, time
from klpfs.agent.start_agent import start
agent = start("svc", environ={"KLPFS_RUNTIME_DIR": sys.argv[1]}, running=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
time.sleep(0.3)
begun, spent = time.monotonic(), time.process_time()
time.sleep(1)
print((time.process_time() - spent) / (time.monotonic() - begun), flush=True)
os._exit(0)
"""


def test_a_program_that_allows_itself_no_descriptors_costs_nothing(tmp_path):
    """poll(2) is EINVAL there, at once; the thread sleeps instead."""
    done = subprocess.run([sys.executable, "-c", BUSY, str(tmp_path / "run")], cwd=pathlib.Path(__file__).parents[2],
                          capture_output=True, text=True, timeout=60)
    assert float(done.stdout) < 0.2, done.stderr
