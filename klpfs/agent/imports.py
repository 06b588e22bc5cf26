"""Imports: modules that the program imports are patched before the importing code goes on.

A module that was found later (the program has put it into sys.modules by hand, or its import could not wait) may run
already: it is patched by a transition of this process alone, as a late main program is (engine/late_main.py).
"""
from __future__ import annotations

import sys
from _functools import partial

from klpfs.agent import main_thread
from klpfs.agent.c_functions import get_ident, modules
from klpfs.agent.modules import INTERPRETER_MAKERS
from klpfs.engine.data import COMING, LIVE
from klpfs.engine.log import WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from klpfs.agent.agent import Agent
    from klpfs.agent.foreign_code import Working


ROOM = 60       # frames that `coming` needs, and more


class Imports:
    """The imports of one agent's process. agent: its engine, target, thread, foreign code and outbox are used."""

    __slots__ = ("agent", "_waited_for")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.after_fork()

    def after_fork(self) -> None:
        """In a child no import has waited yet (also at the start)."""
        self._waited_for: Working | None = None     # the foreign code for whose end an import has waited in vain

    def coming(self, name: str) -> None:
        """A module's body has run in the calling thread, which imports it: its functions are to be in place before it
        goes on. Done by the agent's thread; when that can't be had in time, the module goes on as it is, with a log
        line. So it does where there is no room on the stack for more than to ask the thread, which does it then.
        RecursionError: there is none for that, and nothing was done."""
        agent = self.agent
        agent.register_if_forked()
        if name == "threading" and get_ident() == agent.thread.ident:
            main_thread.put_right(agent.main_ident)
        if name in INTERPRETER_MAKERS:
            agent.thread.poke()     # it counts from now on
        names = [name] if self._is_wanted(name) else []
        again = [each for each in agent.target.loaded_again() if each != name]
        late = self.put_by_hand(name)
        if not names and (not late and not again or self._waits_in_vain()):
            return
        try:
            _need_room(ROOM)
        except RecursionError:
            return agent.thread.request(partial(self.apply, names + again, late))
        if get_ident() == agent.thread.ident:
            if agent.foreign.inside:
                return agent.foreign.own(self.apply, names + again, late)
            return self.apply(names + again, late)      # imported by klpfs itself, in a step
        if not agent.thread.have_done(lambda: self.apply(names + again, late), agent.limits.import_):
            working = self._waited_for = agent.foreign.working
            if not names:
                return
            agent.outbox.say(f"module '{name}' was imported while '{working['what'] if working else 'a step'}' runs; "
                             "it goes on unpatched", WARNING)

    def _waits_in_vain(self) -> bool:
        """Modules put by hand have waited for this foreign code already; and the server's thread waits for no foreign
        code, as it is to stop what hangs."""
        agent = self.agent
        if get_ident() == agent.server.ident:
            return True
        return self._waited_for is not None and self._waited_for is agent.foreign.working

    def put_by_hand(self, but: str | None = None) -> list[str]:
        """Modules that a program has put into sys.modules itself, after exec() of their code, and those that went on
        unpatched, as far as patches wait for them. Nobody tells us of them, so they are looked for with each import and
        each load; not those whose bodies run."""
        found = [obj.name for patch in list(self.agent.engine.patches) for obj in list(patch.objects)
                 if obj.name not in (None, but) and not obj.loaded and not obj.left_out and obj.name in modules]
        return [name for name in found if not self.agent.target.runs_body(name)] if found else found

    def apply(self, names: Iterable[str], late: Iterable[str] = ()) -> None:
        """All patches in force take these modules, if they are loaded. late: those whose code may run already. The
        agent's thread."""
        for name in dict.fromkeys(names):
            if self.agent.target.loaded(name) is not None:
                self._apply(name)
            elif modules.get(name) is not None and not issubclass(type(modules[name]), type(sys)):
                self.agent.outbox.say(f"'{name}' in sys.modules is no module object, it goes on unpatched", WARNING)
        for name in dict.fromkeys(late):
            if not self._free():
                break       # found again, with the next import or load
            if self.agent.target.loaded(name) is not None:
                self.agent.follower.arrive(name)
                self.agent.outbox.say_left_out()

    def _free(self) -> bool:
        """Whether a transition of this process alone can begin."""
        engine = self.agent.engine
        return engine.transition is None and engine.arrival is None and not engine.callbacks_running

    def _apply(self, name: str) -> None:
        """The module is applied to all patches; or, when they have it already, what a reload has made joins."""
        agent = self.agent
        known = any(obj.name == name and obj.loaded for patch in agent.engine.patches for obj in patch.objects)
        mod = agent.target.loaded(name)
        if known:
            agent.target.refresh(name)
        if mod is not None:
            mod.state = COMING
        try:
            if not known and self._free():
                agent.follower.arrive(name)     # its body may have left threads and generators behind
            else:
                agent.engine.coming(name, False, mod)
        finally:
            if mod is not None:
                mod.state = LIVE
        agent.outbox.say_left_out()
        agent.outbox.changed()

    def _is_wanted(self, name: str) -> bool:
        transition = self.agent.engine.transition
        patches = list(self.agent.engine.patches) + ([transition.patch] if transition is not None else [])
        return any(obj.name == name for patch in patches for obj in list(patch.objects))


def _need_room(frames: int) -> None:
    if frames:
        _need_room(frames - 1)
