"""The agent's server thread alone: what it does when the process has no descriptors left."""
import errno

import pytest

from klpfs.agent.server import Server


class Agent:
    def __init__(self):
        self.said, self.greeted = [], []
        self.messages = self.outbox = self
        self.own_tids = set()

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


def test_without_descriptors_it_does_not_spin(server, tmp_path):
    """Who connects waits; there is a pause between two tries, in which all else goes on."""
    import socket
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
