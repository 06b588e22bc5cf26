"""Requests to agents: answered, refused for their shape, or over when time or the connection is."""
import pytest

from klpfs.service.agent_requests import AgentRequests
from klpfs.service.limits import LIMITS
from tests.service.puppets import Clock

ASK = {"t": "ask", "what": "stack", "tid": None}
ASK_ALL = {"t": "ask", "what": "blockers", "tid": None}
ORDER = {"t": "set", "module": "m", "param": "p", "text": "1"}
CHECK = {"t": "check", "name": "m", "path": "m.py", "data": b"", "params": {}}


class Peer:
    """A process that is sent messages; `connected`: whether they go out; `drops`: why its connection was closed."""

    def __init__(self, key="a", connected=True, report=True):
        self.key, self.connected, self.report = key, connected, {} if report else None
        self.is_of_service = True
        self.sent, self.drops = [], []
        self.agent = f"agent {key}"

    def send(self, message):
        if self.connected:
            self.sent.append(message)
        return self.connected

    def drop(self, why):
        self.drops.append(why)


class World:
    """Requests to the processes a and b; `outcomes`: what was called, in order."""

    def __init__(self):
        self.clock, self.a, self.b, self.outcomes = Clock(), Peer("a"), Peer("b"), []
        self.all = [self.a, self.b]
        self.requests = AgentRequests(self.clock, self)

    def known(self):
        return self.all

    def ask(self, message=ASK, peer=None):
        self.requests.ask(peer or self.a, message, self.outcomes.append)

    def answer(self, data, peer=None, number=-1):
        peer = peer or self.a
        message = {"t": "answer", "id": peer.sent[number]["id"], "data": data}
        self.requests.answered(peer, message)
        return message

    def obey(self, errno, peer=None):
        peer = peer or self.a
        self.requests.answered(peer, {"t": "done", "id": peer.sent[-1]["id"], "errno": errno})

    def write_kmsg(self, text="hello"):
        self.requests.write_kmsg(text, 14, lambda: self.outcomes.append("back"),
                                 lambda agent: self.outcomes.append(f"not {agent}"))

    def event(self, peer, kind, text):
        self.requests.take_event(peer, {"t": "event", "log": [(0, 1, 6, kind, text)]})


@pytest.fixture
def world():
    return World()


# -- questions and orders

def test_a_question_is_answered(world):
    world.ask()
    assert {**world.a.sent[0], "id": 0} == {**ASK, "id": 0} and world.outcomes == []
    answer = world.answer(["f"])
    assert world.outcomes == [answer]


def test_an_order_is_done(world):
    world.ask(ORDER)
    world.obey(22)
    assert world.outcomes == [22]


def test_requests_have_numbers_of_their_own(world):
    """Answers may come in another order, and each belongs to the process that was asked."""
    world.ask()
    world.ask()
    world.ask(peer=world.b)
    assert len({message["id"] for message in world.a.sent + world.b.sent}) == 3
    second = world.answer(["second"], number=1)
    first = world.answer(["first"], number=0)
    assert world.outcomes == [second, first]
    world.requests.answered(world.a, {"t": "answer", "id": world.b.sent[0]["id"], "data": ["not b's"]})
    assert len(world.outcomes) == 2


def test_without_a_connection_there_is_no_answer_at_once(world):
    world.a.connected = False
    world.ask()
    assert world.outcomes == [None] and world.clock.next() is None


@pytest.mark.parametrize("message, seconds", [(ASK, "only_answer"), (ASK_ALL, "question"), (ORDER, "order"),
                                              (CHECK, "dry_run")],
                         ids=["question", "question_to_all", "order", "dry_run"])
def test_each_kind_has_its_time_limit(world, message, seconds):
    world.ask(message)
    world.clock.advance(getattr(LIMITS, seconds) - 0.001)
    assert world.outcomes == []
    world.clock.advance(0.001)
    assert world.outcomes == [None]


def test_an_answer_that_comes_too_late_is_nothing(world):
    world.ask()
    world.clock.advance(LIMITS.only_answer)
    world.answer(["late"])
    world.answer("nonsense, and late")
    assert world.outcomes == [None] and world.a.drops == []


def test_an_answer_ends_the_time_limit(world):
    world.ask()
    world.answer(["f"])
    assert world.clock.next() is None and len(world.outcomes) == 1


@pytest.mark.parametrize("message, data", [(ASK, "nonsense"), (ORDER, None), (CHECK, {"errno": "x"}),
                                           (CHECK, {"errno": 0, "text": "", "found": None})],
                         ids=["question", "order", "dry_run", "a dry run that found nothing"])
def test_an_answer_of_a_wrong_shape_closes_the_connection(world, message, data):
    """It is no answer: the request ends with the connection, or by its time."""
    world.ask(message)
    world.answer(data)
    assert world.a.drops == ["bad answer"] and world.outcomes == []


def test_a_dry_run_is_answered(world):
    world.ask(CHECK)
    answer = world.answer({"errno": 0, "text": "", "found": {"livepatch": True, "replace": False, "refused": "",
                                                             "objects": []}})
    assert world.outcomes == [answer] and not world.a.drops


def test_a_lost_connection_ends_its_requests_alone(world):
    world.ask()
    world.ask(peer=world.b)
    world.requests.lost(world.a)
    assert world.outcomes == [None]
    answer = world.answer(["f"], world.b)
    assert world.outcomes == [None, answer]


def test_the_end_ends_all(world):
    world.ask()
    world.ask(peer=world.b)
    world.write_kmsg()
    world.requests.close()
    assert world.outcomes == [None, None, "not "]
    world.clock.advance(100)
    assert len(world.outcomes) == 3


# -- several at once

def test_all_are_asked_and_answer_in_the_order_of_the_processes(world):
    world.requests.ask_each(world.all, ORDER, world.outcomes.append)
    world.obey(2, world.b)
    assert world.outcomes == []
    world.obey(1, world.a)
    assert world.outcomes == [[1, 2]]


def test_a_process_that_does_not_answer_has_none(world):
    world.b.connected = False
    world.requests.ask_each(world.all, ORDER, world.outcomes.append)
    assert world.outcomes == []
    world.clock.advance(LIMITS.order)
    assert world.outcomes == [[None, None]]


def test_nobody_to_ask(world):
    world.requests.ask_each([], ORDER, world.outcomes.append)
    assert world.outcomes == [[]]


# -- lines for the log

def test_a_line_is_given_to_one_process_and_comes_back(world):
    world.write_kmsg()
    assert world.a.sent == [{"t": "kmsg", "text": "hello", "priority": 14}] and world.b.sent == []
    world.event(world.a, "user", "hello")
    assert world.outcomes == ["back"] and world.clock.next() is None


def test_a_line_of_several_is_back_with_its_last(world):
    world.write_kmsg("one\ntwo")
    world.event(world.a, "user", "one")
    assert world.outcomes == []
    world.event(world.a, "user", "two")
    assert world.outcomes == ["back"]


@pytest.mark.parametrize("process, kind, text", [("b", "user", "hello"), ("a", "module", "hello"),
                                                 ("a", "user", "hullo")])
def test_what_is_not_the_line(world, process, kind, text):
    """Another process's, a module's own, another text."""
    world.write_kmsg()
    world.event(getattr(world, process), kind, text)
    assert world.outcomes == []


def test_an_event_without_lines(world):
    world.write_kmsg()
    world.requests.take_event(world.a, {"t": "event", "modules": []})
    assert world.outcomes == []


def test_one_event_is_one_line_back(world):
    """The same text written twice."""
    world.write_kmsg()
    world.write_kmsg()
    world.event(world.a, "user", "hello")
    assert world.outcomes == ["back"]
    world.event(world.a, "user", "hello")
    assert world.outcomes == ["back", "back"]


def test_processes_that_can_not_take_a_line_are_passed_by(world):
    """One that has not reported, one without a connection."""
    world.all[:] = [Peer("c", report=False), Peer("d", connected=False), world.b]
    world.write_kmsg()
    assert world.all[0].sent == [] and len(world.b.sent) == 1 and world.outcomes == []


def test_no_process_takes_the_line(world):
    world.all[:] = []
    world.write_kmsg()
    assert world.outcomes == ["not "]


def test_a_line_that_does_not_come_back(world):
    world.write_kmsg()
    world.clock.advance(LIMITS.kmsg)
    assert world.outcomes == ["not agent a"]
    world.event(world.a, "user", "hello")
    assert world.outcomes == ["not agent a"]


def test_a_lost_connection_has_its_lines_alone(world):
    world.write_kmsg()
    world.requests.lost(world.b)
    assert world.outcomes == []
    world.requests.lost(world.a)
    assert world.outcomes == ["not "]
