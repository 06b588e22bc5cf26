"""The lazy target: klpfs/cpython as an agent uses it, imported when a livepatch comes.

What it imports costs as much as all the rest of an agent, and most processes are never patched.
"""
from __future__ import annotations

import sys
from errno import EINVAL
from posix import environ, getpid

from klpfs.agent.proc import cmdline
from klpfs.cpython.imports_without_text import import_without_text
from klpfs.engine.error import KlpError
from klpfs.engine.log import WARNING
from klpfs.protocol.python_command import main_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from klpfs.agent.agent import Agent
    from klpfs.cpython.target import PythonTarget
    from klpfs.engine.data import Mod, Object

_INCREMENTAL = (3, 14) <= sys.version_info < (3, 14, 5)
CALLBACKS = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")


class LazyTarget:
    """engine/target.py's Target: the PythonTarget, made when something of it is used first, but for `loaded` and
    `call`.

    main: which program is the service's main one (PythonTarget.main). main_waits: its definitions are not there yet, so
    it counts as not loaded. ripe: modules whose body has just ended, bodies: those that reload (import_hooks.py), the
    PythonTarget's from its beginning."""

    __slots__ = ("agent", "main", "main_waits", "ripe", "bodies", "_real")

    def __init__(self, agent: Agent, main: str | None) -> None:
        self.agent, self.main = agent, main
        self.main_waits = False
        self.ripe: dict[str, ModuleType] = {}
        self.bodies: dict[tuple[int, object], ModuleType] = {}
        self._real: PythonTarget | None = None

    def real(self) -> PythonTarget:
        """The PythonTarget itself."""
        if self._real is None:
            import_without_text()
            from klpfs.cpython.switch.switching import breathe
            from klpfs.cpython.target import PythonTarget
            real = PythonTarget(self.agent.log, self.main)
            real.breathe = breathe      # lets the program in between slices of long work
            real.ripe, real.bodies = self.ripe, self.bodies
            self._real = real
            if _INCREMENTAL:
                self.agent.outbox.say("klpfs: this CPython has the incremental garbage collector of 3.14.0 to 3.14.4, "
                                      "with which klpfs was not tried (3.14.5 and later do not have "
                                      "that collector)", WARNING)
        return self._real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real(), name)

    def loaded(self, name: str | None) -> Mod | None:
        """The Mod of a module, as Target.loaded."""
        return None if name is None and self.main_waits else self.real().loaded(name)

    def begins_again(self, name: str) -> None:
        """A module's body is about to run again, as PythonTarget.begins_again. Without that nothing is patched."""
        if self._real is not None:
            self._real.begins_again(name)

    def loaded_again(self) -> list[str]:
        """As PythonTarget.loaded_again."""
        return self._real.loaded_again() if self._real is not None else []

    def exchanged(self) -> Any:
        """As Target.exchanged."""
        return self._real.exchanged() if self._real is not None else ()

    def call(self, callback: Callable[[Object], Any], obj: Object) -> int:
        """Calls a callback, as Target.call, as all foreign code of an agent runs. -EINTR when it was stopped."""
        agent, callbacks = self.agent, obj.callbacks
        name = next((each for each in CALLBACKS if getattr(callbacks, each, None) is callback), "callback")
        load = agent.follower.load
        what = f"{name} of '{obj.patch.name if obj.patch is not None else '?'}'"
        try:
            return agent.foreign.run(what, load.n if load else 0, self.real().call, callback, obj)
        except KlpError as error:
            return -(error.errno or EINVAL)


class CPython:
    """The parts of klpfs/cpython that an agent uses besides the engine's seam. Tests have a puppet program of the same
    functions."""

    _hooks: Any = None      # klpfs/cpython/program/import_hooks.py once it hooks: a program may empty sys.modules

    @staticmethod
    def target(agent: Agent) -> LazyTarget:
        """The target of this process. Its main program is the service's if it is the process that `klpfs run` has
        become, whatever launchers it runs before, or if it is the same program as there."""
        main = environ.get(b"KLPFS_MAIN")
        if environ.get(b"KLPFS_MAIN_PID") == b"%d" % getpid():
            import os
            os.environ["KLPFS_MAIN"] = main_of(cmdline()[1:])       # for children that it starts
            main = None
        return LazyTarget(agent, main.decode("utf-8", "surrogateescape") if main else None)

    @staticmethod
    def loader() -> Any:
        """The module that loads, probes and unloads modules: klpfs/cpython/load/loader.py."""
        import_without_text()
        from klpfs.cpython.load import loader
        return loader

    @staticmethod
    def hook_imports(coming: Callable[[str], object], target: Any) -> None:
        """See that coming(name) is called after each module's body, before the importing code goes on; and that no
        module of klpfs is or will be imported lazily (-X lazy_imports=all), in the middle of the program's calls."""
        from klpfs.cpython.lazy_imports import import_own
        from klpfs.cpython.program import import_hooks
        CPython._hooks = import_hooks
        import_hooks.install(coming, target)
        import_own()

    @staticmethod
    def let_go_of_imports() -> None:
        """The program ends. Counterpart: hook_imports."""
        if CPython._hooks is not None:
            CPython._hooks.let_go()

    @staticmethod
    def has_interpreters() -> bool:
        """Whether this process has sub-interpreters."""
        from klpfs.cpython import interpreters
        return interpreters.are_there()

    @staticmethod
    def prepare() -> None:
        """Import what a load needs. Foreign code, as it may run the program's import hooks."""
        import_without_text()
        from klpfs.cpython import target  # noqa: F401
        from klpfs.cpython.load import loader
        loader.prepare()

    @staticmethod
    def survey(target: Any, probed: Any, in_force: Any) -> Any:
        """The findings that a load of a probed livepatch would have here (cpython/looks/dry_run.py)."""
        import_without_text()
        from klpfs.cpython.looks.dry_run import survey
        return survey(target.real(), probed, in_force)
