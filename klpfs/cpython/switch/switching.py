"""A transition of function objects from one image to another, with code on stacks that never mixes them (DESIGN 6).

    Transition(entries)   checks; nothing is changed
    install()             PREPARE: dispatchers stand in for the functions, all answer version 0
    start(goal)           RUN: one store sets all of them going; the stack is the state (choice.py)
    look()                who is not clean yet (look.py); nobody: CLEAN, all dispatchers answer the goal
    finish()              OVER: the functions hold the goal's images
    reverse()             from RUN or CLEAN to RUN with the other goal, one store
    force()               CLEAN without looking
    cancel()              from PREPARE to OVER, as before

Versions are absolute: 1 is Entry.after, 0 is Entry.before and all older code. A reversal changes the goal only. Nothing
depends on switching many functions in one moment: when dispatchers come and go one by one, all of them answer the same.

Driven by one thread at a time, which never waits here: who is in the way is told, and asked for again. Work is done in
slices of well under a millisecond, with `breathe` between them.
"""
import errno
import gc
import time

from klpfs.engine.error import KlpError
from klpfs.engine.target import Blocker

from ..images import image as images
from ..looks import collection, greenlets as greenlet_looks, interpreters, names_for_people, suspended, threads
from . import dispatcher, live_dispatchers as records
from .choice import CLEAN, greenlets, OVER, PREPARE, RUN
from ..c_originals import original
from .rules import BREAK

_id, _len, _tuple, _set, _max, _min, _type, _int = id, len, tuple, set, max, min, type, int
_frozenset = frozenset

FRAMES = 1500       # a slice's: about half a millisecond
FUNCTIONS = 20      # switched between two breaths
NAMED = 100         # so many suspended objects, and greenlets, are told one by one
AGAIN = 500000      # usec: they are named anew so often

_gc_on, _gc_off, _gc_is_on = gc.enable, gc.disable, gc.isenabled
_sleep, _monotonic = original(time, "sleep"), time.monotonic_ns


def breathe():
    """Lets others have the interpreter lock: just giving it away and taking it again would leave them none."""
    _sleep(0.00002)


def monotonic_us():
    """CLOCK_MONOTONIC in microseconds."""
    return _monotonic() // 1000


class Entry:
    """One function object under transition.

    fn: the function object; before, after: Images, what it holds and what it gets; with the same code nothing is switched,
    only older code is looked for. older: code objects of the function's that may still run somewhere and count as version 0.
    """

    __slots__ = ("fn", "before", "after", "older")

    def __init__(self, fn, before, after, older=()):
        self.fn, self.before, self.after, self.older = fn, before, after, _tuple(older)


class State:
    """What a single store exchanges.

    mode; goal; strict: no choice is remembered; sel: thread ident -> version, remembered choices; seen: idents of threads
    seen clean; walks: ident -> choices under way; finished, waiting: weak references to suspended objects, see _suspended.
    """

    __slots__ = ("mode", "goal", "strict", "sel", "seen", "walks", "finished", "waiting")

    def __init__(self, mode, goal, strict):
        self.mode, self.goal, self.strict = mode, goal, strict
        self.sel, self.seen, self.walks, self.finished, self.waiting = {}, _set(), {}, {}, []


class Transition:
    """See the module. foreign: functions left alone because the program gave them code of its own meanwhile.

    clock: callable giving CLOCK_MONOTONIC microseconds, for Blocker.since; breathe: callable, called between
    slices of work, which lets the program's threads get on, or None.
    """

    def __init__(self, entries, clock=monotonic_us, breathe=breathe):
        images.check_interpreter()
        self.clock, self.breathe = clock or monotonic_us, breathe
        self.switches, self.foreign, self.forced = [], [], False
        self.marks, self.codes = {}, {}     # see choice.py; id -> code object of every version
        self.bad = {0: _set(), 1: _set()}   # goal -> ids of the codes of the other version
        self.standing = _set()              # ids of dispatchers' codes; one large set would take long to grow
        self.sel = {}
        self.suspends = False               # a version can be suspended: suspended objects are looked for
        self.strict = False                 # nothing is remembered, see _enter
        self._quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
        self._known = {}                    # (kind, key) -> Blocker of the last look
        self.state = State(PREPARE, 1, True)
        self._owners = 0, {}                # when looked up, id(weak reference) -> asyncio task's (name, id)
        self._collects = False
        self._sliced(self._enter, entries)

    # ------------------------------------------------------------------------------------------------------ what it is

    @property
    def goal(self):
        return self.state.goal

    @property
    def clean(self):
        return self.state.mode == CLEAN

    @property
    def mode(self):
        return self.state.mode

    @property
    def started(self):
        return self.state.mode != PREPARE

    def _expect(self, *modes):
        if self.state.mode not in modes:
            raise KlpError(errno.EINVAL, "a transition can't do that now")

    # --------------------------------------------------------------------------------------------------------- entries

    def _enter(self, entries):
        """Makes Switches of entries and adds them, or raises with nothing changed."""
        made, marks, codes, functions = [], {}, {}, _set(_id(s.function) for s in self.switches)
        for n, entry in enumerate(entries):
            function = entry.fn
            dispatcher.check(function, entry.before, entry.after)
            record = records.make(function)
            if _id(function) in functions or \
                    record.switch is not None and record.switch.t.state.mode != OVER:
                raise KlpError(errno.EBUSY, "%s: in transition already" % function.__qualname__)
            functions.add(_id(function))
            switch = dispatcher.Switch(function, record, self, entry.before, entry.after, images.capture(function))
            switch.bodies = self._versions(switch, entry.older, marks, codes)
            made.append(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()
        self.switches += made
        self.codes.update(codes)
        for n, (key, version) in enumerate(marks.items()):
            self.marks[key] = version
            self.bad[1 - version].add(key)
            flags = codes[key].co_flags
            if flags & images.SUSPENDS:
                self.suspends = self.strict = True      # a clean thread becomes dirty by resuming an old one
            if flags & images.NESTED and codes[key].co_name not in images.INNER and "nested" not in BREAK:
                self.strict = True                      # or by calling an inner function that an old frame has just made
            if n % 250 == 249:
                self._breathe()
        for n, switch in enumerate(made):
            self._own(switch)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()

    def _versions(self, switch, older, marks, codes):
        """Marks the switch's codes 0 or 1. Returns (codes of version 0, codes of version 1)."""
        now = {_id(c): c for c in images.body_codes(switch.before.code)}
        new = {_id(c): c for c in images.body_codes(switch.after.code)}
        if "comps" in BREAK:
            now, new = {_id(switch.before.code): switch.before.code}, {_id(switch.after.code): switch.after.code}
        both = _frozenset(now) & _frozenset(new)    # a frame of these fits either
        old = {} if "third" in BREAK else dict(switch.record.left) if switch.record.left else {}
        if "third" not in BREAK:
            for code in older:
                old.update((_id(c), c) for c in images.body_codes(code))
        old.update(now)
        old = {key: code for key, code in old.items() if key not in new}
        for version, table in ((0, old), (1, new)):
            for key, code in table.items():
                if key in both:
                    continue
                if marks.get(key, version) != version or self.marks.get(key, version) != version:
                    raise KlpError(errno.EINVAL, "%s: a code object would be old and new at once"
                                   % switch.function.__qualname__)
                marks[key] = version
                codes[key] = code
        return old, new

    def _own(self, switch):
        """Marks the dispatchers of the switch's function, old ones too, with the ids of all that they may call."""
        record = switch.record
        if record.dispatchers:
            codes = dict(record.codes)
            for table in record.switch.bodies:
                codes.update(table)
            record.codes = codes
        own = _frozenset(record.codes).union(*switch.bodies)
        if "own" in BREAK:
            own |= _frozenset(record.dispatchers)
        for key in record.dispatchers:
            self._mark_dispatcher(key, own)
        switch.own = own

    def _mark_dispatcher(self, key, own):
        self.marks[key] = own
        self.standing.add(key)

    def _install(self, switches):
        for n, switch in enumerate(switches):
            record = switch.record
            if switch.watch:
                records.enlist(record)
                continue
            if switch.function.__code__ is not switch.before.code:
                switch.watch, switch.pick = True, None
                self.foreign.append(switch.function)
                continue
            code = dispatcher.make(switch)
            record.dispatchers[_id(code)] = code
            own = switch.own | _frozenset((_id(code),)) if "own" in BREAK else switch.own
            self._mark_dispatcher(_id(code), own)
            switch.key = _id(code)
            records.enlist(record)
            record.switch = switch                      # from here on its older dispatchers ask this transition
            images.put_code(switch.function, code)
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()

    def _breathe(self):
        if self.breathe is not None:
            self._collect_again()
            self.breathe()
            self._collect_not()

    def _collect_not(self):
        """What we allocate must not make us collect the program's garbage, all of it in a large patch. So collection is off
        within a slice of work; a collection that became due runs where the program allocates."""
        self._collects = _gc_is_on()
        _gc_off()

    def _collect_again(self):
        if self._collects:
            _gc_on()
        self._collects = False

    def _sliced(self, work, *args):
        self._collect_not()
        try:
            return work(*args)
        finally:
            self._collect_again()

    # ----------------------------------------------------------------------------------------------------------- steps

    def install(self):
        """PREPARE. Calls that begin from now on meet dispatchers, which answer version 0."""
        self._expect(PREPARE)
        records.prune(self.breathe)
        self._sliced(self._install, self.switches)

    def quiet(self):
        """Whether no call is left that read a function's code before install() and has no frame yet. Asking is optional:
        start() may come before that, and look() asks by itself (kind 'collection')."""
        if not self._quiet and collection.quiet():
            self._quiet = True
        return self._quiet

    def start(self, goal=1):
        """PREPARE -> RUN."""
        self._expect(PREPARE)
        self.quiet()
        self._flip(RUN, goal)

    def _flip(self, mode, goal):
        state = State(mode, goal, self.strict or not self._quiet)
        self.sel = {}                   # nobody's choice is remembered while the state changes
        self.state = state              # the switch
        self.sel = state.sel

    def reverse(self):
        """RUN or CLEAN -> RUN with the other goal. What was seen before does not count any more."""
        self._expect(RUN, CLEAN)
        self.forced = False
        self._known = {}
        self._flip(RUN, 1 - self.state.goal)

    def force(self):
        """RUN -> CLEAN: dispatchers answer the goal, whoever still runs the other version. It counts as version 0 of the
        next transition."""
        self._expect(RUN, CLEAN)
        if self.state.mode == RUN:
            self.forced = True
            self._flip(CLEAN, self.state.goal)

    def finish(self):
        """CLEAN -> OVER. An attribute or code that the program set during the transition stays as it set it."""
        self._expect(CLEAN)
        self._sliced(self._end)

    def cancel(self):
        """PREPARE -> OVER: the functions hold what they held."""
        self._expect(PREPARE)
        self._flip(CLEAN, 0)
        self._sliced(self._end)

    def _end(self):
        goal = self.state.goal
        for n, switch in enumerate(self.switches):
            record, function = switch.record, switch.function
            if switch.before is switch.after:
                pass
            elif switch.watch:
                if function.__code__ is switch.before.code:
                    images.put(function, switch.after if goal else switch.before, switch.held)
            else:
                if _id(function.__code__) == switch.key:
                    images.put(function, switch.after if goal else switch.before, switch.held)
                elif function.__code__ is not switch.before.code and function.__code__ is not switch.after.code:
                    self.foreign.append(function)
            if self.forced:
                left = dict(record.left)
                left.update(switch.bodies[0] if goal else
                            {k: c for k, c in switch.bodies[1].items() if k not in switch.bodies[0]})
                record.left = left
            elif goal:                      # else it may run on: it counted as what is in force now
                record.left = records.NONE
            if n % FUNCTIONS == FUNCTIONS - 1:
                self._breathe()
        self._flip(OVER, goal)
        self.sel = {}
        records.prune(self._breathe)

    def forget(self):
        """OVER, and nobody will ask any more: what is left over of the transition does not wait in cycles for the program's
        next garbage collection, which may be long in coming (a patch of many functions leaves megabytes)."""
        self._expect(OVER)
        self.switches, self.marks, self.codes, self.standing, self._known = [], {}, {}, _set(), {}
        self.bad = {0: _set(), 1: _set()}

    def add(self, entries):
        """Functions of an object that came. PREPARE, RUN: from now on as the others, and everybody is looked at again.
        CLEAN: they answer the goal. Raises KlpError with nothing changed."""
        self._expect(PREPARE, RUN, CLEAN)
        before = _len(self.switches)
        self._sliced(self._enter, entries)
        state = self.state
        if state.mode == RUN:
            self._quiet = not collection.NEEDS_QUIET or "quiet" in BREAK
            self._flip(RUN, state.goal)     # before the first of them can be called: maybe nothing may be remembered now
        self._sliced(self._install, self.switches[before:])
        if state.mode == RUN:
            self._flip(RUN, state.goal)     # and what was seen while they came in does not count

    def drop(self, functions):
        """Functions of an object that goes. They stay dispatchers until the end, which gives them the goal's image; who
        runs them is looked for as before. Never fails."""

    # ----------------------------------------------------------------------------------------------------------- looks

    def look(self):
        """One round. List of Blocker; []: nobody is in the way, and the transition is CLEAN."""
        if self.state.mode == CLEAN:
            return []
        self._expect(RUN)
        blockers = [] if "noobserve" in BREAK else self._look()
        if not blockers:
            self._flip(CLEAN, self.state.goal)
        return blockers

    def _look(self):
        apart = interpreters.apart()
        if apart:
            return [Blocker("interpreter", 0, "%d sub-interpreters with a lock of their own" % apart)]
        if not self._quiet:
            if not self.quiet():
                return [Blocker(collection.COLLECTING, 0, "garbage collection under way")]
            self._flip(RUN, self.state.goal)
        state, lets = self.state, greenlets()
        if "greenlets" in BREAK:
            lets = None
        suspends = self.suspends and "gens" not in BREAK and "nogens" not in BREAK
        if lets is not None:
            return self._at_a_glance(state) or self._look_at_all(state, lets[0], suspends)
        blockers = self._threads(state, state.seen)
        if greenlets() is not None and "greenlets" not in BREAK:
            return [Blocker("greenlet", 0, greenlet_looks.BORN)]
        if blockers or not suspends:
            return blockers
        return self._suspended(state)

    def _is_clean(self, stack, goal):
        """Whether a stack, ids of codes, has no frame of the other version and no undecided dispatcher."""
        if self.bad[goal].isdisjoint(stack) and self.standing.isdisjoint(stack):
            return True
        above, marks = None, self.marks
        for code in stack:
            mark = marks.get(code)
            if mark is not None:
                if _type(mark) is _int:
                    if mark != goal:
                        return False
                elif above not in mark and "ambig" not in BREAK:
                    return False            # undecided: a version was chosen, we can't know which, or will be
            above = code
        return True

    def _threads(self, state, seen):
        """Looks at the threads not in `seen`, in slices: each needs only its own stack from one moment. Clean ones are added."""
        goal, dirty = state.goal, []
        todo, at, size = [i for i in threads.idents() if i not in seen], 0, 4
        while at < _len(todo):
            part, frames = _tuple(todo[at:at + size]), 0
            for ident, stack in threads.stacks(part):
                frames += _len(stack)
                if self._is_clean(stack, goal):
                    seen.add(ident)         # once clean, never dirty again without something suspended
                else:
                    dirty.append(ident)
            at += size
            size = _max(1, _min(4 * size, FRAMES * _len(part) // _max(frames, 1)))
            if at < _len(todo) and self.breathe is not None:
                self.breathe()
        return [self._name("thread", ident, names_for_people.thread) for ident in dirty]

    def _at_a_glance(self, state):
        """With greenlets about: blockers that are seen without a search of the heap; one is worth it only without them."""
        state.waiting = [r for r in state.waiting if suspended.has_frame(r)]
        return self._threads(state, _set()) + (self._suspects(state.waiting) if state.waiting else [])

    def _look_at_all(self, state, kind, suspends):
        """With greenlets about: all threads, suspended greenlets and suspended objects at one moment, nothing kept."""
        goal, why, found = state.goal, None, ()
        if suspends:
            why, found, stacks = suspended.find(self._old(goal), kind)
        else:
            why, stacks = greenlet_looks.stacks_and_greenlets(kind)
        idents, blockers, lets = _frozenset(threads.idents()), [], []
        for key, stack in stacks:
            if not self._is_clean(stack, goal):
                if key in idents:
                    blockers.append(self._name("thread", key, names_for_people.thread))
                else:
                    lets.append(key)
        blockers += self._greenlets(kind, lets)
        if why is not None:
            blockers.append(Blocker(why if why is not greenlet_looks.BORN else "greenlet", 0, why))
        waiting, unsure = self._judge(state, found)
        state.waiting = waiting
        blockers += self._suspects(waiting)
        if unsure and not blockers:
            return [Blocker("suspended", 0, "something suspended has just ended")]      # who knows what it made: again
        return blockers

    def _greenlets(self, kind, keys):
        """Blockers for dirty greenlets; to name each by a search of its own would take far longer than the look."""
        first = keys[:NAMED]
        new = [key for key in first if not self._fresh("greenlet", key)]
        found = names_for_people.greenlets(kind, new) if new else {}
        blockers = [self._name("greenlet", key, lambda key: found.get(key) or names_for_people.greenlets(kind, [key])[key]) for key in first]
        if _len(keys) > NAMED:
            blockers.append(Blocker("greenlet", 0, "%d more" % (_len(keys) - NAMED)))
        return blockers

    def _old(self, goal):
        return [code for key, code in self.codes.items()
                if code.co_flags & images.SUSPENDS and self.marks.get(key, goal) != goal]

    def _judge(self, state, found):
        """(references to what has a frame, whether something ended in the middle of the look) of a look's references.

        One that ran to its end after the look's one moment may have made others, which that look could not see. So it is
        put down as finished, and only a look in which all finished ones were known to be says that nothing is left.
        """
        waiting, unsure = [], False
        for r in found:
            if _id(r) in state.finished:
                continue
            if suspended.has_frame(r):
                waiting.append(r)
            else:
                state.finished[_id(r)] = r
                unsure = unsure or "finished" not in BREAK
        return waiting, unsure

    def _suspended(self, state):
        waiting = [r for r in state.waiting if suspended.has_frame(r)]       # no need to search before these are gone
        for turn in range(3):
            if waiting:
                break
            why, found, none = suspended.find(self._old(state.goal))
            if why is not None:
                return [Blocker(why, 0, why)]
            waiting, unsure = self._judge(state, found)
            if not waiting and not unsure:
                return []
        state.waiting = waiting
        if not waiting:
            return [Blocker("suspended", 0, "something suspended has just ended")]
        return self._suspects(waiting)

    def _suspects(self, waiting):
        """Blockers for suspended objects, under the names of the asyncio tasks that wait in them."""
        first, now = waiting[:NAMED], self.clock()
        if [r for r in first if _id(r) not in self._owners[1]] or now - self._owners[0] > AGAIN:
            self._owners = now, names_for_people.owners(first, self.breathe)
        owners = self._owners[1]
        found = [self._name("suspended", r, lambda r: names_for_people.suspended(r, owners.get(_id(r)))) for r in first]
        if _len(waiting) > NAMED:
            found.append(Blocker("generator", 0, "%d more" % (_len(waiting) - NAMED)))
        return found

    def _fresh(self, kind, key):
        known = self._known.get((kind, key))
        return known is not None and self.clock() - known[1] < AGAIN

    def _name(self, kind, key, describe):
        """The Blocker for a task: named when it is first seen, and again each half second."""
        now, known = self.clock(), self._known.get((kind, key if _type(key) is _int else _id(key)))
        if known is not None and now - known[1] < AGAIN:
            return known[0]
        blocker = describe(key)
        blocker.since = known[0].since if known is not None else now
        self._known[kind, key if _type(key) is _int else _id(key)] = blocker, now
        return blocker
