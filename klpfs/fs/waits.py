"""The watchdog of a daemon: what its services' writers and transitions wait for, and its loop itself
(protocol/long_waits.py, service/waits.py)."""
from __future__ import annotations

import faulthandler
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import define, field

from klpfs.protocol.long_waits import LONG_S, LOOK_S, LongWaits, Stacks
from klpfs.service import waits as service_waits
from klpfs.service.loop import Loop, Timer
from klpfs.service.manager import Manager

if TYPE_CHECKING:
    from klpfs.fs.fuse import Session


@define(eq=False)
class Watch:
    """Looks once a second, from start() to close(). A loop that does not come round for LONG_S has its stacks written
    by a thread of faulthandler's."""

    loop: Loop
    manager: Manager
    session: Session
    stacks: Stacks
    _long: LongWaits = field(init=False, factory=LongWaits)
    _timer: Timer | None = field(init=False, default=None)

    def start(self) -> None:
        """Look now, and again."""
        self.look()
        self._timer = self.loop.call_later(LOOK_S, self.start)
        self.stacks.say_later(LONG_S + LOOK_S)

    def look(self) -> None:
        """Write what has waited for too long."""
        long = self._long.look(self.now_waiting(), self.loop.now())
        if long:
            self.stacks.say(long, "daemon")

    def now_waiting(self) -> dict[Hashable, str]:
        """What waits now, of all services; and the writers that no service knows of."""
        waits: dict[Hashable, str] = {}
        services = list(self.manager.services.values())
        for service in services:
            waits.update(service_waits.now_waiting(service))
        if not any(map(service_waits.is_busy, services)):
            for unique in self.session.waiting_writes():
                waits["write", unique] = "a writer waits, and nothing is under way"
        return waits

    def close(self) -> None:
        """Look no more. Counterpart: start."""
        if self._timer is not None:
            self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        self.stacks.end()
