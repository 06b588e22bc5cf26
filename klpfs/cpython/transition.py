"""The Python target's transitions: Changes of definitions, made to the function objects that each definition has.

switch/switching.py leads function objects from one image to another; here is which function objects, and which images.
"""
from __future__ import annotations

from klpfs.cpython import interpreters, unfound
from klpfs.cpython.images.image import put
from klpfs.cpython.looks import codes_in_use, hidden, names_for_people
from klpfs.cpython.looks.collection import COLLECTING, FROZEN
from klpfs.cpython.resolve.code_copies import is_watched
from klpfs.cpython.resolve.definitions import alive
from klpfs.cpython.resolve.owners import ALTERED, OWN, Owners, kind_of
from klpfs.cpython.switch import live_dispatchers, out_of_sight, rounds
from klpfs.cpython.switch.choice import CLEAN, OVER, RUN
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from klpfs.engine import target as seam
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err, pr_warn
from klpfs.engine.plain import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import CodeType
    from typing import Any

    from klpfs.cpython.target import PythonTarget


LEFT_ALONE = "was given other code by the program meanwhile, it is left alone"
PUT_BACK = "was given code of before by the program when all else was switched, calls may have run it until now"
KNOWN_BY_CODE = "is known to the program by its code object (a weak reference), which the new code is not"
WRITTEN = "a function object of it has code that a tool has written in its place"


class PythonTransition(seam.TargetTransition):
    """A transition of definitions. Driven by the engine, as TargetTransition says.

    owner: the PythonTarget. switching: the Transition of function objects. before, after: {Definition: Func} in force
    before and after. watched: definitions that the engine named, switched or not. entries: id(function) -> Entry.
    doubts: why the last search for function objects may have missed some (unfound.py). strangers: the definitions of
    which it found function objects with code that is not theirs, each with ALTERED or FOREIGN (resolve/owners.py).
    """

    __slots__ = ("owner", "images", "switching", "before", "after", "watched", "entries", "doubts", "strangers",
                 "_sides", "_named", "_elsewhere", "_unasked")

    def __init__(self, owner: PythonTarget, changes: Iterable[seam.Change]) -> None:
        self.owner, self.images = owner, owner.images
        self.switching: Any = None
        self.before: dict[Any, Any] = dict(self.images.state)
        self.after: dict[Any, Any] = dict(self.images.state)
        self.entries: dict[int, Entry] = {}
        self.watched: set[Any] = set()
        self.doubts: set[str] = set()
        # no function objects: what a closure keeps alive may be what the transition waits for
        self.strangers: set[tuple[Any, str]] = set()
        self._sides: dict[Any, tuple[dict[int, CodeType], dict[int, CodeType]]] = {}    # see _sides_of
        self._elsewhere: set[int] = set()   # ids of definitions named for function objects with other globals
        self._unasked = False       # codes on stacks are not noted: interpreters.apart
        self._named = 0     # how many of switching.foreign were named in the log
        try:
            owner.transition = self     # first: the target's recover() goes by it
            self._take_up(changes)
            entries: list[Entry] = []
            self._find_joining(entries)
            self.switching = Transition(entries, owner.log.clock_us, owner.breathe)
            self.switching.holders, self.switching.dropped = self._holders, self._forget
            self._add_codes()
            self.switching.install()
            self._take_in_copies()
            self._name_known_by_code()
        except BaseException as error:
            self.undo()
            if isinstance(error, KlpError) and error.strerror:
                pr_err(owner.log, error.strerror)
            raise
        self._name_foreign()

    def undo(self) -> None:
        """What was not begun to its end is taken back. It goes on where an exception has cut it off."""
        if self.switching is not None:
            self.switching.cancel()
            self.switching.forget()
        self._leave(list(self.entries.values()))
        self.images.become(dict(self.images.state), scan=False)
        self.owner.transition = None

    def _take_up(self, changes: Iterable[seam.Change]) -> None:
        for change in changes:
            definition: Any = change.definition
            self.before[definition], self.after[definition] = change.before, change.after
            self.watched.add(definition)
            for each in [definition, *definition.chain]:
                self._sides.pop(each, None)
        try:
            self._note_codes_in_use()
        except interpreters.Apart:
            self._unasked = True

    def _concerned(self) -> set[Any]:
        """The definitions that the engine named, and those that they lie in."""
        return {each for definition in self.watched for each in [definition, *definition.chain]}

    def _note_codes_in_use(self) -> None:
        """Copies that something runs, of codes of the definitions, are noted. What is suspended takes a search of the
        heap, which is worth its time only where something of a definition can be. interpreters.Apart: none was."""
        owners = Owners(self.images.registry, self._concerned())
        suspended = codes_in_use.of_suspended(owners.suspends)
        owners.note_in_use(suspended, codes_in_use.on_stacks(), codes_in_use.with_globals)

    def _note_unasked(self) -> bool:
        """Codes in use that could not be noted are noted now. Whether they still can't be: then the transition must be
        blind, and stay so."""
        if self._unasked:
            try:
                self._note_codes_in_use()
            except interpreters.Apart:
                return True
            self._add_codes()
            self._unasked = False
        return False

    def _add_codes(self) -> bool:
        """Codes that were noted have their sides in the transition. Whether any is new there."""
        added = False
        for definition in self._concerned():
            self._update_sides(definition)
            added = self.switching.add_codes(*self._sides_of(definition)) or added
            added = self.switching.add_codes(definition.altered, {}) or added
        return added

    def _update_sides(self, definition: Any) -> None:
        for codes, now in zip(self._sides_of(definition), self.images.sides(definition, self.before, self.after)):
            codes.update(now)

    def _sides_of(self, definition: Any) -> tuple[dict[int, CodeType], dict[int, CodeType]]:
        """The dicts of a definition's older and newer codes, which all its Entries share."""
        if definition not in self._sides:
            self._sides[definition] = self.images.sides(definition, self.before, self.after)
        return self._sides[definition]

    def _find_joining(self, entries: list[Entry]) -> None:
        """Puts into `entries` those of the function objects that are alive and not in the transition yet. What an
        exception cuts off has put there what `_leave` needs."""
        self.doubts, self.strangers = set(), set()
        updated: set[Any] = set()
        for fn, definition in self.images.concerned_functions(self.before, self.after, self.watched, self.doubts,
                                                              self.strangers):
            if id(fn) not in self.entries:
                if definition not in updated:       # the search has noted copies
                    updated.add(definition)
                    self._update_sides(definition)
                self.images.hold(fn, definition)
                before = self.images.image(fn, definition, self.before)
                after = before
                if self.images.key(definition, self.before) != self.images.key(definition, self.after):
                    after = self.images.image(fn, definition, self.after)
                entries.append(Entry(fn, before, after, *self._sides_of(definition)))
                self.entries[id(fn)] = entries[-1]
                self.images.registry.holders[id(fn)] = definition

    def _holders(self) -> list[Any]:
        """What holds codes here: dicts with such values, tuples, objects with a `code`. The constants of code around a
        nested function are such a tuple."""
        found: list[Any] = [self.images.composed]
        for definition in alive():
            found += [definition, definition.originals, definition.made, definition.copies, definition.altered]
        definitions = {id(inner): inner for inner in self.images.registry.holders.values()}
        for definition in definitions.values():
            found += [func.new_code for func in definition.users if func.new_code is not None]
            for outer in definition.chain:
                found += hidden.constants_of([outer.code, *outer.codes()])
        for changed in self.images.changed.values():
            found += [changed.original, changed.newest, *changed.images, *changed.images.values()]
        return found

    def _leave(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.entries.pop(entry.key, None)
            self.images.registry.holders.pop(entry.key, None)

    def _leave_if_not_entered(self, entries: Iterable[Entry]) -> None:
        """The joining of these entries was cut off: the next look lets in what has been entered, and finds the others
        again."""
        entered = {switch.entry.key for switch in self.switching.switches if not switch.gone}
        self._leave([entry for entry in entries if entry.key not in entered])

    def _forget(self, entries: Iterable[Entry]) -> None:
        """The program has dropped the function objects of these entries: others may get their ids."""
        self._leave(entries)
        self.images.forget_dead(entry.key for entry in entries)

    @property
    def goal(self) -> int:  # type: ignore[override]
        return int(self.switching.goal)

    @property
    def running(self) -> bool:  # type: ignore[override]
        return bool(self.switching.mode == RUN)

    @property
    def clean(self) -> bool:  # type: ignore[override]
        return self.switching.mode in (CLEAN, OVER)     # OVER: an exception has cut `finish` off

    def add(self, changes: Iterable[seam.Change]) -> None:
        taken = dict(self.before), dict(self.after), set(self.watched), dict(self._sides), self._unasked
        concerned = self._concerned()
        entries: list[Entry] = []
        try:
            self._take_up(changes)
            if self._unasked and self.switching.chooses:
                raise interpreters.Apart    # what runs of the object's would get the new version from a choice
            self._find_joining(entries)
            self.switching.add(entries)
            self._add_codes()
            self._take_in_copies()
        except BaseException:       # what joined of other modules' stays
            holders = self.images.registry.holders
            others = [entry for entry in entries if holders.get(entry.key) in concerned]
            kept = {entry.key for entry in others}
            coming = [entry for entry in entries if entry.key not in kept]
            self._leave(coming)
            self._leave_if_not_entered(others)
            self.before, self.after, self.watched, self._sides, self._unasked = taken
            self.switching.take_back({entry.key for entry in coming})
            raise
        self._name_foreign()

    def _name_known_by_code(self) -> None:
        """Names, in the log, functions that get new code and whose code objects the program has weak references to: a
        map of marks by code objects (trio's protection from KeyboardInterrupt) says nothing of the new ones."""
        named = set()
        for entry in self.entries.values():
            definition = self.images.registry.holders.get(entry.key)
            if definition is not None and definition not in named and entry.before.code is not entry.after.code and (
                    is_watched(entry.before.code)):
                named.add(definition)
                pr_warn(self.owner.log, f"{definition.title} {KNOWN_BY_CODE}")

    def _take_back_copies(self, goal: int) -> None:
        """Functions that were left alone for a copy of their own code, which has come in the last moment (a decorator
        of another thread's), get what is in force."""
        foreign = self.switching.foreign
        for fn in foreign[self._named:]:
            definition, entry = self.images.registry.holders.get(id(fn)), self.entries.get(id(fn))
            if definition is not None and entry is not None and \
                    kind_of(self.images.registry, definition, fn.__code__) is OWN:
                put(fn, *((entry.after, entry.before) if goal else (entry.before, entry.after)))
                foreign.remove(fn)

    def _name_foreign(self) -> None:
        """Names, in the log, functions to which the program itself has given other code meanwhile: they are left
        alone, but where that code was a copy of klpfs's own."""
        for fn in self.switching.foreign[self._named:]:
            definition = self.images.registry.holders.get(id(fn))
            if definition is not None:
                pr_warn(self.owner.log, f"{definition.title} {LEFT_ALONE}")
        self._named = len(self.switching.foreign)
        while self.switching.put_back:
            definition = self.images.registry.holders.get(id(self.switching.put_back.pop()))
            if definition is not None:
                pr_warn(self.owner.log, f"{definition.title} {PUT_BACK}")
        while self.switching.copied:
            fn = self.switching.copied.pop()
            definition = self.images.registry.holders.get(id(fn))
            name = plain_text(fn.__qualname__) if definition is None else definition.title
            pr_warn(self.owner.log, f"{name} was given code that the transition had made, "
                                    "it has code of its own again")

    def drop(self, definitions: Collection[Any]) -> None:
        leaving = [entry for entry in list(self.entries.values())
                   if self.images.registry.holders.get(entry.key) in definitions]
        state = self.after if self.switching.started and self.switching.goal else self.before
        for definition in definitions:
            self.images.put_state(definition, state.get(definition))
            self.before.pop(definition, None)
            self.after.pop(definition, None)
            self.watched.discard(definition)
        self.switching.leave({entry.key for entry in leaving})
        self._leave(leaving)

    def start(self, goal: int) -> None:
        self.switching.start(goal, self._note_unasked())

    def reverse(self) -> None:
        if self._may_miss():
            self.join()         # or inner functions of the side that was the goal would have no dispatcher
        self.switching.reverse(self._note_unasked())

    def look(self) -> list[seam.Blocker]:
        if self.switching.forced and self._may_miss():
            self.join()         # what was made up to the force
        if self.running and self._note_unasked():
            return [rounds.apart()]
        return self.switching.look(self._missed)        # type: ignore[no-any-return]

    def _may_miss(self) -> bool:
        """Whether function objects may have been made meanwhile that nothing but a search finds."""
        return bool(self.doubts or self.strangers or self.images.has_nested(self.after) or not out_of_sight.counts())

    def _missed(self) -> list[seam.Blocker]:
        """Blockers for function objects that are not in the transition, asked for when no task is in the way. Those
        that were made meanwhile join: closures, by code that was not clean then; by bodies, of which none need be left
        to be seen; what else the count of references tells (_unfound). So do copies of codes that are in use, and with
        them all tasks are looked at again."""
        written = self._judge_strangers()
        again = self._may_miss() and self._join()[1]
        written |= {definition for definition, kind in self.strangers if kind is ALTERED}
        if not written or not self.switching.goal:      # what a tool has written counts as old
            self._note_codes_in_use()
            written = set()
        if self._add_codes() or again:          # behind the searches, which note some
            return []
        return [seam.Blocker("code", 0, f"{title}: {WRITTEN}")
                for title in sorted({definition.title for definition in written})] or self._unfound()

    def _take_in_copies(self) -> bool:
        """Functions that a tool has given a copy of their own code since they were found get their dispatchers. Whether
        any did."""
        left_out = self.switching.left_out()
        if not left_out:
            return False
        self._judge(left_out)
        self._add_codes()
        return bool(self.switching.put_again())

    def _judge_strangers(self) -> set[Any]:
        """_judge of those that the last look has found."""
        return self._judge(self.switching.strangers)

    def _judge(self, switches: Iterable[Any]) -> set[Any]:
        """The definitions of functions in the transition to which a tool has given code that it has written in the
        place of theirs. Copies that a tool has given them have a side from here on."""
        written = set()
        for switch in switches:
            definition, code = self.images.registry.holders.get(switch.entry.key), switch.function.__code__
            if definition is None:
                continue
            if kind_of(self.images.registry, definition, code) is ALTERED:
                written.add(definition)
        return written

    def _unfound(self) -> list[seam.Blocker]:
        """Blockers for function objects that the search may have missed. Those that were made meanwhile join; those
        with other globals are named in the log."""
        if COLLECTING in self.doubts:
            return [seam.Blocker(COLLECTING, 0, "garbage collection under way")]
        codes = self.switching.sliced(unfound.codes, self.switching)
        if FROZEN in self.doubts:
            why = "function objects of it that gc.freeze() hides may be left, gc.unfreeze() shows them"
            return [seam.Blocker(FROZEN, 0, f"{names_for_people.function_name(code)}: {why}") for code in codes]
        made_meanwhile = False
        for fn in unfound.elsewhere(codes) if codes else ():
            definition = self.images.registry.by_code.get(id(fn.__code__))
            if definition is not None and any(fn.__globals__ is space for space in definition.namespaces):
                made_meanwhile = True
            elif definition is not None and id(definition) not in self._elsewhere:
                self._elsewhere.add(id(definition))
                name = plain_text(fn.__globals__.get("__name__", "?"))
                pr_warn(self.owner.log, f"{definition.title} is alive with the globals of another module, too "
                                        f"('{name}'), there it is left alone")
        if made_meanwhile:
            self.join()
        return []

    def join(self) -> bool:
        """Function objects that were made meanwhile join. Whether any did."""
        return self._join()[0]

    def _join(self) -> tuple[bool, bool]:
        """(whether function objects that were made meanwhile have joined, whether tasks are looked at again)."""
        entries: list[Entry] = []
        again = False
        try:
            self._find_joining(entries)
            if entries:
                again = self.switching.join(entries)
                again = self._take_in_copies() or again
        except BaseException:
            self._leave_if_not_entered(entries)
            raise
        if entries:
            self._name_foreign()
        return bool(entries), again

    def force(self) -> None:
        self.switching.force()

    def finish(self) -> None:
        if self.switching.mode == CLEAN:
            self.switching.look()       # nobody's code is left behind that has come since
            self._judge_strangers()
            for definition in self._concerned():
                self._update_sides(definition)
        self.switching.finish()
        self._end(self.after if self.switching.goal else self.before, self.switching.goal)

    def cancel(self) -> None:
        self.switching.cancel()
        self._end(self.before, 0)

    def _end(self, state: dict[Any, Any], goal: int) -> None:
        """The transition is over, and `state` is in force. Counterpart: __init__."""
        self._take_back_copies(goal)
        self._name_foreign()
        for title in sorted({definition.title for definition, _ in self.strangers}):
            pr_warn(self.owner.log, f"{title} {LEFT_ALONE}")
        for entry in self.entries.values():
            self.images.note_put(entry.fn, entry.after if goal else entry.before)
        self._leave(list(self.entries.values()))
        self.strangers = set()
        self.switching.forget()
        self._sides = {}
        self.owner.transition = None
        self.images.become(state)
        self.images.registry.forget_copies(live_dispatchers.alone)
