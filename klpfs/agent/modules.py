"""The modules that were loaded by insmod into this process: livepatches and ordinary modules, with parameters and
users.

What loading means for Python is klpfs/cpython/load/loader.py's; here is the table, the states Loading, Live, Unloading,
and the reference counts as the kernel shows them.
"""
from __future__ import annotations

from errno import EEXIST, ENOENT

from klpfs.agent.c_functions import modules
from klpfs.engine.bounds import MAX_PARAM_CHARS
from klpfs.engine.data import COMING, GOING, LIVE, Mod
from klpfs.engine.error import KlpError
from klpfs.engine.log import WARNING
from klpfs.protocol.record_text import dump_fingerprints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.load import Load
    from klpfs.engine.data import Func, Patch

PAGE = 4096
TOO_LONG = "<too long>"
INTERPRETER_MAKERS = frozenset(("concurrent.interpreters", "concurrent.futures.interpreter"))


class Module:
    """A loaded module. n, sha256, path: of its load; size: bytes, in whole pages. loaded: what loader.py made.
    livepatch: it is one. patch: the Patch that it has enabled, or None. state: as /proc/modules has it. mod: as
    callbacks see it. came: the engine was told that it is coming. inited: its init() ended well, so it gets an
    exit()."""

    __slots__ = ("name", "n", "sha256", "path", "loaded", "livepatch", "patch", "state", "size", "mod", "came",
                 "inited")

    def __init__(self, name: str, n: int, sha256: str, path: str, size: int) -> None:
        self.name, self.n, self.sha256, self.path, self.size = name, n, sha256, path, size
        self.loaded: Any = None
        self.patch: Patch | None = None
        self.livepatch = self.came = self.inited = False
        self.state = "Loading"
        self.mod = Mod(name, COMING)


class Modules:
    """agent: its engine, target, foreign code, outbox and parts are used. table: name -> Module, oldest first."""

    __slots__ = ("agent", "table", "_said_interpreters")

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.table: dict[str, Module] = {}
        self._said_interpreters = False

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def all(self) -> list[Module]:
        """All modules, oldest first."""
        return list(self.table.values())

    def patch_of(self, name: str) -> Patch | None:
        """The Patch of that name that is in force or in transition here, or None."""
        for patch in self.agent.engine.patches:
            if patch.name == name:
                return patch
        return None

    # -- life of a module; load, init and exit run foreign code

    def load(self, load: Load, entry: dict[str, Any], data: bytes) -> Module:
        """Make the module of `data` and run its top level. KlpError: EEXIST, or as loader.load. Counterpart: unload."""
        name = load.name
        if name in self.table:
            raise KlpError(EEXIST, None)
        module = Module(name, load.n, entry["sha256"], entry.get("path") or name + ".py", -(-len(data) // PAGE) * PAGE)
        load.module = module        # from here on a failure unloads it
        self.table[name] = module
        self.agent.outbox.changed()
        module.loaded = self.agent.foreign.run(f"loading '{name}'", load.n, self._load, module, data,
                                               dict(entry.get("params") or {}))
        module.livepatch = bool(module.loaded.livepatch)
        return module

    def may_make_interpreters(self) -> bool:
        """Whether the program has imported what makes sub-interpreters in Python."""
        return not INTERPRETER_MAKERS.isdisjoint(modules)

    def say_interpreters(self) -> None:
        """The program's sub-interpreters are named in the log when there are some, and again when there were none for
        a while."""
        some = self.agent.parts.has_interpreters()
        if some and not self._said_interpreters:
            self.agent.outbox.say("sub-interpreters run in this process, their functions are not patched", WARNING)
        self._said_interpreters = some

    def _load(self, module: Module, data: bytes, params: dict[str, str | None]) -> Any:
        agent = self.agent
        self._said_interpreters = False
        self.say_interpreters()
        return agent.parts.loader().load(module.name, data, module.path, params, log=agent.log,
                                         breathe=agent.target.breathe, enable_patch=agent.enable_patch)

    def init(self, module: Module) -> None:
        """Run the module's init(). KlpError as ForeignCode.run; a negative result is that errno. Counterpart: exit."""
        if module.loaded.init is not None:
            result = self.agent.foreign.run(f"init of '{module.name}'", module.n, module.loaded.init)
            if type(result) is int and result < 0:
                raise KlpError(-result, None)
        module.inited = True

    def mark_live(self, module: Module) -> None:
        """The module is in: Live."""
        module.state, module.mod.state = "Live", LIVE

    def going(self, module: Module) -> None:
        """The module is on its way out: Unloading."""
        module.state, module.mod.state = "Unloading", GOING

    def exit(self, module: Module) -> None:
        """Run the module's exit(), if init() ended well. What that raises is logged, and the module goes all the
        same."""
        if module.inited and module.loaded is not None and module.loaded.exit is not None:
            try:
                self.agent.foreign.run(f"exit of '{module.name}'", module.n, module.loaded.exit)
            except KlpError:
                pass

    def unload(self, module: Module) -> None:
        """Out of the program, and of the table: last, since what is in it is unloaded again when it was cut off."""
        if module.loaded is not None:
            self.agent.parts.loader().unload(module.loaded)
        else:                   # its load failed; or was cut off by a fork, of which this is the child
            self.agent.parts.loader().abandon(module.name)
        if self.table.get(module.name) is module:
            del self.table[module.name]

    # -- what readers see

    def users(self, name: str) -> list[str]:
        """Names of the modules that use `name`."""
        return [module.name for module in self.table.values()
                if module.loaded is not None and name in module.loaded.depends]

    def refcnt(self, module: Module) -> int:
        """The number of users of a module: modules, and its own patch while that is in force, or for good after a
        force."""
        return len(self.users(module.name)) + self._is_in_force(module.patch)

    def _is_in_force(self, patch: Patch | None) -> bool:
        return patch is not None and bool(patch.enabled or patch in self.agent.engine.patches or patch.forced)

    def describe(self) -> list[dict[str, Any]]:
        """The 'modules' section of an event (wire.py)."""
        modules = self.all()
        holders: dict[str, list[str]] = {module.name: [] for module in modules}
        for module in modules:              # users() of all: n modules cost n, not n times n
            for name in dict.fromkeys(module.loaded.depends) if module.loaded is not None else ():
                if name in holders:
                    holders[name].append(module.name)
        return [{"name": module.name, "size": module.size,
                 "refcnt": len(holders[module.name]) + self._is_in_force(module.patch), "livepatch": module.livepatch,
                 "state": module.state, "holders": holders[module.name], "params": _params_of(module),
                 "forced": bool(module.patch is not None and module.patch.forced)} for module in modules]

    def describe_load(self, module: Module) -> dict[str, Any]:
        """The module part of a report's 'prepared'."""
        patch, rows = module.patch, []
        if patch is not None:
            for obj in patch.objects:
                for func in obj.funcs:
                    code = None if func.nop else _fingerprint_of(func)
                    if code:
                        rows.append([obj.shown, func.old_name, func.old_sympos or 1, code])
        return {"replace": bool(patch is not None and patch.replace), "size": module.size,
                "uses": [name for name in module.loaded.depends if name in self.table],
                "fingerprints": dump_fingerprints(rows)}

    def set_param(self, name: str, param: str, text: str) -> None:
        """Set a parameter. KlpError: ENOENT no such module or parameter, EINVAL or EPERM as loader.set_param."""
        module = self.table.get(name)
        if module is None or module.loaded is None or param not in module.loaded.params:
            raise KlpError(ENOENT, None)
        self.agent.parts.loader().set_param(module.loaded, param, text)


def _params_of(module: Module) -> list[tuple[str, str, str, int]]:
    """(name, type, text, mode) of each parameter. What the module has made longer than may be told is no text."""
    rows: list[tuple[str, str, str, int]] = []
    left = MAX_PARAM_CHARS
    for name, param in module.loaded.params.items() if module.loaded is not None else ():
        text = param.text
        left -= len(text)
        rows.append((name, param.type.__name__, text if left >= 0 else TOO_LONG, param.mode))
    return rows


def _fingerprint_of(func: Func) -> str | None:
    """The fingerprint of the code that func replaces; None while its object is not loaded. (A text with colons is the
    author's, of several versions of Python.)"""
    return None if func.fingerprint is not None and ":" in func.fingerprint else func.fingerprint
