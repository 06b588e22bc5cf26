"""Differences that are known, each with its reason: the only ones that `make cpython` passes.

A line is (test file, case, its result under patches, versions or None for all, reason); test file and case may have
wildcards. Another result is not explained by it. A line stands here when the difference was seen and understood, and
goes when it is not seen any more.
"""
from __future__ import annotations

from fnmatch import fnmatchcase

KNOWN: tuple[tuple[str, str, str, tuple[str, ...] | None, str], ...] = (
    ("test_threading", "ThreadJoinOnShutdown.test_clear_threads_states_after_fork", "failed", None,
     "sys._current_frames() in a forked child shows the agent's threads, which are there after each fork"),
    ("test_coroutines", "OriginTrackingTest.test_origin_tracking*", "failed", None,
     "the test asks inspect.currentframe() for its caller's frame; while inspect is in transition sys._getframe(1) is "
     "the dispatcher's frame, and its f_back one function nearer (README, Limits)"),
    ("doctest", "*", "ok", None,
     "test_generators asks DocTestSuite() for its caller's module; while doctest is in transition that counts "
     "the dispatcher's frame too, and finds doctest itself, whose own examples are run (and pass)"),
    ("test_asyncio.test_streams", "StreamTests.test_open_connection_happy_eyeball_refcycles", "failed", None,
     "the test asks who refers to an exception; the dispatcher's frame of _sock_connect_cb, to which the traceback "
     "leads by f_back, has the call's argument, the future that has failed (README, Limits: arguments live as long)"),
    ("test_asyncio.test_futures2", "*FutureTests.test_task_exc_handler_correct_context", "failed", None,
     "the test waits for the end of a task that has failed; the dispatchers' frames of its steps, to which the "
     "traceback leads by f_back, have the calls' argument, the task, which is freed by a collection then (README, "
     "Limits)"),
    ("test_asyncio.test_events", "HandleTests.test_handle_source_traceback", "failed", None,
     "asyncio in debug mode cuts its own frames off a handle's traceback by their number; while its functions are in "
     "transition their dispatchers' frames are there, too, and one of its own is left"),
    ("test_interpreters.test_stress", "StressTests.test_create_interpreter_no_memory", "failed", None,
     "the test has the next allocation of the process fail, and means its own; a thread that gets in between takes it: "
     "the agent's, as would the program's (1 of 2,000 times, beside one busy thread and without klpfs)"),
)


def why(case: str, results: set[str], version: str) -> str | None:
    """The reason for a difference in this case, "test_file.Class.test", that had these results under patches (in some
    of its runs it may be good); None: there is none."""
    for file, name, result, versions, reason in KNOWN:
        if fnmatchcase(case, f"{file}.{name}") and results in ({result}, {result, "ok"}) and (
                versions is None or version in versions):
            return reason
    return None
