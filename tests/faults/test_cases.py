"""A few of the cases of faults.py, each operation, victim and fault among them (`make faults`: all)."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from cases import a_few, run  # noqa: E402
from faults import line  # noqa: E402
from world import World  # noqa: E402

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of its own takes root")]


@pytest.fixture(scope="module")
def worlds():
    """Worlds by their count of daemons: the same one for the next case, unless a case fails in it."""
    made = {}
    yield made
    for world in made.values():
        world.close()


@pytest.mark.parametrize("case", a_few(24), ids=line)
def test_all_old_or_all_new(worlds, case):
    daemons = 2 if case[2] == "daemon of two" else 1
    world = worlds.pop(daemons, None) or World(daemons)
    try:
        run(world, *case)
    except BaseException:
        world.close()
        raise
    worlds[daemons] = world
