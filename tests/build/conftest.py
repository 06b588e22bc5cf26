import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from kit import Upgrade  # noqa: E402


@pytest.fixture
def upgrade(tmp_path):
    made = Upgrade(tmp_path)
    yield made
    made.close()
