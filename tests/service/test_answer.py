"""The answer to a write: given once; an interrupt asks for its end, and does not end it."""
import errno

import pytest

from klpfs.service.answer import Answer


def test_success_has_data_or_none():
    write, question = Answer(), Answer()
    write.succeed()
    question.succeed([1])
    assert write.result() is None and question.result() == [1]


def test_a_failure_is_an_oserror():
    answer = Answer()
    answer.fail(errno.EBUSY, "in use")
    error = answer.exception()
    assert type(error) is OSError and (error.errno, error.strerror) == (errno.EBUSY, "in use")


def test_the_first_answer_stands():
    good, bad = Answer(), Answer()
    good.succeed(1)
    good.fail(errno.EIO)
    good.succeed(2)
    bad.fail(errno.EBUSY)
    bad.succeed(1)
    bad.fail(errno.EIO)
    assert good.result() == 1 and bad.exception().errno == errno.EBUSY


def test_an_interrupt_leaves_the_answer_to_come():
    answer, interrupts = Answer(), []
    answer.interrupt = lambda: interrupts.append(1)
    assert answer.cancel() and interrupts == [1] and not answer.done() and not answer.cancelled()
    answer.fail(errno.EINTR)
    assert answer.exception().errno == errno.EINTR and not answer.cancelled()


def test_an_interrupt_may_answer_itself():
    answer, calls = Answer(), []
    answer.add_done_callback(lambda answer: calls.append(answer.exception().errno))
    answer.interrupt = lambda: answer.fail(errno.EINTR)
    assert answer.cancel() and calls == [errno.EINTR]


def test_nothing_can_be_interrupted_after_the_answer_or_where_no_writer_waits():
    answer, interrupts = Answer(), []
    assert not answer.cancel() and not answer.done()
    answer.interrupt = lambda: interrupts.append(1)
    answer.succeed()
    assert not answer.cancel() and not interrupts and answer.interrupt is None


@pytest.mark.parametrize("code", [0, -1, 512, 600, 2 ** 40, None, "5", True, 1.0], ids=repr)
def test_what_is_no_errno_is_einval(code):
    """Modules make them; the kernel would refuse an answer with it, and the writer would wait for ever."""
    answer = Answer()
    answer.fail(code, "text")
    assert answer.exception().args == (errno.EINVAL, "text")


def test_what_is_an_errno_stays():
    for code in (1, 511):
        answer = Answer()
        answer.fail(code)
        assert answer.exception().errno == code
