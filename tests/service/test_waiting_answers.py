"""Answers to writes: given when every process has followed, or when the time is over; nothing else is waited for."""
import errno

import pytest

from klpfs.service.answer import Answer
from klpfs.service.limits import LIMITS
from klpfs.service.waiting_answers import WaitingAnswer, WaitingAnswers
from tests.service.puppets import Clock, answers_of, errno_of


class Peer:
    """A process as its answers see it: `silent` is what Silence.passes_over says of it."""

    def __init__(self, key, seen=0):
        self.key, self.gone, self.silent = key, False, False
        self.report = {"seen": seen, "n": 0, "phase": "", "prepared": None, "blockers": [], "working": None}

    def say(self, **changes):
        """A report that differs from the last one; each is an object of its own, as from the wire."""
        self.report = {**self.report, **changes}


class World:
    """Processes a and b, which have not followed record 1, and what the coordinator lends to WaitingAnswers."""

    def __init__(self):
        self.clock, self.wakes, self.rounds, self.looks = Clock(), [], 0, 0
        self.a, self.b = Peer("a"), Peer("b")
        self.known, self.folder = [self.a, self.b], [self.a, self.b]
        self.record = {"transition": None}
        self.waiting_answers = WaitingAnswers(self, self.clock.now, self.wakes.append, self.go_round)

    def passes_over(self, peer):
        return peer.silent

    def go_round(self):
        self.rounds += 1

    def look_again(self):
        self.looks += 1
        return list(self.folder)

    def wait(self, seconds=LIMITS.silent, seq=1, n=7, **more):
        answer = Answer()
        self.waiting_answers.add(WaitingAnswer(answer, seq, n, self.clock.now() + seconds, **more))
        return answer

    def settle(self):
        self.waiting_answers.settle(self.record, list(self.known), self.look_again)

    def after_settling(self, answer):
        self.settle()
        return errno_of(answer)


@pytest.fixture
def world():
    return World()


def follow(*peers, seq=1):
    for peer in peers:
        peer.say(seen=seq)


# -- until all have followed

def test_an_answer_waits_until_all_have_followed(world):
    answer = world.wait()
    assert world.after_settling(answer) is None and len(world.waiting_answers) == 1
    follow(world.b)
    assert world.after_settling(answer) is None
    follow(world.a)
    assert world.after_settling(answer) == 0 and len(world.waiting_answers) == 0


def test_a_process_that_has_followed_a_later_record_has_followed_this_one(world):
    answer = world.wait()
    follow(world.a, world.b, seq=5)
    assert world.after_settling(answer) == 0


def test_a_process_that_has_never_reported_is_waited_for(world):
    answer = world.wait()
    follow(world.a)
    world.b.report = None
    assert world.after_settling(answer) is None


def test_silent_and_gone_processes_are_not_waited_for(world):
    answer = world.wait()
    world.a.silent = world.b.gone = True
    world.folder.remove(world.b)
    assert world.after_settling(answer) == 0


def test_a_process_that_is_silent_no_more_is_waited_for_in_the_last_look(world):
    """It was passed over when the round looked at it, and has gone on before all had followed."""
    answer = world.wait()
    world.b.silent = True                      # the last one: looked at first, and done with
    assert world.after_settling(answer) is None
    world.b.silent = False
    follow(world.a)
    assert world.after_settling(answer) is None
    follow(world.b)
    assert world.after_settling(answer) == 0


def test_a_newcomer_that_the_second_look_finds_is_waited_for(world):
    """A child that was forked before its parent followed: known() does not have it yet."""
    answer = world.wait()
    child = Peer("child")
    world.folder.append(child)
    follow(world.a, world.b)
    assert world.after_settling(answer) is None and world.looks == 1
    follow(child)
    assert world.after_settling(answer) == 0 and world.looks == 2


def test_the_folder_is_not_looked_into_while_a_known_process_is_waited_for(world):
    world.wait()
    follow(world.a)
    world.settle()
    assert world.looks == 0


def test_a_service_without_processes_is_not_waited_for(world):
    world.known, world.folder = [], []
    assert world.after_settling(world.wait()) == 0


def test_n_reports_cost_two_n_looks(world):
    """A round does not look again at processes that have followed; a process may go on being passed over for them."""
    processes, asked = [Peer(str(n)) for n in range(50)], []
    world.known = world.folder = processes
    world.passes_over = lambda peer: asked.append(peer) or peer.silent
    answer = world.wait()
    for peer in processes[::-1]:
        assert world.after_settling(answer) is None
        peer.silent = True
    assert world.after_settling(answer) == 0
    assert len(asked) <= 2 * 50 + 50           # and each once more in the last look


@pytest.mark.parametrize("error", [None, (errno.EIO, "stuck")])
def test_a_process_that_is_stuck_after_a_defect_is_not_waited_for(world, error):
    """It can't follow, and is named among the blockers; the others are waited for."""
    answer = world.wait(error=error, seconds=600)
    world.a.say(blockers=[{"kind": "defect"}])
    assert world.after_settling(answer) is None
    follow(world.b)
    assert world.after_settling(answer) == (errno.EIO if error else 0)


# -- until the time is over

def test_the_time_limit_answers_success(world):
    """What was written is written: the rest of the processes follow later."""
    answer = world.wait(2.0)
    assert world.after_settling(answer) is None and world.wakes == [world.clock.now() + 2.0]
    world.clock.advance(1.99)
    assert world.after_settling(answer) is None
    world.clock.advance(0.01)
    assert world.after_settling(answer) == 0


def test_each_answer_has_its_own_record_and_time(world):
    first, second = world.wait(2.0), world.wait(5.0, seq=2)
    follow(world.a, world.b)
    world.settle()
    assert (errno_of(first), errno_of(second)) == (0, None)
    assert answers_of(world.waiting_answers) == [second]
    world.clock.advance(5.0)
    assert world.after_settling(second) == 0


# -- a failure

def test_a_failure_is_answered_once_all_have_taken_back(world):
    answer = world.wait(error=(errno.ENOEXEC, "it refuses"))
    follow(world.a)
    assert world.after_settling(answer) is None
    follow(world.b)
    assert world.after_settling(answer) == errno.ENOEXEC and answer.exception().strerror == "it refuses"


def test_a_failure_that_could_not_be_written_waits_until_no_process_holds_the_load(world):
    """seq -1: no record tells the processes, they take back when the connection closes."""
    world.a.say(n=7, phase="loading")
    world.b.say(n=7, phase="prepared", prepared={"n": 7})
    answer = world.wait(seq=-1, error=(errno.EINTR, "interrupted"))
    assert world.after_settling(answer) is None
    world.a.say(n=0, phase="")
    assert world.after_settling(answer) is None
    world.b.say(n=0, phase="", prepared=None)
    assert world.after_settling(answer) == errno.EINTR


def test_another_load_that_a_process_holds_is_none_of_this_failure_s(world):
    world.a.say(n=8, phase="loading", prepared={"n": 8})
    assert world.after_settling(world.wait(seq=-1, error=(errno.EINTR, ""))) == errno.EINTR


def test_a_failure_that_could_not_be_written_waits_for_a_newcomer_too(world):
    child = Peer("child")
    child.say(n=7, phase="loading")
    world.folder.append(child)
    answer = world.wait(seq=-1, error=(errno.EINTR, ""))
    assert world.after_settling(answer) is None
    child.say(n=0, phase="")
    assert world.after_settling(answer) == errno.EINTR


# -- an interrupt

def test_an_interrupt_answers_what_was_decided_at_once(world):
    """Too late to undo anything: success."""
    answer = world.wait(60.0)
    assert world.after_settling(answer) is None
    assert answer.cancel() and world.rounds == 1
    assert world.after_settling(answer) == 0


def test_an_interrupt_of_a_failure_waits_for_its_taking_back_but_not_for_long(world):
    answer = world.wait(60.0, error=(errno.ENOEXEC, ""))
    assert answer.cancel() and world.rounds == 1
    assert world.after_settling(answer) is None and world.wakes[-1] == world.clock.now() + LIMITS.silent
    world.clock.advance(LIMITS.silent)
    assert world.after_settling(answer) == errno.ENOEXEC


def test_an_interrupt_makes_no_answer_later(world):
    answer = world.wait(0.5, error=(errno.ENOEXEC, ""))
    answer.cancel()
    world.clock.advance(0.5)
    assert world.after_settling(answer) == errno.ENOEXEC


# -- the first look

@pytest.fixture
def first_look(world):
    """An answer that also waits for the first try to complete transition 7; all have followed."""
    world.record = {"transition": {"n": 7}}
    answer = world.wait(waits_for_first_look=True)
    follow(world.a, world.b)
    return answer


def test_an_answer_waits_for_the_first_look(world, first_look):
    """All have followed, no process has been seen in the way: the transition may complete at once."""
    assert world.after_settling(first_look) is None
    world.record = {"transition": None}
    assert world.after_settling(first_look) == 0


def test_a_write_that_does_not_wait_for_the_first_look(world):
    world.record = {"transition": {"n": 7}}
    answer = world.wait()
    follow(world.a, world.b)
    assert world.after_settling(answer) == 0


@pytest.mark.parametrize("report", [{"blockers": [{"kind": "thread"}]}, {"working": {"what": "init of p", "since": 0}}],
                         ids=lambda report: next(iter(report)))
def test_the_first_look_ends_when_a_process_is_seen_in_the_way(world, first_look, report):
    assert world.after_settling(first_look) is None
    world.b.say(**report)
    assert world.after_settling(first_look) == 0


def test_the_first_look_ends_when_a_process_is_silent(world):
    world.record = {"transition": {"n": 7}}
    answer = world.wait(waits_for_first_look=True)
    follow(world.a)
    assert world.after_settling(answer) is None
    world.b.silent = True
    assert world.after_settling(answer) == 0


def test_the_first_look_ends_with_another_transition(world, first_look):
    world.record = {"transition": {"n": 8}}
    assert world.after_settling(first_look) == 0


def test_the_first_look_ends_without_processes(world):
    world.record, world.known, world.folder = {"transition": {"n": 7}}, [], []
    assert world.after_settling(world.wait(waits_for_first_look=True)) == 0


def test_a_report_is_looked_into_once(world, first_look):
    """So that n reports cost n looks: the same report can't come to be in the way later."""
    class Report(dict):
        looks = 0

        def __getitem__(self, key):
            self.looks += key == "blockers"
            return super().__getitem__(key)
    report = world.a.report = Report(world.a.report)
    for _ in range(3):
        assert world.after_settling(first_look) is None
    assert report.looks == 1
    world.a.report = again = Report(world.a.report)
    assert world.after_settling(first_look) is None
    assert (report.looks, again.looks) == (1, 1)


def test_the_first_look_does_not_outlast_the_time_limit(world, first_look):
    world.clock.advance(LIMITS.silent)
    assert world.after_settling(first_look) == 0


# -- the end

def test_the_end_fails_all(world):
    answers = [world.wait(), world.wait(error=(errno.ENOEXEC, ""))]
    assert answers_of(world.waiting_answers) == answers
    world.waiting_answers.fail_all(errno.ENODEV, "the service's daemon ends")
    assert [errno_of(answer) for answer in answers] == [errno.ENODEV] * 2 and len(world.waiting_answers) == 0


def test_all_are_answered_and_those_without_a_line_are_named(world):
    """A write that was refused has its line."""
    answers = [world.wait(what="insmod A"), world.wait(error=(errno.EINTR, "interrupted")), world.wait(what="rmmod B")]
    assert world.waiting_answers.fail_all(errno.EIO, "the journal is damaged") == ["insmod A", "rmmod B"]
    assert [errno_of(answer) for answer in answers] == [errno.EIO] * 3 and not len(world.waiting_answers)
