"""Messages: what a coordinator says to this process, and the answers. Greetings, records, contents, questions, dry
runs.

All of it runs in the server's thread, at once, also while foreign code hangs; what needs the agent's thread is
requested of it.
"""
from __future__ import annotations

import sys
from errno import EBUSY, EINVAL, EIO, ENOENT

from klpfs.agent import proc, service_folder
from klpfs.agent.c_functions import clock_us, monotonic
from klpfs.agent.foreign_code import CutOff
from klpfs.agent.load import given_up
from klpfs.agent.waiting import pause
from klpfs.engine.error import KlpError, errno_of, name_of, words_of
from klpfs.engine.log import ERR, USER, WARNING, Log
from klpfs.engine.plain import plain_text
from klpfs.protocol.shapes import TO_AGENT, fits
from klpfs.protocol.wire import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent
    from klpfs.agent.foreign_code import Working
    from klpfs.agent.server import Connection
    Message = dict[str, Any]

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"      # the hash of no bytes
# What is answered where klpfs has made a mistake.
CHECK_FAILED = {"errno": EIO, "text": "a defect of klpfs, see the log", "found": None, "unknown": True}
NOTHING: dict[str, Any] = {"tasks": [], "blockers": [], "status": {}, "stack": None, "patch_state": None}
CHECK = -1              # the operation number of a dry run
PYTHON = "{}.{}.{}".format(*sys.version_info)
LOOK_FOR_CONTENT_S = 0.005
THREAD_STARTS_S = 0.05  # how long a thread that was just started takes at most to say which it is


class Messages:
    """agent: nearly all of it is used. contents: sha256 -> bytes that came in answer to `want`."""

    __slots__ = ("agent", "contents", "_newest_change", "_reported_slow")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.after_fork()

    def after_fork(self) -> None:
        """In a child nobody has said anything yet (also at the start)."""
        self.contents: dict[str, bytes] = {}
        self._newest_change = 0     # n of the newest change of which its own coordinator has told us
        self._reported_slow: Working | None = None      # the foreign code that was reported as slow

    # -- the server's calls

    def greet(self, connection: Connection) -> None:
        """A coordinator has connected."""
        agent, process = self.agent, proc.describe()
        agent.outbox.greet(connection, {
            "t": "hello", "version": VERSION, "pid": process["pid"], "comm": process["comm"],
            "cmdline": process["cmdline"], "keep": agent.keep, "service": agent.service, "python": PYTHON,
            "started": agent.started}, process)
        if agent.prepared is None:
            agent.prepared = False
            agent.thread.request(self.prepare)

    def prepare(self) -> None:
        """A coordinator manages this process, so a load may come: what it needs is imported now, while there is time,
        and while there are descriptors. A program that nobody looks at does not pay for it. The agent's thread. Imports
        may run hooks of the program's, so the lock is free; `working` is not marked: a fork waits for the end
        (Forks.before), or its child had half a module."""
        agent = self.agent
        agent.thread.lock.release()
        try:
            agent.parts.prepare()
            agent.prepared = True
        except Exception as error:
            agent.outbox.say(f"klpfs can't import what loads modules: {error}", WARNING)        # the load tries again
        finally:
            agent.thread.lock.acquire()

    def received(self, connection: Connection, message: Message) -> None:
        """A message of a coordinator. ValueError: it is none that an agent knows."""
        if not fits(TO_AGENT, message):
            raise ValueError(f"message {message['t']!r}")
        try:
            self.HANDLERS[message["t"]](self, connection, message)
        except ValueError:
            raise
        except Exception as error:      # ours: who asked is answered all the same
            self.agent.outbox.defect(error)
            if message["t"] == "set":
                self.agent.server.post({"t": "done", "id": message["id"], "errno": EIO}, connection)
            elif message["t"] in ("ask", "check"):
                data = CHECK_FAILED if message["t"] == "check" else NOTHING.get(message["what"])
                self.agent.server.post({"t": "answer", "id": message["id"], "data": data}, connection)

    def disconnected(self) -> None:
        """A coordinator is lost: an undecided operation may have to be decided alone."""
        self.agent.thread.poke()

    def tick(self) -> None:
        """The work after each round of the server, at least once a second."""
        self.agent.outbox.flush()
        if self.agent.waits is not None:
            self.agent.waits.tick()
        working, limits = self.agent.foreign.working, self.agent.limits
        if working and clock_us() - working["since"] > limits.slow * 1e6:
            self._stop_if_given_up()
            if working["n"] == CHECK and clock_us() - working["since"] > limits.check * 1e6:
                self.agent.foreign.interrupt(CHECK)
            if self._reported_slow is not working:
                self._reported_slow = working
                self.agent.outbox.post_report()

    # -- messages

    def _record(self, connection: Connection, message: Message) -> None:
        agent, record = self.agent, message["r"]
        if record.get("service", agent.service) != agent.service:
            return agent.server.say_refusal(
                f"a record of service {record['service']!r:.80} of process {connection.pid} was refused")
        change = record["change"]
        if change:
            connection.change = change["n"]
            if connection.pid == change["pid"]:
                self._newest_change = connection.change
        agent.server.post({"t": "ack", "seq": record["seq"]}, connection)
        if agent.follower.set_goal(record):
            self._stop_if_given_up()
            agent.thread.poke()
        else:
            agent.outbox.post_report(connection)

    def _content(self, connection: Connection, message: Message) -> None:
        self.contents[message["sha256"]] = message["data"]

    def _ask(self, connection: Connection, message: Message) -> None:
        answer = self.ANSWERS.get(message["what"])
        if answer is None:
            raise ValueError(f"question {message['what']!r}")
        self.agent.server.post({"t": "answer", "id": message["id"], "data": answer(self, message["tid"])}, connection)

    def _set(self, connection: Connection, message: Message) -> None:
        errno = 0
        try:
            self.agent.modules.set_param(message["module"], message["param"], message["text"])
        except (OSError, MemoryError) as error:
            errno = errno_of(error)
        self.agent.outbox.changed()
        self.agent.server.post({"t": "done", "id": message["id"], "errno": errno}, connection)

    def _check(self, connection: Connection, message: Message) -> None:
        if self.agent.thread.stuck is not None:     # it serves no requests
            self.agent.server.post({"t": "answer", "id": message["id"], "data": CHECK_FAILED}, connection)
        else:
            self.agent.thread.request(lambda: self.check(connection, message))

    def _kmsg(self, connection: Connection, message: Message) -> None:
        self.agent.log.add(message["text"], message["priority"], USER)

    HANDLERS: dict[str, Callable[[Messages, Connection, Message], None]] = {
        "record": _record, "content": _content, "ask": _ask, "set": _set, "check": _check, "kmsg": _kmsg}

    # -- questions

    def _tasks(self, tid: int | None) -> Any:
        end = monotonic() + THREAD_STARTS_S
        while not self.agent.thread.tid and monotonic() < end:
            pause(0.001)
        return proc.tasks(self.agent.own_tids)

    def _blockers(self, tid: int | None) -> Any:
        return self.agent.tasks.blockers_now()

    def _status(self, tid: int | None) -> Any:
        return self.agent.outbox.full_report()

    def _stack(self, tid: int | None) -> Any:
        return self.agent.tasks.stack(tid)

    def _patch_state(self, tid: int | None) -> Any:
        return self.agent.tasks.patch_state(tid, self.agent.engine.transition)

    ANSWERS: dict[str, Callable[[Messages, int | None], Any]] = {
        "tasks": _tasks, "blockers": _blockers, "status": _status, "stack": _stack, "patch_state": _patch_state}

    # -- dry runs

    def check(self, connection: Connection, message: Message) -> None:
        """A dry run of a load. It says nothing in the log and leaves nothing behind. The agent's thread."""
        agent, name = self.agent, message["name"]
        answer: dict[str, Any] = {"errno": 0, "text": "", "found": None}
        if agent.follower.load is not None or agent.foreign.working:
            answer.update(errno=EBUSY, text="a module is being loaded", unknown=True)
        else:
            loader, in_survey = agent.parts.loader(), False
            try:
                probed = agent.foreign.run(f"checking '{name}'", CHECK, loader.probe, name, message["data"],
                                           message["path"], message["params"], Log(clock_us, 64))
                if probed is None:
                    answer.update(errno=EINVAL, text=f"module {name} is not marked as a livepatch module")
                else:
                    in_survey = True            # which tells refusals, and raises none
                    answer["found"] = agent.parts.survey(agent.target, probed, agent.engine.patches)
            except Exception as error:      # foreign code's, or ours: whoever has asked gets an answer
                text = error.strerror if isinstance(error, OSError) and error.strerror else words_of(error)
                answer.update(errno=errno_of(error), text=plain_text(text or name_of(error)), found=None,
                              unknown=isinstance(error, CutOff) or in_survey)
                if not isinstance(error, OSError):
                    agent.outbox.defect(error)
            finally:
                loader.end_probe()
        agent.server.post({"t": "answer", "id": message["id"], "data": answer}, connection)

    def _stop_if_given_up(self) -> None:
        """Foreign code of an operation that the newest record does not know any more is asked to stop."""
        working = self.agent.foreign.working
        if working and working["n"] and given_up(self.agent.follower, working["n"]):
            self.agent.foreign.interrupt(working["n"])

    # -- the follower's questions

    def lost(self, change: dict[str, Any]) -> bool:
        """Whether every connection over which this change's coordinator has told of it has closed. A coordinator that
        never connected to us (we have joined, or were forked) is not lost: its successor will tell."""
        if self._newest_change != change["n"]:
            return False
        return not [connection for connection in list(self.agent.server.connections)
                    if connection.open and connection.change == change["n"] and connection.pid == change["pid"]]

    def content(self, entry: dict[str, Any]) -> bytes:
        """The bytes of a module, from the service's folder, else from a coordinator. KlpError(ENOENT). Called with the
        lock of the agent's thread, which is free meanwhile."""
        agent, sha256 = self.agent, entry.get("sha256")
        if not sha256:
            raise KlpError(ENOENT, f"the content of '{entry.get('name')}' is not known")
        agent.thread.lock.release()
        try:
            data = service_folder.content(agent.folder, sha256)
            if data is None:
                agent.server.post({"t": "want", "sha256": sha256})
                end = monotonic() + agent.limits.content
                while sha256 not in self.contents and monotonic() < end:
                    pause(LOOK_FOR_CONTENT_S)
                data = self.contents.pop(sha256, None)
        finally:
            agent.thread.lock.acquire()
        if not data and sha256 != EMPTY:        # b"" in answer to `want`: not to be had
            text = f"the content of '{entry.get('name')}' can't be had"
            agent.outbox.say(text, ERR)
            raise KlpError(ENOENT, text)
        return data or b""
