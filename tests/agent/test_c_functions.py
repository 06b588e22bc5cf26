"""The C functions that the agent runs on."""
import signal
import threading
import time

from klpfs.agent import c_functions


def test_they_are_c():
    """Nothing of threading, socket or time that a patch could change."""
    for name in ("start_thread", "allocate_lock", "get_ident", "get_native_id", "poll", "monotonic", "monotonic_ns",
                 "thread_time"):
        found = getattr(c_functions, name)
        assert type(getattr(found, "func", found)) is type(len) or isinstance(found, type)


def test_the_clock_is_monotonic_in_microseconds():
    before = time.monotonic_ns() // 1000
    assert before <= c_functions.clock_us() <= time.monotonic_ns() // 1000


def test_a_quiet_thread_has_all_signals_blocked_and_the_starter_keeps_its_own():
    before, seen, done = signal.pthread_sigmask(signal.SIG_BLOCK, []), [], threading.Event()

    def run():
        seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        done.set()
    c_functions.start_quiet_thread(run)
    assert done.wait(10) and {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD} <= seen[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_quiet_thread_has_a_stack_of_its_own_size():
    """Whatever the program has set, which stays set: with the least that is allowed, compiling a file ends the
    program."""
    done, deep = threading.Event(), "(" * 60 + "1" + ")" * 60
    before = threading.stack_size()
    try:
        least = 32768
        while True:
            try:
                threading.stack_size(least)
                break
            except ValueError:          # 3.15 wants more
                least += 4096
        def run():
            compile(deep, "deep", "eval")
            done.set()
        c_functions.start_quiet_thread(run)
        assert done.wait(10)
        assert threading.stack_size(least) == least
    finally:
        threading.stack_size(before)
