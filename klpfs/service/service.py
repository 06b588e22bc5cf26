"""One service: its journal, the coordinator, the mirror and the connections, and the operations of the tree."""
from typing import Callable, Dict, List, Optional

from attrs import define, field

from klpfs.service.loop import Loop
from klpfs.service.view import (Answer, Caller, LogRecord, LogView, ModuleView, ObjectView, ParamView, PatchView,
                                ProcessView)

__all__ = ["Answer", "Caller", "LogRecord", "LogView", "ModuleView", "ObjectView", "ParamView", "PatchView",
           "ProcessView", "Service"]


@define(eq=False)
class Service:
    """Everything that the tree shows is read from memory: `patches` (oldest first), `modules`, `processes`, `log`,
    `ftrace_enabled`. `on_change(callback)`: callback(kind, key) after any change, kind 'patch' 'module' 'process'
    'log' 'flag'; key: the name, the process id, None, 'ftrace_enabled'.

    The operations return an Answer. Each that fails has logged one line.
    """

    name: str
    loop: Loop
    folder: str = ""
    patches: Dict[str, PatchView] = field(factory=dict)
    modules: Dict[str, ModuleView] = field(factory=dict)
    processes: Dict[int, ProcessView] = field(factory=dict)
    log: LogView = field(factory=LogView)
    ftrace_enabled: bool = True
    _listeners: List[Callable[[str, object], None]] = field(init=False, factory=list)

    def on_change(self, callback: Callable[[str, object], None]) -> None:
        """Call `callback(kind, key)` after any change."""
        self._listeners.append(callback)

    def insmod(self, text: bytes, caller: Caller) -> Answer:
        """Load what `text` says: PATH [param=value ...]. Answered when every process has it loaded and started."""
        raise NotImplementedError

    def rmmod(self, text: bytes, caller: Caller) -> Answer:
        """Unload the module named by `text`: ENOENT not loaded, EBUSY in use."""
        raise NotImplementedError

    def set_enabled(self, patch: str, value: bool, caller: Caller) -> Answer:
        """EINVAL: the present value. EBUSY: another patch's transition, or this one is finishing. ENODEV: gone."""
        raise NotImplementedError

    def force(self, patch: str) -> Answer:
        """End this patch's transition without looking. EINVAL: it is not in transition; EBUSY: it is finishing."""
        raise NotImplementedError

    def set_param(self, module: str, param: str, text: bytes) -> Answer:
        """Write a parameter in all processes. The module's errno when one refuses; ENODEV: gone."""
        raise NotImplementedError

    def kmsg(self, text: bytes) -> Answer:
        """Add a line to the log; '<N>' at its start is its priority (default 12, user.warning: shown as 4)."""
        raise NotImplementedError

    def set_ftrace(self, value: bool) -> Answer:
        """False: the service takes no patches. EBUSY while one is enabled."""
        raise NotImplementedError

    def ask(self, what: str, pid: Optional[int] = None, tid: Optional[int] = None) -> Answer:
        """'tasks' (list of (tid, comm)), 'patch_state' (int), 'stack' (list of text), of a process; 'blockers' (list
        of Blocked) of all. Answered within 100 ms; ESRCH: no such process; ETIMEDOUT: it does not answer."""
        raise NotImplementedError
