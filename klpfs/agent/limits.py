"""Limits: how long the agent waits for something at most, all in one place, so that a test can give an agent others."""
from __future__ import annotations

from klpfs.protocol.wire import MESSAGE_SECONDS


class Limits:
    """Time limits in seconds. An agent has limits of its own (Agent.limits); a changed value holds from the next wait
    on."""

    __slots__ = ("join", "import_", "content", "check", "slow", "message", "stop", "stop_imports", "gone")

    def __init__(self) -> None:
        self.join = 10.0            # a joiner's program, until the journal is followed
        self.import_ = 2.0          # an import, until the agent's thread has patched the module
        self.content = 5.0          # a load, until a coordinator has sent the module's content
        self.check = 5.0            # a dry run's top level
        self.slow = 1.0             # foreign code that runs longer is reported
        self.message = MESSAGE_SECONDS      # a peer, from the first byte of a message to its last
        self.stop = 0.5             # a fork, until a thread of the agent has stopped, beyond the step that it is in
        self.stop_imports = 10.0    # the same while the thread imports: a child could never import half a module
        self.gone = 0.02            # a fork, until the system has removed a thread that has ended
