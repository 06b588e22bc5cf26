"""Joining: how a process becomes part of its service, with the patches in force, before its program's first line runs.

Register, then read (docs/PROTOCOL.md#6): the socket is bound first, then the journal is followed until it stands still.
The main program's functions don't exist yet then: they are patched when their definitions have come
(engine/late_main.py).
"""
from __future__ import annotations

from klpfs.agent import service_folder
from klpfs.agent.c_functions import get_ident, get_native_id, monotonic
from klpfs.agent.conditions import THERE
from klpfs.agent.proc import cmdline
from klpfs.agent.waiting import Signal
from klpfs.engine.error import KlpError, is_own_mistake
from klpfs.engine.log import ERR, INFO, NOTICE, WARNING
from klpfs.protocol import record_text
from klpfs.protocol.folder_layout import JOURNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.agent import Agent

LOOK_S = 0.1            # between two looks at a condition that is signalled, too


class Joining:
    """The joining of one agent's process; nearly all of the agent is used."""

    __slots__ = ("agent", "joins", "_main_arrived")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.after_fork()

    def after_fork(self) -> None:
        """A child waits for nothing yet (also at the start). joins: the number of the journal's reading while the
        process joins, else 0."""
        self.joins = 0
        self._main_arrived = Signal()       # the main program's functions are patched, or will not be

    def register(self) -> None:
        """Bind the socket: from here on the service's other processes and its coordinators know of this process."""
        agent = self.agent
        agent.server.listen()
        try:
            service_folder.begin(agent.folder, agent.server.name, agent.keep)
        except OSError as error:
            agent.outbox.say(f"the service's journal: {error}", ERR)

    def start(self, running: bool = False) -> None:
        """Follow the journal, then let the program run. running: it does already."""
        agent = self.agent
        agent.follower.live = running
        agent.parts.hook_imports(agent.imports.coming, agent.target)
        agent.target.main_waits = True      # else a joiner's patches would not find what is not there yet
        self.run()
        self.join()
        agent.follower.live = True
        self._wait_for_main(running)

    def run(self) -> None:
        """Start both threads."""
        self.agent.server.start()
        self.agent.thread.start()

    def journal(self) -> dict[str, Any] | None:
        """The journal's record, None if it can't be read."""
        try:
            return record_text.load(self.agent.folder + "/" + JOURNAL)
        except OSError:
            return None

    def join(self) -> None:
        """Follow the journal until `seen` is its seq, for a bounded time."""
        agent, follower = self.agent, self.agent.follower
        end = monotonic() + agent.limits.join
        last: int | None = None
        while True:
            self.joins += 1
            record = self.journal()
            if record is None:
                agent.outbox.say("the service's journal can't be read: the program goes on without the service's "
                                 "patches", ERR)
                break
            if last is not None and record["seq"] == last and follower.seen >= last:
                break
            last = record["seq"]
            follower.set_goal(record)
            if not self._at_rest(record):
                agent.outbox.reported.clear()
                agent.thread.poke()
                while follower.seen < last and monotonic() < end and not self._arrives():
                    agent.outbox.reported.wait(LOOK_S)
            if self._arrives():
                break
            if monotonic() >= end:
                agent.outbox.say(f"the journal could not be followed within {agent.limits.join:.0f} s; "
                                 "the program goes on", WARNING)
                self._give_up()
                break
        self.joins = 0

    def _at_rest(self, record: dict[str, Any]) -> bool:
        """Nothing is loaded and nothing is asked for: followed without waiting for the agent's thread."""
        if record["patches"] or record["modules"] or record["change"] or record["transition"] or not record["ftrace"]:
            return False
        agent, follower = self.agent, self.agent.follower
        with agent.thread.lock:
            if (follower.op or follower.load or follower.interrupted_by_fork or agent.modules.table
                    or agent.engine.patches or not agent.engine.ftrace_enabled):
                return False
            follower.mark_followed(record)
        return True

    def _arrives(self) -> bool:
        """Whether the main program's functions are in their transition here, which a child has of its parent. Nothing
        else begins before it is over, and whoever waits here may be in its way: a thread that has forked in one of
        these functions."""
        follower = self.agent.follower
        return self.agent.engine.arrival is not None and not follower.interrupted_by_fork and follower.main != THERE

    def _give_up(self) -> None:
        """A joiner that has waited too long: what is not done is left out; what hangs is stopped soon
        (load.given_up)."""
        agent, record = self.agent, self.agent.follower.goal
        working = agent.foreign.working
        hangs = working["n"] if working else 0
        for patch in record["patches"] if record else ():
            if agent.modules.patch_of(patch["name"]) is None or patch["n"] == hangs:
                agent.follower.not_applied.add(patch["n"])

    # -- the main program, whose functions come late

    def _runs_main(self) -> bool:
        """Whether this process's program is, or will be, the service's main one; multiprocessing may run it anew."""
        main = self.agent.target.main
        base = (main or "").rpartition("/")[2]
        return not main or any(word in (main, "--multiprocessing-fork") or word.rpartition("/")[2] == base
                               for word in cmdline())

    def _wait_for_main(self, running: bool) -> None:
        """A joiner has applied patches before its main program had made any function."""
        agent, follower = self.agent, self.agent.follower
        with agent.thread.lock:
            names = follower.main_names() if self._runs_main() and follower.wait_for_main() else None
            if names is None:
                agent.target.main_waits = False
            elif running or not self._arrange_call(names):
                agent.thread.ask_for_main()
        if names is None:
            return
        agent.thread.poke()
        if running:
            self._main_arrived.wait(LOOK_S)         # all may be there already
        if follower.main:
            agent.outbox.say("the main program's functions will be patched when their definitions are there", INFO)

    def _arrange_call(self, names: set[str]) -> bool:
        """See that main_came is called by the program's thread when its functions are there. False: it can't be seen
        to."""
        from klpfs.agent import run_main  # by need: most joiners have no such patch
        return run_main.arrange(names, lambda: self.main_came(names))

    def main_is_there(self) -> bool:
        """Whether the main program has made the functions that patches wait for. The agent's thread, which asks now and
        then."""
        from klpfs.cpython.program import between_statements
        agent, names = self.agent, self.agent.follower.main_names()
        if names is not None:
            namespace = agent.target.main_namespace()
            try:
                if namespace is None or not between_statements.passed(names, agent.main_ident, namespace):
                    return False
            except KlpError:
                return False            # what runs can't be seen just now
        agent.target.main_waits = False
        return True

    def main_came(self, names: set[str]) -> None:
        """The main program's thread, between two statements: the functions of `names` are there. It goes on when they
        are patched; or, when somebody is in the way, with dispatchers in their place; or after a bounded time, as it
        is."""
        try:
            self._main_came(names)
        except Exception as error:
            if not is_own_mistake(error):
                raise                   # a signal handler's
            self.agent.outbox.defect(error)     # the program is not to blame

    def _main_came(self, names: set[str]) -> None:
        agent, follower = self.agent, self.agent.follower
        agent.register_if_forked()

        def came() -> None:
            if (follower.main_names() or names) <= names:
                agent.target.main_waits = False
                follower.main_came()
            elif follower.main:
                agent.thread.ask_for_main()     # a patch that was loaded meanwhile is for more of them
        if not follower.main:
            return
        agent.thread.have_done(came, agent.limits.import_)
        end = monotonic() + agent.limits.import_
        while (follower.main == THERE or agent.engine.arrival is not None) and monotonic() < end \
                and not self._is_in_its_own_way():
            self._main_arrived.wait(LOOK_S)
        if follower.main == THERE:
            agent.outbox.say("the main program goes on unpatched until what is under way is over", WARNING)
        elif agent.engine.arrival is not None:
            agent.outbox.say("the main program goes on while its functions are in transition", NOTICE)

    def _is_in_its_own_way(self) -> bool:
        """Whether the calling thread keeps the arrival from being clean, as by a loop around the definitions."""
        own = get_ident(), get_native_id()
        return any(blocker["kind"] == "thread" and blocker["task"] in own for blocker in self.agent.tasks.blockers)

    def arrived(self) -> None:
        """The main program's functions are patched, or will not be. The agent's thread."""
        self.agent.outbox.say_left_out()
        self._main_arrived.set()
