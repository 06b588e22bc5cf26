"""A connection to an agent: whether its process is there or gone, and what nobody may be made to believe."""
import errno
import os
import subprocess
import sys
import threading

import pytest

from klpfs.protocol import wire
from klpfs.protocol.folder import Folder
from klpfs.protocol.wire import encode
from klpfs.service import peer as peer_module
from klpfs.service.foreign_users import MOST_LINES
from tests import harness
from tests.service import foreign
from tests.service.watch import foreign_agent, heard_from, left_alone, named, speaks


def test_hello_event_report(bench, watch):
    """What an agent says first, in its order."""
    bench.agent(events=[{}])
    assert [p.key for p in watch.peers.list()] == ["a.sock"]
    bench.until(lambda: len(watch.heard) == 3)
    assert [kind for _, kind in watch.heard] == ["hello", "event", "report"]
    assert watch.peers.known()[0].pid and watch.peers.known()[0].report["seen"] == -1


def test_an_agent_of_another_version_is_named_and_told_nothing(bench, watch):
    """One line; it is there and silent; nothing else that it says is read; when it dies it is gone."""
    agent = bench.agent(version=2, events=[{"what a later version": "says"}])
    watch.peers.list()
    bench.until(lambda: watch.lines)
    [peer] = watch.peers.known()
    assert peer.version == 2 and peer.pid == agent.pid and peer.hello is None and peer.report is None
    assert watch.lines == [f"klpfs: process {agent.pid} (prog) speaks version 2 of the wire, this daemon version 1: "
                           "nothing can be written while it runs"]
    peer.tell({"seq": 1})
    peer.ping()
    agent.send({"t": "something new"})
    bench.rest()
    assert not agent.got and not watch.heard and len(watch.lines) == 1
    bench.processes[0].kill()
    bench.until(lambda: watch.gone == ["a.sock"])


@pytest.mark.parametrize("hello", [{"version": 2}, {"version": 2, "pid": 0, "comm": 1},
                                   {"version": 2, "pid": -1, "comm": "x"}, {"version": None}])
def test_who_says_another_version_must_still_be_who_it_says(bench, watch, hello):
    """Else anybody could keep a service from being written to in the name of others. Who says nothing is who it is."""
    agent = bench.agent(mute=True)
    watch.peers.list()
    bench.until(lambda: agent.links)
    agent.send({"t": "hello", **hello})
    bench.until(lambda: watch.lines)
    peer, = watch.peers.known()
    assert peer.pid == agent.pid and f"process {agent.pid} ()" in peer.trouble
    assert ("this daemon version" in watch.lines[0]) == (hello["version"] == 2)


def test_who_says_another_version_and_is_another(bench, watch):
    agent = bench.agent(mute=True)
    watch.peers.list()
    bench.until(lambda: agent.links)
    agent.send({"t": "hello", "version": 2, "pid": os.getpid(), "comm": "x"})
    assert f"says that it is process {os.getpid()}, but is process {agent.pid}" in named(bench, watch)


def test_who_is_not_understood_from_the_first_word_on_is_named(bench, watch):
    """It has not said who it is; it lives, and its code may be the service's: nothing is written without it."""
    agent = bench.agent(mute=True)
    watch.peers.list()
    bench.until(lambda: agent.links)
    agent.raw(b"\0\0\0\0")
    bench.until(lambda: watch.lines)
    peer, = watch.peers.known()
    assert peer.pid == agent.pid and peer.trouble and peer.is_of_service


def test_without_descriptors_nobody_is_gone(bench, watch, monkeypatch):
    """A failure of ours says nothing of them: it is tried again."""
    tried = []

    def refuse(*arguments):
        tried.append(arguments)
        raise OSError(errno.EMFILE, "Too many open files")
    bench.agent("a")
    monkeypatch.setattr(peer_module.socket, "socket", refuse)
    assert len(watch.peers.list()) == 1 and not watch.gone
    monkeypatch.undo()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    bench.until(lambda: watch.lines)
    assert not watch.gone and "can't be watched" in watch.lines[0]
    monkeypatch.undo()
    bench.until(lambda: watch.peers.known()[0].report)
    monkeypatch.setattr(peer_module, "address_space", refuse)
    monkeypatch.setattr(Folder, "look_socket", refuse)
    watch.peers.known()[0].drop()
    tried.clear()
    bench.until(lambda: len(tried) == 2)
    monkeypatch.undo()
    bench.until(lambda: watch.peers.known()[0].report)
    assert not watch.gone


def test_a_silent_one_is_there(bench, watch):
    """A child before its fork, a stopped process: somebody listens, so it is not gone."""
    bench.agent(mute=True)
    watch.peers.list()
    bench.rest()
    peer, = watch.peers.known()
    assert peer.connected and peer.report is None and peer.pid == 0


def test_death_is_noticed(bench, watch):
    """By its pidfd, also while its socket still accepts (held by somebody else)."""
    bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    bench.processes[0].kill()
    bench.until(lambda: watch.gone == ["a.sock"])
    assert watch.peers.known() == []


def test_a_closed_connection_is_no_death(bench, watch):
    """Connected to again, and told anew."""
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    peer, = watch.peers.known()
    peer.sent_seq = 5
    agent.cut()
    bench.until(lambda: len(watch.heard) == 4)
    assert watch.gone == [] and peer.sent_seq == -1


def test_a_program_that_closed_its_descriptors(bench, watch):
    """It lives, so it is waited for; its new socket takes the old one's place."""
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    agent.close()
    bench.rest(0.3)
    assert [p.key for p in watch.peers.list()] == ["a.sock"]
    bench.agent("b", pid=agent.pid)
    os.unlink(agent.path)
    assert [p.key for p in watch.peers.list()] == ["b.sock"]


def test_exec_is_a_death(bench, watch, tmp_path):
    """The process became another program: its agent is gone, though its number lives."""
    process = bench.sleeper()
    agent = bench.agent(pid=process.pid)
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    process.exec()
    harness.until(lambda: "sleep" in harness.read(f"/proc/{process.pid}/comm"), "the exec")
    agent.close()
    bench.until(lambda: watch.gone == ["a.sock"])


@pytest.mark.parametrize("data", [
    b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x04\0\0\0abcd", encode({"t": "nonsense"}), encode({"t": "report"}),
    encode({"t": "ack", "seq": "1"}), encode({"t": "hello", "pid": 1}),
    encode({"t": "event", "patches": [{"name": 1}]}), encode({"t": "event", "log": [(1, 2)]}),
    encode({"t": "event", "modules": {}}), encode({"t": "answer", "id": None, "data": 1})])
def test_garbage_ends_the_connection(bench, watch, data):
    """Not the daemon: one line in the log, and it is connected to again, later."""
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    agent.raw(data)
    bench.until(lambda: not watch.peers.known()[0].connected)
    assert len(watch.lines) == 1
    bench.until(lambda: watch.peers.known()[0].connected)


def test_messages_before_hello(bench, watch):
    """Who does not say who it is, is not listened to."""
    agent = bench.agent(mute=True)
    watch.peers.list()
    bench.until(lambda: agent.links)
    agent.send(agent.puppet.report())
    bench.until(lambda: watch.lines)
    assert watch.heard == []


def test_a_message_that_never_ends(bench, watch, monkeypatch):
    monkeypatch.setattr(peer_module, "MESSAGE_SECONDS", 0.05)
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    agent.raw(b"\x10\0\0\0abc")
    bench.until(lambda: watch.lines)
    assert "does not end its message" in watch.lines[0]


def test_who_does_not_read_is_cut_off(bench, watch, monkeypatch):
    monkeypatch.setattr(peer_module, "MAX_QUEUED", 1 << 20)
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    bench.loop.remove(agent.links[0].fileno())
    peer, = watch.peers.known()
    while peer.send({"t": "content", "sha256": "", "data": b"x" * 100000}):
        pass
    assert "does not read" in watch.lines[0]
    bench.loop.add(agent.links[0].fileno(), lambda events: None)


def test_large_messages_both_ways(bench, watch):
    """More than a socket takes at once."""
    agent = bench.agent()
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    peer, = watch.peers.known()
    peer.send({"t": "content", "sha256": "", "data": b"x" * 3000000})
    bench.until(lambda: agent.got)
    assert len(agent.got[0]["data"]) == 3000000


def test_someone_elses_number(bench, watch):
    """A process that says it is another's, or none: not believed."""
    bench.agent().says_pid = 2 ** 22 + 1
    assert f"says that it is process {2 ** 22 + 1}, but is process {bench.agents[0].pid}" in named(bench, watch)


OTHER = """
import os, socket, sys
path, pid = sys.argv[1:]
draft = os.path.join(os.path.dirname(path), '.x.sock')      # as agents do: a socket that is found has a listener
hello = sys.stdin.buffer.read()
s = socket.socket(socket.AF_UNIX)
if pid == 'as root':
    s.bind(draft)
    s.listen(8)
os.setuid(54321)
if pid != 'as root':
    s.bind(draft)
    s.listen(8)
os.rename(draft, path)
while True:
    c = s.accept()[0]
    c.sendall(hello)
    sys.stdout.write('told\\n')
    sys.stdout.flush()
    kept = c
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("says, bound, believed",
                         [("itself", "as itself", True), ("itself", "as root", True), ("root's", "as itself", False),
                                                   ("root's", "as root", False), ("the first", "as itself", False)])
def test_who_another_user_says_it_is(bench, watch, says, bound, believed):
    """What counts is who sends it, as the kernel says; not who made the socket, which may be a parent that is root."""
    os.chmod(bench.folder, 0o777)
    process = subprocess.Popen([sys.executable, "-c", OTHER, os.path.join(bench.folder, "x.sock"), bound],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bench.processes.append(process)
    pid = {"itself": process.pid, "root's": os.getpid(), "the first": 1}[says]
    process.stdin.write(encode({"t": "hello", "version": 1, "pid": pid, "comm": "x", "cmdline": [], "keep": False,
                                "service": os.path.basename(bench.folder), "started": 0}))
    process.stdin.close()
    bench.until(lambda: watch.peers.list() and watch.peers.known()[0].connected)
    process.stdout.readline()
    bench.until(lambda: watch.heard or watch.lines)
    process.stdout.close()
    if believed:
        assert watch.peers.known()[0].pid == pid and not watch.lines
    else:
        assert "of another user" in watch.lines[0]
        peers = watch.peers.list()              # on a socket of root's it is named, and has no veto
        assert [peer.is_of_service for peer in peers if peer.trouble] == [False] * (bound == "as root")
        assert not watch.heard


# ---- whom a name leads to

@pytest.mark.parametrize("hello", [{"service": "bank"}, {"service": None}, {"service": "bank", "version": 2},
                                   {"service": "x" * 10000}])
def test_an_agent_of_another_service(bench, watch, hello):
    """Somebody has put another service's socket here, or the folder was renamed."""
    agent = bench.agent(mute=True)
    speaks(bench, watch, agent, **hello)
    line = named(bench, watch)
    assert "says that it is of service" in line and os.path.basename(bench.folder) in line and len(line) < 350
    own = bench.agent("b")
    watch.peers.list()
    bench.until(lambda: watch.heard == [("b.sock", "hello"), ("b.sock", "report")])
    own.close()
    agent.cut()                                 # connected to again, it says the same: no word about it
    bench.until(lambda: agent.links)
    speaks(bench, watch, agent, **hello)
    bench.rest()
    assert watch.peers.known()[0].trouble == line and len(watch.lines) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_foreign_users_agent_of_another_service(bench, watch, monkeypatch):
    """It holds up nobody: its socket is left alone."""
    agent = foreign_agent(bench, monkeypatch, mute=True)
    speaks(bench, watch, agent, service="bank")
    assert "says that it is of service" in left_alone(bench, watch)
    own = bench.agent()                         # another socket of that name
    watch.peers.list()
    bench.until(lambda: watch.heard)
    own.close()


def test_an_agent_that_answers_as_another_process(bench, watch):
    """What counts is who sends, as the kernel says, also among processes of one user, and of root."""
    process = bench.sleeper()
    agent = bench.agent()
    agent.says_pid = process.pid
    trouble = named(bench, watch)
    assert f"says that it is process {process.pid}, but is process {agent.pid}" in trouble
    process.kill()                              # whom it says to be is nothing to it
    bench.rest()
    assert watch.peers.known()[0].trouble == trouble and watch.peers.known()[0].pid == agent.pid
    bench.process_of(agent).kill()
    bench.until(lambda: watch.gone == ["a.sock"])


def test_a_process_that_cant_be_seen_from_here(bench, watch, monkeypatch):
    """Its number is another process's here. Nobody sees when it ends: it is named till its socket goes."""
    heard_from(monkeypatch, pid=0)
    agent = bench.agent()
    trouble = named(bench, watch)
    assert "of another PID namespace" in trouble and "remove a.sock if it is dead" in trouble
    agent.close()
    os.unlink(agent.path)
    bench.until(lambda: watch.gone == ["a.sock"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_foreign_users_process_that_cant_be_seen_from_here(bench, watch, monkeypatch):
    """It holds up nobody."""
    foreign_agent(bench, monkeypatch, pid=0)
    watch.peers.list()
    assert "of another PID namespace" in left_alone(bench, watch)


IN_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-I", "-S", "-c"]
SPEAKS = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.bind(sys.argv[1])
    s.listen(8)
    print(os.getpid(), flush=True)
    link = s.accept()[0]
    link.sendall(sys.stdin.buffer.read())
    link.recv(1)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("says", ["the truth", "its number here"])
def test_a_process_of_a_pid_namespace_below(bench, watch, says):
    """It says that it is process 1, as it sees itself. Here it has another number, by which it is watched."""
    process = subprocess.Popen([*IN_NAMESPACE, SPEAKS, os.path.join(bench.folder, "x.sock")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not process.stdout.readline():
            pytest.skip("no PID namespaces here")
        here = int(open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()[0])
        pid = 1 if says == "the truth" else here
        process.stdin.write(encode({"t": "hello", "version": 1, "pid": pid, "comm": "x", "cmdline": [], "keep": False,
                                    "service": os.path.basename(bench.folder), "started": 0}))
        process.stdin.close()
        watch.peers.list()
        bench.until(lambda: watch.heard or watch.lines)
        peer, = watch.peers.known()
        assert peer.pid == here and bool(peer.trouble) == bool(watch.lines) == (says != "the truth")
        os.kill(here, 9)
        bench.until(lambda: watch.gone)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_link_in_a_sockets_place(bench, watch, tmp_path):
    """The socket that was looked at closes the connection, and its name leads to another service's then: that is not
    connected to."""
    agent = bench.agent()
    other = bench.agent("other", folder=str(tmp_path))
    watch.peers.list()
    bench.until(lambda: len(watch.heard) == 2)
    os.symlink(other.path, agent.path + ".new")
    os.rename(agent.path + ".new", agent.path)
    agent.cut()
    bench.rest(3 * peer_module.RETRY)
    assert not other.links and not watch.peers.known()[0].connected


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_socket_of_one_user_on_which_another_answers(bench, watch, monkeypatch):
    """A user lets a stranger in, or has others' words taken for its own."""
    foreign_agent(bench, monkeypatch, user=12345)
    watch.peers.list()
    assert "user 12345 answers on a socket of user 54321" in left_alone(bench, watch)


# ---- what is not understood, and connections that end again and again

def good(bench, watch, **more):
    agent = bench.agent(**more)
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    return agent, watch.peers.known()[0]


class Time:
    """The loop's clock, by hand."""

    def __init__(self, bench):
        self.bench, self.now = bench, 1000.0
        bench.loop.clock = lambda: self.now

    def advance(self, seconds, step=0.05):
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.bench.loop.run_once(0)
        self.bench.rest(0)
        for _ in range(5):
            self.bench.loop.run_once(0)


def test_connections_that_end_soon_are_made_again_after_growing_pauses(bench, watch):
    """Five a second for ever, and a line each, it was. One that lasts begins anew."""
    clock = Time(bench)
    agent, accepted = bench.agent(mute=True), []
    accept = agent._accept
    bench.loop.remove(agent.sock.fileno())

    def accept_and_say_nonsense(events):
        accepted.append(clock.now)
        accept(events)
        agent.raw(b"\0\0\0\0")
    bench.loop.add(agent.sock.fileno(), accept_and_say_nonsense)
    watch.peers.list()
    clock.advance(100)
    pauses = [after - before for before, after in zip(accepted, accepted[1:])]
    assert len(watch.lines) == 1 and len(accepted) < 12
    assert all(after >= before for before, after in zip(pauses[1:7], pauses[2:7])) and max(pauses) >= 20


def test_a_connection_that_lasted_is_made_again_at_once(bench, watch):
    clock = Time(bench)
    agent = bench.agent()
    watch.peers.list()
    clock.advance(0.2)
    peer, = watch.peers.known()
    for _ in range(6):
        agent.cut()
        clock.advance(peer_module.STEADY + 40)
        assert peer.connected
    assert peer._failures == 1
    agent.cut()
    clock.advance(0.1)
    assert peer.connected and peer.report


BROKEN = {"a kind that is not known": {"t": "nonsense"}, "a kind of the daemon's": {"t": "record", "r": {}},
          "a number that is a text": {"t": "ack", "seq": "1"},
          "a number that is too large": {"t": "ack", "seq": 2 ** 63},
          "a section of another shape": {"t": "event", "modules": {}}}


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
def test_a_process_that_is_not_understood_is_named(bench, watch, message):
    """Its klpfs may be another: what to do is said, until what it says is good, or it ends."""
    agent, peer = good(bench, watch)
    agent.send(message)
    bench.until(lambda: peer.trouble)
    assert peer.report is None and len(watch.lines) == 1 and peer.is_of_service
    agent.mute = True                           # connected to again, and not a word: it is what it was
    bench.until(lambda: peer.connected)
    assert peer.trouble and peer.is_of_service
    agent.mute = False
    agent.cut()
    assert peer.trouble == (f"process {agent.pid} (prog) says what this daemon does not understand (bad message "
                            f"{message['t']!r}): its klpfs may be another; end it, or mount with its klpfs")
    bench.until(lambda: peer.report)
    assert not peer.trouble


@pytest.mark.parametrize("data", [b"\xff\xff\xff\x7f", encode({"t": "event", "log": [None] * 2_000_000})])
def test_too_much_at_once_is_blamed_on_no_version(bench, watch, data):
    """More bytes, or more values, than a message may have."""
    agent, peer = good(bench, watch)
    sender = threading.Thread(target=agent.raw, args=(data,))
    sender.start()
    bench.until(lambda: peer.trouble)
    sender.join()
    assert "says more at once than this daemon takes in from user" in peer.trouble and "klpfs" not in peer.trouble


def test_a_report_without_a_field_is_named_as_often_as_it_comes_once(bench, watch):
    """As of an older klpfs: it connects and reports, again and again; one line."""
    clock = Time(bench)
    agent = bench.agent()
    report = agent.puppet.report
    agent.puppet.report = lambda: {key: value for key, value in report().items() if key != "over"}
    watch.peers.list()
    clock.advance(60)
    peer, = watch.peers.known()
    assert "bad message 'report'" in peer.trouble and peer.report is None
    assert len(watch.lines) == 1 and peer._failures > 3


def test_more_fields_are_no_trouble(bench, watch):
    """As of a newer klpfs of the same version of the wire."""
    agent = bench.agent()
    report = agent.puppet.report
    agent.puppet.report = lambda: {**report(), "newer": {"a": [1]}}
    watch.peers.list()
    bench.until(lambda: watch.peers.known()[0].report)
    assert not watch.peers.known()[0].trouble and not watch.lines


@pytest.mark.parametrize("errno_, shown", [(1, 1), (511, 511), (512, 22), (600, 22), (-5, 22), (0, 22), (2 ** 40, 22)])
def test_an_errno_is_one_of_the_kernels(bench, watch, errno_, shown):
    """An answer with another one the kernel does not take: the writer would wait for ever."""
    agent, peer = good(bench, watch)
    agent.send({**agent.puppet.report(), "refused": {"n": 1, "errno": errno_, "text": "no"}})
    bench.until(lambda: peer.report["refused"])
    assert peer.report["refused"]["errno"] == shown


def test_a_name_in_a_line_has_no_line_of_its_own(bench, watch):
    agent = bench.agent(mute=True)
    speaks(bench, watch, agent, comm="a\nlivepatch: b\x1b[2J")
    bench.until(lambda: watch.heard)
    assert watch.peers.known()[0].name == f"process {agent.pid} (a\\x0alivepatch: b\\x1b[2J)"


# ---- processes of another user

@pytest.fixture
def foreign_users(monkeypatch):
    foreign.pretend(monkeypatch)


def test_whose_processes_are_foreign(bench, watch, foreign_users):
    """Neither root's nor this daemon's user's; they don't speak for the service unless the folder is theirs."""
    bench.agent("a"), bench.agent("f")
    watch.peers.list()
    bench.until(lambda: len([peer for peer in watch.peers.known() if peer.report]) == 2)
    own, other = watch.peers.known()
    assert (own.is_foreign, own.is_of_service) == (False, True)
    assert (other.is_foreign, other.is_of_service, other.user) == (True, False, foreign.USER)


def test_a_foreign_message_is_smaller(bench, watch, foreign_users):
    agent, peer = good(bench, watch, name="f")
    agent.raw((wire.FOREIGN_MESSAGE + 1).to_bytes(4, "little"))
    bench.until(lambda: watch.lines)
    assert "is announced" in watch.lines[0] and peer.trouble


def test_lines_about_foreign_processes_are_few(bench, watch, foreign_users):
    """However many sockets a user makes and whatever is wrong with each."""
    agents = [bench.agent(f"f{i}", mute=True) for i in range(40)]
    watch.peers.list()
    bench.until(lambda: all(agent.links for agent in agents))
    for agent in agents:
        agent.raw(encode({"t": "report"}))
    bench.until(lambda: all(peer._failures for peer in watch.peers.known()))
    assert len(watch.lines) == MOST_LINES + 1
    assert watch.lines[-1] == f"klpfs: further lines about processes of user {foreign.USER} are left out for a minute"


def test_what_is_remembered_of_a_foreign_user_is_bounded(bench, watch, foreign_users, monkeypatch):
    monkeypatch.setattr(peer_module, "MAX_KEPT", 80_000)
    agent, peer = good(bench, watch, name="f")
    agent.send({**agent.puppet.report(), "blockers": [
        {"kind": "thread", "task": 1, "name": "x" * 100_000, "frames": [], "since": 1}]})
    bench.until(lambda: watch.lines)
    assert "would have to be remembered" in watch.lines[0] and peer.report is None and not peer.trouble


def test_contents_for_a_foreign_user_do_not_heap_up(bench, watch, foreign_users, monkeypatch):
    """What waits for all processes of the user together is what counts."""
    monkeypatch.setattr(peer_module, "MAX_QUEUED", 3 << 20)
    agents = [bench.agent(f"f{i}") for i in range(4)]
    watch.peers.list()
    bench.until(lambda: len([peer for peer in watch.peers.known() if peer.report]) == 4)
    for agent in agents:
        bench.loop.remove(agent.links[0].fileno())
    sent = [peer.send({"t": "content", "sha256": "", "data": b"x" * (1 << 20)}) for peer in watch.peers.known()]
    assert sent == [True, True, True, False] and "does not read" in watch.lines[0]
    for agent in agents:
        if agent.links:
            bench.loop.add(agent.links[0].fileno(), lambda events: None)
