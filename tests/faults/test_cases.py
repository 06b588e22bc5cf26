"""A few of the cases of cases.py, each operation, victim and fault among them (`make faults`: all)."""
import os

import pytest

from tests.faults import world as world_module
from tests.faults.cases import a_few, line, run
from tests.faults.world import World

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
    world.watchdog.watch()
    try:
        run(world, *case)
    except BaseException:
        world.close()
        raise
    worlds[daemons] = world


HALF_DONE = {
    "a process runs other code": ("import types; one = types.FunctionType(two.__code__, globals())", "'code'"),
    # One that the journal does not know: "cannot happen", so it is logged, and stays. (What makes the agent's thread
    # raise does not stay: see Follower.recover.)
    "an operation is under way": ("import klpfs.agent.load as load, klpfs.agent.api as api; "
                                  "api.agent().follower.op = load.Op(10 ** 6, 'lp9', None)", "'under way'"),
    "a callback is owed": ("calls.append(('lp9', 'pre_patch'))", "lp9 owes"),
    "a callback came twice": ("calls.extend([('lp9', 'pre_patch')] * 2)", "pre_patch of lp9 after"),
}


@pytest.mark.parametrize("what", HALF_DONE)
def test_what_is_half_done_is_seen(monkeypatch, what):
    """Each check fails when what it looks for is there."""
    monkeypatch.setattr(world_module, "PATIENCE", 0.2)
    code, says = HALF_DONE[what]
    world = World()
    try:
        world.fresh()
        world.check()
        world.program.each[2].do(code)
        with pytest.raises(AssertionError, match=says):
            world.check()
    finally:
        world.close()


def test_what_lies_about_is_seen(monkeypatch):
    """A file, a socket, a line in the log that nobody expects."""
    monkeypatch.setattr(world_module, "PATIENCE", 0.2)
    world = World()
    try:
        world.fresh()
        folder = world.runtime / world.name
        for name in ("journal.tmp", ".x.sock", "x.sock", "0" * 64):
            (folder / name).touch()
            with pytest.raises(AssertionError, match="in the folder"):
                world.check_folder(world.record())
            (folder / name).unlink(missing_ok=True)
        world.check_log(())
        (world.tree.path / "dev/kmsg").write_text("<3>oops")
        with pytest.raises(AssertionError, match="oops"):
            world.check_log(())
    finally:
        world.close()
