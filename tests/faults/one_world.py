"""Cases in a World, in a process of its own: in a module of its own, where a process that was not forked finds it."""
import traceback

from tests.faults.cases import run
from tests.faults.world import World


def one_world(daemons, cases, results):
    """Run cases one after the other in a World of their own; puts (case, error text) for each."""
    world = None
    for case in cases:
        try:
            world = world or World(daemons)
            run(world, *case)
            results.put((case, ""))
        except BaseException as e:
            results.put((case, f"{type(e).__name__}: {e}\n{''.join(traceback.format_tb(e.__traceback__)[-3:])}"))
            if isinstance(e, KeyboardInterrupt):
                break
            if world:
                world.close()
                world = None
    if world:
        world.close()
    results.put(None)
