"""Exhaustive exploration of the engine: every order of steps of small worlds, breadth first, states hashed.

    python -m tests.engine.explore               all scenarios, as the test suite runs them
    python -m tests.engine.explore DEPTH         deeper: no limit on the number of states
    python -m tests.engine.explore DEPTH NAME    one scenario
"""
import pickle
import sys
import time
from collections import deque

from tests.engine.checks import Violation
from tests.engine.world import Spec, World

MAIN = None


class Failed(AssertionError):
    """A sequence of steps, the shortest that there is, after which something is not as it must be."""

    def __init__(self, scenario, path, reason):
        AssertionError.__init__(self, "%s: after\n    %s\n%s" % (scenario, "\n    ".join(map(repr, path)), reason))
        self.path, self.reason = path, reason


class Scenario:
    """A first world, and which kinds of steps are tried in it."""

    def __init__(self, name, specs, modules, loaded, steps, tasks=0, depth=2, suspended=1, forces=1):
        self.forces = forces  # as many codes may be left behind by forces before the next one
        self.name, self.specs, self.modules, self.loaded = name, specs, modules, loaded
        self.steps, self.tasks, self.depth, self.suspended = set(steps.split()), tasks, depth, suspended

    def world(self, rules=()):
        return World(self.specs, self.modules, self.loaded, self.tasks, self.depth, rules)

    def ops(self, world):
        """Every step that may be taken now."""
        for op in self._ops_of_engine(world):
            if op[0] in self.steps:
                yield op
        for op in self._ops_of_tasks(world):
            if op[0] in self.steps:
                yield op

    def _ops_of_engine(self, world):
        yield from self._arrival(world)
        if world.arriving:
            return
        pending = world.pending
        moving = [m for m in world.modules if m is not MAIN]
        there = [m for m in moving if world.loaded(m)]
        away = [m for m in moving if not world.loaded(m)]
        if pending is None:
            for name in world.specs:
                if name not in world.order:
                    yield ("enable", name)
                    for inner in self._nested(world, there, away):
                        yield ("nested", inner, ("enable", name))
                    yield from self._faults(world, name)
            yield from self._joins(world)
            for name in world.order:
                yield ("disable", name)
                if "turned" in self.steps:
                    yield ("disable", name, 1)
                for inner in self._nested(world, there, away):
                    yield ("nested", inner, ("disable", name))
        elif not pending["started"]:
            yield ("start",)
            yield ("cancel",)
            if "turned" in self.steps:
                yield ("start_turned",)
            for inner in self._nested(world, there, away):
                yield ("nested", inner, ("cancel",))
        else:
            yield ("reverse",)
            if world.engine.transition.clean:
                yield ("finish",)
                for inner in self._nested(world, there, away):
                    yield ("nested", inner, ("finish",))
            else:
                yield ("look",)
                if sum(len(stack.leftover) for stack in world.engine.stacks.table.values()) < self.forces:
                    yield ("force",)
        for name in away:
            yield ("coming", name)
            if "fault" in self.steps:
                yield from self._coming_faults(world, name)
        for name in there:
            if not any(frame.definition[0] == name for frame in world.frames()):
                yield ("going", name)

    def _arrival(self, world):
        if world.arriving:
            yield ("look_arrival",)
            yield ("force_arrival",)
            if world.engine.arrival.clean:
                yield ("finish_arrival",)
        elif MAIN not in world.target.mods:
            yield ("define",)
        elif MAIN in world.target.waiting and world.pending is None:
            yield ("arrive",)
            having = [name for name in world.order if MAIN in world.specs[name].objects]
            for name in having:
                yield ("arrive", ("pre_patch", name))
            if having:
                yield ("arrive", ("resolve", having[0]))
                yield ("arrive", "begin")

    def _joins(self, world):
        if sum(len(stack.leftover) for stack in world.engine.stacks.table.values()) >= self.forces:
            return
        for name, spec in world.specs.items():
            yield ("outcome", name, 0)
            yield ("outcome", name, 1)
            if name in world.order:
                yield ("drop", name)
                continue
            # the journal has nothing below a patch that replaces
            lowest = max([0] + [n + 1 for n, other in enumerate(world.order) if world.specs[other].replace])
            for place in range(lowest, len(world.order) + 1) if not spec.replace else [0] * (not lowest):
                yield ("join", name, place)
            objects = [obj for obj in spec.objects if world.loaded(obj)]
            for fault in [("pre_patch", obj) for obj in objects] + [("apply",)] * bool(objects):
                yield ("join_fails", name, fault)
            if any(spec.objects[obj] for obj in objects):
                yield ("join_fails", name, ("resolve",))

    def _nested(self, world, there, away):
        if "nested" in self.steps and not world.frames():
            for name in there:
                yield ("going", name)
            for name in away:
                yield ("coming", name)

    def _faults(self, world, name):
        if "fault" not in self.steps:
            return
        objects = [obj for obj in world.specs[name].objects if world.loaded(obj)]
        yield ("enable", name, "begin")
        having = [obj for obj in objects if world.specs[name].objects[obj]]
        if having:
            yield ("enable", name, "resolve")
            if not world.order and having[0] == objects[0]:
                yield ("enable", name, "ftrace")
        for obj in objects:
            yield ("enable", name, ("pre_patch", obj))

    def _coming_faults(self, world, name):
        having = [p for p in world.order if name in world.specs[p].objects]
        at_once = [p for p in having if not (world.pending and world.pending["name"] == p)]
        for refuse in (True, False):
            for patch in having:
                yield ("coming", name, ("pre_patch", patch), refuse)
            if having and world.specs[having[0]].objects[name]:
                yield ("coming", name, ("resolve", having[0]), refuse)
            if having and at_once and at_once[0] == having[0]:
                yield ("coming", name, ("apply", having[0]), refuse)
            if world.pending and world.pending["name"] in having:
                yield ("coming", name, ("add", world.pending["name"]), refuse)

    def _ops_of_tasks(self, world):
        seen = set()
        for number, task in enumerate(world.target.tasks):
            shape = tuple((frame.definition, id(frame.code), frame.bottom) for frame in task.frames)
            if shape in seen:
                continue  # another task is just like this one
            seen.add(shape)
            if len(task.frames) < self.depth:
                for module in world.target.mods:
                    for function in world.modules[module]:
                        yield ("call", number, function, module)
                for which in range(len(world.target.suspended)):
                    yield ("resume", number, which)
            if task.frames:
                yield ("leave", number)
                if len(world.target.suspended) < self.suspended:
                    yield ("suspend", number)
            elif len(world.target.tasks) > 1:
                yield ("exit", number)
        if len(world.target.tasks) < self.tasks:
            yield ("spawn",)


ENGINE = "enable start cancel disable reverse look force finish"
SCENARIOS = [
    Scenario(
        "one task",
        [Spec("A", {MAIN: ["f", "g"]})],
        {MAIN: ["f", "g"]},
        [MAIN],
        ENGINE + " turned start_turned call leave",
        tasks=1,
    ),
    Scenario(
        "two tasks",
        [Spec("A", {MAIN: ["f", "g"]})],
        {MAIN: ["f", "g", "h"]},
        [MAIN],
        ENGINE + " call leave spawn exit",
        tasks=2,
    ),
    Scenario(
        "stacked",
        [Spec("A", {MAIN: ["f", "g"]}), Spec("B", {MAIN: ["f"]})],
        {MAIN: ["f", "g"]},
        [MAIN],
        ENGINE + " call leave",
        tasks=1,
    ),
    Scenario(
        "replace",
        [Spec("A", {MAIN: ["f"]}), Spec("R", {MAIN: ["g"]}, replace=True)],
        {MAIN: ["f", "g"]},
        [MAIN],
        ENGINE + " call leave",
        tasks=1,
    ),
    Scenario(
        "suspended",
        [Spec("A", {MAIN: ["f"]}), Spec("B", {MAIN: ["f"]})],
        {MAIN: ["f"]},
        [MAIN],
        ENGINE + " call leave suspend resume",
        tasks=1,
    ),
    Scenario(
        "modules",
        [
            Spec("A", {MAIN: ["f"], "m": ["h"]}),
            Spec("B", {"m": ["h", "i"]}),
            Spec("R", {MAIN: ["f"], "n": ["k"]}, replace=True),
        ],
        {MAIN: ["f"], "m": ["h", "i"], "n": ["k"]},
        [MAIN, "m"],
        ENGINE + " turned start_turned coming going",
    ),
    Scenario(
        "module with a task",
        [Spec("A", {"m": ["h"]}), Spec("R", {MAIN: ["f"]}, replace=True)],
        {MAIN: ["f"], "m": ["h"]},
        [MAIN],
        ENGINE + " coming going call leave",
        tasks=1,
    ),
    Scenario(
        "joining",
        [Spec("A", {MAIN: ["f", "g"]}), Spec("B", {MAIN: ["f"]}), Spec("R", {MAIN: ["g"]}, replace=True)],
        {MAIN: ["f", "g"]},
        [MAIN],
        "enable start look finish disable join join_fails drop outcome call leave",
        tasks=1,
    ),
    Scenario(
        "arriving",
        [Spec("A", {MAIN: ["f", "g"]}), Spec("B", {MAIN: ["f"]}), Spec("R", {MAIN: ["g"]}, replace=True)],
        {MAIN: ["f", "g"]},
        [],
        "define arrive look_arrival force_arrival finish_arrival enable start look finish disable join drop call leave",
        tasks=1,
    ),
    Scenario(
        "faults",
        [
            Spec("A", {MAIN: ["f"], "m": ["h"]}),
            Spec("B", {"m": ["h"], MAIN: ["f"]}),
            Spec("R", {"m": ["i"]}, replace=True),
        ],
        {MAIN: ["f"], "m": ["h", "i"]},
        [MAIN],
        ENGINE + " coming going fault",
    ),
    Scenario(
        "nested",
        [Spec("A", {"m": ["h"], MAIN: ["f"], "n": ["k"]}), Spec("R", {MAIN: ["f"]}, replace=True)],
        {MAIN: ["f"], "m": ["h"], "n": ["k"]},
        [MAIN],
        ENGINE + " coming going nested",
    ),
]


def copies(world):
    """A function that gives fresh copies of a world."""
    data = pickle.dumps(world, pickle.HIGHEST_PROTOCOL)
    return lambda: pickle.loads(data)


def explore(scenario, states=None, depth=None, rules=()):
    """Breadth first; returns (states, steps, whether all were reached). Raises Failed with the shortest path."""
    world = scenario.world(rules)
    seen = {world.snapshot()}
    queue = deque([(copies(world), ())])
    steps = 0
    while queue:
        copy, path = queue.popleft()
        ops = list(scenario.ops(copy()))
        for op in ops:
            world = copy()
            steps += 1
            try:
                world.do(op)
            except Violation as violation:
                raise Failed(scenario.name, path + (op,), str(violation))
            except Exception as error:
                raise Failed(scenario.name, path + (op,), "%s: %s" % (type(error).__name__, error)) from error
            key = world.snapshot()
            if key not in seen:
                if states is not None and len(seen) >= states:
                    return len(seen), steps, False
                seen.add(key)
                if depth is None or len(path) + 1 < depth:
                    queue.append((copies(world), path + (op,)))
    return len(seen), steps, depth is None


def main(depth=None, name=""):
    for scenario in SCENARIOS:
        if name in scenario.name:
            began = time.time()
            try:
                states, steps, complete = explore(scenario, None if depth else 40000, int(depth) if depth else None)
            except Failed as failed:
                print(failed)
                continue
            print("%-20s %7d states %8d steps %6.1f s%s" % (
                scenario.name, states, steps, time.time() - began, "" if complete else "  (not all)"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
