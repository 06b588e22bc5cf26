"""Looks at threads: each stack of one moment."""
import sys
import threading

import pytest

from klpfs.cpython.looks import threads as thread_looks


@pytest.fixture
def deep():
    """deep(n, ...): starts a thread that stands n frames of `down` deep; all end with the test."""
    go, threads = threading.Event(), []

    def start(n):
        at = threading.Event()

        def down(left):
            if left:
                return down(left - 1)
            at.set()
            go.wait(10)
        threads.append(threading.Thread(target=down, args=(n - 1,)))
        threads[-1].start()
        at.wait(10)
        return threads[-1].ident, id(down.__code__)
    yield start
    go.set()
    for thread in threads:
        thread.join()


def test_stacks_of_some_threads_innermost_first(deep):
    a, b, c = deep(3), deep(5), deep(7)
    taken = thread_looks.stacks((a[0], c[0]))
    assert [ident for ident, stack in taken] == [a[0], c[0]]
    assert [stack.count(code) for (ident, stack), (_, code) in zip(taken, (a, c))] == [3, 7]
    assert taken[0][1].index(a[1]) > 0, "what `down` waits in comes first"
    assert {a[0], b[0], c[0], threading.get_ident()} <= set(thread_looks.idents())


def test_a_thread_that_has_ended_has_no_stack():
    thread = threading.Thread(target=len, args=((),))
    thread.start()
    thread.join()
    assert thread_looks.stacks((12345,)) == [(12345, ())]
    assert thread_looks.lines((12345,)) == [(12345, ())]


def test_a_look_of_a_stack_is_one_moment():
    """Frames that are always one above the other are seen so, while eight threads call and return."""
    stop, begun = [], threading.Semaphore(0)

    def c(n):
        return n + 1

    def b(n):
        return c(n) + c(n)

    def a(n):
        return b(n) + b(n)

    def generator():
        while True:
            yield a(1)

    def work():
        g = generator()
        begun.release()
        while not stop:
            next(g)
    parent = {id(c.__code__): (id(b.__code__),), id(b.__code__): (id(a.__code__),),
              id(a.__code__): (id(generator.__code__),), id(generator.__code__): (id(work.__code__),)}
    threads = [threading.Thread(target=work) for i in range(8)]
    was = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
            begun.acquire()
        idents, seen = tuple(t.ident for t in threads), 0
        for turn in range(400):
            for ident, stack in thread_looks.stacks(idents):
                for above, below in zip(stack, stack[1:]):
                    assert above not in parent or below in parent[above]
                seen += len(stack)
    finally:
        stop.append(1)
        for thread in threads:
            thread.join()
        sys.setswitchinterval(was)
    assert seen > 5000


def test_places_are_those_of_lines_with_the_instruction(deep):
    """What f_lasti says in the frame itself."""
    ident, code = deep(4)
    (_, places), = thread_looks.places((ident,))
    (_, lines), = thread_looks.lines((ident,))
    assert [(made, line) for _, line, made in places] == list(lines)
    frame = sys._current_frames()[ident]
    for lasti, line, made in places:
        assert (frame.f_lasti, frame.f_lineno, frame.f_code) == (lasti, line, made)
        frame = frame.f_back
    assert frame is None and thread_looks.places((12345,)) == [(12345, ())]
