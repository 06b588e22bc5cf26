"""Tools for tests, of klpfs and of patches: a target whose tasks a test moves by hand, a manual clock, a sequencer.

PuppetTarget implements klpfs/engine/target.py, by docs/DESIGN.md#6, on a make-believe program: modules are
names of functions, a task is a list of frames, a call is one atomic step. Nothing happens unless the test says so.

>>> target = PuppetTarget({None: ["f", "g"]})
>>> task = target.spawn("worker")
>>> target.call_function(task, "f")
'f original'
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from errno import EINVAL
from typing import Any

from klpfs.engine.data import COMING, LIVE, Func, Mod, Object
from klpfs.engine.error import KlpError
from klpfs.engine.names import NULL
from klpfs.engine.patch import patch_of
from klpfs.engine.target import (
    CLEAN,
    OVER,
    PREPARE,
    RUN,
    Blocker,
    Change,
    Target,
    TargetTransition,
)

Definition = Any            # (module, its incarnation, function, position)


class ManualClock:
    """A clock that the test moves. Call it for the time in microseconds.

    >>> clock = ManualClock()
    >>> clock.advance(5)
    >>> clock()
    5
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, microseconds: int) -> None:
        self.now += microseconds


class Sequencer:
    """Makes blocks of code in several threads run in a given order: `with seq(0): ...` in one thread, `with seq(1):
    ...` in another thread. Each number once; a block whose turn does not come in `timeout` seconds raises
    TimeoutError."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self._next = 0
        self._taken: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, number: int) -> _Turn:
        return _Turn(self, number)


class _Turn:
    def __init__(self, sequencer: Sequencer, number: int) -> None:
        self.sequencer, self.number = sequencer, number

    def __enter__(self) -> None:
        seq = self.sequencer
        with seq._changed:
            if self.number in seq._taken:
                raise ValueError("turn %d is taken twice" % self.number)
            seq._taken.add(self.number)
            if not seq._changed.wait_for(lambda: seq._next == self.number, seq.timeout):
                raise TimeoutError("turn %d did not come: %d is still awaited" % (self.number, seq._next))

    def __exit__(self, *exc: object) -> None:
        with self.sequencer._changed:
            self.sequencer._next += 1
            self.sequencer._changed.notify_all()


class Frame:
    """A frame of a function: definition, code (a Func, or None for the original). bottom: it was resumed here, so
    its version is its own, not its caller's."""

    __slots__ = ("definition", "code", "bottom")

    def __init__(self, definition: Definition, code: Func | None, bottom: bool = False) -> None:
        self.definition, self.code, self.bottom = definition, code, bottom


class Task:
    """A task of the make-believe program; frames: innermost last."""

    __slots__ = ("id", "name", "frames")

    def __init__(self, id: int, name: str) -> None:
        self.id, self.name = id, name
        self.frames: list[Frame] = []


def _code(func: Func | None) -> Func | None:
    return None if func is not None and func.nop else func


class PuppetTarget(Target):
    """modules: {name (None: the main program): function names}; a name twice in a list: two positions of it. known: the
    same, of modules that are not loaded yet.

    A definition is (module, incarnation of the module, function, position). image: what each function object holds now;
    live: Funcs that were resolved and not released. waiting: names of modules that are there and count as not loaded (a
    main program whose definitions have not come). faults: {method name: errno}: the next call of `resolve`, `begin`,
    `add` or `apply` fails with it.
    """

    def __init__(self, modules: Mapping[str | None, Iterable[str]],
                 known: Mapping[str | None, Iterable[str]] = {}) -> None:
        self.sources = {name: list(functions) for name, functions in {**modules, **known}.items()}
        self.mods: dict[str | None, Mod] = {}
        self.waiting: set[str | None] = set()
        self.incarnation = 0
        self.image: dict[Definition, Func | None] = {}
        self.live: list[Func] = []
        self.transition: PuppetTransition | None = None
        self.tasks: list[Task] = []
        self.suspended: list[Frame] = []
        self.next_id = 1
        self.faults: dict[str, int] = {}
        self.rules: set[str] = set()  # names of rules switched off: 'nearest', 'look', 'suspended'
        for name in modules:
            self.load(name)
            if self.mods[name] is not None:
                self.mods[name].state = LIVE

    # ---- the program, moved by the test ----

    def load(self, name: str | None, functions: Iterable[str] | None = None) -> None:
        """Makes a module exist, as an import does before the engine is told that it comes."""
        if functions is not None:
            self.sources[name] = list(functions)
        self.incarnation += 1
        self.mods[name] = Mod(name or "__main__", COMING)
        for definition in self.definitions(name):
            self.image[definition] = None

    def unload(self, name: str | None) -> None:
        """Makes it gone, after the engine was told that it goes."""
        for definition in self.definitions(name):
            del self.image[definition]
        del self.mods[name]

    def definitions(self, name: str | None) -> list[Definition]:
        found = [d for d in self.image if d[0] == name]
        if found:
            return found
        functions = self.sources[name]
        return [(name, self.incarnation, function, functions[:n].count(function) + 1)
                for n, function in enumerate(functions)]

    def spawn(self, name: str = "task") -> Task:
        task = Task(self.next_id, name)
        self.next_id += 1
        self.tasks.append(task)
        return task

    def exit(self, task: Task) -> None:
        self.tasks.remove(task)

    def find(self, function: str, module: str | None = None, position: int = 1) -> Definition:
        for definition in self.image:
            if (definition[0], definition[2], definition[3]) == (module, function, position):
                return definition
        raise KeyError(function)

    def choose(self, task: Task, definition: Definition) -> Func | None:
        """The code that a call of `definition` by task runs (docs/DESIGN.md#6, Choice)."""
        transition = self.transition
        change = transition.changes.get(definition) if transition is not None else None
        if transition is None or change is None or change.before is change.after:
            return self.image[definition]
        version = transition.goal
        if transition.phase == PREPARE:
            version = 0
        elif transition.phase == RUN and "nearest" not in self.rules:
            for frame in reversed(task.frames):
                own = transition.version(frame)
                if own is not None:
                    version = own
                    break
        return _code(change.after if version else change.before)

    def call_function(self, task: Task, function: str, module: str | None = None, position: int = 1) -> str:
        """task calls a function; returns the function's answer: 'f original', 'f by PATCH'."""
        definition = self.find(function, module, position)
        code = self.choose(task, definition)
        task.frames.append(Frame(definition, code))
        return self.text(definition, code)

    def value(self, function: str, module: str | None = None, position: int = 1) -> str:
        """The text that a call from a new task would return."""
        definition = self.find(function, module, position)
        return self.text(definition, self.choose(Task(0, "new"), definition))

    @staticmethod
    def text(definition: Definition, code: Func | None) -> str:
        return f"{definition[2]} {'original' if code is None else f'by {patch_of(code.obj).name}'}"

    def leave(self, task: Task) -> None:
        """task returns from its innermost function."""
        task.frames.pop()

    def suspend(self, task: Task) -> Frame:
        """task's innermost function is a generator that yields: its frame is kept, on nobody's stack."""
        frame = task.frames.pop()
        self.suspended.append(frame)
        return frame

    def resume(self, task: Task, frame: Frame) -> None:
        self.suspended.remove(frame)
        frame.bottom = True
        task.frames.append(frame)

    # ---- what the engine asks ----

    def _fault(self, name: str, func: Func | None = None) -> None:
        code = self.faults.pop(name, None)
        if code is not None:
            raise KlpError(code, "fault in " + name, func)

    def loaded(self, name: str | None) -> Mod | None:
        return self.mods.get(name) if name not in self.waiting else None

    def resolve(self, obj: Object, func: Func) -> None:
        self._fault("resolve", func)
        found = [d for d in self.image if d[0] == obj.name and d[2] == func.old_name]
        if not found:
            raise KlpError(EINVAL, "symbol '%s' not found in symbol table" % func.old_name, func)
        if func.old_sympos == 0 and len(found) > 1:
            text = "unresolvable ambiguity for symbol '%s' in object '%s'" % (func.old_name, obj.name or NULL)
            raise KlpError(EINVAL, text, func)
        if func.old_sympos > len(found):
            text = "symbol position %d for symbol '%s' in object '%s' not found"
            raise KlpError(EINVAL, text % (func.old_sympos, func.old_name, obj.shown), func)
        func.definition = found[max(func.old_sympos, 1) - 1]
        func.new_code = "code of " + func.old_name
        assert func not in self.live, "resolved twice: %r" % func
        self.live.append(func)

    def resolve_nop(self, obj: Object, func: Func, like: Func) -> None:
        self._fault("resolve_nop", func)
        assert like.definition in self.image, "a nop for a definition that is gone"
        func.definition = like.definition
        func.new_code = "original"
        self.live.append(func)

    def release(self, func: Func) -> None:
        assert func in self.live, "released twice, or never resolved: %r" % func
        self.live.remove(func)

    def begin(self, changes: Sequence[Change]) -> PuppetTransition:
        assert self.transition is None, "a transition within a transition"
        self._fault("begin", changes[0].after if changes else None)
        self.transition = PuppetTransition(self)
        self.transition._take(changes)
        return self.transition

    def apply(self, changes: Sequence[Change]) -> None:
        self._fault("apply", changes[0].after if changes else None)
        for change in changes:
            self._check_free(change)
            assert self.image[change.definition] is _code(change.before), "apply over something else"
            self.image[change.definition] = _code(change.after)

    def revert(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._check_free(change)
            self.image[change.definition] = _code(change.before)

    def _check_free(self, change: Change) -> None:
        assert self.transition is None or change.definition not in self.transition.changes, (
            "changed behind a transition's back")

    def call(self, callback: Callable[[Object], Any], obj: Object) -> int:
        try:
            result = callback(obj)
        except OSError as error:
            return -(error.errno or EINVAL)
        except Exception:
            return -EINVAL
        return result if isinstance(result, int) and result < 0 else 0


class PuppetTransition(TargetTransition):
    """phase: the mode, of klpfs.engine.target.MODES."""

    def __init__(self, target: PuppetTarget) -> None:
        self.target, self.phase, self.goal = target, PREPARE, 1
        self.changes: dict[Any, Change] = {}

    @property
    def clean(self) -> bool:  # type: ignore[override]
        return self.phase in (CLEAN, OVER)      # OVER: an exception has cut off what follows `finish`

    def version(self, frame: Frame) -> int | None:
        """0 or 1 for a frame of a function under transition, None for any other."""
        change = self.changes.get(frame.definition)
        if change is None:
            return None
        if frame.code in [_code(func) for func in change.older]:
            return 0
        if change.before is change.after or frame.code not in (_code(change.before), _code(change.after)):
            return None
        # original -> nop: the same code, and 0 as it began
        return int(frame.code is _code(change.after) and frame.code is not _code(change.before))

    def _take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            assert self.target.image[change.definition] is _code(change.before), "begins at something else"
            assert change.definition not in self.changes, "in the transition already"
        for change in changes:
            self.changes[change.definition] = change

    def add(self, changes: Sequence[Change]) -> None:
        assert self.phase != OVER
        self.target._fault("add", changes[0].after if changes else None)
        self._take(changes)

    def drop(self, definitions: Sequence[Any]) -> None:
        assert self.phase != OVER
        for definition in definitions:
            self._image(self.changes.pop(definition))

    def start(self, goal: int) -> None:
        assert self.phase == PREPARE
        self.phase, self.goal = RUN, goal

    def reverse(self) -> None:
        assert self.phase in (RUN, CLEAN)
        self.phase, self.goal = RUN, 1 - self.goal

    def look(self) -> list[Blocker]:
        assert self.phase == RUN
        blockers = []
        for task in self.target.tasks:
            frames = [frame for frame in task.frames if self._dirty(frame)]
            if frames and "look" not in self.target.rules:
                names = [f"{frame.definition[0]}:{frame.definition[3]} {frame.definition[2]}"
                         for frame in reversed(task.frames)]
                blockers.append(Blocker("thread", task.id, task.name, names))
        for frame in self.target.suspended:
            if self._dirty(frame) and "suspended" not in self.target.rules:
                blockers.append(Blocker("generator", id(frame), frame.definition[2], [frame.definition[2]]))
        if not blockers:
            self.phase = CLEAN
        return blockers

    def _dirty(self, frame: Frame) -> bool:
        version = self.version(frame)
        return version is not None and version != self.goal

    def force(self) -> None:
        assert self.phase == RUN
        self.phase = CLEAN

    def finish(self) -> None:
        assert self.phase in (CLEAN, OVER)
        if self.phase == CLEAN:
            self._over()

    def cancel(self) -> None:
        assert self.phase == PREPARE
        self._over()

    def _over(self) -> None:
        for change in self.changes.values():
            self._image(change)
        self.phase = OVER
        self.target.transition = None

    def _image(self, change: Change) -> None:
        goal = 0 if self.phase == PREPARE else self.goal
        self.target.image[change.definition] = _code(change.after if goal else change.before)
