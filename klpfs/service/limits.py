"""Time limits of the service, in seconds: the one place that owns them. Tests shorten them here.

    from klpfs.service.limits import LIMITS
    until = loop.now() + LIMITS.lock_wait
"""
from __future__ import annotations

from attrs import define


@define
class Limits:
    """Seconds. Source: docs/PROTOCOL.md#3 and #8, docs/DESIGN.md#7."""

    silent: float = 2.0             # after which a process that has not acknowledged is passed over
    ask_after: float = 1.0  # without a word after which a process that has acknowledged is asked for a sign of life
    grace: float = 0.02  # for what arrived while the daemon itself was stopped, before a process counts as silent
    lock_wait: float = 2.0          # that a write waits for the journal's lock
    load: float = 60.0              # that a load may take
    retry_lock: float = 0.01        # until the journal's lock is tried again
    retry_write: float = 1.0        # until a write to the journal that failed is tried again
    lost: float = 0.25              # between two checks whether another's change has lost its coordinator
    question: float = 0.1           # for an agent's answer to a question that all are asked: who is silent is left out
    only_answer: float = 1.0        # for the answer of the only agent that is asked; a busy machine takes its time
    order: float = 2.0              # for an agent to set a parameter
    dry_run: float = 10.0           # for an agent's dry run of a load
    kmsg: float = 0.5               # until a line that was given to an agent comes back in its log


LIMITS = Limits()
