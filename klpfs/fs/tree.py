"""The tree of docs/DESIGN.md#3: what a Manager's services are, as nodes; what is written, as their operations.

Only what has changed is built again: a node stays the same node (for programs that hold it) as long as the thing that
it shows is there. Names come from processes and so from strangers: a name that can't be a file's is not shown.
"""
from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Callable

from attrs import define, field

from klpfs.fs.kmsg import Kmsg
from klpfs.fs.kstr import intvec, kstrtobool
from klpfs.fs.machine_proc import PLACE, MachineDir, MachineLink
from klpfs.fs.nodes import PAGE, Attr, Dir, Later, Link, Node, Query, Show, Store, Table, fail
from klpfs.protocol.names import is_service, showable
from klpfs.service.shown_text import shown_bytes

if TYPE_CHECKING:
    from klpfs.service.manager import Manager
    from klpfs.service.service import Service
    from klpfs.service.snapshots import BlockerView, Caller, ModuleView, ObjectView, PatchView, ProcessView

FRESH = 0.1                                    # seconds that a list of tasks is good for
ROOM = 1 << 20                                 # the size of files of /proc's kind whose text may be a long one
KERNELS = {"replace": (6, 11), "stack_order": (6, 14)}     # the Linux that had a patch's attribute first
NEWEST = max(KERNELS.values())
COMMAND_LIMIT = 8192                           # bytes of a line written to insmod; less than one FUSE write can bring


def number(value: int) -> bytes:
    return b"%d\n" % value


def flag(value: bool) -> bytes:
    return b"1\n" if value else b"0\n"


def line(text: str) -> bytes:
    return shown_bytes(text) + b"\n"


def one_line(text: str) -> bytes:
    r"""A line of several: a newline in it is shown as `\n`, as /proc/PID/status has it in a name."""
    return line(text.replace("\n", "\\n"))


def after(future: Future[Any], make: Callable[[Any], Any]) -> Future[Any]:
    """A Future of `make(result)`. Cancelling it cancels `future`."""
    made: Future[Any] = _After(future)

    def done(future: Future[Any]) -> None:
        if made.done():
            return
        try:
            made.set_result(make(future.result()))
        except BaseException as e:             # of any kind: the waiting caller gets it
            made.set_exception(e)
    future.add_done_callback(done)
    return made


class _After(Future[Any]):
    def __init__(self, future: Future[Any]) -> None:
        super().__init__()
        self.of = future

    def cancel(self) -> bool:
        return self.of.cancel()


@define(eq=False)
class PatchDir:
    """sys/kernel/livepatch/<patch>. kernel: (major, minor) of the Linux whose attributes it has."""

    service: Service
    node: Dir
    view: PatchView
    kernel: tuple[int, int] = NEWEST
    _attrs: dict[str, Attr] = field(init=False, factory=dict)
    _objects: dict[str, ObjectDir] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        def attr(name: str, mode: int, show: Show | None, store: Store | None = None) -> None:
            if KERNELS.get(name, self.kernel) <= self.kernel:
                self._attrs[name] = Attr(self.node.table, self.node, name, mode, show, store, lasting=True)
        attr("enabled", 0o644, lambda: flag(self.now().enabled), self._set_enabled)
        attr("transition", 0o444, lambda: flag(self.now().transition))
        attr("force", 0o200, None, self._force)
        attr("replace", 0o444, lambda: flag(self.now().replace))
        attr("stack_order", 0o444, lambda: number(self.now().stack_order))
        self._set_objects()

    def now(self) -> PatchView:
        """The newest view."""
        return self.service.patches.get(self.node.name, self.view)

    def _set_enabled(self, data: bytes, caller: Caller) -> Future[Any] | None:
        return self.service.set_enabled(self.node.name, kstrtobool(data), caller)

    def _force(self, data: bytes, caller: Caller) -> Future[Any] | None:
        return self.service.force(self.node.name) if kstrtobool(data) else None

    def update(self, view: PatchView) -> None:
        old, self.view = self.view, view
        for name in ("enabled", "transition", "replace", "stack_order"):
            if name in self._attrs and getattr(view, name) != getattr(old, name):
                self._attrs[name].notify()
        if view.objects is not old.objects and view.objects != old.objects:
            self._set_objects()
        if old.transition and not view.transition:
            for obj in self._objects.values():
                obj.settle()

    def _set_objects(self) -> None:
        wanted = {o.name: o for o in self.view.objects if showable(o.name) and o.name not in self._attrs}
        for name in [name for name in self._objects if name not in wanted]:
            self._objects.pop(name).node.remove()
        for name, view in wanted.items():
            known = self._objects.get(name)
            if known is not None and not known.update(view):
                known.node.remove()            # the kernel believes in a function that has gone: it meets a new folder
                known = None
            if known is None:
                self._objects[name] = ObjectDir(Dir(self.node.table, self.node, name, 0o755), view)
                if not self.view.transition:
                    self._objects[name].settle()


@define(eq=False)
class ObjectDir:
    """sys/kernel/livepatch/<patch>/<object>: `patched`, and an empty directory for each function."""

    node: Dir
    view: ObjectView
    _patched: Attr = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._patched = Attr(self.node.table, self.node, "patched", 0o444, lambda: flag(self.view.patched),
                             lasting=True)
        self._set_funcs((), self.view.funcs)

    def settle(self) -> None:
        """The patch is not in transition: its functions stay. (Nops go with a transition's end.)"""
        for child in self.node.children.values():
            child.lasting, child.entry = True, None

    def update(self, view: ObjectView) -> bool:
        """Show this view. False: a function has gone whose name the kernel may believe, so the folder must be made
        anew."""
        old, self.view = self.view, view
        if view.patched != old.patched:
            self._patched.notify()
        return view.funcs is old.funcs or view.funcs == old.funcs or self._set_funcs(old.funcs, view.funcs)

    def _set_funcs(self, old: Iterable[tuple[str, int]], new: Iterable[tuple[str, int]]) -> bool:
        before, now = _names(old), _names(new)
        clean = True
        for name in before - now:
            folder = self.node.get(name)
            if folder is not None:
                clean = clean and not folder.cached
                folder.remove()
        for name in sorted(now - before):
            if showable(name):
                Dir(self.node.table, self.node, name, 0o755)
        return clean


def _names(funcs: Iterable[tuple[str, int]]) -> set[str]:
    return {f"{name},{position}" for name, position in funcs}


@define(eq=False)
class ModuleDir:
    """sys/module/<name>: refcnt, initstate, holders/, and parameters/ where there are any."""

    STATES = {"Live": "live", "Loading": "coming", "Unloading": "going"}

    service: Service
    node: Dir
    view: ModuleView
    _refcnt: Attr = field(init=False)
    _state: Attr = field(init=False)
    _holders: Dir = field(init=False)
    _parameters: Dir | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        table = self.node.table
        # not lasting, as in ProcessDir: their texts get longer
        self._refcnt = Attr(table, self.node, "refcnt", 0o444, lambda: number(self.now().refcnt))
        self._state = Attr(table, self.node, "initstate", 0o444,
                           lambda: line(self.STATES.get(self.now().state, self.now().state)))
        self._holders = Dir(table, self.node, "holders", 0o755, lasting=True)
        self._set(None)

    def now(self) -> ModuleView:
        return self.service.modules.get(self.node.name, self.view)

    def update(self, view: ModuleView) -> None:
        old, self.view = self.view, view
        if view.refcnt != old.refcnt:
            self._refcnt.notify()
        if view.state != old.state:
            self._state.notify()
        self._set(old)

    def _set(self, old: ModuleView | None) -> None:
        table, view = self.node.table, self.view
        if old is None or view.holders != old.holders:
            _sync(self._holders, [h for h in view.holders if showable(h)],
                  lambda name: Link(table, self._holders, name, 0o777, f"../../{name}"))
        params = {name: param for name, param in view.params.items() if param.mode & 0o666 and showable(name)}
        if not params:
            if self._parameters is not None:
                self._parameters.remove()
                self._parameters = None
            return
        parent = self._parameters
        if parent is None:
            parent = self._parameters = Dir(table, self.node, "parameters", 0o755)
        _sync(parent, params, lambda name: self._parameter(name, params[name].mode))
        for name, param in params.items():
            if old is not None and name in old.params and old.params[name].text != param.text:
                parent.get(name).notify()      # type: ignore[union-attr]

    def _parameter(self, name: str, mode: int) -> Attr:
        def show() -> bytes:
            param = self.now().params.get(name)
            if param is None:
                raise fail(errno.ENODEV)
            return line(param.text)
        return Attr(self.node.table, self._parameters, name, mode & 0o666, show if mode & 0o444 else None,
                    (lambda data, caller: self.service.set_param(self.node.name, name, data)) if mode & 0o222 else None)


def _sync(parent: Dir, names: Iterable[str], make: Callable[[str], Node]) -> None:
    """Let `parent` have just these children."""
    wanted = dict.fromkeys(names)
    for child in list(parent.children.values()):
        if child.name not in wanted:
            child.remove()
    for name in wanted:
        if parent.get(name) is None:
            make(name)


@define(eq=False)
class ProcessDir:
    """proc/<pid>: what the process said of itself, and its tasks, which are asked for. In a MachineDir directory what
    the machine's /proc tells better (comm, cmdline) is left to it."""

    service: Service
    node: Dir
    view: ProcessView
    _tasks: dict[int, str] = field(init=False, factory=dict)
    _seen: float = field(init=False, default=-FRESH)
    _task: Dir = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file(self.node, "patch_state", 0o400, lambda: after(self._ask("patch_state"), number))
        if isinstance(self.node, MachineDir):
            self._file(self.node, "stack", 0o400, lambda: after(self._ask("stack", self.view.pid), _stack))
            self._task = self.node.below("task", by_number=True, refresh=self._refresh, lists_machine=False,
                                         lasting=True)
            return
        self._file(self.node, "comm", 0o444, lambda: line(self.view.comm))
        self._file(self.node, "cmdline", 0o444,
                   lambda: b"".join(line(argument)[:-1] + b"\0" for argument in self.view.cmdline))
        self._task = Dir(self.node.table, self.node, "task", 0o555, by_number=True, refresh=self._refresh,
                         lasting=True)

    def _file(self, parent: Dir, name: str, mode: int, show: Show) -> None:
        # not lasting: the kernel keeps the size that a splice(2) has found as long as it believes the name
        Attr(self.node.table, parent, name, mode, show, proc=True, size=ROOM if name in ("stack", "cmdline") else PAGE)

    def _ask(self, what: str, tid: int | None = None) -> Future[Any]:
        return self.service.ask(what, self.view.pid, tid)

    def update(self, view: ProcessView) -> None:
        self.view = view

    def _refresh(self) -> Later | None:
        if self.service.loop.now() - self._seen < FRESH:
            return None
        return Later(self._ask("tasks"), self._set_tasks)

    def _set_tasks(self, tasks: list[tuple[int, str]]) -> None:
        self._seen = self.service.loop.now()
        self._tasks = dict(tasks)
        _sync(self._task, map(str, self._tasks), self._make_task)

    def _make_task(self, name: str) -> Dir:
        tid = int(name)
        node = _folder(self._task, name)
        self._file(node, "comm", 0o444, lambda: line(self._tasks.get(tid, "")))
        self._file(node, "patch_state", 0o400, lambda: after(self._ask("patch_state", tid), number))
        self._file(node, "stack", 0o400, lambda: after(self._ask("stack", tid), _stack))
        return node


def _folder(parent: Dir, name: str, **more: Any) -> Dir:
    """A directory of /proc's kind, passing on what the machine has if its parent does."""
    if isinstance(parent, MachineDir):
        return parent.below(name, **more)
    return Dir(parent.table, parent, name, 0o555, **more)


def _stack(frames: Iterable[str]) -> bytes:
    return b"".join(b"[<0>] " + one_line(frame) for frame in frames)


def modules_text(modules: Iterable[ModuleView]) -> bytes:
    """/proc/modules of these (oldest first; the newest is shown first). Source: m_show() in kernel/module/procfs.c."""
    text = b""
    for m in modules:
        used = "".join(f"{holder}," for holder in m.holders) or "-"
        flags = "OE" + (" K" if m.livepatch else "") + {"Loading": "+", "Unloading": "-"}.get(m.state, "")
        text = one_line(f"{m.name} {m.size} {m.refcnt} {used} {m.state} 0x0000000000000000 ({flags})") + text
    return text


def blockers_text(blockers: Iterable[BlockerView]) -> bytes:
    """The file `blockers`: for each its process, kind, task, since when, patch and name, then its frames, innermost
    first, each on a line that begins with a blank."""
    parts = []
    for b in blockers:
        since = getattr(b, "since", None) or 0
        task, patch = "-" if b.task is None else b.task, getattr(b, "patch", None) or "-"
        stamp = f"[{since // 10 ** 6:5d}.{since % 10 ** 6:06d}]"
        parts.append(one_line(f"{b.pid} {b.kind} {task} {stamp} {patch} {b.name or ''}".rstrip()))
        parts.extend(b" " + one_line(frame) for frame in b.frames)
    return b"".join(parts)


@define(eq=False)
class ProcTree:
    """A service's part of /proc, in `node`: modules, kernel.ftrace_enabled, the processes."""

    service: Service
    node: Dir
    _modules: Attr = field(init=False)
    _ftrace: Attr | None = field(init=False, default=None)
    _processes: dict[int, ProcessDir] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        service, node, table = self.service, self.node, self.node.table
        if isinstance(node, MachineDir):
            node.make_room("modules")
        else:                                  # over the machine's, `klpfs exec` mounts this one's
            settings = Dir(table, Dir(table, node, "sys", 0o555, lasting=True), "kernel", 0o555, lasting=True)
            self._ftrace = Attr(table, settings, "ftrace_enabled", 0o644, lambda: flag(service.ftrace_enabled),
                                lambda data, caller: service.set_ftrace(bool(intvec(data))), proc=True, lasting=True)
        self._modules = Attr(table, node, "modules", 0o444, lambda: modules_text(service.modules.values()), proc=True,
                             size=ROOM)
        self.process(None)

    def process(self, key: int | None) -> None:
        """Show a process of the service, or all (None), as they are now."""
        def make(name: str, view: ProcessView) -> ProcessDir:
            return ProcessDir(self.service, _folder(self.node, name, by_number=True), view)
        _update(self._processes, self.service.processes, key, lambda name: _own(self.node, name) is None, make)

    def flag(self) -> None:
        if self._ftrace is not None:
            self._ftrace.notify()

    def leave(self) -> None:
        """The service has gone; what the machine has is shown in its place."""
        for gone in [self._modules, *(process.node for process in self._processes.values())]:
            gone.remove()


def _own(parent: Dir, name: str) -> Node | None:
    """The child of this name, unless it is but a link to the machine's."""
    child = parent.get(name)
    return None if isinstance(child, MachineLink) else child


@define(eq=False)
class ServiceTree:
    """<mount>/<service>."""

    service: Service
    node: Dir
    kernel: tuple[int, int] = NEWEST
    _kmsgs: list[Kmsg] = field(init=False)
    _livepatch: Dir = field(init=False)
    _module: Dir = field(init=False)
    _patches: dict[str, PatchDir] = field(init=False, factory=dict)
    _modules: dict[str, ModuleDir] = field(init=False, factory=dict)
    _proc: ProcTree = field(init=False)
    _over: ProcTree | None = field(init=False, default=None)      # the same over the machine's

    def __attrs_post_init__(self) -> None:
        service, table, node = self.service, self.node.table, self.node
        def folder(parent: Dir, name: str, mode: int = 0o755, **more: Any) -> Dir:
            return Dir(table, parent, name, mode, lasting=True, **more)
        sys = folder(node, "sys")
        self._livepatch = folder(folder(sys, "kernel"), "livepatch")
        self._module = folder(sys, "module")
        self._proc = ProcTree(service, folder(node, "proc", 0o555, by_number=True))
        dev = folder(node, "dev")
        def kmsg(name: str, **more: Any) -> Kmsg:
            return Kmsg(table, dev, name, 0o644, service.log, service.kmsg, lasting=True, **more)
        # the hidden ones are for `klpfs dmesg` and `klpfs exec`
        self._kmsgs = [kmsg("kmsg"), kmsg(".kmsg.caller", caller=True),
                       kmsg(".kmsg.one-voice", voice=lambda: next(iter(service.processes), None))]
        Attr(table, dev, ".clear", 0o200, None, lambda data, caller: self._kmsgs[0].clear(), lasting=True)
        Attr(table, node, "blockers", 0o444, lambda: after(service.ask("blockers"), blockers_text), proc=True,
             size=ROOM)
        Attr(table, node, "insmod", 0o200, None, service.insmod, limit=COMMAND_LIMIT, whole=True, lasting=True)
        Query(table, node, "check", 0o600, service.check, COMMAND_LIMIT, lasting=True)
        Attr(table, node, "rmmod", 0o200, None, service.rmmod, limit=COMMAND_LIMIT, whole=True, lasting=True)
        for kind in ("patch", "module"):
            self.changed(kind, None)
        service.on_change(self.changed)

    def changed(self, kind: str, key: Any) -> None:
        """Something of the service is different; key None: any of this kind."""
        if self.node.removed:
            return
        service, table = self.service, self.node.table
        if kind == "log":
            for kmsg in self._kmsgs:
                kmsg.wake()
        elif kind == "flag":
            self._proc.flag()
        elif kind == "patch":
            _update(self._patches, service.patches, key, lambda name: self._livepatch.get(name) is None,
                    lambda name, view: PatchDir(service, Dir(table, self._livepatch, name, 0o755), view, self.kernel))
        elif kind == "module":
            _update(self._modules, service.modules, key, lambda name: self._module.get(name) is None,
                    lambda name, view: ModuleDir(service, Dir(table, self._module, name, 0o755), view))
        elif kind == "process":
            for proc in self._procs():
                proc.process(key)

    def _procs(self) -> list[ProcTree]:
        return [self._proc] if self._over is None else [self._proc, self._over]

    def over(self, machine: MachineDir) -> None:
        """Show the service's part of /proc in this directory too."""
        self._over = ProcTree(self.service, machine)

    def leave(self) -> None:
        """The service has gone."""
        if self._over is not None:
            self._over.leave()
        self.node.remove()


def _update(shown: dict[Any, Any], views: dict[Any, Any], key: Any, free: Callable[[str], bool],
            make: Callable[[str, Any], Any]) -> None:
    """Let `shown` follow `views`, all of them or the view that `key` names; `free(name)`: the name is not taken."""
    keys = [key] if key is not None else list(dict.fromkeys([*shown, *views]))
    for view_key in keys:
        view, name = views.get(view_key), str(view_key)
        if view is None:
            gone = shown.pop(view_key, None)
            if gone is not None:
                gone.node.remove()
        elif view_key in shown:
            if shown[view_key].view is not view:
                shown[view_key].update(view)
        elif showable(name) and free(name):
            shown[view_key] = make(name, view)


@define(eq=False)
class Machines(Dir):
    """.exec: a directory for each service that there is or was, made when it is first looked up; in it `proc`, /proc as
    `klpfs exec` shows it. It stays when the service goes: whoever has it mounted goes on with the machine's own."""

    find: Callable[[str], ServiceTree | None] = lambda name: None

    def lookup(self, raw: bytes) -> Node:
        folder = self.children.get(raw)
        if folder is None:
            name = os.fsdecode(raw)
            tree = self.find(name)
            if tree is None:
                raise fail(errno.ENOENT)
            folder = Dir(self.table, self, name, 0o755, lasting=True)
            proc = MachineDir(self.table, folder, "proc", 0o555, by_number=True, lasting=True)
            for place in (PLACE, "sys"):       # `klpfs exec` mounts something on these. Not lasting: that is to be had
                Dir(self.table, proc, place, 0o555)        # as long as the daemon lives to be asked
            tree.over(proc)
        return folder


@define(eq=False)
class Tree:
    """The mount's root: lists the services of `manager`. kernel: as PatchDir's."""

    table: Table
    manager: Manager
    kernel: tuple[int, int] = NEWEST
    _services: dict[str, ServiceTree] = field(init=False, factory=dict)
    _machines: Machines = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._machines = Machines(self.table, self.table.root, ".exec", 0o755, find=self._services.get, lasting=True)
        for service in list(self.manager.services.values()):
            self.added(service)
        self.manager.on_added(self.added)
        self.manager.on_removed(self.removed)

    def added(self, service: Service) -> None:
        if is_service(service.name) and self.table.root.get(service.name) is None:
            made = ServiceTree(service, Dir(self.table, self.table.root, service.name, 0o755), self.kernel)
            self._services[service.name] = made
            machine: Any = self._machines.get(service.name)
            if machine is not None:
                made.over(machine.get("proc"))

    def removed(self, service: Service) -> None:
        tree = self._services.get(service.name)
        if tree is not None and tree.service is service:
            del self._services[service.name]
            tree.leave()
