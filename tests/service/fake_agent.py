"""An agent on a real socket that does what the test says: it says who it is, and follows records as puppets.Agent
does."""
import os
import socket
import subprocess
import sys
import time

from klpfs.protocol.wire import VERSION, Reader, encode
from klpfs.service.loop import Loop
from tests.service import puppets

MOUTH = """
import os, socket
test = socket.socket(fileno=0)
while True:
    words, fds, _, _ = socket.recv_fds(test, 1 << 16, 1)
    if not fds:
        os.execv("/bin/sleep", ["sleep", "60"])
    with socket.socket(fileno=fds[0]) as link:
        try:
            link.sendall(words)
        except OSError:
            pass
    test.send(b".")
"""


class Sleeper(subprocess.Popen):
    """A process to be. It does nothing but to say an agent's first words, so that the kernel says that it has."""

    of = {}                     # by number

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            super().__init__([sys.executable, "-I", "-S", "-c", MOUTH], stdin=theirs, stderr=subprocess.DEVNULL)
        self.mouth, Sleeper.of[self.pid] = ours, self

    def says(self, link, words):
        """The process says these words on a connection of this one. False: it is dead."""
        try:
            socket.send_fds(self.mouth, [words], [link.fileno()])
            return self.mouth.recv(1) == b"."
        except OSError:
            return False

    def exec(self):
        """The process becomes another program."""
        self.mouth.send(b".")

    def wait(self, timeout=None):
        code = super().wait(timeout)
        Sleeper.of.pop(self.pid, None)
        self.mouth.close()
        return code


sleeper = Sleeper


class Bench:
    """A loop, a clock for impatient tests, and fake agents that live in the loop."""

    def __init__(self, folder):
        self.loop, self.folder, self.agents, self.processes = Loop(), str(folder), [], []

    def until(self, condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it does not happen"
            self.loop.run_once(0.02)

    def rest(self, seconds=0.05):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.loop.run_once(0.01)

    def agent(self, name="a", pid=None, folder=None, **more):
        if pid is None:
            pid = self.sleeper().pid
        made = FakeAgent(self.loop, folder or self.folder, name + ".sock", pid, **more)
        self.agents.append(made)
        return made

    def sleeper(self):
        self.processes.append(Sleeper())
        return self.processes[-1]

    def process_of(self, agent):
        return Sleeper.of[agent.pid]

    def close(self):
        for agent in self.agents:
            agent.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.loop.close()


class Shim:
    """What puppets.Agent wants of a world."""

    def __init__(self, agent):
        self.agent = agent

    def say(self, agent, message):
        self.agent.send(message)

    def replaces(self, patch):
        return self.agent.replaces

    def check_finish(self, agent, record):
        pass


class FakeAgent:
    """said: what it greets with besides hello (events); mute: it accepts and says nothing; got: all messages."""

    def __init__(self, loop, folder, name, pid, events=(), mute=False, keep=False, follow=True, version=VERSION):
        self.loop, self.path, self.pid, self.mute, self.keep, self.follow = (
            loop,
            f"{folder}/{name}",
            pid,
            mute,
            keep,
            follow,
        )
        self.says_pid = pid
        self.version, self.service = version, os.path.basename(folder)
        self.events, self.got, self.links, self.replaces = list(events), [], [], False
        self.puppet = puppets.Agent(Shim(self), name)
        self.answers, self.spoken = {}, set()       # connections on which its process has spoken
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(f"{folder}/.{name}")
        self.sock.listen(8)
        os.rename(f"{folder}/.{name}", self.path)
        loop.add(self.sock.fileno(), self._accept)

    def _accept(self, events):
        link, _ = self.sock.accept()
        link.setblocking(False)
        self.links.append(link)
        reader = Reader()
        self.loop.add(link.fileno(), lambda events: self._readable(link, reader))
        if not self.mute:
            self.send({"t": "hello", "version": self.version, "pid": self.says_pid, "comm": "prog",
                       "cmdline": ["prog", "-x"], "keep": self.keep, "service": self.service, "python": "3",
                       "started": 0}, link)
            for event in self.events:
                self.send({"t": "event", **event}, link)
            self.send(self.puppet.report(), link)

    def _readable(self, link, reader):
        try:
            data = link.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self.cut(link)
        for message in reader.feed(data):
            self.got.append(message)
            if not self.mute:
                self.obey(message)

    def obey(self, message):
        kind, puppet = message["t"], self.puppet
        if kind == "record" and self.follow:
            record = message["r"]
            self.send({"t": "ack", "seq": record["seq"]})
            if record["seq"] > max(puppet.seen, puppet.goal["seq"] if puppet.goal else -1):
                puppet.goal = record
                self.work()
        elif kind == "set":
            code = self.answers.get(kind, 0)
            if code is not None:
                self.send({"t": "done", "id": message["id"], "errno": code})
        elif kind == "ask" and message["what"] in self.answers:
            self.send({"t": "answer", "id": message["id"], "data": self.answers[message["what"]]})

    def work(self):
        while self.puppet.can_step():
            self.puppet.step()

    def send(self, message, link=None):
        self.raw(encode(message), link)

    def raw(self, data, link=None):
        for each in [link] if link else list(self.links):
            try:
                each.setblocking(True)
                mouth = None if each in self.spoken else Sleeper.of.get(self.pid)
                self.spoken.add(each)
                if mouth is not None and mouth.says(each, data[:1 << 15]):
                    each.sendall(data[1 << 15:])
                else:
                    each.sendall(data)
                each.setblocking(False)
            except OSError:
                pass

    def cut(self, link=None):
        for each in [link] if link else list(self.links):
            if each in self.links:
                self.links.remove(each)
                self.loop.remove(each.fileno())
                each.close()

    def close(self):
        self.cut()
        if self.sock is not None:
            self.loop.remove(self.sock.fileno())
            self.sock.close()
            self.sock = None
