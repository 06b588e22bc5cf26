"""The tasks in the way of a transition: rounds of looks (klpfs/cpython/looks) at threads, greenlets, suspended objects
and what may run out of sight, each task named by a Blocker.

Driven by the thread that drives the transition (switching.py). What a look has seen is kept in the transition's State,
and goes with it.
"""
from __future__ import annotations

from weakref import ref

from klpfs.engine.target import Blocker

from .. import interpreters, left_behind
from ..looks import collection, names_for_people, suspended, threads
from ..looks import greenlets as greenlet_looks
from ..raw import SUSPENDS
from . import audit_hooks, bodies, event_loops, live_dispatchers, out_of_sight
from .choice import CLEAN, OVER, PREPARE, RUN, greenlet_api
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType
    from typing import Any, Callable

    from ..looks.threads import Stack
    from .entry import State
    from .switching import Transition

_id, _len, _tuple, _set, _max, _min, _type, _int, _dict = id, len, tuple, set, max, min, type, int, dict
_frozenset, _range, _ref = frozenset, range, ref

FRAMES = 1500       # a slice's: about half a millisecond
SOME = 50           # threads whose places are asked for at once
NAMED = 100         # so many suspended objects, and greenlets, are named singly
AGAIN_US = 500000   # they are named anew so often


class Rounds:
    """The looks of a transition, and the names of what they found, kept for a while. bodies: what module-level code on
    stacks will make again. ended: suspended greenlets whose thread has ended: they never run again, and are no tasks.
    """

    __slots__ = ("bodies", "ended", "_transition", "_known", "_owners", "_running")

    def __init__(self, transition: Transition) -> None:
        self.bodies = bodies.Bodies()
        self.ended: list[greenlet_looks.Ended] = []
        self._transition = _ref(transition)     # which has this object: no reference cycle is left behind
        self._known: dict[tuple[str, int], tuple[Blocker, int]] = {}    # (kind, key) -> Blocker, when it was named
        # when they were looked up, the ids of the references they were looked up for, names_for_people.owners
        self._owners: tuple[int, set[int], dict[int, tuple[str, int]]] = (0, _set(), {})
        self._running: tuple[int, set[int], list[Blocker]] = (0, _set(), [])        # the same for _name_running

    @property
    def transition(self) -> Transition:
        """The transition, which is alive as long as it is looked at."""
        transition = self._transition()
        assert transition is not None
        return transition

    def forget(self) -> None:
        """Forgets the names."""
        self._known = {}

    def look(self) -> list[Blocker]:
        """The Blockers that a round finds; []: no task is in the way. Only in RUN. Where frames can not be asked for,
        that is the Blocker, also since the middle of a look."""
        try:
            return self._look()
        except interpreters.Apart:
            return [apart()]

    def _look(self) -> list[Blocker]:
        now = self.transition.clock()       # names that are too old are made again: of tasks that are gone they stayed
        self._known = {key: known for key, known in self._known.items() if now - known[1] < AGAIN_US}
        if audit_hooks.refuse():
            return [_says_nothing(audit_hooks.AUDIT_HOOK)]
        interpreters.need_one_lock()
        if self.transition.state.blind:
            why = self.transition.find_waiting()
            if why is not None and self.transition.state.goal:
                return [_says_nothing(why)]
            self.transition.flip(RUN, self.transition.state.goal)
        if not self.transition.is_quiet:
            if not self.transition.quiet():
                return [Blocker(collection.COLLECTING, 0, "garbage collection under way")]
            self.transition.flip(RUN, self.transition.state.goal)
        # asyncio may have come meanwhile; choice._side_on_stack reads it
        self.transition.stepping_codes = event_loops.stepping_codes(self.transition.dispatcher_ids)
        self.bodies.begin(self.transition)
        live_dispatchers.forget_dead()
        self.transition.find_waiting()
        self.transition.waiting.read(self.transition.take_breath)
        state, greenlet = self.transition.state, greenlet_api()
        if "greenlets" in BREAK:
            greenlet = None
        suspends = self.transition.suspends and "gens" not in BREAK
        if greenlet is not None:
            return self._look_before_search(state) or self._look_at_all(state, greenlet[0], suspends)
        blockers = self._look_at_threads(state, state.clean_threads, False)
        if greenlet_api() is not None and "greenlets" not in BREAK:
            return [_says_nothing(greenlet_looks.BORN)]
        if blockers or not suspends:
            return blockers or out_of_sight.blockers(self.transition)
        return self._look_at_suspended(state)

    def note_bodies(self) -> None:
        """Note, before the transition begins, whether a body on a stack may make functions of it again: what these make
        no dispatcher notes. interpreters.Apart."""
        transition = self.transition
        if transition.waiting.ids and not transition.waiting.unnoted:
            self.bodies.begin(transition)
            idents = _tuple(threads.idents())
            for at in _range(0, _len(idents), SOME):
                places = threads.places(idents[at:at + SOME])
                if [1 for ident, found in places if not self.bodies.are_past(ident, found, transition)]:
                    transition.waiting.unnoted = True
                    break
                if at + SOME < _len(idents):
                    transition.take_breath()

    def _is_clean(self, stack: Stack, goal: int, settled: bool) -> bool:
        """Whether a stack, ids of codes, has no frame of the other side and is whole, and has no undecided dispatcher,
        unless it is settled: then that has chosen, or will choose, the goal."""
        if threads.is_cut(stack) and "cut" not in BREAK or \
                not self.transition.blocking_ids[goal].isdisjoint(stack):
            return False
        # undecided: a side was chosen, klpfs can't know which, or will be
        return settled or "ambig" in BREAK or not self._is_undecided(stack)

    def _is_undecided(self, stack: Stack) -> bool:
        """Whether a stack has an undecided dispatcher."""
        if self.transition.dispatcher_ids.isdisjoint(stack):
            return False
        above, side_of_code = None, self.transition.side_of_code
        for code in stack:
            side = side_of_code.get(code)
            if side is not None and _type(side) is not _int and above not in side:
                return True
            above = code
        return False

    def _look_at_threads(self, state: State, clean: set[int], settled: bool) -> list[Blocker]:
        """Looks at the threads not in `clean`, in slices: each needs only its own stack from one moment. Adds clean
        ones. settled: undecided dispatchers are not in the way. A thread in which a body may run is looked at once
        more, for its places, and is clean by that look alone: meanwhile it may have gone past a definition and called
        what it made."""
        goal, dirty, making = state.goal, [], []        # type: int, list[int], list[int]
        todo, at, size = [ident for ident in threads.idents() if ident not in clean], 0, 4
        while at < _len(todo):
            idents, frames, unsure = _tuple(todo[at:at + size]), 0, []
            for ident, stack in threads.stacks(idents):
                frames += _len(stack)
                known = self.bodies.are_known(stack)
                if not known and not self._is_clean(stack, goal, settled):
                    dirty.append(ident)
                elif known or self.bodies.are_plain(stack, self.transition):
                    # Once clean, dirty again only by something suspended, or by an inner function that an old frame
                    # has made: those are searched for behind the looks. choice._side_on_stack reads it, too
                    clean.add(ident)
                else:
                    unsure.append(ident)
            for ident, places in threads.places(_tuple(unsure)) if unsure else ():
                if not self._is_clean(threads.stack_of(places), goal, settled):
                    dirty.append(ident)
                elif self.bodies.are_past(ident, places, self.transition):
                    clean.add(ident)
                else:
                    making.append(ident)
                    self.transition.waiting.unnoted = True      # the function that it makes has no dispatcher
            at += size
            size = _max(1, _min(4 * size, FRAMES * _len(idents) // _max(frames, 1)))
            if at < _len(todo):
                self.transition.take_breath()
        return [self._name("thread", ident, names_for_people.thread) for ident in dirty] + \
            [self._name("body", ident, self._making) for ident in making]

    def _look_before_search(self, state: State) -> list[Blocker]:
        """Blockers that are seen without a search of the heap, in a program with greenlets; []: the search is worth its
        time. Undecided dispatchers are no Blockers here: the search tells which of them are settled."""
        state.suspended_objects = [r for r in state.suspended_objects if suspended.has_frame(r)]
        return self._look_at_threads(state, _set(), True) + (
            self._name_suspended(state.suspended_objects) if state.suspended_objects else [])

    def _look_at_all(self, state: State, kind: Any, suspends: bool) -> list[Blocker]:
        """Looks, with greenlets about, at all threads, suspended greenlets and suspended objects at one moment. What is
        kept is which threads are settled: seen with nothing undecided, here and in a suspended greenlet that may go on
        there. What is undecided later was chosen since the last flip: for the goal, unless something of the other side
        is still to be seen, or it was found elsewhere (choice.choose)."""
        goal, before = state.goal, _dict(state.elsewhere)
        references: list[ref[Any]] = []
        running: list[int] = []
        if suspends:
            why, references, stacks = suspended.find(self._codes_of_other_side(goal), kind, None, running)
        else:
            why, stacks = greenlet_looks.stacks_and_greenlets(kind)
        stacks = self._that_may_run(kind, stacks)
        idents = _frozenset(threads.idents())
        blockers: list[Blocker] = []
        dirty_greenlets: list[int] = []
        plain, undecided = True, {key for key, stack in stacks if self._is_undecided(stack)}
        for key, stack in stacks:
            known = self.bodies.are_known(stack)
            plain = plain and (known or self.bodies.are_plain(stack, self.transition))
            if not known and not self._is_clean(stack, goal, _is_settled(state, key)):
                if key in idents:
                    blockers.append(self._name("thread", key, names_for_people.thread))
                else:
                    dirty_greenlets.append(key)
        if why is None and undecided <= idents:
            seen = idents & {key for key, _ in stacks}
            state.settled.update((key, before.get(key, 0)) for key in seen - undecided)
        blockers += self._name_greenlets(kind, dirty_greenlets)
        if why is not None:
            blockers.append(_says_nothing(why))
        state.suspended_objects, unsure = self._still_suspended(state, references)
        off_stacks = self._name_running(running) if running and not blockers else []
        blockers += self._name_suspended(state.suspended_objects) + off_stacks
        if unsure and not blockers:
            return [_has_just_ended()]
        if not blockers and not plain:
            blockers = self._look_at_greenlets_places(state, kind)
            if not blockers and suspends and left_behind.are_here():
                # no references are counted: what a body has made and suspended since the search is searched for
                blockers = self._look_at_suspended(state)
        return blockers or out_of_sight.blockers(self.transition)

    def _look_at_greenlets_places(self, state: State, kind: Any) -> list[Blocker]:
        """Blockers for the bodies on the stacks of threads and suspended greenlets, which all are of one moment: a body
        may go on in another greenlet's place. And for stacks that are not clean any more, as for threads."""
        why, stacks = greenlet_looks.places(kind)
        if why is not None:
            return [_says_nothing(why)]
        stacks = self._that_may_run(kind, stacks)
        idents = _frozenset(threads.idents())
        dirty = [key for key, places in stacks
                 if not self._is_clean(threads.stack_of(places), state.goal, _is_settled(state, key))]
        making = [key for key, places in stacks if not self.bodies.are_past(key, places, self.transition)]
        if making:
            self.transition.waiting.unnoted = True
        return [self._name("thread", key, names_for_people.thread) for key in dirty if key in idents] + \
            self._name_greenlets(kind, [key for key in dirty if key not in idents]) + \
            [self._name("body", key, self._making) for key in making if key in idents] + \
            self._name_greenlets(kind, [key for key in making if key not in idents], "body")

    def _that_may_run(self, kind: Any, stacks: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """The stacks of a look without those of greenlets of which it was known before that their thread had ended, and
        which are still there behind it: another greenlet may have had such a one's id."""
        if not self.ended:
            return stacks
        there = {key for key, _ in greenlet_looks.still_suspended(kind, self.ended)}
        self.ended = [known for known in self.ended if known[0] in there]
        return [(key, stack) for key, stack in stacks if key not in there]

    def codes_of_ended_threads(self) -> list[int]:
        """The ids of codes of plain functions on the stacks of greenlets whose thread has ended, one for each frame. It
        has one reference to its code."""
        api, codes = greenlet_api(), self.transition.codes
        if api is None or not self.ended:
            return []
        return [key for _, stack in greenlet_looks.still_suspended(api[0], self.ended) for key in stack
                if key in codes and not codes[key].co_flags & SUSPENDS]

    def _codes_of_other_side(self, goal: int) -> list[CodeType]:
        """Codes that can be suspended, of the side that is not the goal."""
        return [code for key, code in self.transition.codes.items()
                if code.co_flags & SUSPENDS and self.transition.side_of_code.get(key, goal) != goal]

    def _still_suspended(self, state: State, references: Iterable[ref[Any]]) -> tuple[list[ref[Any]], bool]:
        """(the references of a look whose objects have a frame, whether an object ended in the middle of the look).

        An object that ran to its end after the look's one moment may have made others, which that look could not see.
        So it is put down as ended, and only a look in which all ended objects were known to be says that nothing is
        left.
        """
        waiting: list[ref[Any]] = []
        unsure = False
        for reference in references:
            if _id(reference) in state.ended_objects:
                continue
            if suspended.has_frame(reference):
                waiting.append(reference)
            else:
                state.ended_objects[_id(reference)] = reference
                unsure = unsure or "finished" not in BREAK
        return waiting, unsure

    def _look_at_suspended(self, state: State) -> list[Blocker]:
        # no need to search before these are gone
        waiting = [r for r in state.suspended_objects if suspended.has_frame(r)]
        for _ in _range(3):
            if waiting:
                break
            running: list[int] = []
            why, references, _ = suspended.find(self._codes_of_other_side(state.goal), None, None, running)
            if why is not None:
                return [_says_nothing(why)]
            waiting, unsure = self._still_suspended(state, references)
            if running:
                return self._name_suspended(waiting) + self._name_running(running)
            if not waiting and not unsure:
                return out_of_sight.blockers(self.transition)
        state.suspended_objects = waiting
        return self._name_suspended(waiting) if waiting else [_has_just_ended()]

    # --------------------------------------------------------------------------------------------------------- blockers

    def _making(self, ident: int) -> Blocker:
        """The Blocker for a thread that is in the way by a body."""
        return self._with_words(names_for_people.thread(ident), ident)

    def _with_words(self, blocker: Blocker, key: int) -> Blocker:
        """The Blocker of a thread or greenlet, whose name says what a body of it will make again."""
        return Blocker(blocker.kind, blocker.task, f"{blocker.name}: {self.bodies.words(key, self.transition)}",
                       blocker.frames)

    def _name_greenlets(self, kind: Any, keys: Sequence[int], why: str = "greenlet") -> list[Blocker]:
        """Blockers for dirty greenlets; to name each by a search of its own would take far longer than the look. why:
        'body': they are in the way by a body."""
        first = keys[:NAMED]
        new = [key for key in first if not self._is_named(why, key)]
        named = names_for_people.greenlets(kind, new) if new else {}
        if new:     # the next look goes by it
            known = {key for key, _, _ in self.ended}
            self.ended += [each for each in greenlet_looks.of_ended_threads(kind, _frozenset(new))
                           if each[0] not in known]

        def describe(key: int) -> Blocker:
            blocker = named.get(key) or names_for_people.greenlets(kind, [key])[key]
            return self._with_words(blocker, key) if why == "body" else blocker
        blockers = [self._name(why, key, describe) for key in first]
        if _len(keys) > NAMED:
            blockers.append(Blocker("greenlet", 0, f"{_len(keys) - NAMED} more"))
        return blockers

    def _name_suspended(self, references: Sequence[ref[Any]]) -> list[Blocker]:
        """Blockers for suspended objects, under the names of the asyncio tasks that wait in them."""
        first, now = references[:NAMED], self.transition.clock()
        if {_id(r) for r in first} - self._owners[1] or now - self._owners[0] > AGAIN_US:
            found = names_for_people.owners(first, self.transition.take_breath)
            self._owners = now, {_id(r) for r in first}, found
        owners = self._owners[2]

        def describe(reference: ref[Any]) -> Blocker:
            return names_for_people.suspended(reference, owners.get(_id(reference)), self.transition.codes)
        blockers = [self._name("suspended", reference, describe) for reference in first]
        if _len(references) > NAMED:
            blockers.append(Blocker("generator", 0, f"{_len(references) - NAMED} more"))
        return blockers

    def _name_running(self, keys: Iterable[int]) -> list[Blocker]:
        """Blockers for objects of the codes with these ids that run or may be dying: generators that die, or hand on,
        asynchronous generators that wait."""
        codes = {key: self.transition.codes[key] for key in keys if key in self.transition.codes}
        now = self.transition.clock()
        if _set(codes) != self._running[1] or now - self._running[0] > AGAIN_US:
            self._running = now, _set(codes), names_for_people.running(codes, self.transition.take_breath)[:NAMED]
        return self._running[2] or [_has_just_ended()]

    def _is_named(self, kind: str, key: int) -> bool:
        known = self._known.get((kind, key))
        return known is not None and self.transition.clock() - known[1] < AGAIN_US

    def _name(self, kind: str, task: Any, describe: Callable[[Any], Blocker]) -> Blocker:
        """The Blocker for a task (an ident, an id, or a weak reference): named when it is first seen, and again each
        half second."""
        key = kind, task if _type(task) is _int else _id(task)
        now, known = self.transition.clock(), self._known.get(key)
        if known is not None and now - known[1] < AGAIN_US:
            return known[0]
        blocker = describe(task)
        self._known[key] = blocker, now
        return blocker


def _is_settled(state: State, ident: int) -> bool:
    """Whether the choices of a thread since it was last seen with nothing undecided were for the goal, as far as the
    stacks of the moment of a look that is over don't show otherwise."""
    return "settled" in BREAK or state.settled.get(ident) == state.elsewhere.get(ident, 0)


def _says_nothing(why: str) -> Blocker:
    """The Blocker of a look that can say nothing, by the reason that the look gives."""
    return Blocker("greenlet" if why is greenlet_looks.BORN else why, 0, why)


def apart() -> Blocker:
    """The Blocker of a look that may not ask for frames."""
    return Blocker("interpreter", 0, "sub-interpreters with a lock of their own")


def _has_just_ended() -> Blocker:
    """The Blocker of a look that saw a suspended object end: what that object made can't be known, so another look is
    needed."""
    return Blocker("suspended", 0, "something suspended has just ended")


def task_states(transition: Transition) -> dict[int, int]:
    """{ident: 0 or 1}: the side that each thread is bound to, as the kernel's patch_state; {} without a transition,
    and where threads can't be asked for."""
    state = transition.state
    if state.mode == OVER or audit_hooks.refuse():
        return {}
    try:
        idents = threads.idents()
    except interpreters.Apart:
        return {}
    if state.mode == PREPARE:
        return {ident: 0 for ident in idents}
    return {ident: state.goal if state.mode == CLEAN or ident in state.clean_threads else 1 - state.goal
            for ident in idents}
