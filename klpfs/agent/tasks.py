"""Tasks: which of them keep a transition pending, their stacks, and the side of a transition that each of them is
on."""
from __future__ import annotations

from posix import getpid

from klpfs.agent.c_functions import clock_us
from klpfs.cpython.imports_without_text import import_without_text
from klpfs.cpython.looks.thread_names import thread_names
from klpfs.engine.bounds import MAX_BLOCKER_NAME, MAX_BLOCKERS, MAX_STACK_CHARS
from klpfs.engine.plain import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.agent import Agent
    from klpfs.engine.target import Blocker
    from klpfs.engine.transition import Transition
    Plain = dict[str, Any]      # a blocker as wire.py has it


class Tasks:
    """Answers about this process's tasks. agent: its thread, foreign code and outbox are used. blockers: those of the
    last look, as plain data."""

    __slots__ = ("agent", "blockers", "_since")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.blockers: list[Plain] = []
        self._since: dict[tuple[str, Any], int] = {}    # (kind, task) -> usec of the look that saw it first, over turns

    def after_fork(self) -> None:
        """A child has not looked yet."""
        self.blockers = []

    # -- who is in the way

    def looked(self, blockers: list[Blocker]) -> None:
        """The result of a look; a report, when other tasks are in the way than before."""
        before = [(blocker["kind"], blocker["task"]) for blocker in self.blockers]
        self.blockers = [self._plain(blocker) for blocker in blockers]
        if self.blockers and [(blocker["kind"], blocker["task"]) for blocker in self.blockers] != before:
            self.agent.outbox.post_report()

    def _plain(self, blocker: Blocker) -> Plain:
        since = self._since.setdefault((blocker.kind, blocker.task), clock_us())
        name = plain_text(blocker.name)[:MAX_BLOCKER_NAME]
        return {"kind": blocker.kind, "task": int(blocker.task or 0), "name": name,
                "frames": [plain_text(frame) for frame in blocker.frames], "since": since}

    def forget(self) -> None:
        """Nothing is looked for any more."""
        self.blockers = []
        self._since.clear()

    def blockers_now(self) -> list[Plain]:
        """The blockers of the last look, foreign code that takes long, and a defect that the thread is stuck after."""
        out = list(self.blockers)
        agent, working = self.agent, self.agent.foreign.working
        if agent.thread.stuck is not None:
            out.append(dict(agent.thread.stuck))
        if working and clock_us() - working["since"] > agent.limits.slow * 1e6:
            out.append({"kind": "working", "task": agent.thread.ident, "name": "working: " + working["what"],
                        "frames": self.stack_of_ident(agent.thread.ident), "since": working["since"]})
        return _within_bounds(out)

    # -- answers about a task; tid: a native thread id, None for the main thread

    def stack_of_ident(self, ident: int) -> list[str]:
        """Lines 'file:line function' of a thread, innermost first."""
        import_without_text()
        from klpfs.cpython.looks import names_for_people
        return names_for_people.stacks().get(ident, [])

    def _ident(self, tid: int | None) -> int | None:
        """The ident of a native thread id: the main thread's, ours, or of a thread that threading knows; else None."""
        agent = self.agent
        if tid is None or tid == getpid():
            return agent.main_ident
        for ident, (native, _) in thread_names().items():
            if native == tid:
                return ident
        return agent.thread.ident if tid == agent.thread.tid else None

    def stack(self, tid: int | None) -> list[str] | None:
        """The stack of a task, None if the task is not known."""
        ident = self._ident(tid)
        return None if ident is None else self.stack_of_ident(ident)

    def patch_state(self, tid: int | None, transition: Transition | None) -> int:
        """-1 outside a transition; else 0 unpatched, 1 patched."""
        switching = getattr(getattr(transition, "in_target", None), "switching", None)
        if transition is None or switching is None:
            return -1
        import_without_text()
        from klpfs.cpython.switch import rounds
        states, ident = rounds.task_states(switching), self._ident(tid)
        if not states:
            return -1
        side: int = switching.goal      # without a Python frame: nothing of it can be dirty
        if ident is not None:
            side = states.get(ident, side)
        return side if transition.kind else 1 - side


def _within_bounds(blockers: list[Plain]) -> list[Plain]:
    """The blockers that are told: those behind the bounds are counted, or have no frames."""
    told, left = blockers[:MAX_BLOCKERS], MAX_STACK_CHARS
    for place, blocker in enumerate(told):
        left -= sum(map(len, blocker["frames"]))
        if left < 0:
            told[place] = dict(blocker, frames=[])
    if len(blockers) > MAX_BLOCKERS:
        told[-1] = dict(told[-1], task=0, name=f"{len(blockers) - MAX_BLOCKERS + 1} more", frames=[])
    return told
