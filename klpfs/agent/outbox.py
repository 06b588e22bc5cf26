"""The outbox: what this process says to the coordinators without being asked: sections of the mirror, reports, log
lines.

Lines wait in `_pending` until a thread of the agent sends them; a section is sent when it differs from what was sent
last. All events of a step are sent before its report (docs/PROTOCOL.md#7), so both go through one lock.
"""
from __future__ import annotations

from klpfs.agent.c_functions import get_ident
from klpfs.agent.waiting import OwnedLock, Signal
from klpfs.engine.error import place_of
from klpfs.engine.log import ERR, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent
    from klpfs.agent.server import Connection
    from klpfs.engine.log import Record
    Row = tuple[int, int, int, str, str]

AGENT = "agent"         # the kind of the agent's own log lines: shown once a process
PIECE = 1 << 18         # characters, 1 MB at most, of an event's log or patches: a daemon takes 4 MB of another user's
MEMBER_SIZE = 64        # of a line, a patch or an object, beside its text


class Outbox:
    """agent: its engine, modules, follower and server are used. reported: set with each report."""

    __slots__ = ("agent", "reported", "_lock", "_pending", "_sent_sections", "_report", "_said_left_out")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._sent_sections: dict[str, list[Any]] = {"patches": [], "modules": []}
        self._begin()

    def _begin(self) -> None:
        self.reported = Signal()
        self._lock = OwnedLock()        # held by threads of the agent only, and never while a thread waits
        self._pending: list[tuple[int, int, int, str, str]] = []        # log records on their way
        self._report: dict[str, Any] | None = None
        self._said_left_out: set[tuple[str, str]] = set()       # (patch, object)

    def after_fork(self) -> None:
        """A child has its parent's sections, and neither its log nor its report."""
        self._begin()

    def begin_with(self, report: dict[str, Any]) -> None:
        """The report that a child greets with before its first step: made while the child has a single thread."""
        self._report = report

    # -- sections and reports

    def changed(self) -> None:
        """Send the sections that differ from what was sent last. Any thread of the agent."""
        with self._lock:
            self._flush()
            found = {"patches": self.agent.engine.describe(), "modules": self.agent.modules.describe()}
            news: dict[str, Any] = {key: value for key, value in found.items() if value != self._sent_sections[key]}
            if not news:
                return
            messages: list[dict[str, Any]] = [{"t": "event"}]
            if "patches" in news:       # only those that differ: all may have 100,000 functions
                _add_pieces(messages, "patches", _different(news["patches"], self._sent_sections["patches"]),
                            "names", [patch["name"] for patch in news["patches"]])
            if "modules" in news:
                if len(_pieces(news["modules"], _size_of_module)) == 1:
                    messages[0]["modules"] = news["modules"]
                else:
                    _add_pieces(messages, "modules", _different(news["modules"], self._sent_sections["modules"]),
                                "module_names", [module["name"] for module in news["modules"]])
            self._sent_sections.update(news)
            for message in messages:
                self.agent.server.post(message)

    def report(self) -> None:
        """Send the follower's report. The agent's thread."""
        agent = self.agent
        report = agent.follower.report()
        self.say_left_out()
        if agent.follower.look_key() is None:
            agent.tasks.forget()
        with self._lock:
            self._flush()
            self._report = report
            agent.server.post(self.full_report())
        self.reported.set()

    def post_report(self, connection: Connection | None = None) -> None:
        """Send the last report again, with the present blockers; to all, or to one coordinator. Any thread of the
        agent."""
        with self._lock:
            self.agent.server.post(self.full_report(), connection)

    def full_report(self) -> dict[str, Any]:
        """The last report, with what changes without a step."""
        working = self.agent.foreign.working
        return dict(self._report or self.agent.follower.report(), blockers=self.agent.tasks.blockers_now(),
                    working={"what": working["what"], "since": working["since"]} if working else None)

    def report_stuck(self, refused: dict[str, Any] | None) -> None:
        """Send the last report again, with the refusal, where the process can't come to another (AgentThread.stuck).
        The agent's thread."""
        with self._lock:
            self._flush()
            self._report = dict(self._report or self.agent.follower.report(), refused=refused)
            self.agent.server.post(self.full_report())

    def has_said(self, report: dict[str, Any]) -> bool:
        """Whether this is the last report that was sent, or none was."""
        return self._report is None or self._report == report

    def greet(self, connection: Connection, hello: dict[str, Any], process: dict[str, Any]) -> None:
        """A coordinator has connected: from here on it gets all messages; these are the first ones."""
        with self._lock:
            self._flush()
            self.agent.server.connections.append(connection)
            log = _pieces([_row(record) for record in list(self.agent.log.records)], _size_of_row)
            patches = _pieces(self._sent_sections["patches"], _size_of_patch)
            modules = _pieces(self._sent_sections["modules"], _size_of_module)
            state = {"t": "event", "patches": patches[0], "modules": modules[0], "process": process, "log": log[0]}
            names: list[str] = []
            rest: list[dict[str, Any]] = [{"t": "event", "log": rows} for rows in log[1:]]
            for before, piece in zip(patches, patches[1:]):
                names += [patch["name"] for patch in before]
                rest.append({"t": "event", "patches": piece, "names": names + [patch["name"] for patch in piece]})
            module_names = [module["name"] for module in self._sent_sections["modules"]]
            rest += [{"t": "event", "modules": piece, "module_names": module_names} for piece in modules[1:]]
            for message in (hello, state, *rest, self.full_report()):
                self.agent.server.post(message, connection)

    # -- the log

    def say(self, text: str, priority: int) -> None:
        """A log line of the agent; shown once a process."""
        self.agent.log.add(text, priority, AGENT)

    def defect(self, error: BaseException) -> None:
        """An exception of klpfs's own: a line with its place, for the people who mend klpfs."""
        self.say(f"klpfs: defect at {place_of(error)}: {type(error).__name__}: {error}", ERR)

    def say_left_out(self) -> None:
        """Objects that are loaded here and could not be patched are said once, with the process."""
        now = {(patch.name or "", obj.shown)
               for patch in self.agent.engine.patches for obj in patch.objects if obj.left_out}
        if now != self._said_left_out:
            new, self._said_left_out = sorted(now - self._said_left_out), now
            for patch, obj in new:
                self.say(f"'{obj}' is not patched by '{patch}' here", WARNING)

    def sink(self, record: Record) -> None:
        """A new record of the log: sent at once by a thread of the agent, else by the server's soon. Any thread."""
        agent = self.agent
        self._pending.append(_row(record))
        if get_ident() in (agent.server.ident, agent.thread.ident):
            if self._lock.acquire_free():       # else its holder sends them, or the next
                try:
                    self._flush()
                finally:
                    self._lock.release()
                return
        agent.server.poke()

    def flush(self) -> None:
        """Send the log records that wait. The server's thread."""
        if self._pending:
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if self._pending:
            records, self._pending = self._pending, []
            for rows in _pieces(records, _size_of_row):
                self.agent.server.post({"t": "event", "log": rows})


def _row(record: Record) -> Row:
    return record.seq, record.usec, record.priority, record.kind, record.text


def _size_of_row(row: Row) -> int:
    return len(row[4]) + MEMBER_SIZE


def _size_of_patch(patch: dict[str, Any]) -> int:
    return sum([len(obj["funcs"]) + MEMBER_SIZE for obj in patch["objects"]]) + MEMBER_SIZE


def _size_of_module(module: dict[str, Any]) -> int:
    return MEMBER_SIZE + sum([len(name) + len(text) + MEMBER_SIZE for name, _, text, _ in module["params"]]) + sum(
        [len(holder) + 5 for holder in module["holders"]])


def _different(members: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patches or modules that are new, or differ from what was sent."""
    before = {member["name"]: member for member in sent}
    return [member for member in members if before.get(member["name"]) != member]


SIZES: dict[str, Callable[[Any], int]] = {"patches": _size_of_patch, "modules": _size_of_module}


def _add_pieces(messages: list[dict[str, Any]], key: str, members: list[Any], names_key: str, names: list[str]) -> None:
    """Add a section, or what differs in it, to the messages: one more for each piece."""
    first, *rest = _pieces(members, SIZES[key])
    messages[0].update({key: first, names_key: names})
    messages += [{"t": "event", key: piece, names_key: names} for piece in rest]


def _pieces(members: list[Any], size_of: Callable[[Any], int]) -> list[list[Any]]:
    """The list in pieces that fit a message each, in their order; one piece at least."""
    pieces: list[list[Any]] = [[]]
    size = 0
    for member in members:
        size += size_of(member)
        if size > PIECE and pieces[-1]:
            pieces.append([])
            size = size_of(member)
        pieces[-1].append(member)
    return pieces
