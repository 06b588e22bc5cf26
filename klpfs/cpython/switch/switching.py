"""A transition of function objects from one image to another; code on stacks never mixes them (docs/DESIGN.md#6).

    Transition(entries)   checks; nothing is changed
    install()             PREPARE: dispatchers stand in for the functions, all answer side 0
    start(goal)           RUN: one store sets all of them going; the stack is the state (choice.py)
    look()                which tasks are not clean yet (rounds.py); none: CLEAN, all dispatchers answer the goal
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
from weakref import ref

from klpfs.engine.error import KlpError
from klpfs.engine.target import Blocker

from .. import interpreters, no_collection
from ..c_originals import clock, original
from ..images import image as images
from ..looks import collection, frozen_moment
from ..raw import COMPREHENSIONS, NESTED, SUSPENDS, body_codes, line_table
from . import (
    audit_hooks,
    copies,
    delegation,
    dispatcher,
    event_loops,
    given_code,
    letting_go,
    live_dispatchers,
    out_of_sight,
    rounds,
    waiting,
)
from .choice import CLEAN, OVER, PREPARE, RUN
from .entry import Entry, State
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import CodeType, FunctionType
    from typing import Any, Callable, TypeVar

    Codes = dict[int, CodeType]
    Result = TypeVar("Result")

_id, _len, _tuple, _set, _dict, _frozenset, _enumerate, _list, _range, _bool, _type = \
    id, len, tuple, set, dict, frozenset, enumerate, list, range, bool, type

_ref = ref

FUNCTIONS = 20      # switched between two breaths

_sleep, _monotonic_ns = original(time, "sleep"), clock(time, "monotonic_ns")


def breathe() -> None:
    """Lets other threads have the interpreter lock: just giving it away and taking it again would leave them none."""
    _sleep(0.00002)


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    now: int = _monotonic_ns()
    return now // 1000


def _bodies(codes: Iterable[CodeType]) -> Codes:
    """{id: code} of codes and of their comprehensions."""
    if "comps" in BREAK:
        return {_id(code): code for code in codes}
    return {_id(part): part for code in codes for part in body_codes(code)}


AGAIN = 3           # looks, while functions are added behind each; breaths for a collection to end


class Transition:
    """See the module. foreign: functions left alone because the program gave them code of its own meanwhile. copied:
    functions to which it gave a dispatcher's code, or a copy of that; they have the goal's code by the end. put_back:
    those to which it gave code of the side that is not the goal when all else had the goal's already.

    clock: callable giving CLOCK_MONOTONIC microseconds, for names to be made anew; breathe: callable, called between
    slices of work, which lets the program's threads get on, or None.
    """

    def __init__(self, entries: Iterable[Entry], clock: Callable[[], int] | None = monotonic_us,
                 breathe: Callable[[], None] | None = breathe) -> None:
        images.check_interpreter()
        self.clock, self.breathe = clock or monotonic_us, breathe
        self.switches: list[dispatcher.Switch] = []
        self.foreign: list[FunctionType] = []
        self.copied: list[FunctionType] = []
        self.put_back: list[FunctionType] = []
        self.copied_codes: Codes = {}               # see note_copy
        # those whose functions had code that nobody knows when `put_again` asked last
        self.strangers: list[dispatcher.Switch] = []
        self.forced = False
        self.decided = False            # a dispatcher may have answered side 1
        # id of a code -> 0 or 1; of a dispatcher's code -> the ids of the codes that it may have called. Read by
        # choices in the program's calls while it grows here; a code has its entry before the first dispatcher is put in
        self.side_of_code: dict[int, Any] = {}
        self.codes: Codes = {}                                          # id -> code object of every side
        # Two sets of ids of codes whose frames may be in the way, since dispatchers stand for either goal, and since
        # one large set would take long to grow in one step. blocking_ids: goal -> codes of the other side
        self.blocking_ids: dict[int, set[int]] = {0: _set(), 1: _set()}
        self.dispatcher_ids: set[int] = _set()
        self.of_both: Codes = {}            # codes whose frames fit either side
        # {(id of a code's constants, id of its table of lines, first line): side}: what a tool's copy has as well. Read
        # by choices, as side_of_code
        self.sides_of_copies: dict[tuple[int, int, int], int] = {}
        # {id: code} of functions below which a task's stack ends; choice._side_on_stack reads it
        self.stepping_codes: dict[int, CodeType] = event_loops.stepping_codes(())
        self.choices: dict[int, int] = {}   # the state's, where dispatchers find them with one step less; see flip
        self.suspends = False               # a side can be suspended: suspended objects are looked for
        self.waiting = waiting.Waiting()    # what may hand something on to what it waits for
        self.strict = False                 # nothing is remembered, see _enter
        self.is_quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
        self.state = State(PREPARE, 1, True)
        self.rounds = rounds.Rounds(self)
        out_of_sight.note(self)
        self._collects: bool | None = None      # within a slice of work: whether collection is held off
        # gives what else of klpfs's holds codes: dicts with such values, tuples, objects with a `code`
        self.holders: Callable[[], Iterable[Any]] = _tuple
        # told which Entries have no function object any more
        self.dropped: Callable[[list[Entry]], Any] = _list
        # ids of codes of the side that is not the goal. The last count of references (out_of_sight.py) found some that
        # are not klpfs's. References are counted when no task is in the way any more.
        self.unaccounted: tuple[int, ...] = ()
        # before the first are noted: behind that none may go, for another code may get its id
        live_dispatchers.prune(self.breathe)
        self.sliced(self._enter, entries)

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

    @property
    def chooses(self) -> bool:
        """Whether calls may get side 1."""
        return self.state.mode != PREPARE and not self.state.blind

    def _expect(self, *modes: int) -> None:
        if self.state.mode not in modes:
            raise KlpError(EINVAL, "a transition can't do that now")

    # --------------------------------------------------------------------------------------------------------- entries

    def _enter(self, entries: Iterable[Entry]) -> None:
        """Makes Switches of entries and adds them, or raises with none added."""
        made: list[dispatcher.Switch] = []
        sides: dict[int, int] = {}      # id of code -> side
        codes: Codes = {}
        functions = {_id(switch.function) for switch in self.switches if not switch.gone}
        shared: dict[tuple[int, int], Entry] = {}
        for n, entry in _enumerate(entries):
            function = entry.fn
            dispatcher.check(function, entry.before, entry.after)
            record = live_dispatchers.record_of(function)
            if _id(function) in functions or \
                    record.switch is not None and record.switch.transition.state.mode != OVER and \
                    not record.switch.gone:
                raise KlpError(EBUSY, f"{function.__qualname__}: in transition already")
            functions.add(_id(function))
            switch = dispatcher.Switch(entry, record, self, images.capture(function))
            switch.codes_by_side = self._codes_by_side(switch, sides, codes)
            shared[_id(entry.older), _id(entry.newer)] = entry
            made.append(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self.take_breath()
        for entry in shared.values():
            self._add_sides(entry.older, entry.newer, sides, codes)
        self._note_codes(sides, codes)
        for n, switch in _enumerate(made):
            self._note_callable(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self.take_breath()
        self.switches += made       # last: what is there gets its dispatcher, by the next look if need be

    def _note_codes(self, sides: dict[int, int], codes: Codes) -> None:
        """Codes have their sides from here on. sides: id of code -> side; codes: id -> code."""
        self.codes.update(codes)        # read by choices in the program's calls: waiting_codes
        for n, (code_id, side) in _enumerate(sides.items()):
            self.side_of_code[code_id] = side
            self.blocking_ids[1 - side].add(code_id)
            code, flags = codes[code_id], codes[code_id].co_flags
            self.sides_of_copies.setdefault((_id(code.co_consts), _id(line_table(code)), code.co_firstlineno), side)
            if flags & SUSPENDS:
                self.suspends = self.strict = True      # a clean thread becomes dirty by resuming an old frame
                if delegation.can_wait(codes[code_id]):
                    self.waiting.add(codes[code_id])
            if flags & NESTED and codes[code_id].co_name not in COMPREHENSIONS and "nested" not in BREAK:
                # or by calling an inner function that an old frame has just made
                self.strict = True
            if n % 250 == 249:
                self.take_breath()

    def _add_sides(self, older: Codes, newer: Codes, sides: dict[int, int], codes: Codes) -> None:
        """Puts codes that count as side 0 and 1, and have no side yet, into `sides` and `codes`."""
        if "third" in BREAK:
            return
        new, old = _bodies(newer.values()), _bodies(older.values())
        for side, table in ((1, new), (0, old)):
            for key, code in table.items():
                if key not in self.side_of_code and key not in sides and key not in self.of_both:
                    sides[key], codes[key] = side, code

    def _codes_by_side(self, switch: dispatcher.Switch, sides: dict[int, int], codes: Codes) -> tuple[Codes, Codes]:
        """The switch's codes of side 0 and of side 1, which go to `sides` and `codes` as well."""
        now, new = _bodies((switch.before.code,)), _bodies((switch.after.code,))
        both = _frozenset(now) & _frozenset(new)    # a frame of these fits either side
        self.of_both.update((key, now[key]) for key in both)
        old: Codes = {} if "third" in BREAK else _dict(switch.record.forced_over) if switch.record.forced_over else {}
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

    def note_copy(self, switch: dispatcher.Switch, code: CodeType) -> None:
        """A copy of the switch's dispatcher, which the program has made, is about to choose. Called by the program's
        threads; each step is one C call, and the code has its id for itself before that is in a table."""
        self.copied_codes[_id(code)] = code
        self._add_dispatcher(_id(code), switch.callable_ids)

    def forget_copies(self) -> None:
        """Counterpart of note_copy, for copies that nothing can run any more: a program may make one for each request.
        Called by looks."""
        if not self.copied_codes or collection.NEEDS_QUIET and not collection.quiet():   # as in live_dispatchers.prune
            return
        for key in live_dispatchers.alone(self.copied_codes):
            self.dispatcher_ids.discard(key)
            self.side_of_code.pop(key, None)
            del self.copied_codes[key]      # last: from here on another code may get the id

    def give_dispatchers(self, switches: Sequence[dispatcher.Switch]) -> None:
        """The functions of these Switches get their dispatchers, but those that have got other code since they were
        found: given_code.put_again decides about these. Where an exception cuts that off, the next look goes on."""
        for n, switch in _enumerate(switches):
            record = switch.record
            if switch.only_watched:
                live_dispatchers.enlist(record)
                continue
            if not given_code.is_own(switch, switch.function.__code__):     # of after: new code has made it
                self.strict = True      # calls of it are seen by no dispatcher
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
                self.take_breath()

    def take_breath(self) -> None:
        """Lets the program's threads get on; within a slice of work, which is two then, with collection as they know
        it."""
        if self.breathe is not None:
            within = self._collects is not None
            if within:
                self._allow_collection()
            self.breathe()
            if within:
                self._hold_collection()

    def _hold_collection(self) -> None:
        """Turns collection off: what klpfs allocates must not make it collect the program's garbage, all of it in a
        large patch. So collection is off within a slice of work; a collection that became due runs where the program
        allocates. Counterpart: _allow_collection."""
        self._collects = no_collection.hold()

    def _allow_collection(self) -> None:
        if self._collects:
            no_collection.let_go()
        self._collects = None

    def sliced(self, work: Callable[..., Result], *args: Any) -> Result:
        """work(*args), in slices with collection off: it calls take_breath between them. Not within another's."""
        try:
            self._hold_collection()
            return work(*args)
        finally:
            self._allow_collection()

    # ----------------------------------------------------------------------------------------------------------- steps

    def install(self) -> None:
        """PREPARE. Calls that begin from now on meet dispatchers, which answer side 0. Counterparts: finish, cancel."""
        self._expect(PREPARE)
        self.sliced(self.give_dispatchers, self.switches)

    def quiet(self) -> bool:
        """Whether no call is left that read a function's code before install() and has no frame yet. Asking is
        optional: start() may come before that, and look() asks by itself (kind 'collection')."""
        if not self.is_quiet and collection.quiet():
            self.is_quiet = True
        return self.is_quiet

    def start(self, goal: int = 1, unasked: bool = False) -> None:
        """PREPARE -> RUN. unasked: what runs on stacks could not be asked for (interpreters.apart)."""
        self._expect(PREPARE)
        self.quiet()
        self._run(goal, unasked)

    def _run(self, goal: int, unasked: bool) -> None:
        """RUN with that goal: blind, where side 1 was never chosen yet and what waits can't be known now, or nothing
        may be asked, or was not."""
        refused = audit_hooks.refuse() or unasked
        why = self.find_waiting()
        for _ in _range(AGAIN):         # a collection is short, mostly
            if why != collection.COLLECTING or self.breathe is None:
                break
            self.breathe()
            why = self.find_waiting()
        try:
            interpreters.need_one_lock()
            if not refused:
                self.rounds.note_bodies()
        except interpreters.Apart:
            refused = True
        if refused:
            self.waiting.unnoted = True     # whatever the bodies make that can't be asked for now
        blind = refused or _bool(goal) and why is not None
        self.flip(RUN, goal, blind and not (self.decided or "blind" in BREAK))

    def waiting_codes(self) -> list[CodeType]:
        """The codes of both sides that can wait for something. Called by the program's threads as well, by choices,
        while `codes` may grow: hence the list, of values, which makes no objects in between, as one of items() does:
        up to 3.11 a collection may begin there, and other threads run in it. Counterpart: _enter."""
        return [code for code in _list(self.codes.values()) if _id(code) in self.waiting.ids]

    def find_waiting(self) -> str | None:
        """Sees to it that all is known that waits for something and that no dispatcher has made; why it is not: FROZEN,
        COLLECTING or AUDIT_HOOK."""
        if not self.waiting.ids or self.waiting.complete:
            return None
        if audit_hooks.refuse():
            return audit_hooks.AUDIT_HOOK
        return self.waiting.find(self.waiting_codes())

    def add_codes(self, older: Codes, newer: Codes) -> bool:
        """Codes, of functions in the transition, that count as side 0 and as side 1 from now on (not in OVER): copies
        that were made meanwhile. Whether any that is not the goal's had no side yet: all tasks are looked at again
        then."""
        self._expect(PREPARE, RUN, CLEAN)
        sides: dict[int, int] = {}
        codes: Codes = {}
        self._add_sides(older, newer, sides, codes)
        if sides:
            self.strict = True          # no dispatcher stands before them: a clean thread may begin to run them
            self.sliced(self._note_codes, sides, codes)
        if self.state.mode != RUN or 1 - self.state.goal not in sides.values():
            return False
        self.flip(RUN, self.state.goal, self.state.blind)
        return True

    def flip(self, mode: int, goal: int, blind: bool = False) -> None:
        """Exchanges the state. choice.choose reads `state` once, dispatchers read `choices` without it: so no
        dispatcher may find a choice of another state, neither before nor after the store in the middle."""
        state = State(mode, goal, self.strict or not self.is_quiet, blind)
        if mode != PREPARE and goal and not blind:      # CLEAN: a force may end what is blind
            self.decided = True
        self.choices = {}               # no dispatcher finds a remembered choice while the state changes
        self.state = state              # the switch
        self.choices = state.choices

    def reverse(self, unasked: bool = False) -> None:
        """RUN or CLEAN -> RUN with the other goal. What was seen before does not count any more. unasked: as start."""
        self._expect(RUN, CLEAN)
        self.rounds.forget()
        self._run(1 - self.state.goal, unasked)
        self.forced = False         # last: what an exception has kept from turning is forced still

    def force(self) -> None:
        """RUN -> CLEAN: dispatchers answer the goal, whatever task still runs the other side. That code counts as side
        0 of the next transition."""
        self._expect(RUN, CLEAN)
        if self.state.mode == RUN:
            self.forced = True
            self.flip(CLEAN, self.state.goal)

    def finish(self) -> None:
        """CLEAN -> OVER. An attribute or code that the program set during the transition stays as it set it. Called
        again, goes on where an exception has cut it off."""
        self._expect(CLEAN, OVER)
        self.sliced(self._end)

    def cancel(self) -> None:
        """PREPARE -> OVER: the functions hold what they held. It goes on where an exception has cut it off."""
        if self.state.mode not in (CLEAN, OVER) or self.state.goal:
            self._expect(PREPARE)
            self.flip(CLEAN, 0)
        self.sliced(self._end)

    def _end(self) -> None:
        goal = self.state.goal
        if self.state.mode != OVER:
            self._end_each(goal)        # by itself: a name here for the last Switch would be a reference too many
            self.flip(OVER, goal)
        self.choices = {}
        self.copied += copies.give_back(self.switches, goal)
        self.rounds.bodies.forget()     # which may have a dispatcher's code of an earlier transition
        live_dispatchers.prune(self.take_breath)
        frozen_moment.forget()          # which prune's own moments have filled

    def _end_each(self, goal: int) -> None:
        self._take_back_each()
        foreign: list[FunctionType] = []    # found again where an exception cuts this off; those of `copied` are not
        for n, switch in _enumerate(self.switches):
            record, held = switch.record, None if switch.gone else given_code.end(switch, goal)
            if held is not None:
                (foreign if held is given_code.UNKNOWN else self.copied).append(switch.function)
            record.in_force = _ref((switch.after if goal and not switch.gone else switch.before).code)
            if self.forced:
                before, after = switch.codes_by_side
                forced_over = _dict(record.forced_over)
                forced_over.update(before if goal else {key: code for key, code in after.items() if key not in before})
                record.forced_over = forced_over
            elif goal:                      # else it may run on: it counted as what is in force now
                record.forced_over = live_dispatchers.NONE
            if n % FUNCTIONS == FUNCTIONS - 1:
                self.take_breath()
        self.foreign += foreign

    def forget(self) -> None:
        """OVER. Breaks the reference cycles of a finished transition, which would otherwise keep what a patch of many
        functions needs, megabytes, until the program's next garbage collection."""
        self._expect(OVER)
        self.switches, self.side_of_code, self.codes, self.dispatcher_ids = [], {}, {}, _set()
        self.copied_codes, self.strangers, self.of_both, self.sides_of_copies = {}, [], {}, {}
        self.rounds.forget()
        self.waiting.forget()
        self.stepping_codes, self.holders, self.dropped, self.unaccounted = {}, _tuple, _list, ()
        self.blocking_ids = {0: _set(), 1: _set()}

    def add(self, entries: Iterable[Entry]) -> None:
        """Functions of an object that came. PREPARE, RUN: from now on as the others, and all tasks are looked at again.
        CLEAN: they answer the goal. What raises may have let in some: take_back.

        Functions of an object that goes: leave."""
        self._expect(PREPARE, RUN, CLEAN)
        before = _len(self.switches)
        self.sliced(self._enter, entries)
        if self.state.mode == RUN:
            self._let_in(self.switches[before:])
        else:
            self.sliced(self.give_dispatchers, self.switches[before:])

    def left_out(self, since: int = 0) -> list[dispatcher.Switch]:
        """The Switches, from that place in `switches` on, whose functions have no dispatcher, since they had got other
        code by then."""
        return [switch for switch in self.switches[since:]
                if switch.dispatcher_id is None and not switch.only_watched and not switch.gone]

    def put_again(self) -> bool:
        """Functions that have code of their own in the place of their dispatcher get that again; the others that have
        none are `strangers`. Whether any did: all tasks are looked at again."""
        put, self.strangers = self.sliced(given_code.put_again, self)
        if put and self.state.mode == RUN:
            self.flip(RUN, self.state.goal, self.state.blind)
        return put

    def take_back(self, keys: Collection[int]) -> None:
        """The functions with these ids, which `add` could not let in to the end, hold what they held. What has been
        called of them counts as before. Where an exception cuts this off, they get that when the transition ends."""
        self.leave(keys)
        self.sliced(self._take_back_each)

    def _take_back_each(self) -> None:
        for switch in self.switches:
            if switch.gone and _id(switch.function.__code__) == switch.dispatcher_id:
                images.put(switch.function, switch.found_image)

    def join(self, entries: Iterable[Entry]) -> bool:
        """Functions that were made meanwhile join, when no task is in the way. Whether all tasks are looked at again:
        not if all have the goal's code. New code makes such functions as long as it is called."""
        before = _len(self.switches)
        if self.state.mode != RUN:
            self.add(entries)
            return True
        self.sliced(self._enter, entries)
        some, state = self.switches[before:], self.state
        if [1 for switch in some if not switch.is_settled(state.goal)]:
            self._let_in(some)
            return True
        self.sliced(self.give_dispatchers, some)
        if self.left_out(before):
            self.flip(RUN, state.goal, state.blind)
            return True
        return False

    def _let_in(self, switches: Sequence[dispatcher.Switch]) -> None:
        """RUN: what was seen before and while they come in does not count."""
        state = self.state
        self.is_quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
        # before the first of them can be called: maybe nothing may be remembered now
        self.flip(RUN, state.goal, state.blind)
        self.sliced(self.give_dispatchers, switches)
        self.find_waiting()
        self.flip(RUN, state.goal, state.blind)

    def leave(self, keys: Collection[int]) -> None:
        """The functions with these ids, of an object that goes, keep from now on what they hold or are given; tasks
        that run them are looked for as before."""
        for switch in self.switches:
            switch.gone = switch.gone or switch.entry.key in keys

    # ----------------------------------------------------------------------------------------------------------- looks

    def look(self, missed: Callable[[], list[Blocker]] = _list) -> list[Blocker]:
        """The tasks in the way, as one round of looks finds them; []: no task is, and the transition is CLEAN. missed:
        asked when no task is in the way, for Blockers of another kind; where it adds functions, tasks are looked at
        again."""
        if self.state.mode == CLEAN:    # maybe for minutes, where a service's other processes are waited for
            self.put_again()
            return []
        self._expect(RUN)
        blockers: list[Blocker] = []
        self.strangers = []             # or their functions would not be let go of
        for _ in _range(AGAIN):
            self.sliced(letting_go.let_go, self)
            blockers = [] if "noobserve" in BREAK else self.sliced(self.rounds.look)
            if not blockers and self.put_again():
                continue
            state = self.state
            # dispatchers decide by the stack meanwhile: what joins may be running, below whatever is called now
            try:
                blockers = blockers or missed()
            except interpreters.Apart:
                blockers = [rounds.apart()]
            if blockers:
                return blockers
            if self.state is state and not self.put_again():    # again: all that was searched took its time
                self.flip(CLEAN, state.goal)
                return []
        return [Blocker("suspended", 0, "function objects have just been made")]
