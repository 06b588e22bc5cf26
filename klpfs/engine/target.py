"""What the engine needs of that which it patches: the only seam between them (as arch/ and ftrace are to the kernel's).

The engine knows tasks and functions through this alone. klpfs/cpython implements it for CPython, klpfs/testing.py
for tests. All methods are called by whoever drives the engine, one at a time; only `call` runs foreign code, and while
it does no lock of klpfs may be held, so coming and going may be called by other threads then.

Versions, goals and directions
    A transition is made of Changes. Of each changed function, version 0 is Change.before, what was in force when the
    transition began, and every older code of the function that may still run (Change.older). Version 1 is
    Change.after, what is in force once the transition has completed. Both are absolute: a reversal exchanges the goal
    only, never the numbers. `before is after` (the func of a disabled patch lies in the middle of its stack): nothing
    is switched; frames of `older` are version 0, those of the function's code in force have no version, as they fit
    both.

    goal 1 leads to `after`, goal 0 back to `before`. So for a patching transition goal 1 is "patched", and for an
    unpatching one goal 1 is "unpatched". The engine's direction (1 patching, 0 unpatching; klp_target_state) is
    translated to a goal in one place, engine/transition.py: Transition.goal_of.

    A Func with .nop set, and None, both mean the function's original code.
"""


class Change:
    """One function under transition.

    definition: as in Func.definition. before, after: the Func in force before and after, None for the original code.
    older: tuple of other Funcs of that function (None: the original) whose code may still run, left by a force.
    """

    __slots__ = ("definition", "before", "after", "older")

    def __init__(self, definition, before, after, older=()):
        self.definition, self.before, self.after, self.older = definition, before, after, tuple(older)

    def __repr__(self):
        return "Change(%r, %r -> %r%s)" % (self.definition, self.before, self.after,
                                           ", older %r" % (self.older,) if self.older else "")


class Blocker:
    """Who keeps a transition pending.

    kind: 'thread', 'task' (asyncio), 'greenlet', 'generator', 'collection' (garbage collection under way), 'frozen heap'
    and so on. task: thread id or id() of the object, int. name: str. frames: list of 'file:line function', innermost
    first. since: when it was first seen in the way, CLOCK_MONOTONIC microseconds, or None.
    """

    __slots__ = ("kind", "task", "name", "frames", "since")

    def __init__(self, kind, task, name, frames=(), since=None):
        self.kind, self.task, self.name, self.frames, self.since = kind, task, name, list(frames), since

    def __repr__(self):
        return "<Blocker %s %s %s>" % (self.kind, self.name, self.frames[:1])


class TargetTransition:
    """What Target.begin returns. PREPARE -> RUN -> CLEAN -> over; a reversal leads from CLEAN back to RUN."""

    goal = 1       # 0 or 1; means nothing before start
    clean = False  # every task was seen clean; all dispatchers answer the goal; still reversible

    def add(self, changes):
        """A module came, whose code does not run yet: its functions, in which `before` is in force, join as
        dispatchers at once, which answer what those of the others do.

        In any phase. Raises KlpError with nothing changed.
        """
        raise NotImplementedError

    def drop(self, definitions):
        """A module goes: its functions leave. They get their image of the goal (of `before` in PREPARE). Never fails."""
        raise NotImplementedError

    def start(self, goal):
        """PREPARE -> RUN, one store. goal is 1, or 0 for a process that begins late in a reversed transition."""
        raise NotImplementedError

    def reverse(self):
        """RUN or CLEAN -> RUN with goal 1 - goal, one store."""
        raise NotImplementedError

    def look(self):
        """One round of looking for tasks that are not clean, in RUN. Returns list of Blocker; []: now CLEAN."""
        raise NotImplementedError

    def force(self):
        """RUN -> CLEAN without looking."""
        raise NotImplementedError

    def finish(self):
        """CLEAN -> over: the goal's images in place, one by one. Never fails."""
        raise NotImplementedError

    def cancel(self):
        """PREPARE -> over: everything as before. Never fails."""
        raise NotImplementedError


class Target:
    """What is patched. Abstract."""

    def loaded(self, name):
        """The Mod of the module called `name`, None if it is not loaded (half imported counts as not).

        name None: the main program; a Mod when this process's main is it.
        """
        raise NotImplementedError

    def resolve(self, obj, func):
        """Finds what func replaces, in the loaded object obj: fills func.definition and func.version; not those of an optional
        func that is not there.

        Logs one line and raises KlpError: EINVAL (not found, ambiguous, no such position, cannot be replaced), ENOEXEC
        (the fingerprint disagrees), ENOENT (an unresolved symbol in the new code).
        """
        raise NotImplementedError

    def resolve_nop(self, obj, func, like):
        """As resolve, for the nop func, which stands for the definition of Func `like`: its code is the original."""
        raise NotImplementedError

    def release(self, func):
        """Drops what resolve made. func's code runs nowhere any more, or goes with its module."""
        raise NotImplementedError

    def begin(self, changes):
        """PREPARE: dispatchers in place, all answer version 0. Returns a TargetTransition.

        Raises KlpError with nothing changed; its `func` names the Func at fault if one is.
        """
        raise NotImplementedError

    def apply(self, changes):
        """Outside a transition, a module that comes (or a process that joins): `after` images at once.

        Raises KlpError with nothing changed.
        """
        raise NotImplementedError

    def revert(self, changes):
        """Outside a transition, a module that goes or a patch that is dropped: `before` images at once. Never fails."""
        raise NotImplementedError

    def call(self, callback, obj):
        """Calls callback(obj), foreign code; returns 0 or a negative errno.

        What it raises is logged by the target's owner, and becomes -EINVAL, an OSError its own -errno. A result that is
        not a negative int counts as 0.
        """
        raise NotImplementedError
