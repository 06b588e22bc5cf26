"""A small world to explore: the engine, the puppet target, and a model that says what must be true after every step.

The model is deliberately simple and knows nothing of stacks, changes or images: patches in force are a list of names,
and what a function does is said by the last of them that has it. Checks (checks.py) compares it with the engine.
"""
import errno

from klpfs.engine.core import Engine
from klpfs.engine.data import Callbacks, Func, Object, Patch
from klpfs.engine.error import KlpError
from klpfs.testing import PuppetTarget
from tests.engine.checks import Checks, Violation, need
from tests.engine.kit import take_outcome

KINDS = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")
MAY_FOLLOW = {"pre_patch": (None, "post_unpatch"), "post_patch": ("pre_patch", "pre_unpatch"),
              "pre_unpatch": ("post_patch",), "post_unpatch": ("pre_patch", "pre_unpatch")}
WORDS = ("unpatching", "patching")


def new_code():
    pass


class ListLog:
    def __init__(self):
        self.lines = []

    def add(self, text, priority=6, kind="engine"):
        self.lines.append(text)


class Recorder:
    """One callback of one object: logs as the kernel's test modules do, and does what the world planned for it."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind

    def __call__(self, obj):
        try:
            return self.world.called(self.kind, obj)
        except Exception as error:  # the target would make an errno of it
            self.world.wrong = self.world.wrong or error
            raise


class Spec:
    """A patch to be enabled any number of times: {object name: function names}."""

    def __init__(self, name, objects, replace=False):
        self.name, self.objects, self.replace = name, dict(objects), replace

    def patch(self, world):
        callbacks = Callbacks(*[Recorder(world, kind) for kind in KINDS])
        return Patch([Object(name, [Func(f, new_code) for f in functions], callbacks)
                      for name, functions in self.objects.items()], self.replace)


class World(Checks):
    def __init__(self, specs, modules, loaded, tasks=0, depth=2, rules=()):
        """modules: {name: functions}; loaded: those there at the beginning; depth: longest stack of a task."""
        self.specs = {spec.name: spec for spec in specs}
        self.modules = modules
        self.target = PuppetTarget({name: modules[name] for name in loaded},
                                   {name: modules[name] for name in modules if name not in loaded})
        self.target.rules.update(rules)
        self.log = ListLog()
        self.engine = Engine(self.target, self.log)
        self.depth = depth
        self.order = []        # names in force, oldest first; with the one in transition
        self.pending = None    # {name, kind, dir, started}
        self.left_out = set()  # (patch, module): a plain import that a patch failed for
        self.arriving = False  # the main program's functions are on their way from the originals
        self.forced = set()
        self.last = {}         # (Patch, object) -> last callback
        self.tainted = []      # frames that a force has left behind
        self.refuse = None     # (patch, object) whose next pre_patch fails
        self.nested = None     # op that the next callback does first
        self.exact = True      # lines are compared one by one (not when something was nested)
        self.wrong = None      # what a callback found to be wrong
        for number in range(tasks):
            self.target.spawn("task%d" % number)

    # ---- what the model says ----

    def loaded(self, name):
        return name in self.target.mods and name not in self.target.waiting

    def has(self, patch, module, function):
        return function in self.specs[patch].objects.get(module, ()) and (patch, module) not in self.left_out

    def says(self, order, module, function):
        """The name of the patch whose code is in force; None: the original."""
        if not self.loaded(module):
            return None
        for patch in reversed(order):
            if self.has(patch, module, function):
                return patch
            if self.specs[patch].replace:
                return None
        return None

    def two(self):
        """The orders of patches before and after the pending transition, or before and after an arrival."""
        if self.arriving:
            return [], self.order
        name = self.pending["name"]
        rest = [patch for patch in self.order if patch != name]
        there = self.order  # a replacing patch hides the older ones (see says)
        return (rest, there) if self.pending["kind"] else (there, rest)

    def goal(self):
        return self.pending["dir"] if self.pending["kind"] else 1 - self.pending["dir"]

    def objects_of(self, patch, dynamic=True):
        """Names of its objects in their order; those for nops last, while its transition is pending."""
        names = list(self.specs[patch].objects)
        if dynamic and self.pending and self.pending["name"] == patch and self.pending["kind"]:
            names += self.dynamic(patch)
        return names

    def dynamic(self, patch):
        found = []
        if self.specs[patch].replace:
            for older in self.order[:self.order.index(patch)]:
                for name in self.specs[older].objects:
                    if name not in self.specs[patch].objects and name not in found:
                        found.append(name)
        return found

    def shown(self, name):
        return "vmlinux" if name is None else name

    def lines(self, patch, kind, objects=None):
        """What callbacks of one kind log, over the loaded objects of a patch."""
        return ["%s: %s %s" % (patch, kind, self.shown(name)) for name in objects or self.specs[patch].objects
                if self.loaded(name) and (patch, name) not in self.left_out]

    def klp(self, *texts):
        return ["livepatch: " + text for text in texts]

    # ---- steps ----

    def patch(self, name):
        for patch in self.engine.patches:
            if patch.name == name:
                return patch
        raise Violation("patch %s is not there" % name)

    def called(self, kind, obj):
        name = obj.patch.name
        self.log.add("%s: %s %s" % (name, kind, obj.shown))
        key = (obj.patch, obj.name)
        need(self.last.get(key) in MAY_FOLLOW[kind], "%s of %r after %s", kind, obj, self.last.get(key))
        transition = self.engine.transition
        if transition is not None and transition.step == "finishing" and transition.dir and transition.patch.replace:
            newer = self.engine.patches[self.engine.patches.index(transition.patch):]
            need(obj.patch in newer, "%s of %r, which is replaced", kind, obj)
        need(self.engine.callbacks_running > 0, "a callback runs and the engine is not busy")
        for attempt in (lambda: self.engine.start(), lambda: self.engine.finish(), lambda: self.engine.reverse(),
                        lambda: self.engine.disable(obj.patch), lambda: self.engine.enable(Patch([]), "other"),
                        lambda: self.engine.arrive(), lambda: self.engine.finish_arrival()):
            self.refused(attempt, errno.EBUSY)
        need((obj.mod is None) == (obj.name is None), "mod of %r is %r", obj, obj.mod)
        if kind == "pre_patch" and self.refuse == (name, obj.name):
            self.refuse = None
            self.last[key] = None
            return -errno.ENODEV
        self.last[key] = kind
        op, self.nested = self.nested, None
        if op is not None:
            self.exact = False
            getattr(self, "do_" + op[0])(*op[1:])
        return 0

    def do(self, op):
        """One step and all checks; op: (name, arguments...)."""
        self.log.lines.clear()
        self.exact = True
        try:
            expected = getattr(self, "do_" + op[0])(*op[1:])
        except KlpError:
            if self.wrong is not None:
                raise self.wrong
            raise
        self.nested = None
        if self.wrong is not None:
            raise self.wrong
        if expected is not None and self.exact:
            need(self.log.lines == expected, "%r logged\n  %s\nand not\n  %s", op,
                 "\n  ".join(self.log.lines), "\n  ".join(expected))
        self.check()

    def failing(self, attempt, code):
        """attempt fails and leaves nothing behind but log lines."""
        was = self.snapshot()
        self.refused(attempt, code)
        self.target.faults.clear()
        need(self.refuse is None, "the callback that should fail was not called")
        now = self.snapshot()
        need(was == now, "a failure left something behind:\n  %r\n  %r", was, now)

    def do_enable(self, name, fault=None):
        patch = self.specs[name].patch(self)
        lines = self.klp("enabling patch '%s'" % name, "'%s': initializing patching transition" % name)
        gone = self.klp("failed to enable patch '%s'" % name,
                        "'%s': canceling patching transition, going to unpatch" % name,
                        "'%s': completing unpatching transition" % name)
        end = self.klp("'%s': unpatching complete" % name)
        objects = [obj for obj in self.specs[name].objects if self.loaded(obj)]
        if fault is None:
            self.pending = {"name": name, "kind": 1, "dir": 1, "started": False}
            self.order = self.order + [name]
            self.engine.enable(patch, name)
            return lines + self.lines(name, "pre_patch")
        if fault == "resolve":
            self.target.faults["resolve"] = errno.EINVAL
            self.failing(lambda: self.engine.enable(patch, name), errno.EINVAL)
            return []
        if fault == "begin":
            self.target.faults["begin"] = errno.EAGAIN
            self.failing(lambda: self.engine.enable(patch, name), errno.EAGAIN)
            at = [line for line in self.log.lines if "failed to patch" in line]  # names the object, if any
            return lines + self.lines(name, "pre_patch") + at + gone + self.lines(name, "post_unpatch") + end
        if fault == "ftrace":
            self.engine.ftrace_enabled = False
            self.failing(lambda: self.engine.enable(patch, name), errno.EBUSY)
            self.engine.ftrace_enabled = True
            obj, func = objects[0], self.specs[name].objects[objects[0]][0]
            return (lines + self.lines(name, "pre_patch", [obj])
                    + self.klp("failed to register ftrace handler for function '%s' (-16)" % func,
                               "failed to patch object '%s'" % self.shown(obj))
                    + gone + self.lines(name, "post_unpatch", [obj]) + end)
        self.refuse = (name, fault[1])
        self.failing(lambda: self.engine.enable(patch, name), errno.ENODEV)
        before = objects[:objects.index(fault[1])]
        return (lines + self.lines(name, "pre_patch", before + [fault[1]])
                + self.klp("pre-patch callback failed for object '%s'" % self.shown(fault[1])) + gone
                + (self.lines(name, "post_unpatch", before) if before else []) + end)

    def do_start(self):
        self.engine.start()
        self.pending = dict(self.pending, started=True)
        return self.klp("'%s': starting patching transition" % self.pending["name"])

    def do_start_turned(self):
        """The service turned back before this process was ready."""
        self.engine.start(0)
        self.pending = dict(self.pending, started=True, dir=0)
        return self.klp("'%s': starting unpatching transition" % self.pending["name"])

    def do_cancel(self):
        name = self.pending["name"]
        self.engine.cancel()
        lines = self.lines(name, "post_unpatch")
        self.order = self.order[:-1]
        self.left_out = {pair for pair in self.left_out if pair[0] != name}
        self.pending = None
        return (self.klp("failed to enable patch '%s'" % name,
                         "'%s': canceling patching transition, going to unpatch" % name,
                         "'%s': completing unpatching transition" % name)
                + lines + self.klp("'%s': unpatching complete" % name))

    def do_disable(self, name, dir=0):
        self.pending = {"name": name, "kind": 0, "dir": dir, "started": True}
        self.engine.disable(self.patch(name), dir)
        return (self.klp("'%s': initializing unpatching transition" % name) + self.lines(name, "pre_unpatch")
                + self.klp("'%s': starting %s transition" % (name, WORDS[dir])))

    def do_reverse(self):
        name, dir = self.pending["name"], self.pending["dir"]
        self.engine.reverse()
        self.pending = dict(self.pending, dir=1 - dir)
        return self.klp("'%s': reversing transition from %s to %s" % (name, WORDS[dir], WORDS[1 - dir]),
                        "'%s': starting %s transition" % (name, WORDS[1 - dir]))

    def do_look(self):
        blockers = self.engine.look()
        need(bool(blockers) != self.engine.transition.clean, "blockers %r, clean %r", blockers,
             self.engine.transition.clean)
        return []

    def do_force(self):
        name, clean = self.pending["name"], self.engine.transition.clean
        self.engine.force()
        if clean:
            return []
        if not self.pending["dir"]:
            self.forced.add(name)
        elif self.specs[name].replace:
            self.forced.update(self.order[:self.order.index(name)])
        for frame in self.frames():
            if frame not in self.tainted:
                self.tainted.append(frame)
        return self.klp("forcing remaining tasks to the patched state")

    def do_finish(self):
        name, dir = self.pending["name"], self.pending["dir"]
        self.engine.finish(dir)
        lines = self.lines(name, "post_patch" if dir else "post_unpatch")
        if not dir:
            gone = [name]
        else:
            gone = self.order[:self.order.index(name)] if self.specs[name].replace and self.pending["kind"] else []
        self.order = [patch for patch in self.order if patch not in gone]
        self.forced -= set(gone)
        self.left_out = {pair for pair in self.left_out if pair[0] not in gone}
        self.pending = None
        return (self.klp("'%s': completing %s transition" % (name, WORDS[dir])) + lines
                + self.klp("'%s': %s complete" % (name, WORDS[dir])))

    def do_coming(self, name, fault=None, refuse=True):
        patches = [patch for patch in self.order if name in self.objects_of(patch)]
        self.target.load(name)
        if fault is None:
            self.engine.coming(name)
            self.target.mods[name].state = "LIVE"
            lines = []
            for patch in patches:
                lines += self.klp("applying patch '%s' to loading module '%s'" % (patch, name))
                if name in self.specs[patch].objects:
                    lines += self.lines(patch, "pre_patch", [name])
                    if not self.pending or self.pending["name"] != patch:
                        lines += self.lines(patch, "post_patch", [name])
            return lines
        victim = fault[1]
        code = self.plan(fault, name)
        if refuse:
            self.target.unload(name)
            was = self.snapshot()
            self.target.load(name)
            self.refused(lambda: self.engine.coming(name), code)
            self.target.unload(name)
            now = self.snapshot()
            need(was == now, "a refused module left something behind:\n  %r\n  %r", was, now)
            need(self.log.lines.count("livepatch: patch '%s' failed for module '%s', refusing to load module '%s'"
                                      % (victim, name, name)) == 1, "not said who refused: %r", self.log.lines)
        else:
            self.engine.coming(name, refuse=False)
            self.target.mods[name].state = "LIVE"
            self.left_out.add((victim, name))
            if self.specs[victim].replace and self.pending and self.pending["name"] == victim and self.pending["kind"]:
                # its nops failed too: what it replaces lets go of the module as well
                self.left_out.update((patch, name) for patch in patches[:patches.index(victim)])
            need(self.log.lines.count("livepatch: patch '%s' failed for module '%s', module '%s' stays unpatched by it"
                                      % (victim, name, name)) == 1, "not said who failed: %r", self.log.lines)
        self.target.faults.clear()
        need(self.refuse is None, "the callback that should fail was not called")

    def plan(self, fault, name):
        """A fault of a coming module at its first patch ('resolve', 'apply') or any ('pre_patch')."""
        if fault[0] == "pre_patch":
            self.refuse = (fault[1], name)
            return errno.ENODEV
        self.target.faults[fault[0]] = errno.ENOEXEC
        return errno.ENOEXEC

    def do_going(self, name):
        lines = []
        for patch in self.order:
            if name in self.objects_of(patch) and (patch, name) not in self.left_out:
                static = name in self.specs[patch].objects
                own = self.pending and self.pending["name"] == patch
                lines += self.lines(patch, "pre_unpatch", [name]) if static and not own else []
                lines += self.klp("reverting patch '%s' on unloading module '%s'" % (patch, name))
                lines += self.lines(patch, "post_unpatch", [name]) if static else []
        self.engine.going(name)
        for definition in self.target.definitions(name):
            need(self.target.image[definition] is None, "%s goes with code of a patch", definition)
        self.target.unload(name)
        self.left_out = {pair for pair in self.left_out if pair[1] != name}
        return lines

    # a joiner's steps; the program runs, so what was in force may still run afterwards

    def taint(self):
        self.tainted = self.frames()

    def joined(self, name):
        return self.lines(name, "pre_patch") + self.lines(name, "post_patch")

    def do_join(self, name, place):
        self.engine.join_apply(self.specs[name].patch(self), name, place, running=True)
        self.order = self.order[:place] + [name] + self.order[place:]
        self.taint()
        return self.joined(name)

    def do_join_fails(self, name, fault):
        """A fault in resolve (the first of the patch), apply, or the pre_patch of an object."""
        if fault[0] == "pre_patch":
            self.refuse = (name, fault[1])
            code = errno.ENODEV
        else:
            code = self.target.faults[fault[0]] = errno.EAGAIN
        self.failing(lambda: self.engine.join_apply(self.specs[name].patch(self), name, 0), code)

    def do_drop(self, name):
        self.engine.drop(self.patch(name))
        self.gone([name])
        return []

    def do_outcome(self, name, dir):
        there = name in self.order
        patch = self.patch(name) if there else self.specs[name].patch(self)
        take_outcome(self.engine, patch, dir, name)
        if not dir:
            self.gone([name])
            return []
        if self.specs[name].replace:
            self.gone([other for other in self.order if other != name])
        if there:
            return []
        self.order = self.order + [name]
        self.taint()
        return self.joined(name)

    def gone(self, names):
        self.order = [name for name in self.order if name not in names]
        self.forced -= set(names)
        self.left_out = {pair for pair in self.left_out if pair[0] not in names}
        self.taint()

    # a late main program: its definitions come, and nobody tells the engine; then somebody does

    def do_define(self):
        self.target.waiting.add(None)
        self.target.load(None)
        self.target.mods[None].state = "LIVE"

    def do_arrive(self, fault=None):
        patches = [patch for patch in self.order if None in self.objects_of(patch)]
        failing = []
        if fault == "begin":
            self.target.faults["begin"] = errno.EAGAIN
            failing = patches
        elif fault is not None:
            self.plan(fault, None)
            failing = [fault[1]]
        self.target.waiting.discard(None)
        self.arriving = self.engine.arrive()
        self.target.faults.clear()
        self.left_out.update((patch, None) for patch in failing)
        need(self.arriving == (len(failing) < len(patches)), "arrive() says %r", self.arriving)
        if fault is not None:
            told = [line for line in self.log.lines if "stays unpatched by it" in line]
            need(len(told) == len(failing), "not said who failed: %r", self.log.lines)
            return None
        lines = []
        for patch in patches:
            lines += self.klp("applying patch '%s' to loading module 'vmlinux'" % patch)
            lines += self.lines(patch, "pre_patch", [None]) if None in self.specs[patch].objects else []
        return lines

    def do_look_arrival(self):
        blockers = self.engine.look_arrival()
        need(bool(blockers) != self.engine.arrival.clean, "blockers %r", blockers)
        return []

    def do_force_arrival(self):
        clean = self.engine.arrival.clean
        self.engine.force_arrival()
        self.tainted += [] if clean else [frame for frame in self.frames() if frame not in self.tainted]
        return [] if clean else self.klp("forcing remaining tasks to the patched state")

    def do_finish_arrival(self):
        self.engine.finish_arrival()
        self.arriving = False
        return [line for patch in self.order if None in self.specs[patch].objects
                for line in self.lines(patch, "post_patch", [None])]

    def do_nested(self, inner, op):
        """op, and `inner` done by the first callback that it calls."""
        self.nested = inner
        getattr(self, "do_" + op[0])(*op[1:])
        self.nested = None

    def do_call(self, number, function, module=None):
        self.target.call_function(self.target.tasks[number], function, module)

    def do_leave(self, number):
        self.target.leave(self.target.tasks[number])

    def do_suspend(self, number):
        self.target.suspend(self.target.tasks[number])

    def do_resume(self, number, which):
        self.target.resume(self.target.tasks[number], self.target.suspended[which])

    def do_spawn(self):
        self.target.spawn()

    def do_exit(self, number):
        self.target.exit(self.target.tasks[number])
