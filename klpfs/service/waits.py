"""The waits of a service that do not explain themselves, while a watchdog is on (protocol/long_waits.py).

A wait that is named to people is none of them: a process that says who is in the way, or which foreign code it runs; a
process that is stopped; a journal that can't be written. What is looked for is a step that nobody takes.
"""
from __future__ import annotations

from collections.abc import Hashable

from klpfs.protocol.process_identity import stat_words
from klpfs.service.peer import Peer
from klpfs.service.service import Service


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, dead, or can't be seen: it can't answer."""
    try:
        return stat_words(pid)[0] in ("T", "t", "Z", "X")
    except OSError:
        return True


def is_busy(service: Service) -> bool:
    """Whether something is under way that a writer may wait for."""
    return service.is_reading_files or service.coordinator.is_busy or service.asks_agents


def now_waiting(service: Service) -> dict[Hashable, str]:
    """What waits now without a reason that people are told, by keys for LongWaits.look."""
    coordinator, name = service.coordinator, service.name
    waits: dict[Hashable, str] = {}
    for number, what, late in coordinator.writes_under_way():
        if late:
            waits[name, "write", number] = f"{name}: {what}: the writer is not answered"
    seq = coordinator.record["seq"]
    load = coordinator.load
    if load is not None and not any(_works(peer) for peer in service.peers.known()):
        waits[name, "load", seq] = f"{name}: {load.what}: it is neither started nor refused, and no process works"
    for peer in service.peers.known():
        if peer.pid and peer.connected and peer.sent_seq > peer.acked and not is_stopped(peer.pid):
            waits[name, "silent", peer.key, peer.heard] = f"{name}: {peer.name} has not acknowledged a record"
    if coordinator.record["transition"] is None or coordinator.trouble or coordinator.damaged or load is not None:
        return waits
    step = f"{name}: '{coordinator.record['transition']['patch']}' at {coordinator.record['transition']['step']}"
    waiting_for = coordinator.waiting_for()
    for peer, why in waiting_for:
        if why != "silent" and not _works(peer) and not (peer.report and peer.report["blockers"]):
            waits[name, "transition", seq, peer.key] = f"{step}: {peer.name} says neither that it is done nor why not"
    if not waiting_for and coordinator.record["change"] is None:
        waits[name, "decision", seq] = f"{step}: every process has done its part, and the next step is not decided"
    return waits


def _works(peer: Peer) -> bool:
    """Whether the process says that it runs foreign code, which may take as long as it likes."""
    return bool(peer.report and peer.report["working"])
