"""A daemon's watchdog: what all services wait for, and writers of whom no service knows."""
from types import SimpleNamespace

import pytest

from klpfs.fs import waits as module
from klpfs.fs.waits import Watch
from klpfs.protocol.long_waits import LONG_S, LOOK_S
from tests.service.puppets import Clock


@pytest.fixture
def watch(monkeypatch):
    """A watch on two services; watch.of: {name: {key: text}}, watch.writes, watch.busy, watch.said."""
    made = SimpleNamespace(of={"a": {}, "b": {}}, writes=[], busy=set(), said=[], armed=[])
    monkeypatch.setattr(module.service_waits, "now_waiting", lambda service: made.of[service])
    monkeypatch.setattr(module.service_waits, "is_busy", lambda service: service in made.busy)
    monkeypatch.setattr(module.faulthandler, "cancel_dump_traceback_later", lambda: made.armed.append(None))
    made.clock = Clock()
    stacks = SimpleNamespace(say=lambda texts, name: made.said.append((texts, name)), say_later=made.armed.append,
                             end=lambda: made.armed.append("end"))
    made.watch = Watch(made.clock, SimpleNamespace(services={"a": "a", "b": "b"}),
                       SimpleNamespace(waiting_writes=lambda: made.writes), stacks)
    made.watch.start()
    return made


def test_all_services_are_looked_at_once_a_second(watch):
    watch.of["b"] = {"x": "b: something"}
    watch.clock.advance(4)
    assert watch.said == []
    watch.clock.advance(60)
    assert watch.said == [(["b: something"], "daemon")]


def test_a_writer_whom_nobody_will_answer(watch):
    """Its request is there, and no service has anything under way for which it could wait."""
    watch.writes, watch.busy = [5], {"a"}
    watch.clock.advance(60)
    assert watch.said == []
    watch.busy = set()
    watch.clock.advance(7)
    assert watch.said == [(["a writer waits, and nothing is under way"], "daemon")]


def test_a_loop_that_stands_still_is_seen_by_a_thread_of_faulthandlers(watch):
    """Armed anew with each look, so it writes when no look comes."""
    assert watch.armed == [LONG_S + LOOK_S]
    watch.clock.advance(3)
    assert watch.armed == [LONG_S + LOOK_S] * 4
    watch.watch.close()
    assert watch.armed[4:] == [None, "end"]
    watch.clock.advance(60)
    assert len(watch.armed) == 6
