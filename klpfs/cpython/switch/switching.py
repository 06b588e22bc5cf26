"""A transition of function objects from one image to another; code on stacks never mixes them (docs/DESIGN.md#6).

    Transition(entries)   checks; nothing is changed
    install()             PREPARE: dispatchers stand in for the functions, all answer side 0
    start(goal)           RUN: one store sets all of them going; the stack is the state (choice.py)
    look()                which tasks are not clean yet (looks); none: CLEAN, all dispatchers answer the goal
    finish()              OVER: the functions hold the goal's images
    reverse()             from RUN or CLEAN to RUN with the other goal, one store
    force()               CLEAN without looking
    cancel()              from PREPARE to OVER, as before

Sides are absolute: 1 is Entry.after, 0 is Entry.before and all older code. A reversal changes the goal only. Nothing
depends on switching many functions in one moment: when dispatchers come and go one by one, all of them answer the same.

Driven by one thread at a time, which never waits here: tasks in the way are returned, and looked for again by the next
look. Work is done in slices of well under a millisecond, with `breathe` between them.
"""
from __future__ import annotations

import time
from errno import EBUSY, EINVAL

from klpfs.engine.error import KlpError
from klpfs.engine.target import Blocker

from .. import no_collection
from ..c_originals import original
from ..images import image as images
from ..looks import collection, hidden, interpreters, names_for_people, suspended, threads
from ..looks import greenlets as greenlet_looks
from ..raw import NESTED, SUSPENDS
from . import dispatcher, event_loops, live_dispatchers
from .choice import CLEAN, OVER, PREPARE, RUN, greenlet_api
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType, FunctionType
    from typing import Any, Callable
    from weakref import ref

    from ..looks.threads import Stack
    Codes = dict[int, CodeType]

_id, _len, _tuple, _set, _dict, _list, _max, _min, _type, _int = id, len, tuple, set, dict, list, max, min, type, int
_frozenset, _enumerate, _range = frozenset, enumerate, range

FRAMES = 1500       # a slice's: about half a millisecond
FUNCTIONS = 20      # switched between two breaths
NAMED = 100         # so many suspended objects, and greenlets, are named singly
AGAIN_US = 500000   # they are named anew so often

_sleep, _monotonic_ns = original(time, "sleep"), time.monotonic_ns


def breathe() -> None:
    """Lets other threads have the interpreter lock: just giving it away and taking it again would leave them none."""
    _sleep(0.00002)


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return _monotonic_ns() // 1000


class Entry:
    """A function object that a transition is made for.

    fn: the function object; before, after: Images, what it holds and what it gets; with the same code nothing is
    switched, only older code is looked for. older: code objects of the function's that may still run somewhere and
    count as side 0.
    """

    __slots__ = ("fn", "before", "after", "older")

    def __init__(self, fn: FunctionType, before: images.Image, after: images.Image,
                 older: Iterable[CodeType] = ()) -> None:
        self.fn, self.before, self.after, self.older = fn, before, after, _tuple(older)


class State:
    """The state of a transition, exchanged by a single store (Transition._flip): so a choice is about one mode and one
    goal.

    mode; goal; strict: no choice is remembered; choices: thread ident -> side, remembered choices; clean_threads:
    idents of threads seen clean; walks: ident -> choices under way; suspended_objects: weak references to those that
    are in the way; ended_objects: {id: weak reference} of those that have ended since, see _still_suspended.
    """

    __slots__ = ("mode", "goal", "strict", "choices", "clean_threads", "walks", "ended_objects", "suspended_objects")

    def __init__(self, mode: int, goal: int, strict: bool) -> None:
        self.mode, self.goal, self.strict = mode, goal, strict
        self.choices: dict[int, int] = {}
        self.clean_threads: set[int] = _set()
        self.walks: dict[int, int] = {}
        self.ended_objects: dict[int, ref[Any]] = {}
        self.suspended_objects: list[ref[Any]] = []


class Transition:
    """See the module. foreign: functions left alone because the program gave them code of its own meanwhile.

    clock: callable giving CLOCK_MONOTONIC microseconds, for names to be made anew; breathe: callable, called between
    slices of work, which lets the program's threads get on, or None.
    """

    def __init__(self, entries: Iterable[Entry], clock: Callable[[], int] | None = monotonic_us,
                 breathe: Callable[[], None] | None = breathe) -> None:
        images.check_interpreter()
        self.clock, self.breathe = clock or monotonic_us, breathe
        self.switches: list[dispatcher.Switch] = []
        self.foreign: list[FunctionType] = []
        self.forced = False
        # id of a code -> 0 or 1; of a dispatcher's code -> the ids of the codes that it may have called. Read by
        # choices in the program's calls while it grows here; a code has its entry before the first dispatcher is put in
        self.side_of_code: dict[int, Any] = {}
        self.codes: Codes = {}                                          # id -> code object of every side
        # Two sets of ids of codes whose frames may be in the way, since dispatchers stand for either goal, and since
        # one large set would take long to grow in one step. blocking_ids: goal -> codes of the other side
        self.blocking_ids: dict[int, set[int]] = {0: _set(), 1: _set()}
        self.dispatcher_ids: set[int] = _set()
        # {id: code} of functions below which a task's stack ends; choice._walk reads it
        self.stepping_codes: dict[int, CodeType] = event_loops.stepping_codes(())
        self.choices: dict[int, int] = {}   # the state's, where dispatchers find them with one step less; see _flip
        self.suspends = False               # a side can be suspended: suspended objects are looked for
        self.strict = False                 # nothing is remembered, see _enter
        self._quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
        self._known: dict[tuple[str, int], tuple[Blocker, int]] = {}    # (kind, key) -> Blocker, when it was named
        self.state = State(PREPARE, 1, True)
        self._owners: tuple[int, dict[int, tuple[str, int]]] = (0, {})  # when looked up; see names_for_people.owners
        self._collects = False
        # gives what else of klpfs's holds codes: dicts with such values, tuples
        self.holders: Callable[[], Iterable[Any]] = _tuple
        self._sliced(self._enter, entries)

    # ------------------------------------------------------------------------------------------------------ what it is

    @property
    def goal(self) -> int:
        return self.state.goal

    @property
    def clean(self) -> bool:
        return self.state.mode == CLEAN

    @property
    def mode(self) -> int:
        return self.state.mode

    @property
    def started(self) -> bool:
        return self.state.mode != PREPARE

    def _expect(self, *modes: int) -> None:
        if self.state.mode not in modes:
            raise KlpError(EINVAL, "a transition can't do that now")

    # --------------------------------------------------------------------------------------------------------- entries

    def _enter(self, entries: Iterable[Entry]) -> None:
        """Makes Switches of entries and adds them, or raises with nothing changed."""
        made: list[dispatcher.Switch] = []
        sides: dict[int, int] = {}      # id of code -> side
        codes: Codes = {}
        functions = {_id(switch.function) for switch in self.switches}
        for n, entry in _enumerate(entries):
            function = entry.fn
            dispatcher.check(function, entry.before, entry.after)
            record = live_dispatchers.record_of(function)
            if _id(function) in functions or \
                    record.switch is not None and record.switch.transition.state.mode != OVER:
                raise KlpError(EBUSY, f"{function.__qualname__}: in transition already")
            functions.add(_id(function))
            switch = dispatcher.Switch(function, record, self, entry.before, entry.after, images.capture(function))
            switch.codes_by_side = self._codes_by_side(switch, entry.older, sides, codes)
            made.append(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()
        self.switches += made
        self.codes.update(codes)
        for n, (code_id, side) in _enumerate(sides.items()):
            self.side_of_code[code_id] = side
            self.blocking_ids[1 - side].add(code_id)
            flags = codes[code_id].co_flags
            if flags & SUSPENDS:
                self.suspends = self.strict = True      # a clean thread becomes dirty by resuming an old frame
            if flags & NESTED and codes[code_id].co_name not in images.INNER and "nested" not in BREAK:
                # or by calling an inner function that an old frame has just made
                self.strict = True
            if n % 250 == 249:
                self._breathe()
        for n, switch in _enumerate(made):
            self._note_callable(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()

    def _codes_by_side(self, switch: dispatcher.Switch, older: Iterable[CodeType], sides: dict[int, int],
                       codes: Codes) -> tuple[Codes, Codes]:
        """The switch's codes of side 0 and of side 1, which go to `sides` and `codes` as well."""
        now = {_id(code): code for code in images.body_codes(switch.before.code)}
        new = {_id(code): code for code in images.body_codes(switch.after.code)}
        if "comps" in BREAK:
            now, new = {_id(switch.before.code): switch.before.code}, {_id(switch.after.code): switch.after.code}
        both = _frozenset(now) & _frozenset(new)    # a frame of these fits either side
        old: Codes = {} if "third" in BREAK else _dict(switch.record.forced_over) if switch.record.forced_over else {}
        if "third" not in BREAK:
            for older_code in older:
                old.update((_id(code), code) for code in images.body_codes(older_code))
        old.update(now)
        old = {key: code for key, code in old.items() if key not in new}
        for side, table in ((0, old), (1, new)):
            for key, code in table.items():
                if key in both:
                    continue
                if sides.get(key, side) != side or self.side_of_code.get(key, side) != side:
                    name = switch.function.__qualname__
                    raise KlpError(EINVAL, f"{name}: a code object would be old and new at once")
                sides[key] = side
                codes[key] = code
        return old, new

    def _note_callable(self, switch: dispatcher.Switch) -> None:
        """Notes what the dispatchers of the switch's function, older ones included, may call."""
        record = switch.record
        if record.dispatchers:
            codes = _dict(record.older_codes)
            if record.switch is not None:
                for table in record.switch.codes_by_side:
                    codes.update(table)
            record.older_codes = codes
        callable_ids = _frozenset(record.older_codes).union(*switch.codes_by_side)
        if "own" in BREAK:
            callable_ids |= _frozenset(record.dispatchers)
        for key in record.dispatchers:
            self._add_dispatcher(key, callable_ids)
        switch.callable_ids = callable_ids

    def _add_dispatcher(self, code_id: int, callable_ids: frozenset[int]) -> None:
        self.side_of_code[code_id] = callable_ids
        self.dispatcher_ids.add(code_id)

    def _install(self, switches: Sequence[dispatcher.Switch]) -> None:
        for n, switch in _enumerate(switches):
            record = switch.record
            if switch.only_watched:
                live_dispatchers.enlist(record)
                continue
            if switch.function.__code__ is not switch.before.code:
                switch.watch_only()
                self.foreign.append(switch.function)
                continue
            code = dispatcher.make(switch)
            record.dispatchers[_id(code)] = code
            self._add_dispatcher(_id(code), switch.callable_ids | _frozenset((_id(code),)) if "own" in BREAK else
                                 switch.callable_ids)
            switch.dispatcher_id = _id(code)
            live_dispatchers.enlist(record)
            # from here on its older dispatchers ask this transition (choice.choose)
            record.switch = switch
            images.put_code(switch.function, code)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()

    def _breathe(self) -> None:
        if self.breathe is not None:
            self._allow_collection()
            self.breathe()
            self._hold_collection()

    def _hold_collection(self) -> None:
        """Turns collection off: what klpfs allocates must not make it collect the program's garbage, all of it in a
        large patch. So collection is off within a slice of work; a collection that became due runs where the program
        allocates. Counterpart: _allow_collection."""
        self._collects = no_collection.hold()

    def _allow_collection(self) -> None:
        if self._collects:
            no_collection.let_go()
        self._collects = False

    def _sliced(self, work: Callable[..., None], *args: Any) -> None:
        try:
            self._hold_collection()
            work(*args)
        finally:
            self._allow_collection()

    # ----------------------------------------------------------------------------------------------------------- steps

    def install(self) -> None:
        """PREPARE. Calls that begin from now on meet dispatchers, which answer side 0. Counterparts: finish, cancel."""
        self._expect(PREPARE)
        live_dispatchers.prune(self.breathe)
        self._sliced(self._install, self.switches)

    def quiet(self) -> bool:
        """Whether no call is left that read a function's code before install() and has no frame yet. Asking is
        optional: start() may come before that, and look() asks by itself (kind 'collection')."""
        if not self._quiet and collection.quiet():
            self._quiet = True
        return self._quiet

    def start(self, goal: int = 1) -> None:
        """PREPARE -> RUN."""
        self._expect(PREPARE)
        self.quiet()
        self._flip(RUN, goal)

    def _flip(self, mode: int, goal: int) -> None:
        """Exchanges the state. choice.choose reads `state` once, dispatchers read `choices` without it: so no
        dispatcher may find a choice of another state, neither before nor after the store in the middle."""
        state = State(mode, goal, self.strict or not self._quiet)
        self.choices = {}               # no dispatcher finds a remembered choice while the state changes
        self.state = state              # the switch
        self.choices = state.choices

    def reverse(self) -> None:
        """RUN or CLEAN -> RUN with the other goal. What was seen before does not count any more."""
        self._expect(RUN, CLEAN)
        self.forced = False
        self._known = {}
        self._flip(RUN, 1 - self.state.goal)

    def force(self) -> None:
        """RUN -> CLEAN: dispatchers answer the goal, whatever task still runs the other side. That code counts as side
        0 of the next transition."""
        self._expect(RUN, CLEAN)
        if self.state.mode == RUN:
            self.forced = True
            self._flip(CLEAN, self.state.goal)

    def finish(self) -> None:
        """CLEAN -> OVER. An attribute or code that the program set during the transition stays as it set it."""
        self._expect(CLEAN)
        self._sliced(self._end)

    def cancel(self) -> None:
        """PREPARE -> OVER: the functions hold what they held. It goes on where an exception has cut it off."""
        if self.state.mode != CLEAN or self.state.goal:
            self._expect(PREPARE)
            self._flip(CLEAN, 0)
        self._sliced(self._end)

    def _end(self) -> None:
        goal = self.state.goal
        for n, switch in _enumerate(self.switches):
            record, function = switch.record, switch.function
            if switch.before is switch.after:
                pass
            elif switch.only_watched:
                if function.__code__ is switch.before.code:
                    images.put(function, switch.after if goal else switch.before, switch.found_image)
            else:
                if _id(function.__code__) == switch.dispatcher_id:
                    images.put(function, switch.after if goal else switch.before, switch.found_image)
                elif function.__code__ is not switch.before.code and function.__code__ is not switch.after.code:
                    self.foreign.append(function)
            if self.forced:
                before, after = switch.codes_by_side
                forced_over = _dict(record.forced_over)
                forced_over.update(before if goal else {key: code for key, code in after.items() if key not in before})
                record.forced_over = forced_over
            elif goal:                      # else it may run on: it counted as what is in force now
                record.forced_over = live_dispatchers.NONE
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()
        self._flip(OVER, goal)
        self.choices = {}
        live_dispatchers.prune(self._breathe)

    def forget(self) -> None:
        """OVER. Breaks the reference cycles of a finished transition, which would otherwise keep what a patch of many
        functions needs, megabytes, until the program's next garbage collection."""
        self._expect(OVER)
        self.switches, self.side_of_code, self.codes, self.dispatcher_ids, self._known = [], {}, {}, _set(), {}
        self.stepping_codes, self.holders = {}, _tuple
        self.blocking_ids = {0: _set(), 1: _set()}

    def add(self, entries: Iterable[Entry]) -> None:
        """Functions of an object that came. PREPARE, RUN: from now on as the others, and all tasks are looked at again.
        CLEAN: they answer the goal. Raises KlpError with nothing changed.

        Functions of an object that goes need no counterpart: they stay dispatchers until the end, which gives them the
        goal's image; tasks that run them are looked for as before."""
        self._expect(PREPARE, RUN, CLEAN)
        before = _len(self.switches)
        self._sliced(self._enter, entries)
        state = self.state
        if state.mode == RUN:
            self._quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
            # before the first of them can be called: maybe nothing may be remembered now
            self._flip(RUN, state.goal)
        self._sliced(self._install, self.switches[before:])
        if state.mode == RUN:
            self._flip(RUN, state.goal)     # and what was seen while they came in does not count

    # ----------------------------------------------------------------------------------------------------------- looks

    def look(self) -> list[Blocker]:
        """The tasks in the way, as one round of looks finds them; []: no task is, and the transition is CLEAN."""
        if self.state.mode == CLEAN:
            return []
        self._expect(RUN)
        blockers = [] if "noobserve" in BREAK else self._look()
        if not blockers:
            self._flip(CLEAN, self.state.goal)
        return blockers

    def _look(self) -> list[Blocker]:
        apart = interpreters.apart()
        if apart:
            return [Blocker("interpreter", 0, f"{apart} sub-interpreters with a lock of their own")]
        if not self._quiet:
            if not self.quiet():
                return [Blocker(collection.COLLECTING, 0, "garbage collection under way")]
            self._flip(RUN, self.state.goal)
        self.stepping_codes = event_loops.stepping_codes(self.dispatcher_ids)   # asyncio may have come meanwhile
        state, greenlet = self.state, greenlet_api()
        if "greenlets" in BREAK:
            greenlet = None
        suspends = self.suspends and "gens" not in BREAK and "nogens" not in BREAK
        if greenlet is not None:
            return self._look_before_search(state) or self._look_at_all(state, greenlet[0], suspends)
        blockers = self._look_at_threads(state, state.clean_threads)
        if greenlet_api() is not None and "greenlets" not in BREAK:
            return [Blocker("greenlet", 0, greenlet_looks.BORN)]
        if blockers or not suspends:
            return blockers
        return self._look_at_suspended(state)

    def _is_clean(self, stack: Stack, goal: int) -> bool:
        """Whether a stack, ids of codes, has no frame of the other side and no undecided dispatcher, and is whole."""
        if threads.is_cut(stack) and "cut" not in BREAK:
            return False
        if self.blocking_ids[goal].isdisjoint(stack) and self.dispatcher_ids.isdisjoint(stack):
            return True
        above, side_of_code = None, self.side_of_code
        for code in stack:
            side = side_of_code.get(code)
            if side is not None:
                if _type(side) is _int:
                    if side != goal:
                        return False
                elif above not in side and "ambig" not in BREAK:
                    return False            # undecided: a side was chosen, klpfs can't know which, or will be
            above = code
        return True

    def _look_at_threads(self, state: State, clean: set[int]) -> list[Blocker]:
        """Looks at the threads not in `clean`, in slices: each needs only its own stack from one moment. Adds clean
        ones."""
        goal, dirty = state.goal, []
        todo, at, size = [ident for ident in threads.idents() if ident not in clean], 0, 4
        while at < _len(todo):
            idents, frames = _tuple(todo[at:at + size]), 0
            for ident, stack in threads.stacks(idents):
                frames += _len(stack)
                if self._is_clean(stack, goal):
                    # once clean, never dirty again without something suspended; choice._walk reads it, too
                    clean.add(ident)
                else:
                    dirty.append(ident)
            at += size
            size = _max(1, _min(4 * size, FRAMES * _len(idents) // _max(frames, 1)))
            if at < _len(todo) and self.breathe is not None:
                self.breathe()
        return [self._name("thread", ident, names_for_people.thread) for ident in dirty]

    def _look_before_search(self, state: State) -> list[Blocker]:
        """Blockers, with greenlets about, that are seen without a search of the heap, which is worth it only without
        them."""
        state.suspended_objects = [r for r in state.suspended_objects if suspended.has_frame(r)]
        return self._look_at_threads(state, _set()) + (
            self._name_suspended(state.suspended_objects) if state.suspended_objects else [])

    def _look_at_all(self, state: State, kind: Any, suspends: bool) -> list[Blocker]:
        """Looks, with greenlets about, at all threads, suspended greenlets and suspended objects at one moment, nothing
        kept."""
        goal = state.goal
        references: list[ref[Any]] = []
        codes, counted = self._codes_of_other_side(goal) if suspends else [], suspended.References()
        if suspends:
            why, references, stacks = suspended.find(codes, kind, counted)
        else:
            why, stacks = greenlet_looks.stacks_and_greenlets(kind)
        idents = _frozenset(threads.idents())
        blockers: list[Blocker] = []
        dirty_greenlets: list[int] = []
        for key, stack in stacks:
            if not self._is_clean(stack, goal):
                if key in idents:
                    blockers.append(self._name("thread", key, names_for_people.thread))
                else:
                    dirty_greenlets.append(key)
        blockers += self._name_greenlets(kind, dirty_greenlets)
        if why is not None:
            blockers.append(Blocker(why if why is not greenlet_looks.BORN else "greenlet", 0, why))
        state.suspended_objects, unsure = self._still_suspended(state, references)
        blockers += self._name_suspended(state.suspended_objects)
        if unsure and not blockers:
            return [_has_just_ended()]
        return blockers or self._out_of_sight(codes, counted)

    def _out_of_sight(self, codes: list[CodeType], counted: suspended.References) -> list[Blocker]:
        """Blockers for what may run a few codes and is in no list (looks/hidden.py). counted: their references, at the
        moment of the look that has found nothing else."""
        if not counted.counts or not hidden.COUNTS or "hidden" in BREAK:
            return []
        ids = [_id(code) for code in codes]
        del codes
        holders: list[Any] = [self.codes, *self.holders()]
        for switch in self.switches:
            holders += [*switch.codes_by_side, switch.record.older_codes, switch.record.forced_over]
            for stale in _switches_of(switch.record):
                holders += [*stale.codes_by_side, stale.transition.codes]
        held = {_id(holder): holder for holder in holders}
        left = hidden.not_accounted_for(counted, ids, held.values())
        if left:
            held.update((_id(constants), constants) for constants in hidden.constants_on_stacks())
            left = hidden.not_accounted_for(counted, left and ids, held.values())
        blockers = []
        for key in left:
            functions = [function for switch in self.switches if key in switch.codes_by_side[0]
                         or key in switch.codes_by_side[1] for function in (switch.function, *_sides(switch))]
            if hidden.may_run(counted, functions):
                name = names_for_people.function_name(self.codes[key])
                blockers.append(Blocker("suspended", 0, f"{name}: something that is in no list may run it"))
        return blockers

    def _codes_of_other_side(self, goal: int) -> list[CodeType]:
        """Codes that can be suspended, of the side that is not the goal."""
        return [code for key, code in self.codes.items()
                if code.co_flags & SUSPENDS and self.side_of_code.get(key, goal) != goal]

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
            codes, counted = self._codes_of_other_side(state.goal), suspended.References()
            why, references, no_stacks = suspended.find(codes, None, counted)
            if why is not None:
                return [Blocker(why, 0, why)]
            waiting, unsure = self._still_suspended(state, references)
            if not waiting and not unsure:
                return self._out_of_sight(codes, counted)
        state.suspended_objects = waiting
        return self._name_suspended(waiting) if waiting else [_has_just_ended()]

    # --------------------------------------------------------------------------------------------------------- blockers

    def _name_greenlets(self, kind: Any, keys: Sequence[int]) -> list[Blocker]:
        """Blockers for dirty greenlets; to name each by a search of its own would take far longer than the look."""
        first = keys[:NAMED]
        new = [key for key in first if not self._is_named("greenlet", key)]
        named = names_for_people.greenlets(kind, new) if new else {}

        def describe(key: int) -> Blocker:
            return named.get(key) or names_for_people.greenlets(kind, [key])[key]
        blockers = [self._name("greenlet", key, describe) for key in first]
        if _len(keys) > NAMED:
            blockers.append(Blocker("greenlet", 0, f"{_len(keys) - NAMED} more"))
        return blockers

    def _name_suspended(self, references: Sequence[ref[Any]]) -> list[Blocker]:
        """Blockers for suspended objects, under the names of the asyncio tasks that wait in them."""
        first, now = references[:NAMED], self.clock()
        if [r for r in first if _id(r) not in self._owners[1]] or now - self._owners[0] > AGAIN_US:
            self._owners = now, names_for_people.owners(first, self.breathe)
        owners = self._owners[1]

        def describe(reference: ref[Any]) -> Blocker:
            return names_for_people.suspended(reference, owners.get(_id(reference)), self.codes)
        blockers = [self._name("suspended", reference, describe) for reference in first]
        if _len(references) > NAMED:
            blockers.append(Blocker("generator", 0, f"{_len(references) - NAMED} more"))
        return blockers

    def _is_named(self, kind: str, key: int) -> bool:
        known = self._known.get((kind, key))
        return known is not None and self.clock() - known[1] < AGAIN_US

    def _name(self, kind: str, task: Any, describe: Callable[[Any], Blocker]) -> Blocker:
        """The Blocker for a task (an ident, an id, or a weak reference): named when it is first seen, and again each
        half second."""
        key = kind, task if _type(task) is _int else _id(task)
        now, known = self.clock(), self._known.get(key)
        if known is not None and now - known[1] < AGAIN_US:
            return known[0]
        blocker = describe(task)
        self._known[key] = blocker, now
        return blocker


def _sides(switch: dispatcher.Switch) -> list[FunctionType]:
    """The function objects that were made of the sides so far."""
    made = switch.functions.values() if _type(switch.functions) is _dict else switch.functions
    return [function for function in made if function is not None]


def _switches_of(record: live_dispatchers.Record) -> list[dispatcher.Switch]:
    """The Switches of all dispatchers that may still run: constants of their code."""
    return [const for code in record.dispatchers.values() for const in code.co_consts
            if _type(const) is dispatcher.Switch]


def _has_just_ended() -> Blocker:
    """The Blocker of a look that saw a suspended object end: what that object made can't be known, so another look is
    needed."""
    return Blocker("suspended", 0, "something suspended has just ended")
