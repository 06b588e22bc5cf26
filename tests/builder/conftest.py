import os
from unittest import mock

import pytest

from tests.builder.kit import Upgrade


@pytest.fixture
def upgrade(tmp_path):
    with mock.patch.dict(os.environ):       # which a release may change
        made = Upgrade(tmp_path)
        yield made
        made.close()
