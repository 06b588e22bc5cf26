"""Borrowed settings: what klpfs changes for the whole process, for a moment of its own work, and gives back.

A fork may come into the middle of such a moment, in another thread, since no lock is held around foreign code. The
thread that would give back is not in the child, so the child gives back itself, here, and nothing that is borrowed may
be missing here:

    garbage collection off                                  cpython/no_collection.py    restore
    the switch interval lowered                             agent/agent_thread.py       AgentThread.take_back_interval
    the size of new threads' stacks (_thread.stack_size)    agent/c_functions.py        restore_stack_size

Borrowed for a single call from C, in which no thread forks: gc.callbacks and gc.freeze (cpython/looks/collection.py).
Of one thread alone, which gives back in the child as well: its signal mask and its profile function (fork.py).
"""
from __future__ import annotations

from klpfs.agent.c_functions import restore_stack_size
from klpfs.cpython import no_collection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.agent import Agent


def give_back(agent: Agent) -> None:
    """In a forked child, in its one thread: every setting as the program has it. It may be done again."""
    no_collection.restore()
    agent.thread.take_back_interval()
    restore_stack_size()
