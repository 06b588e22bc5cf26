"""A service: its journal, the coordinator, the mirror and the connections, and the operations of the tree."""
from __future__ import annotations

import errno
import os
import time
from typing import Any, Callable

from attrs import define, field

from klpfs.engine.error import mistake_of
from klpfs.protocol import decisions as records
from klpfs.protocol.folder import Folder, as_folder
from klpfs.protocol.folder_layout import KEEP
from klpfs.protocol.names import check_module, module_name
from klpfs.service import insmod_text, open_as_writer
from klpfs.service.agent_requests import AgentRequests
from klpfs.service.agentless_look import AgentlessLook
from klpfs.service.answer import Answer
from klpfs.service.check_text import check_text
from klpfs.service.child_work import ChildWork
from klpfs.service.coordinator import Coordinator
from klpfs.service.journal import Journal
from klpfs.service.log_merge import FACILITIES, LogMerge
from klpfs.service.log_ring import LogRecord, LogView
from klpfs.service.loop import Loop
from klpfs.service.mirror import Mirror
from klpfs.service.peer import Peer
from klpfs.service.peers import Peers
from klpfs.service.snapshots import BlockerView, Caller, ModuleView, ObjectView, ParamView, PatchView, ProcessView
from klpfs.service.vote_by_text import foresee

__all__ = ["Answer", "BlockerView", "Caller", "LogRecord", "LogView", "ModuleView", "ObjectView", "ParamView",
           "PatchView", "ProcessView", "Service"]

LOOK_AGAIN = 1.0           # seconds until the folder is looked into again, when it could not be
USER_WARNING = 12          # facility user, as printk's default for what /dev/kmsg is given


def clock_us() -> int:
    """CLOCK_MONOTONIC in microseconds, the clock of all agents."""
    return time.monotonic_ns() // 1000


@define(eq=False)
class Service:
    """Everything that the tree shows is read from memory: `patches` (oldest first), `modules`, `processes`, `log`,
    `ftrace_enabled`. `on_change(callback)`: callback(kind, key) after any change, kind 'patch' 'module' 'process'
    'log' 'flag'; key: the name, the process id, None, 'ftrace_enabled'.

    The operations return an Answer. Each that fails has logged one line.
    """

    name: str
    loop: Loop
    folder: Folder = field(converter=as_folder)
    on_gone: Callable[[], None] | None = None       # called when a process has gone
    log: LogView = field(init=False, factory=LogView)
    journal: Journal = field(init=False)
    peers: Peers = field(init=False)
    coordinator: Coordinator = field(init=False)
    mirror: Mirror = field(init=False)
    _merge: LogMerge = field(init=False)
    _requests: AgentRequests = field(init=False)
    _agentless: AgentlessLook = field(init=False)
    _listeners: list[Callable[[str, object], None]] = field(init=False, factory=list)
    _children: set[ChildWork] = field(init=False, factory=set)
    _soon: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._merge = LogMerge(self.log, clock_us)
        # readers are woken once all that has arrived is in, so that they get the lines of several processes by time
        self.log.on_added = lambda: self.loop.call_soon(lambda: self.changed("log", None))
        self.mirror = Mirror(self.changed, self._merge)
        self._merge.foreign.later, self._merge.foreign.waits = (self.loop.call_later,
                                                                self.mirror.has_processes_of_service)
        self.journal = Journal(self.folder)
        self.peers = Peers(self.folder, self.loop, self._received, self._left, self._dropped, self.poke, self.say)
        self.coordinator = Coordinator(self.journal, self.peers, self.loop, self.say, self._on_record)
        self._requests = AgentRequests(self.loop, self.peers)
        self._agentless = AgentlessLook(self.loop, self.name, os.path.dirname(os.path.abspath(self.folder.path)),
                                        lambda: {peer.pid for peer in self.peers.known()})

    # -- what the tree shows

    @property
    def patches(self) -> dict[str, PatchView]:
        return self.mirror.patches

    @property
    def modules(self) -> dict[str, ModuleView]:
        return self.mirror.modules

    @property
    def processes(self) -> dict[int, ProcessView]:
        return self.mirror.processes

    @property
    def ftrace_enabled(self) -> bool:
        return self.mirror.ftrace_enabled

    @property
    def is_reading_files(self) -> bool:
        """Whether a file that a writer has named is being read, or /proc is looked at."""
        return bool(self._children) or self._agentless.is_open

    @property
    def asks_agents(self) -> bool:
        """Whether an agent's answer is waited for."""
        return self._requests.is_open

    def on_change(self, callback: Callable[[str, object], None]) -> None:
        """Call `callback(kind, key)` after any change."""
        self._listeners.append(callback)

    def changed(self, kind: str, key: object) -> None:
        """Call the listeners of on_change."""
        for callback in self._listeners:
            callback(kind, key)

    def say(self, text: str, priority: int = 6) -> None:
        """A line of the service's own in its log: one, though a path or a process's name has newlines."""
        self._merge.say(text.replace("\n", "\\n"), priority)

    # -- what happens

    def start(self) -> None:
        """Look at the folder for the first time."""
        self.coordinator.step()
        self.look()

    def look(self) -> None:
        """Something has happened in the folder: sockets came or went, or the journal is another."""
        if self._closed:
            return
        try:
            self.peers.list()
        except OSError:                        # no descriptors, for now
            self.loop.call_later(LOOK_AGAIN, self.look)
        self.poke()

    def poke(self) -> None:
        """Let the coordinator look, once all that has arrived in this round was taken in."""
        if not self._soon and not self._closed:
            self._soon = True
            self.loop.call_soon(self._step)

    def _step(self) -> None:
        self._soon = False
        if not self._closed:
            self.coordinator.step()

    def close(self) -> None:
        """Let go of all; the processes run on."""
        self._closed = True
        for child in self._children:
            child.cancel()
        self._children.clear()
        self.coordinator.close()
        self._requests.close()
        self._agentless.close()
        self.peers.close()
        self.journal.close()

    def remove(self) -> bool:
        """All processes are gone: remove the folder, unless the journal is to be kept.

        True: it is removed. After close().
        """
        try:
            if not self.journal.try_lock():
                return False
            try:
                if self.folder.keeps:
                    self.peers.unlink_gone()
                    return False
                return self.journal.remove(self.peers.dead)
            finally:
                self.journal.unlock()
        except OSError:
            return False

    def _on_record(self, record: dict[str, Any]) -> None:
        self._merge.take_record(record)
        self.mirror.take_record(record)

    def _received(self, peer: Peer, kind: str, message: dict[str, Any]) -> None:
        if kind == "event":
            self.mirror.take_event(peer, message)
            self._requests.take_event(peer, message)
        elif kind == "report":
            self.mirror.take_report(peer)
            self.coordinator.take_report(peer)
        elif kind == "hello":
            if message["keep"] and peer.is_of_service:    # another user of the group does not decide what outlives it
                self._keep()
            self.mirror.take_process(peer.pid, message)
        elif kind == "want":
            peer.send({"t": "content", "sha256": message["sha256"], "data": self.journal.get(message["sha256"]) or b""})
        elif kind in ("answer", "done"):
            self._requests.answered(peer, message)

    def _keep(self) -> None:
        try:
            if not self.folder.keeps:
                os.close(self.folder.put(KEEP, b""))
        except OSError as error:
            self.say(f"klpfs: the journal can't be kept: {error.strerror}", 3)

    def _dropped(self, peer: Peer) -> None:
        self._requests.lost(peer)

    def _left(self, peer: Peer) -> None:
        self._requests.lost(peer)
        self.mirror.left(peer)
        if self.on_gone is not None:
            self.on_gone()

    # -- operations

    def insmod(self, text: bytes, caller: Caller) -> Answer:
        """Load what `text` says: PATH [param=value ...]. Answered when every process has it loaded and started.

        Errors: open(2)'s and source.read's; EEXIST loaded; EBUSY a transition is pending (livepatches), or the lock is
        held; what a process says that refuses it; ETIMEDOUT, ESRCH, EINTR; ENOSPC, EIO: the journal."""
        return self._of_file("insmod", text, caller, self._load)

    def check(self, text: bytes, caller: Caller) -> Answer:
        """Say what insmod of `text` would do, in every process: the Answer's data is text (check.py). The file's top
        level runs there, as in a load; init() and callbacks don't, and nothing is put into force. Errors: as insmod's
        for the file and the text."""
        return self._of_file("check", text, caller, self._check)

    def _of_file(self, command: str, text: bytes, caller: Caller, use: Callable[..., None]) -> Answer:
        """Read the file that `text` names with the caller's rights, then use(what, name, data, params, path,
        answer)."""
        what, answer = command, Answer()
        try:
            path, params = insmod_text.insmod_text(text)
            what = f"{command} {path}"
            name = check_module(module_name(path))
            owner = self.folder.status().st_uid
            at_once = open_as_writer.read_at_once(path, caller, owner)
        except OSError as error:
            return self._failed(what, answer, error)
        if at_once is not None:
            use(what, name, at_once, params, path, answer)
            return answer

        def fetched(data: bytes | None, error: OSError | None) -> None:
            self._children.discard(fetch)
            if error is not None or data is None:
                self._failed(what, answer, error or OSError(errno.EIO, os.strerror(errno.EIO)))
            else:
                self._answering(what, answer, lambda data: use(what, name, data, params, path, answer))(data)

        def interrupt() -> None:
            self._children.discard(fetch)
            fetch.cancel()
            self._failed(what, answer, OSError(errno.EINTR, "interrupted"))
        fetch = ChildWork(self.loop, "the file can't be read", fetched)
        try:
            fetch.start(lambda: open_as_writer.read(path, caller, owner))
        except OSError as error:
            return self._failed(what, answer, error)
        self._children.add(fetch)
        answer.interrupt = interrupt
        return answer

    def _load(self, what: str, name: str, data: bytes, params: records.Params, path: str, answer: Answer) -> None:
        def decide(record: dict[str, Any]) -> dict[str, Any]:
            records.insmod(record, name, "", params, 0, "")      # before anything is stored
            return records.insmod(record, name, self.journal.put(data), params, os.getpid(), path)
        self.coordinator.submit(what, decide, answer, lambda: foresee(data))
        # not now, when all processes are busy with the load
        answer.add_done_callback(lambda done: self.loop.call_later(LOOK_AGAIN, self._name_agentless))

    def _name_agentless(self) -> None:
        """The log names the processes that no load reaches."""
        def say(lines: list[str]) -> None:
            for line in lines:
                self.say(f"klpfs: {line}", 4)
        if not self._closed and self.patches:
            self._agentless.look(say)

    def _check(self, what: str, name: str, data: bytes, params: records.Params, path: str, answer: Answer) -> None:
        record, why_not = self.coordinator.record, ""
        try:
            records.insmod(record, name, "", params, 0, "")
        except OSError as error:
            why_not = error.strerror or os.strerror(error.errno or errno.EIO)
        why_not = why_not or self.coordinator.not_understood()
        if not self.ftrace_enabled:
            why_not = why_not or "kernel.ftrace_enabled is 0"
        peers = [peer for peer in self.peers.known() if peer.pid]
        commands = {pid: " ".join(view.cmdline) or view.comm for pid, view in self.processes.items()}

        def ask(agentless: list[str]) -> None:
            def done(replies: list[Any]) -> None:
                rows = sorted(((peer.pid, commands.get(peer.pid, ""), None if reply is None else reply["data"])
                               for peer, reply in zip(peers, replies)), key=lambda row: row[0])
                patches = [patch["name"] for patch in record["patches"]]
                answer.succeed(check_text(name, patches, why_not, rows, agentless))
            self._requests.ask_each(peers, message, self._answering(what, answer, done))
        message = {"t": "check", "name": name, "path": path, "data": data, "params": params}
        self._agentless.look(self._answering(what, answer, ask))

    def rmmod(self, text: bytes, caller: Caller) -> Answer:
        """Unload the module named by `text`: ENOENT not loaded, EBUSY in use."""
        answer = Answer()
        try:
            name = insmod_text.rmmod_text(text)
        except OSError as error:
            return self._failed("rmmod", answer, error)

        def decide(record: dict[str, Any]) -> dict[str, Any]:
            view = self.modules.get(name)
            if view is not None and not view.livepatch and view.refcnt:
                raise OSError(errno.EBUSY, f"module {name} is in use")
            return records.rmmod(record, name)
        self.coordinator.submit(f"rmmod {name}", decide, answer)
        return answer

    def set_enabled(self, patch: str, value: bool, caller: Caller) -> Answer:
        """EINVAL: the present value. EBUSY: another patch's transition, or this one is finishing. ENODEV: gone."""
        answer = Answer()
        self.coordinator.submit(f"{patch}/enabled = {int(value)}",
                                lambda record: records.set_enabled(record, patch, value), answer)
        return answer

    def force(self, patch: str) -> Answer:
        """End this patch's transition without looking. EINVAL: it is not in transition; EBUSY: it is finishing."""
        answer = Answer()
        self.coordinator.submit(f"{patch}/force = 1", lambda record: records.force(record, patch), answer)
        return answer

    def set_param(self, module: str, param: str, text: bytes) -> Answer:
        """Write a parameter in all processes, and for those that join later. ENODEV: gone; else what a process says
        that
        refuses it: then the others have the old value again; ETIMEDOUT: none has answered within 2 s. One that is
        silent while another answers sets it when it goes on; the log names it."""
        answer, what = Answer(), f"{module}/parameters/{param}"
        if module not in self.modules or param not in self.modules[module].params:
            return self._failed(what, answer, OSError(errno.ENODEV, "no such parameter"))
        others = self.coordinator.not_understood()
        if others:
            return self._failed(what, answer, OSError(errno.EPROTONOSUPPORT, others))
        value = os.fsdecode(text[:-1] if text.endswith(b"\n") else text)
        peers = [peer for peer in self.peers.known() if peer.pid]
        order = {"t": "set", "module": module, "param": param, "text": value}
        back = {**order, "text": self.modules[module].params[param].text}

        def done(codes: list[Any]) -> None:
            bad = [code for code in codes if code] or ([] if 0 in codes else [errno.ETIMEDOUT])
            if bad:
                have = [peer for peer, code in zip(peers, codes) if not code]  # a silent process gets both, in order
                error = OSError(bad[0], os.strerror(bad[0]))
                return self._requests.ask_each(have, back, lambda answers: self._fail(what, answer, error))
            for peer in [peer for peer, code in zip(peers, codes) if code is None and not peer.gone]:
                self.say(f"klpfs: {what}: {peer.name} does not answer", 4)
            self.coordinator.submit(what, lambda record: records.set_param(record, module, param, value), stored)

        stored = Answer()
        stored.add_done_callback(lambda _: answer.succeed())     # it is set; a failure to note it down has been logged
        self._requests.ask_each(peers, order, self._answering(what, answer, done))
        return answer

    def kmsg(self, text: bytes) -> Answer:
        """Add a line to the log; '<N>' at its start is its priority (default: warning). It is kept by a process of the
        service, so that it outlives this daemon and other mounts show it too."""
        answer, priority = Answer(), USER_WARNING
        if text.startswith(b"<"):
            number, end, rest = text[1:].partition(b">")
            if end and number.isdigit() and len(number) < 6:
                priority, text = int(number), rest
        if not priority & FACILITIES:          # the kernel's own: nobody else writes as it
            priority = USER_WARNING & FACILITIES | priority & 7
        line = os.fsdecode(text[:-1] if text.endswith(b"\n") else text)

        def here(agent: str) -> None:
            self._merge.say_for(agent, line, priority)
            answer.succeed()
        self._requests.write_kmsg(line, priority, answer.succeed, here)
        return answer

    def set_ftrace(self, value: bool) -> Answer:
        """False: the service takes no patches. EBUSY while one is enabled."""
        answer = Answer()
        self.coordinator.submit("kernel.ftrace_enabled", lambda record: records.set_ftrace(record, value), answer)
        return answer

    def _failed(self, what: str, answer: Answer, error: OSError) -> Answer:
        self._fail(what, answer, error)
        return answer

    def _fail(self, what: str, answer: Answer, error: OSError) -> None:
        code = error.errno or errno.EIO
        text = error.strerror or os.strerror(code)
        self.say(f"klpfs: {what}: {text}", 3)
        answer.fail(code, text)

    def _answering(self, what: str, answer: Answer, done: Callable[[Any], None]) -> Callable[[Any], None]:
        """`done` for AgentRequests, which answers whatever happens: what it raises is a mistake of ours, EIO for the
        writer or reader and a line in the log; without that they would wait for ever."""
        def call(reply: Any) -> None:
            try:
                done(reply)
            except Exception as error:
                self._fail(what, answer, OSError(errno.EIO, mistake_of(error)))
        return call

    # -- questions

    def ask(self, what: str, pid: int | None = None, tid: int | None = None) -> Answer:
        """'tasks' (list of (tid, comm)), 'patch_state' (int), 'stack' (list of text), of a process; 'blockers' (list
        of BlockerView) of all that answer within 100 ms. ESRCH: no such process or task; ETIMEDOUT: it does not answer
        within 1 s."""
        if what == "blockers" and pid is None:
            return self._blockers()
        answer = Answer()
        peer = next((p for p in self.peers.known() if p.pid == pid and pid), None)
        if peer is None:
            answer.fail(errno.ESRCH, "no such process")
            return answer
        if what == "patch_state" and not self.coordinator.record["transition"]:
            answer.succeed(-1)
            return answer

        def done(reply: Any) -> None:
            if reply is None:
                answer.fail(errno.ETIMEDOUT, "the process does not answer")
            elif reply["data"] is None:
                answer.fail(errno.ESRCH, "no such task")
            else:
                answer.succeed(reply["data"])
        self._requests.ask(peer, {"t": "ask", "what": what, "tid": tid}, self._answering(what, answer, done))
        return answer

    def _blockers(self) -> Answer:
        answer = Answer()
        peers = [p for p in self.peers.known() if p.pid]

        def done(replies: list[Any]) -> None:
            answer.succeed(self._blocker_views(peers, replies))
        message = {"t": "ask", "what": "blockers", "tid": None}
        self._requests.ask_each(peers, message, self._answering("blockers", answer, done))
        return answer

    def _blocker_views(self, peers: list[Peer], replies: list[Any]) -> list[BlockerView]:
        record, views = self.coordinator.record, []
        patch = record["transition"]["patch"] if record["transition"] else ""
        reply_of = {peer.key: data for peer, data in zip(peers, replies)}
        waiting = dict((peer.key, (peer, why)) for peer, why in self.coordinator.waiting_for())
        for peer in self.peers.known():
            if peer.trouble:
                views.append(BlockerView(peer.pid, "process", None, peer.trouble, patch=patch))
        if self.coordinator.trouble:
            views.append(BlockerView(0, "journal", None, self.coordinator.trouble, patch=patch))
        for peer in peers + [p for p, _ in waiting.values() if p not in peers]:
            data = reply_of.get(peer.key)
            rows = data["data"] if data is not None else (peer.report or {}).get("blockers", [])
            if data is not None and not rows and peer.key in waiting:      # it has not looked yet, say
                views.append(BlockerView(peer.pid, "process", None, "is not done, and has not said what is in its way",
                                         (), self.coordinator.silence.sent_us(peer), patch))
            for row in rows if type(rows) in (list, tuple) else ():
                views.append(BlockerView(peer.pid, row["kind"], row["task"], row["name"] or "", tuple(row["frames"]),
                                         row["since"] or 0, patch))
            if data is None and (peer.key in waiting or self.coordinator.load is not None):
                views.append(BlockerView(peer.pid, "process", None, "does not answer", (),
                                         self.coordinator.silence.sent_us(peer), patch))
        return views
