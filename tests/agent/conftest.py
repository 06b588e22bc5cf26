"""What tests of the agent share: an agent over its socket, and a follower whose host the test is."""
import pytest

from tests.agent.client import Coordinator, running_agent
from tests.agent.puppet import Host


@pytest.fixture
def agent(tmp_path):
    with running_agent(tmp_path) as agent:
        yield agent


@pytest.fixture
def c(agent):
    c = Coordinator(agent.folder, agent.server.name)
    yield c
    c.close()


@pytest.fixture
def host():
    return Host()
