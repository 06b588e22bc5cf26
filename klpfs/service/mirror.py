"""The mirror: what the journal and the agents' events amount to, as the tree shows it (PROTOCOL.md section 7).

From the journal: which patches and modules there are, their order, `enabled`, `transition`, a patch's use count; one file, so
they can't contradict each other or a write that has returned. From the agents: objects, functions, `patched`, sizes,
parameters. An event is a whole section of one agent: it is compared patch by patch with the one before, and only what
differs is made anew.
"""
from typing import Any, Callable, Dict, Iterator, List, Tuple

from attrs import define, evolve, field

from klpfs.protocol import decisions as records
from klpfs.protocol.names import showable
from klpfs.service.log_merge import LogMerge
from klpfs.service.snapshots import ModuleView, ObjectView, ParamView, PatchView, ProcessView, VMLINUX

Raw = Dict[str, Any]


@define(eq=False)
class Told:
    """What one agent has told: its sections, by name."""

    patches: Dict[str, Raw] = field(factory=dict)
    modules: Dict[str, Raw] = field(factory=dict)
    not_applied: Tuple[int, ...] = ()


@define(eq=False)
class Mirror:
    """`patches`, `modules`, `processes`, `ftrace_enabled` are what the tree shows. changed(kind, key) after each change."""

    changed: Callable[[str, object], None]
    log: LogMerge
    patches: Dict[str, PatchView] = field(init=False, factory=dict)
    modules: Dict[str, ModuleView] = field(init=False, factory=dict)
    processes: Dict[int, ProcessView] = field(init=False, factory=dict)
    ftrace_enabled: bool = field(init=False, default=True)
    _record: Raw = field(init=False, factory=records.none)
    _peers: Dict[str, Any] = field(init=False, factory=dict)     # those that have told something, by key

    # -- from the journal

    def take_record(self, record: Raw) -> None:
        """The journal's new record."""
        before, self._record = self._record, record
        names = [p["name"] for p in record["patches"] if showable(p["name"])]
        gone = [name for name in self.patches if name not in names]
        old = self.patches
        self.patches = {name: old[name] if name in old else PatchView(name, True, False, False, 0) for name in names}
        for name in gone:
            self.changed("patch", name)
        loads = {p["name"]: p["n"] for p in before["patches"]}
        for at, entry in enumerate(record["patches"], 1):
            name = entry["name"]
            if name not in self.patches:
                continue
            fresh = loads.get(name) != entry["n"]
            view = self._patch(name) if fresh else self.patches[name]
            transition = record["transition"]
            mine = bool(transition and transition["patch"] == name)
            replace = bool(transition["replace"]) if mine and transition["dir"] and transition["turn"] == 1 else view.replace
            view = evolve(view, enabled=records.enabled(record, name), transition=mine, replace=replace, stack_order=at)
            self._set("patch", self.patches, name, view, name not in old)
        self._take_modules(record)
        if record["ftrace"] != self.ftrace_enabled:
            self.ftrace_enabled = record["ftrace"]
            self.changed("flag", "ftrace_enabled")

    def _take_modules(self, record: Raw) -> None:
        names = [m["name"] for m in record["modules"] if showable(m["name"])]
        old = self.modules
        self.modules = {name: old[name] if name in old else ModuleView(name) for name in names}
        for name in old:
            if name not in self.modules:
                self.changed("module", name)
        for name in names:
            self._set("module", self.modules, name, self._module(name), name not in old)

    # -- from the agents

    def take_event(self, peer: Any, event: Raw) -> None:
        """An agent's event; its shape has been checked."""
        told = peer.state
        if told is None:
            told = peer.state = Told()
        self._peers[peer.key] = peer
        if "process" in event:
            self.take_process(peer.pid, event["process"])
        if "log" in event:
            self.log.take(peer.agent, event["log"], self._record, peer.name)
        if "patches" in event:
            before, told.patches = told.patches, {p["name"]: p for p in event["patches"]}
            if "names" in event:               # only what differs
                now = {**before, **told.patches}
                told.patches = {name: now[name] for name in event["names"] if name in now}
            self._refresh(before, told.patches, self.patches, "patch", self._patch)
        if "modules" in event:
            before, told.modules = told.modules, {m["name"]: m for m in event["modules"]}
            self._refresh(before, told.modules, self.modules, "module", self._module)

    def take_process(self, pid: int, told: Raw) -> None:
        """Who an agent's process is. Its number is the one that its connection was checked for."""
        view = ProcessView(pid, told["comm"], tuple(told["cmdline"]))
        self._set("process", self.processes, pid, view)

    def take_report(self, peer: Any) -> None:
        """A report has come: patches that it goes without count as not patched."""
        told = peer.state
        if told is None:
            told = peer.state = Told()
        self._peers[peer.key] = peer
        out = tuple(peer.report["not_applied"])
        if told.not_applied != out:
            told.not_applied = out
            for name in self.patches:
                self._set("patch", self.patches, name, self._patch(name))

    def left(self, peer: Any) -> None:
        """A process is gone."""
        self._peers.pop(peer.key, None)
        if not any(p.agent == peer.agent for p in self._peers.values()):       # else it has a new socket already
            self.log.forget(peer.agent)
        if peer.pid in self.processes and not any(p.pid == peer.pid for p in self._peers.values()):
            del self.processes[peer.pid]
            self.changed("process", peer.pid)
        told, peer.state = peer.state, None
        if told is not None:
            self._refresh(told.patches, {}, self.patches, "patch", self._patch)
            self._refresh(told.modules, {}, self.modules, "module", self._module)

    def _refresh(self, before: Dict[str, Raw], after: Dict[str, Raw], views: Dict[str, Any], kind: str,
                 make: Callable[[str], Any]) -> None:
        for name in list(views):
            if before.get(name) != after.get(name):
                self._set(kind, views, name, make(name))

    def _set(self, kind: str, views: Dict[Any, Any], key: Any, view: Any, new: bool = False) -> None:
        if new or views.get(key) != view:
            views[key] = view
            self.changed(kind, key)

    # -- many into one

    def _patch(self, name: str) -> PatchView:
        view = self.patches[name]
        entry = records.find(self._record["patches"], name)
        n = entry["n"] if entry else 0
        told = [p.state.patches[name] for p in self._peers.values() if name in p.state.patches]
        out = any(n in p.state.not_applied for p in self._peers.values())
        if not told:
            return evolve(view, objects=())
        transition = self._record["transition"]
        mine = transition and transition["patch"] == name
        return evolve(view, objects=_objects([t["objects"] for t in told], out, view.objects),
                      replace=view.replace if mine and view.replace else any(bool(t["replace"]) for t in told))

    def _module(self, name: str) -> ModuleView:
        entry = records.find(self._record["modules"], name) or {"livepatch": False, "forced": False}
        told = [p.state.modules[name] for p in self._peers.values() if name in p.state.modules]
        holders = tuple(records.used(self._record, name))
        if entry["livepatch"]:                 # from the journal alone, as rmmod decides
            refcnt = len(holders) + bool(records.find(self._record["patches"], name) or entry["forced"])
        else:
            refcnt = max(len(holders), sum(t["refcnt"] for t in told))
        params: Dict[str, ParamView] = {}
        for each in told:
            for param, kind, text, mode in each["params"]:
                if param not in params and showable(param):
                    params[param] = ParamView(kind, text, mode & 0o777)
        return ModuleView(name, max([t["size"] for t in told], default=0), refcnt, "Live", bool(entry["livepatch"]),
                          bool(entry["forced"]), holders, params)


def _objects(told: List[List[Raw]], out: bool, before: Tuple[ObjectView, ...]) -> Tuple[ObjectView, ...]:
    """The objects of a patch as several processes have them. out: a process goes without the patch."""
    names: Dict[str, List[Raw]] = {}
    for each in told:
        for obj in each:
            name = obj["name"] or VMLINUX
            if showable(name):
                names.setdefault(name, []).append(obj)
    old = {view.name: view for view in before}
    views = []
    for name, found in names.items():
        patched = not out and any(o["patched"] for o in found) and not any(o["loaded"] and not o["patched"] for o in found)
        texts = dict.fromkeys(o["funcs"] for o in found)     # nearly always one
        funcs = tuple(dict.fromkeys(func for text in texts for func in _funcs(text)))
        view = old.get(name)
        if view is None or view.patched != patched or view.funcs != funcs:
            view = ObjectView(name, patched, funcs)
        views.append(view)
    return tuple(views)


def _funcs(text: str) -> Iterator[Tuple[str, int]]:
    """Name and position of each function of an object, from the lines that an agent tells."""
    for line in text.split("\n"):
        name, _, position = line.rpartition(",")
        if name and showable(line) and position.isascii() and position.isdecimal() and len(position) < 10:
            yield name, int(position)
