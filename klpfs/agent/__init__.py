"""Puts the engine and its target into a process and serves them on a Unix socket (docs/DESIGN.md#7)."""
from __future__ import annotations

from klpfs.agent.start_imports import import_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.agent import Agent


def start(service: str | None = None, keep: bool = False, group: str | int | None = None) -> Agent:
    """Start the agent of this process: it joins `service` (default: $KLPFS_SERVICE, else the base name of the script).

    keep: the service's patches outlive it. group (name or number; default $KLPFS_GROUP): its processes may change to
    other users that are in this group. Once a process, any thread: a second start for the same service does nothing,
    for another one raises OSError(EBUSY). Children made by fork have the agent from then on, others need `klpfs run` or
    a start of their own. OSError: EINVAL, not a name for a service, or no such group; EPERM, not a group of this user;
    EACCES, the runtime folder is not private; ENOSYS, this Python can't be patched; or what making folder and socket
    says. Source: docs/DESIGN.md#7.
    """
    return import_start()(service, keep, group=group, running=True)
