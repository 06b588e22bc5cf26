import pytest

from tests.builder.kit import Upgrade


@pytest.fixture
def upgrade(tmp_path):
    made = Upgrade(tmp_path)
    yield made
    made.close()
