import os

import pytest

from tests.builder.kit import Upgrade


@pytest.fixture
def upgrade(tmp_path):
    environ = dict(os.environ)      # which a release may change
    made = Upgrade(tmp_path)
    yield made
    made.close()
    os.environ.clear()
    os.environ.update(environ)
