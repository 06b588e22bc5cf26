"""What the agent reads of its own process in /proc."""
import os
import threading

import pytest

from klpfs.agent import proc


def test_the_process():
    found = proc.describe()
    assert found["pid"] == os.getpid() and found["comm"] and found["cmdline"][0]


def test_tasks_have_their_python_names_and_the_main_thread_is_first():
    """Those of klpfs are none of the program's."""
    go = threading.Event()
    threads = [threading.Thread(target=go.wait, name=name) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    one, two = [thread.native_id for thread in threads]
    tasks = proc.tasks({two})
    assert tasks[0][0] == os.getpid() and (one, "one") in tasks and two not in dict(tasks)
    assert proc.thread_names()[two] == "two" and os.getpid() not in proc.thread_names()
    go.set()
    for thread in threads:
        thread.join()


def test_a_proc_that_cannot_be_read(monkeypatch):
    """A program that has changed its root: its own task is known, no names."""
    def refused(*args):
        raise PermissionError
    monkeypatch.setattr(proc, "_open" if hasattr(proc, "_open") else "open", refused, raising=False)
    monkeypatch.setattr(proc, "listdir", refused)
    assert [tid for tid, _ in proc.tasks()] == [os.getpid()]


@pytest.mark.parametrize("ours", [set(), {1}])
def test_tids_are_numbers(ours):
    assert all(type(tid) is int and type(name) is str for tid, name in proc.tasks(ours))
