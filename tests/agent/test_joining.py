"""How a process joins its service: it follows the journal before its start returns."""
import os
import socket

import pytest

from klpfs.engine.error import place_of
from klpfs.protocol import folder_layout, record_text
from tests.agent.client import Coordinator, running_agent


def test_a_joiner_follows_the_journal_before_its_start_returns(tmp_path):
    """What is in force is applied when start() returns, without any coordinator; a journal that is kept."""
    with running_agent(tmp_path, keep=True) as agent:
        c = Coordinator(agent.folder, agent.server.name)
        c.insmod("lp")
        c.close()
    with running_agent(tmp_path, keep=True) as agent:
        assert agent.target.value("f") == "f by lp" and agent.follower.seen == 4


def test_a_journal_that_an_earlier_run_left_is_put_back(tmp_path):
    """Nobody lives, nothing is to be kept: idle again, with a higher seq."""
    with running_agent(tmp_path) as agent:
        c = Coordinator(agent.folder, agent.server.name)
        c.insmod("lp")
        c.close()
    with running_agent(tmp_path) as agent:
        assert agent.target.value("f") == "f original"
        assert record_text.load(agent.folder + "/journal") == record_text.idle(5, "svc") and agent.follower.seen == 5


def test_a_journal_of_living_others_is_followed(tmp_path):
    with running_agent(tmp_path) as first:
        c = Coordinator(first.folder, first.server.name)
        c.insmod("lp")
        with running_agent(tmp_path) as second:
            assert second.target.value("f") == "f by lp"
        c.close()


@pytest.mark.parametrize("keep", [False, True])
def test_a_journal_of_another_version_is_named_and_left_alone(tmp_path, keep):
    """Nothing of it is guessed: the process goes without the service's patches, and says so."""
    folder_layout.make_folder(str(tmp_path / "svc"))
    (tmp_path / "svc" / "journal").write_bytes(b"klpfs 3\nas a later version has it\n")
    with running_agent(tmp_path, keep=keep) as agent:
        lines = [record.text for record in agent.log.records]
        assert "version 3, this klpfs reads versions 1 and 2" in lines[0] and "goes on without the service's patches" in lines[1]
        assert agent.follower.seen == -1
    assert (tmp_path / "svc" / "journal").read_bytes() == b"klpfs 3\nas a later version has it\n"


def test_dead_sockets_are_swept_by_who_starts(tmp_path):
    os.mkdir(tmp_path / "svc", 0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "svc" / "dead.sock"))
    dead.close()
    with running_agent(tmp_path):
        assert not os.path.exists(tmp_path / "svc" / "dead.sock")


class Limit(Exception):
    """What a signal handler of the program raises."""


def test_what_a_signal_handler_raises_while_the_main_program_waits_is_the_programs(tmp_path, monkeypatch):
    """A mistake of klpfs's own is said, and the program goes on."""
    with running_agent(tmp_path) as agent:
        def cut_off(self, names):
            raise Limit
        monkeypatch.setattr(type(agent.joining), "_main_came", cut_off)
        with pytest.raises(Limit):
            agent.joining.main_came({"f"})
        monkeypatch.setattr(type(agent.joining), "_main_came", lambda self, names: place_of(5))
        agent.joining.main_came({"f"})
        assert [record.text for record in agent.log.records if "AttributeError" in record.text]
