"""What livepatch files import from klpfs, in a process without an agent and in one with it."""
import errno

import pytest

import klpfs
from klpfs import KlpError, Object, Patch, State
from klpfs.agent import api


def test_without_an_agent(monkeypatch):
    """A file that is imported to be tested: nothing happens, and enable_patch is refused."""
    monkeypatch.setattr(api, "_agent", None)
    with pytest.raises(KlpError) as caught:
        klpfs.enable_patch(Patch([Object(None)]))
    assert caught.value.errno == errno.EINVAL
    assert klpfs.get_prev_state(1) is None and klpfs.pr_info("x") is None


def test_states():
    state = State(1, 2)
    assert klpfs.get_state(Patch([], states=[state]), 1) is state and klpfs.get_state(Patch([]), 1) is None


def test_in_another_thread_than_the_agents(agent):
    """enable_patch() outside of a module's init()."""
    with pytest.raises(KlpError) as caught:
        klpfs.enable_patch(Patch([Object(None)]))
    assert caught.value.errno == errno.EINVAL and "outside of a module's init()" in str(caught.value)


def test_a_line_of_a_livepatch(agent, c):
    """As the kernel's pr_info; anything is a text."""
    klpfs.pr_info(5)
    c.until_line("5")
    assert agent.log.records[-1].kind == "module"
