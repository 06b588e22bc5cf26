"""Python's warning of a fork beside threads: in the log where all of them are klpfs's, else the program's own."""
import copy
import pickle
import sys
import threading
import types
import warnings

import pytest

from klpfs.agent import fork_warning
from klpfs.cpython.warning_filters import filters
from tests.agent.test_fork import fork

TEXT = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."


@pytest.fixture
def agent():
    said = []
    threads = [types.SimpleNamespace(running=types.SimpleNamespace(begun=True, locked=lambda: True)) for _ in "ab"]
    return types.SimpleNamespace(own_tids={2, 3}, server=threads[0], thread=threads[1], said=said,
                                 outbox=types.SimpleNamespace(say=lambda text, priority: said.append(text)))


def test_the_expected_one_is_not_the_programs(agent, monkeypatch):
    """Others are heard, and nothing is left of it before the next fork. The log says it once a process."""
    monkeypatch.setattr(fork_warning, "_said", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(filters())
        for _ in range(2):
            fork_warning.expect(agent, False)
            with pytest.raises(DeprecationWarning):
                warnings.warn("something else", DeprecationWarning, stacklevel=1)
            warnings.warn(TEXT, DeprecationWarning, stacklevel=1)
            fork_warning.forget()
            assert filters() == before and agent.said == [
                "klpfs: this process forks beside threads of klpfs's, which the child does not have"]
        with pytest.raises(DeprecationWarning):
            warnings.warn(TEXT, DeprecationWarning, stacklevel=1)


def test_in_other_threads_it_is_heard(agent):
    heard = []

    def warn():
        try:
            warnings.warn(TEXT, DeprecationWarning, stacklevel=1)
        except DeprecationWarning as error:
            heard.append(str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(filters())
        fork_warning.expect(agent, True)
        thread = threading.Thread(target=warn)
        thread.start()
        thread.join()
        fork_warning.forget()
        assert heard == [TEXT] and not agent.said and filters() == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no such warning")
@pytest.mark.parametrize("tids, unsaid, comes", [
    ({1}, 0, True), ({1, 2, 3}, 0, True), ({1, 2}, 0, True), ({1, 4}, 0, False), ({1, 2, 4}, 0, False),
    ({1, 2, 4}, 1, True), ({1, 4, 5}, 1, False), ({1, 4, 5}, 2, True), (set(), 0, False)])
def test_it_is_expected_where_the_program_has_one_thread(agent, monkeypatch, tids, unsaid, comes):
    """klpfs's threads that have just been started may not have said their ids yet."""
    monkeypatch.setattr(fork_warning, "threads", lambda: tids)
    for thread in (agent.server, agent.thread)[:unsaid]:
        thread.running.begun = False
    assert fork_warning.comes(agent, False) is comes
    assert fork_warning.comes(agent, True) is (comes and (3, 13) <= sys.version_info < (3, 14, 1))


def test_a_fork_beside_a_livepatchs_init_is_said_in_the_log(tmp_path):
    shown = fork(tmp_path, """
        c.change("lp", "import os, time\\ndef init():\\n  shared['go'] = 1\\n  time.sleep(0.5)\\n  return 0")
        while "go" not in agent.parts.shared: time.sleep(0.001)
        import warnings
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", DeprecationWarning)
            before = list(warnings.filters)
            shown["child"] = in_child(lambda: 5)
            shown["left"] = [repr(each) for each in warnings.filters if each not in before]
            shown["heard"] = [str(each.message) for each in heard if "fork" in str(each.message)]
        shown["said"] = [record.text for record in agent.log.records if "this process forks" in record.text]
    """)
    assert shown["child"] == 5 and not shown["left"] and not shown["heard"] and len(shown["said"]) == (sys.version_info >= (3, 12))


@pytest.mark.skipif(sys.version_info < (3, 15), reason="what -W makes an error of it is dropped")
def test_the_programs_own_threads_are_warned_of(tmp_path):
    shown = fork(tmp_path, """
        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
        try:
            if os.fork() == 0: os._exit(0)
        except DeprecationWarning as error: shown["told"] = str(error)
        os.wait()
    """)
    assert "is multi-threaded" in shown["told"]


def test_after_a_fork_nothing_is_left_among_the_programs_filters(tmp_path):
    shown = fork(tmp_path, """
        import warnings
        before = list(warnings.filters)
        for _ in range(3):
            pid = os.fork()
            if pid == 0: os._exit(0)
            os.waitpid(pid, 0)
            shown.setdefault("left", []).extend(repr(each) for each in warnings.filters if each not in before)
    """)
    assert shown.get("left") == []


def test_the_filter_may_be_copied_meanwhile(agent):
    """As a program's compiled patterns can be; the copy matches nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fork_warning.expect(agent, True)
        assert isinstance(filters()[0][1].pattern, str)
        copies = pickle.loads(pickle.dumps(filters())), copy.deepcopy(filters())
        fork_warning.forget()
        for each in copies:
            filters()[:] = each
            with pytest.raises(DeprecationWarning):
                warnings.warn(TEXT, DeprecationWarning, stacklevel=1)


def test_a_copy_of_the_list_that_came_into_force_is_not_left_with_it(agent):
    with warnings.catch_warnings():
        before = list(filters())
        fork_warning.expect(agent, True)
        with warnings.catch_warnings():
            fork_warning.forget()
            assert filters() == before
        assert filters() == before


def test_a_fork_forgets_the_ids_of_ended_threads_without_another_list_of_all(tmp_path):
    shown = fork(tmp_path, """
        import klpfs.agent.fork as fork_hooks
        import klpfs.agent.fork_warning as fork_warning
        real, wait, listed = fork_warning.threads, fork_hooks.Forks._wait_until_gone, []
        begun = set(agent.own_tids)
        def threads():
            listed.append("list")
            return real()
        def wait_until_gone(self, agent):
            try:
                return wait(self, agent)
            finally:
                listed.append("gone")
        fork_warning.threads, fork_hooks.Forks._wait_until_gone = threads, wait_until_gone
        in_child(lambda: 5)
        shown["ended"], shown["own"] = len(begun & agent.own_tids), len(agent.own_tids)
        shown["after"] = listed[listed.index("gone") + 1:]
    """)
    late = (3, 13) <= sys.version_info < (3, 14, 1)     # CPython counts threads once more
    assert shown["ended"] == 0 and shown["own"] <= 2 and len(shown["after"]) == late
