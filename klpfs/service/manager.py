"""The services of a runtime folder, and their processes, as they come and go."""
from typing import Callable, Dict, List

from attrs import define, field

from klpfs.service.loop import Loop
from klpfs.service.service import Service


@define(eq=False)
class Manager:
    """`services`: those with a live process, by name. `start()` looks once and watches; `close()` ends it."""

    loop: Loop
    runtime_dir: str
    services: Dict[str, Service] = field(init=False, factory=dict)
    _added: List[Callable[[Service], None]] = field(init=False, factory=list)
    _removed: List[Callable[[Service], None]] = field(init=False, factory=list)

    def on_added(self, callback: Callable[[Service], None]) -> None:
        """Call `callback(service)` for each service that comes."""
        self._added.append(callback)

    def on_removed(self, callback: Callable[[Service], None]) -> None:
        """Call `callback(service)` for each service that has gone."""
        self._removed.append(callback)

    def start(self) -> None:
        """Find what is there, connect to it, and watch."""
        raise NotImplementedError

    def settle(self, seconds: float = 2.0) -> None:
        """Run the loop until every process found has told what it has, `seconds` at most."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of all: nothing is told to the processes, they run on."""
        raise NotImplementedError
