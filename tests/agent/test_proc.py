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
    assert dict(proc.tasks())[two] == "two" and tasks[0][1] == proc.comm(), "the main thread has the process's name"
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


def test_a_thread_class_of_the_program_is_not_asked_for_its_name():
    """The agent's thread runs nothing of the program's."""
    asked = []

    class Asks(threading.Thread):
        def __getattribute__(self, name):
            if threading.current_thread() is not self and name in ("_name", "_native_id"):
                asked.append(name)
            return super().__getattribute__(name)
    go = threading.Event()
    thread = Asks(target=go.wait, name="mine")
    thread.start()
    try:
        asked.clear()
        tasks = proc.tasks()
        assert asked == [] and (thread.native_id, "mine") in tasks
    finally:
        go.set()
        thread.join()
