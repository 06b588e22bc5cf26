"""What must be true of the engine after every step, whatever the step was; a part of World (world.py)."""
import errno

from klpfs.engine.data import Patch
from klpfs.engine.error import KlpError
from klpfs.engine.patch import original


class Violation(AssertionError):
    pass


def need(condition, text, *args):
    if not condition:
        raise Violation(text % args if args else text)


class Checks:
    """Compares the engine with the model that World keeps: order, pending, left_out, forced, tainted, says() ..."""

    def refused(self, attempt, code):
        try:
            attempt()
        except KlpError as error:
            need(error.errno == code, "refused with %s, not %s", errno.errorcode[error.errno], errno.errorcode[code])
        else:
            raise Violation("not refused with " + errno.errorcode[code])

    def frames(self):
        return [frame for task in self.target.tasks for frame in task.frames] + self.target.suspended

    def check(self):
        self.tainted = [frame for frame in self.tainted if frame in self.frames()]
        self.last = {key: last for key, last in self.last.items() if key[0] in self.engine.patches}
        self.check_attempts()
        self.check_tree()
        self.check_values()
        self.check_frames()
        if self.engine.transition is None and self.engine.arrival is None:
            self.check_rest()

    def check_attempts(self):
        """What is not possible now is refused, with the kernel's errno, and without a line."""
        engine, was = self.engine, len(self.log.lines)
        need(not engine.callbacks_running, "busy, and no callback runs")
        if self.pending is None:
            for attempt in (engine.start, engine.cancel, engine.reverse, engine.look, engine.force, engine.finish):
                self.refused(attempt, errno.EINVAL)
            self.check_attempts_of_arrival()
        else:
            self.refused(lambda: engine.enable(Patch([]), "other"), errno.EBUSY)
            others = [patch for patch in engine.patches if patch.enabled and patch.name != self.pending["name"]]
            for patch in others[:1]:
                self.refused(lambda: engine.disable(patch), errno.EBUSY)
            if not self.pending["started"]:
                for attempt in (engine.reverse, engine.look, engine.force, engine.finish):
                    self.refused(attempt, errno.EINVAL)
            else:
                for attempt in (engine.start, engine.cancel, lambda: engine.finish(1 - self.pending["dir"])):
                    self.refused(attempt, errno.EINVAL)
                if not engine.transition.clean:
                    self.refused(engine.finish, errno.EINVAL)
        if self.order:
            self.refused(lambda: setattr(engine, "ftrace_enabled", False), errno.EBUSY)
        need(len(self.log.lines) == was, "a refusal was logged: %r", self.log.lines[was:])

    def check_attempts_of_arrival(self):
        engine = self.engine
        need((engine.arrival is not None) == self.arriving, "arrival is %r", engine.arrival)
        if not self.arriving:
            for attempt in (engine.look_arrival, engine.force_arrival, engine.finish_arrival):
                self.refused(attempt, errno.EINVAL)
            need(engine.resume() is None, "resumed, and nothing is cut off")
            return
        for attempt in [engine.arrive, lambda: engine.enable(Patch([]), "other"),
                        lambda: engine.join_apply(Patch([]), "other", 0)] + [
                lambda: engine.disable(patch)
                for patch in engine.patches[:1]] + [lambda: engine.drop(patch) for patch in engine.patches[:1]]:
            self.refused(attempt, errno.EBUSY)
        need(engine.resume() is None, "an arrival that is started is not cut off")
        if not engine.arrival.clean:
            self.refused(engine.finish_arrival, errno.EINVAL)

    def check_tree(self):
        tree = self.engine.describe()
        need([d["name"] for d in tree] == self.order, "patches %r, not %r", [d["name"] for d in tree], self.order)
        for d in tree:
            name = d["name"]
            own = self.pending is not None and self.pending["name"] == name
            need(d["transition"] == own, "transition of %s", name)
            enabled = self.pending["started"] and bool(self.pending["dir"]) if own else True
            need(d["enabled"] == enabled, "enabled of %s is %r", name, d["enabled"])
            need(d["forced"] == (name in self.forced), "forced of %s is %r", name, d["forced"])
            need([o["name"] for o in d["objects"]] == [self.shown(o) for o in self.objects_of(name)], "objects of %s",
                 name)
            for o, real in zip(d["objects"], self.objects_of(name)):
                need(o["loaded"] == self.loaded(real), "loaded of %s in %s is %r", real, name, o["loaded"])
                patched = self.loaded(real) and (name, real) not in self.left_out
                need(o["patched"] == patched, "patched of %s in %s is %r", real, name, o["patched"])
                need(o["dynamic"] == (real not in self.specs[name].objects), "dynamic of %s in %s", real, name)
                own_funcs = list(self.specs[name].objects.get(real, ()))
                funcs = [line.rpartition(",")[0] for line in o["funcs"].split("\n") if line]
                need(funcs[:len(own_funcs)] == own_funcs, "functions of %s", name)
                need(len(funcs) == len(set(funcs)), "functions of %s twice: %r", name, funcs)
                if not (own and self.pending["kind"]):
                    need(funcs == own_funcs, "nops of %s are still there: %r", name, funcs)

    def name_of(self, code):
        return None if original(code) is None else code.obj.patch.name

    def check_values(self):
        """What a fresh task's call runs."""
        for module in self.target.mods:
            for function in self.modules[module]:
                if self.pending is None:
                    want = self.says(self.order, module, function)
                else:
                    before, after = self.two()
                    want = self.says(after if self.pending["started"] and self.goal() else before, module, function)
                got = self.target.value(function, module)
                need(got == "%s %s" % (function, "by " + want if want else "original"),
                     "%s of %s answers '%s', and %s is in force", function, module, got, want)

    def check_frames(self):
        """No stack mixes old and new, whoever is on it; code that runs is not given back."""
        for frame in self.frames():
            need(frame.code is None or frame.code in self.target.live, "%r runs and was released", frame.code)
            stack = self.engine.stacks.get(frame.definition)
            if frame.code is not None or stack is not None and stack.top is not None:
                known = stack is not None and (
                    frame.code in stack.leftover
                    or frame.code in stack.funcs
                    or frame.code is None
                    and (self.engine.transition is not None or self.arriving)
                )
                need(known, "a frame of %r is not accounted for", frame.code)
        for task in self.target.tasks:
            segment = []
            for frame in task.frames:
                if frame.bottom:
                    self.check_segment(task, segment)
                    segment = []
                segment.append(frame)
            self.check_segment(task, segment)
        for frame in self.target.suspended:
            self.check_segment(None, [frame])

    def check_segment(self, task, segment):
        if any(frame in self.tainted for frame in segment):
            return
        worlds = [self.order] if self.pending is None and not self.arriving else list(self.two())
        if self.pending is not None and not self.pending["started"]:
            worlds = worlds[:1]
        for world in worlds:
            if all(self.says(world, frame.definition[0], frame.definition[2]) == self.name_of(frame.code)
                   for frame in segment):
                return
        raise Violation("a stack mixes versions, or is of none: %s" % [
            (frame.definition[2], self.name_of(frame.code)) for frame in segment])

    def check_rest(self):
        """Outside a transition nothing of one is left, and all that was resolved is in use."""
        used = [func for patch in self.engine.patches for obj in patch.objects for func in obj.funcs
                if func.definition is not None]
        left = [code for stack in self.engine.stacks.table.values() for code in stack.leftover if code is not None]
        live = self.target.live
        need(all(func in live for func in used + left), "in use and released")
        need(all(func in used or func in left for func in live), "resolved, unused and not released: %r", live)
        need(not any(func.transition for func in used), "func.transition is left over")
        need(self.target.transition is None, "the target is still in a transition")
        for definition, code in self.target.image.items():
            stack = self.engine.stacks.get(definition)
            need(code is original(stack.top if stack else None), "the image of %s is %r", definition, code)
        for stack in self.engine.stacks.table.values():
            need(stack.funcs or stack.leftover, "an empty stack is kept")
        for patch in self.engine.patches:
            for obj in patch.objects:
                last = self.last.get((patch, obj.name))
                need(last == "post_patch" if obj.patched and obj.callbacks else last in (None, "post_unpatch"),
                     "%r rests after %s", obj, last)

    # ---- what tells two worlds apart ----

    def snapshot(self):
        numbers = {}

        def code(func):
            if func is None:
                return None
            patch = func.obj.patch
            return numbers.setdefault(id(patch), len(numbers)), patch.name, func.old_name, func.nop

        def where(definition):
            return definition[0], definition[2]

        engine, target = self.engine, self.target
        patches = tuple((patch.name, patch.enabled, patch.forced, tuple(
            (obj.name, obj.loaded, obj.left_out, obj.patched, obj.dynamic, obj.post_unpatch_enabled, obj.stage,
             tuple((code(func), func.patched, func.transition, func.definition is None) for func in obj.funcs))
            for obj in patch.objects)) for patch in engine.patches)
        transition = engine.transition
        pending = None
        if transition is not None:
            changes = tuple((where(d), code(c.before), code(c.after), tuple(map(code, c.older)))
                            for d, c in sorted(transition.changes.items(), key=repr))
            pending = (transition.patch.name, transition.kind, transition.dir, transition.step, transition.forced,
                       changes, transition.in_target and (transition.in_target.phase, transition.in_target.goal))
        stacks = tuple((where(d), tuple(map(code, s.funcs)), tuple(map(code, s.leftover)))
                       for d, s in sorted(engine.stacks.table.items(), key=repr))
        images = tuple((where(d), code(c)) for d, c in sorted(target.image.items(), key=lambda item: repr(item[0])))

        def frame(f):
            return where(f.definition), code(f.code), f.bottom, f in self.tainted

        tasks = tuple(sorted((tuple(map(frame, task.frames)) for task in target.tasks), key=repr))
        suspended = tuple(sorted(map(frame, target.suspended), key=repr))
        live = tuple(sorted(map(code, target.live), key=repr))
        arrival = engine.arrival and (engine.arrival.step, engine.arrival.forced, engine.arrival.in_target.phase)
        return (
            patches,
            pending,
            arrival,
            tuple(target.waiting),
            stacks,
            images,
            tasks,
            suspended,
            live,
            tuple(sorted(map(str, target.mods))),
        )
