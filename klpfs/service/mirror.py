"""The mirror: what the journal and the agents' events amount to, as the tree shows it (docs/PROTOCOL.md#7).

From the journal: which patches and modules there are, their order, `enabled`, `transition`, a patch's use count; one
file, so they can't contradict each other or a write that has returned. From the agents: objects, functions, `patched`,
sizes, parameters. An event is a whole section of one agent: it is compared patch by patch with the one before, and only
what differs is made anew.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from attrs import define, evolve, field

from klpfs.protocol import decisions as records
from klpfs.protocol.names import VMLINUX, showable
from klpfs.service.foreign_lines import Stranger
from klpfs.service.log_merge import LogMerge
from klpfs.service.snapshots import ModuleView, ObjectView, ParamView, PatchView, ProcessView

if TYPE_CHECKING:
    from klpfs.service.peer import Peer

Raw = dict[str, Any]
MAX_FUNCS = 1 << 17        # of an object, as all processes together say them; each is a folder of the tree
MEMBER_BYTES = 256         # that a patch or an object is counted with, beside its functions


@define(eq=False)
class Sections:
    """The sections of an agent's events, each by name. is_of_service: the agent may speak for the service."""

    is_of_service: bool = True
    patches: dict[str, Raw] = field(factory=dict)
    modules: dict[str, Raw] = field(factory=dict)
    not_applied: tuple[int, ...] = ()


class Recorded(NamedTuple):
    """What the journal says of a module. is_patch: its patch is in force, or about to be; holders: who uses it."""

    livepatch: bool
    forced: bool
    is_patch: bool
    holders: tuple[str, ...]


@define(eq=False)
class Mirror:
    """`patches`, `modules`, `processes`, `ftrace_enabled` are what the tree shows. changed(kind, key) after each
    change."""

    changed: Callable[[str, object], None]
    log: LogMerge
    patches: dict[str, PatchView] = field(init=False, factory=dict)
    modules: dict[str, ModuleView] = field(init=False, factory=dict)
    processes: dict[int, ProcessView] = field(init=False, factory=dict)
    ftrace_enabled: bool = field(init=False, default=True)
    _record: Raw = field(init=False, factory=records.none)
    _loads: dict[str, int] = field(init=False, factory=dict)     # by the record: n of each patch, ...
    _recorded: dict[str, Recorded] = field(init=False, factory=dict)    # ... and the modules
    _peers: dict[str, Peer] = field(init=False, factory=dict)    # the agents that have told something, by key
    _sections: dict[str, Sections] = field(init=False, factory=dict)

    # -- from the journal

    def take_record(self, record: Raw) -> None:
        """The journal's new record."""
        before, self._record = self._loads, record
        self._loads = {p["name"]: p["n"] for p in record["patches"]}
        old, transition = self.patches, record["transition"]
        self.patches = {name: old[name] if name in old else PatchView(name, True, False, False, 0)
                        for name in self._loads if showable(name)}
        for name in [name for name in old if name not in self.patches]:
            self.changed("patch", name)
        for at, name in enumerate(self._loads, 1):
            if name not in self.patches:
                continue
            view = self.patches[name] if before.get(name) == self._loads[name] else self._patch(name)
            mine = bool(transition and transition["patch"] == name)
            replace = (
                bool(transition["replace"]) if mine and transition["dir"] and transition["turn"] == 1 else view.replace
            )
            now = records.enabled(record, name), mine, replace, at
            if (view.enabled, view.transition, view.replace, view.stack_order) != now:
                view = evolve(view, enabled=now[0], transition=mine, replace=replace, stack_order=at)
            self._set("patch", self.patches, name, view, name not in old)
        self._take_modules(record)
        if record["ftrace"] != self.ftrace_enabled:
            self.ftrace_enabled = record["ftrace"]
            self.changed("flag", "ftrace_enabled")

    def _take_modules(self, record: Raw) -> None:
        before, self._recorded = self._recorded, _modules_of(record)
        old = self.modules
        self.modules = {name: old[name] if name in old else ModuleView(name)
                        for name in self._recorded if showable(name)}
        for name in old:
            if name not in self.modules:
                self.changed("module", name)
        for name in self.modules:
            if name not in old or before.get(name) != self._recorded[name]:
                self._set("module", self.modules, name, self._module(name), name not in old)

    # -- from the agents

    def take_event(self, peer: Peer, event: Raw) -> None:
        """An agent's event; its shape has been checked."""
        sections = self._sections_of(peer)
        if "process" in event:
            self.take_process(peer.pid, event["process"])
        if "log" in event:
            self.log.take(peer.agent, event["log"], self._record, peer.name, None if peer.is_of_service else
                          Stranger(peer.name, peer.user, peer.hello["started"] if peer.hello else 0), peer.pid)
        if "patches" in event:
            before, sections.patches = sections.patches, {p["name"]: p for p in event["patches"]}
            if "names" in event:               # only what differs
                now = {**before, **sections.patches}
                sections.patches = {name: now[name] for name in event["names"] if name in now}
            self._refresh(before, sections.patches, self.patches, "patch", self._patch)
            if peer.is_foreign:
                peer.keep("patches", _size(sections.patches))
        if "modules" in event:
            before, sections.modules = sections.modules, {m["name"]: m for m in event["modules"]}
            if "module_names" in event:
                now = {**before, **sections.modules}
                sections.modules = {name: now[name] for name in event["module_names"] if name in now}
            self._refresh(before, sections.modules, self.modules, "module", self._module)

    def take_process(self, pid: int, process: Raw) -> None:
        """An agent has said what its process is. Its number is the one that its connection was checked for."""
        view = ProcessView(pid, process["comm"], tuple(process["cmdline"]))
        self._set("process", self.processes, pid, view)

    def take_report(self, peer: Peer) -> None:
        """A report has come: patches that it goes without count as not patched."""
        sections, left_out = self._sections_of(peer), tuple((peer.report or {})["not_applied"])
        if sections.not_applied != left_out:
            sections.not_applied = left_out
            for name in self.patches:
                self._set("patch", self.patches, name, self._patch(name))

    def left(self, peer: Peer) -> None:
        """A process is gone."""
        self._peers.pop(peer.key, None)
        if not any(p.agent == peer.agent for p in self._peers.values()):       # else it has a new socket already
            self.log.forget(peer.agent)
        if peer.pid in self.processes and not any(p.pid == peer.pid for p in self._peers.values()):
            del self.processes[peer.pid]
            self.changed("process", peer.pid)
        sections = self._sections.pop(peer.key, None)
        if sections is not None:
            self._refresh(sections.patches, {}, self.patches, "patch", self._patch)
            self._refresh(sections.modules, {}, self.modules, "module", self._module)

    def _sections_of(self, peer: Peer) -> Sections:
        """The sections of this agent; empty at first."""
        self._peers[peer.key] = peer
        sections = self._sections.setdefault(peer.key, Sections())
        sections.is_of_service = peer.is_of_service
        return sections

    def has_processes_of_service(self) -> bool:
        """Whether an agent that may speak for the service has said anything."""
        return any(sections.is_of_service for sections in self._sections.values())

    def _speaking(self, sections: list[Sections]) -> list[Sections]:
        """Those who say what a patch or module has: processes of the service; foreign ones if these say nothing."""
        return [section for section in sections if section.is_of_service] or sections

    def _refresh(self, before: dict[str, Raw], after: dict[str, Raw], views: dict[str, Any], kind: str,
                 make: Callable[[str], Any]) -> None:
        for name in list(views):
            if before.get(name) != after.get(name):
                self._set(kind, views, name, make(name))

    def _set(self, kind: str, views: dict[Any, Any], key: Any, view: Any, new: bool = False) -> None:
        if new or views.get(key) != view:
            views[key] = view
            self.changed(kind, key)

    # -- many into one

    def _patch(self, name: str) -> PatchView:
        view = self.patches[name]
        n = self._loads.get(name, 0)
        have = [sections for sections in self._sections.values() if name in sections.patches]
        patches = [sections.patches[name] for sections in have]
        speaking = self._speaking(have)
        said = patches if len(speaking) == len(have) else [sections.patches[name] for sections in speaking]
        left_out = any(n in sections.not_applied for sections in self._sections.values())
        if not patches:
            return evolve(view, objects=())
        transition = self._record["transition"]
        mine = transition and transition["patch"] == name
        names = _by_name(patches)
        return evolve(view, objects=_objects(names, names if said is patches else _by_name(said), left_out,
                                             view.objects),
                      replace=view.replace if mine and view.replace
                      else any(bool(patch["replace"]) for patch in said))

    def _module(self, name: str) -> ModuleView:
        recorded = self._recorded.get(name) or Recorded(False, False, False, ())
        have = [sections for sections in self._sections.values() if name in sections.modules]
        modules = [sections.modules[name] for sections in have]
        speaking = [sections.modules[name] for sections in self._speaking(have)]
        users = len(recorded.holders)
        if recorded.livepatch:                 # from the journal alone, as rmmod decides
            refcnt = users + (recorded.is_patch or recorded.forced)
        else:
            refcnt = max(users, sum(module["refcnt"] for module in modules))
        params: dict[str, ParamView] = {}
        for module in speaking:
            for param, kind, text, mode in module["params"]:
                if param not in params and showable(param):
                    params[param] = ParamView(kind, text, mode & 0o777)
        return ModuleView(name, max([module["size"] for module in speaking], default=0), refcnt, "Live",
                          recorded.livepatch, recorded.forced, recorded.holders, params)


def _modules_of(record: Raw) -> dict[str, Recorded]:
    """The modules of a record, by name, in its order."""
    holders: dict[str, list[str]] = {}
    for module in record["modules"]:
        for name in dict.fromkeys(module["uses"]):
            holders.setdefault(name, []).append(module["name"])
    patches = {patch["name"] for patch in record["patches"]}
    return {m["name"]: Recorded(bool(m["livepatch"]), bool(m["forced"]), m["name"] in patches,
                                tuple(holders.get(m["name"], ()))) for m in record["modules"]}


def _size(patches: dict[str, Raw]) -> int:
    """About how many bytes are remembered with these patches of an agent."""
    objects = itertools.chain.from_iterable(patch["objects"] for patch in patches.values())
    return MEMBER_BYTES * len(patches) + sum([len(obj["funcs"]) + MEMBER_BYTES for obj in objects])


def _by_name(patches: list[Raw]) -> dict[str, list[Raw]]:
    """The objects of a patch as several processes have it, by their names."""
    names: dict[str, list[Raw]] = {}
    for obj in itertools.chain.from_iterable(patch["objects"] for patch in patches):
        name = obj["name"] or VMLINUX
        if showable(name):
            names.setdefault(name, []).append(obj)
    return names


def _objects(names: dict[str, list[Raw]], said: dict[str, list[Raw]], left_out: bool,
             before: tuple[ObjectView, ...]) -> tuple[ObjectView, ...]:
    """The objects of a patch as several processes have them, by their names. said: as those processes have them that
    say which objects and functions there are. left_out: a process goes without the patch."""
    old = {view.name: view for view in before}
    views = []
    for name, speaking in said.items():
        objects = names[name]
        unpatched = any(obj["loaded"] and not obj["patched"] for obj in objects)
        patched = not left_out and not unpatched and any(obj["patched"] for obj in objects)
        texts = dict.fromkeys(obj["funcs"] for obj in speaking)    # nearly always one
        lines = itertools.islice((func for text in texts for func in _funcs(text)), MAX_FUNCS)
        funcs = tuple(dict.fromkeys(lines))
        view = old.get(name)
        if view is None or view.patched != patched or view.funcs != funcs:
            view = ObjectView(name, patched, funcs)
        views.append(view)
    return tuple(views)


def _funcs(text: str) -> Iterator[tuple[str, int]]:
    """Name and position of each function of an object, from the lines that an agent tells."""
    for line in text.split("\n"):
        name, _, position = line.rpartition(",")
        if name and showable(line) and position.isascii() and position.isdecimal() and len(position) < 10:
            yield name, int(position)
