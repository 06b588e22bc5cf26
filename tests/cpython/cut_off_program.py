"""A program with an engine, in which one operation is cut off by an exception at a line of klpfs's, again and again, each
time anew: afterwards its functions run what the engine says is in force, and when all patches are disabled what the
program has made (test_cut_off_anywhere.py). By itself, since each operation searches the heap several times."""
import gc
import pathlib
import random
import sys
import tempfile

import klpfs
from tests.cpython.machine import Machine

ROOT = pathlib.Path(klpfs.__file__).parent
WHERE = str(ROOT / "engine"), str(ROOT / "cpython")
SHARE = 1000
PROGRAM = """
def f(): return 'f0'
def g(a=0): return 'g', a
def make():
    def inner(): return 'i0'
    return inner
made = make()
def y(): yield 'y0'
"""
LIVEPATCH = """
def f(): return 'f{v}'
def g(a={v}): return 'g', a
def inner(): return 'i{v}'
def y(): yield 'y{v}'
def t(): return 't{v}'
patch = Patch([Object({module!r}, [{funcs}]), Object({late!r}, [Func('t', t)])], replace={replace})
"""
ALL = ("f", "g", "make.<locals>.inner", "y")


class World:
    """A program with a function of each kind, and a module of it that comes late."""

    def __init__(self, folder):
        self.machine = Machine(folder)
        self.module = self.machine.module(PROGRAM)
        self.late_name, self.late = self.machine.name("late"), None

    def load(self, version, names=ALL, replace=False):
        funcs = ", ".join(f"Func({name!r}, {name.rpartition('.')[2]})" for name in names)
        return self.machine.load(LIVEPATCH.format(v=version, module=self.module.__name__, late=self.late_name,
                                                  funcs=funcs, replace=replace))

    def come(self):
        self.late = self.machine.module("def t(): return 't0'", name=self.late_name)

    def enable(self, found):
        self.machine.engine.enable(found.patch, found.name)
        self.machine.engine.start()

    def enabled(self, *args, **more):
        """The LoadedModule of a patch that is in force."""
        found = self.load(*args, **more)
        self.enable(found)
        self.settle()
        return found

    def settle(self):
        """What is begun comes to its end, as the agent's thread sees to."""
        engine = self.machine.engine
        for _ in range(6):
            transition, arrival = engine.transition, engine.arrival
            if arrival is not None:
                if engine.look_arrival() == []:
                    engine.finish_arrival()
            elif transition is None:
                return
            elif transition.step == "prepared":
                engine.start()
            elif engine.look() == []:
                engine.finish()
        raise AssertionError(f"never settled: {engine.look()}")

    def runs(self):
        """{function: the version that it has}; of nested functions both that of before and one that is made now."""
        module = self.module
        found = {"f": module.f()[1], "g": str(module.g()[1]), "y": next(module.y())[1],
                 "make.<locals>.inner": module.made()[1], "made now": module.make()()[1]}
        return dict(found, t=self.late.t()[1]) if self.late is not None else found

    def in_force(self):
        """The same as the engine says it."""
        found = dict.fromkeys(self.runs(), "0")
        for patch in self.machine.engine.patches:
            for obj in patch.objects:
                for func in obj.funcs if obj.patched else ():
                    if func.patched and func.new_code is not None and func.old_name in found:
                        found[func.old_name] = version_of(func)
        return dict(found, **{"made now": found["make.<locals>.inner"]})


def version_of(func):
    """The version that a Func's function brings."""
    if func.nop:
        return "0"
    got = func.new_func()
    return str(got[1]) if func.old_name != "y" else next(got)[1]


def enable(world):
    found = world.load(1)

    def do():
        world.enable(found)
        world.settle()
    return do


def disable(world):
    found = world.enabled(1)

    def do():
        world.machine.engine.disable(found.patch)
        world.settle()
    return do


def reverse(world):
    world.enable(world.load(1))

    def do():
        world.machine.engine.reverse()
        world.settle()
    return do


def force(world):
    world.enable(world.load(1))

    def do():
        world.machine.engine.force()
        world.machine.engine.finish()
    return do


def replace(world):
    world.enabled(1)
    found = world.load(2, ("f",), True)

    def do():
        world.enable(found)
        world.settle()
    return do


def drop(world):
    found = world.enabled(1)
    return lambda: world.machine.engine.drop(found.patch, True)


def join(world):
    world.enabled(1)
    found = world.load(2)
    return lambda: world.machine.engine.join_apply(found.patch, found.name, 1, True)


def join_below(world):
    world.enabled(2)
    found = world.load(1)
    return lambda: world.machine.engine.join_apply(found.patch, found.name, 0, True)


def come(world):
    world.enabled(1)
    world.come()
    return lambda: world.machine.engine.coming(world.late_name, False)


def come_in_a_transition(world):
    world.enable(world.load(1))
    world.come()
    return lambda: world.machine.engine.coming(world.late_name, False)


def go(world):
    world.come()
    world.enabled(1)
    return lambda: world.machine.engine.going(world.late_name)


def go_in_a_transition(world):
    world.come()
    world.enable(world.load(1))
    return lambda: world.machine.engine.going(world.late_name)


def arrive(world):
    world.enabled(1)
    world.come()

    def do():
        world.machine.engine.arrive(world.late_name)
        world.settle()
    return do


OPERATIONS = (enable, disable, reverse, force, replace, drop, join, join_below, come, come_in_a_transition, go,
              go_in_a_transition, arrive)


class Cut:
    """Raises MemoryError at the at-th line of klpfs's that runs while it is on. lines: how many have run."""

    def __init__(self, at=0):
        self.at, self.lines, self.place = at, 0, None

    def call(self, frame, event, arg):
        return self.line if frame.f_code.co_filename.startswith(WHERE) else None

    def line(self, frame, event, arg):
        if event == "line" and self.place is None:
            self.lines += 1
            if self.lines == self.at:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise MemoryError
        return self.line

    def __enter__(self):
        sys.settrace(self.call)
        return self

    def __exit__(self, *error):
        sys.settrace(None)


def try_at(operation, at, folder):
    """None, or what was wrong after an exception at that line."""
    world = World(folder)
    engine, raised = world.machine.engine, False
    do = operation(world)
    with Cut(at) as cut:
        try:
            do()
        except MemoryError:
            raised = True
    if raised:                  # as Follower.recover does
        engine.recover()
        for _ in iter(engine.resume, None):
            pass
        if operation in (go, go_in_a_transition):       # the rule fits again
            engine.going(world.late_name)
    world.settle()
    if world.runs() != world.in_force():
        return f"{cut.place}: runs {world.runs()}, the engine says {world.in_force()}"
    for patch in reversed(list(engine.patches)):
        engine.disable(patch)
        world.settle()
    if set(world.runs().values()) != {"0"}:
        return f"{cut.place}: runs {world.runs()} when all is disabled"
    if not gc.isenabled():
        return f"{cut.place}: the program's collection is off"
    return None


def main(name, count):
    """Tries so many lines of an operation (0: 1 in SHARE), chosen by its name. Prints what was wrong."""
    operation = {each.__name__: each for each in OPERATIONS}[name]
    with tempfile.TemporaryDirectory() as top:
        def folder(number):
            made = pathlib.Path(top) / str(number)
            made.mkdir()
            return made
        do = operation(World(folder(0)))
        with Cut() as cut:
            do()
        count = count or max(4, cut.lines // SHARE)
        for at in sorted(random.Random(name).sample(range(1, cut.lines + 1), min(count, cut.lines))):
            try:
                wrong = try_at(operation, at, folder(at))
            except Exception as error:
                wrong = f"line {at}: {type(error).__name__}: {error}"
            if wrong:
                print(wrong)
    print("tried")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
