"""Follow the record: the table of docs/PROTOCOL.md#5, one small step at a time.

`Follower.step` does the first line of the table that fits; whoever drives it (agent_thread.py) calls it until it returns
False: then the process is where the record says, and `seen` is its seq. Nothing here waits, but for enable_patch(),
which follows further records inside a livepatch's init() until its operation is decided. Threads, sockets, files and
foreign code are the host's (agent.py), so a test can be the host.

What a host is:
    content(entry) -> bytes             of a record's patch, module or change; KlpError when it can't be had
    changed()                           tell the mirror what the engine and the modules look like now
    report()                            send Follower.report()
    wait()                              sleep until there may be a new goal, a lost coordinator or a look to take
    lost(change) -> bool                the connection of that change's coordinator has closed
    journal() -> record or None         as it is now; None: unreadable
    main_is_there() -> bool             the main program's definitions that patches wait for, in a process that joined before
    arrived()                           the main program's functions are patched, or will not be
    say(text, priority)                 a log line of the agent
"""
from errno import EBUSY, EDEADLK, EINTR, EINVAL, EIO

from klpfs.agent.c_functions import allocate_lock
from klpfs.protocol.record_text import outcome, parse_fingerprints
from klpfs.engine.error import KlpError

LOADING, PREPARED, STARTED, FINISHING = "loading", "prepared", "started", "finishing"
WAITS, THERE = "waits", "there"


class Op:
    """The transition that this process takes part in: n, its patch's name, phase (PREPARED, STARTED, FINISHING), dir,
    turn, clean; error: why a prepared one was taken back (a KlpError, for enable_patch to raise)."""

    __slots__ = ("n", "name", "phase", "dir", "turn", "clean", "error", "patch")

    def __init__(self, n, name, patch, phase, dir=1, turn=1):
        self.n, self.name, self.patch, self.phase, self.dir, self.turn = n, name, patch, phase, dir, turn
        self.clean = False
        self.error = None


class Load:
    """A module being loaded: n of its change or transition (0: a joiner takes an ordinary module), phase LOADING, or
    PREPARED for one whose init() is over while the change is undecided. place: the patches that come after it in
    force, when a joiner applies it; enabled: enable_patch() was called and did not fail; known: the fingerprints that the
    record has for it."""

    __slots__ = ("n", "name", "phase", "module", "join", "enabled", "known")

    def __init__(self, n, name, join=None):
        self.n, self.name, self.join = n, name, join
        self.phase, self.module, self.enabled, self.known = LOADING, None, False, {}


def fit(patch, known):
    """Tell the Funcs of `patch` which code the service's processes had when it was loaded: what has other code here
    (a package was upgraded meanwhile) was not looked at by anybody, and stays as it is (docs/DESIGN.md#4).
    known: Follower.fingerprints()'s; None: they can't be had, so nothing fits."""
    for obj in patch.objects if known != {} else ():
        for func in obj.funcs:
            func.fits = known.get((obj.shown, func.old_name, func.old_sympos or 1)) if known is not None else {""}


class Follower:
    """What this process has done of the service's operations. See the module's docstring; all calls under the worker's
    lock, but `set_goal`."""

    __slots__ = ("engine", "modules", "host", "goal", "judged", "seen", "over", "refused", "not_applied", "left_modules", "op",
                 "load", "live", "cut", "main", "_wondered", "_goal_lock")

    def __init__(self, engine, modules, host):
        self.engine, self.modules, self.host = engine, modules, host
        self.goal = None            # the newest record
        self.judged = None          # the one that step() has looked at last
        self.seen = -1
        self.over = 0
        self.refused = None         # {'n', 'errno', 'text'}
        self.not_applied = set()    # load numbers
        self.left_modules = set()   # sha256 of ordinary modules that a joiner could not load
        self.op = None
        self.load = None
        self.live = False           # the program's own code may run
        self.cut = False            # a fork cut off what was going on (see `forked`)
        self.main = ""              # its definitions: "" nobody waits for them, WAITS for them, or they are THERE
        self._wondered = None
        self._goal_lock = allocate_lock()

    # -- records and reports

    def set_goal(self, record):
        """Work towards `record`, if it is newer than what is known. True when it is. Any thread."""
        with self._goal_lock:
            if record["seq"] <= (self.goal["seq"] if self.goal else self.seen):
                return False
            self.goal = record
            return True

    def report(self):
        """The fields of a report message (wire.py) that are known here."""
        op, load = self.op, self.load
        at = op or load
        prepared = None
        if op and op.phase == PREPARED and load:
            prepared = dict(self.modules.describe_load(load.module), n=op.n, livepatch=True)
        elif load and load.phase == PREPARED:
            prepared = dict(self.modules.describe_load(load.module), n=load.n, livepatch=False, replace=False)
        return {"t": "report", "seen": self.seen, "n": at.n if at else 0, "phase": at.phase if at else "",
                "dir": op.dir if op else 0, "turn": op.turn if op else 0, "clean": bool(op and op.clean),
                "over": self.over, "refused": self.refused, "not_applied": sorted(self.not_applied), "prepared": prepared}

    def in_step(self, record=None):
        """No line of the table fits `record`, by default the one that step() has looked at last (a newer one may have come
        since): it is followed to its end."""
        g = record or self.judged
        if g and self.seen < g["seq"] and self.engine.arrival is None:
            self.seen = g["seq"]
            self.host.report()

    def look_key(self):
        """For what a look for dirty tasks is due, now or soon: a new key, a new hurry. None: for nothing."""
        if self.engine.arrival is not None:
            return "arrival"
        op = self.op
        return (op.n, op.turn) if op and op.phase == STARTED and not op.clean else None

    def look(self):
        """One look. Returns the Blockers; none: clean, and reported."""
        if self.engine.arrival is not None:
            found = self.engine.look_arrival()
            if not found:
                self._arrived()
            return found
        found = self.engine.look()
        if not found:
            self.op.clean = True
            self.host.report()
        return found

    # -- the main program of a joiner (docs/DESIGN.md#6, Coming)

    def wait_for_main(self):
        """The program has not run yet: its functions are patched when their definitions are there. Whether patches wait."""
        self.main = WAITS if self.main_names() is not None else ""
        return bool(self.main)

    def main_names(self):
        """Qualified names of the main program's functions that patches wait for, a set; None: no patch does."""
        waiting = [obj for patch in self.engine.patches for obj in patch.objects if obj.name is None and not obj.loaded]
        return {func.old_name for obj in waiting for func in obj.funcs} if waiting else None

    def main_came(self):
        """The definitions are there. Between two operations the functions begin their transition, which is this process's
        own: no other process's goes on with it, and no operation begins meanwhile. In one, that waits."""
        if self.main == WAITS:
            self.main = THERE
            if not self._arrive():
                for patch in self.engine.patches:       # loaded, and as long as it waits, not patched
                    for obj in patch.objects:
                        obj.left_out = obj.left_out or obj.name is None and not obj.loaded
                self.host.changed()

    def _arrive(self):
        """Whether there was something to do, and it could be done."""
        if self.main != THERE or self.op or self.load or self.engine.transition is not None:
            return False
        self.main = ""
        if self.engine.arrive():
            self.host.changed()
            if not self.engine.look_arrival():
                self._arrived()
        else:
            self._arrived()
        return True

    def _arrived(self):
        if self.engine.arrival is not None:
            self.engine.finish_arrival()
        self.host.changed()
        self.host.arrived()

    # -- a fork

    def forked(self, by_load=False):
        """In a child, whole steps apart from foreign code that the parent's worker was in: what was only prepared is
        dropped, what was started goes on from its marks (docs/PROTOCOL.md#6). The callbacks owed run at the next step.
        by_load: the module being loaded has forked; the child does without it, or it would fork for ever."""
        load = self.load
        self._goal_lock = allocate_lock()
        self.seen = -1
        self.goal = self.judged = None
        self.refused = None
        if by_load and load is not None:
            self.refused = {"n": load.n, "errno": EDEADLK, "text": "the load of '%s' forks" % load.name}
            self.not_applied.add(load.n)
        self.cut = True

    def _go_on(self):
        self.cut = False
        arrival = self.engine.arrival
        if arrival is not None and arrival.step == "preparing":
            self.engine.abandon_arrival()
            self.main = THERE
        elif arrival is not None and arrival.step == "finishing":
            self._arrived()
        op, self.load, t = self.op, None, self.engine.transition
        if t is not None and t.step in ("preparing", "prepared") and t.kind:
            self.op = op = None
            self.engine.cancel()
        elif t is not None and t.step == "preparing":
            self.engine.disable(t.patch, op.dir)
        elif t is not None and t.step == "finishing" and t.dir == 0 and op is None:
            self.engine.cancel()
        elif t is not None and t.step == "finishing":
            self.engine.finish(t.dir)
            self.op, self.over = None, op.n
        if self.op is not None:
            self.op.clean = False       # it has its parent's frames, so it is clean only when seen clean
        for module in self.modules.all():
            if module.state == "Loading" and self.modules.patch_of(module.name) is None:
                self._unload(module, False)
        self.host.changed()

    # -- the table

    def step(self):
        """Do the first line that fits; False: none does."""
        if self.cut:
            self._go_on()
            return True
        g = self.judged = self.goal
        if self._arrive():
            return True
        if g is None:
            return False
        t, c = g["transition"], g["change"]
        if g["ftrace"] and not self.engine.ftrace_enabled:
            self.engine.ftrace_enabled = True       # before what needs it
            return True
        if self.engine.arrival is not None:
            if t and t["step"] == "finish" and t["forced"]:
                self.engine.force_arrival()
                self._arrived()
                return True
            return False
        if self.op:
            return (self._step_op(g, t, c) or self._step_load(g, t, c)
                    or self.op.phase == STARTED and not self.load and self._remove(g))
        if self.load:
            return self._step_load(g, t, c)
        return self._join(g, t) or bool(t) and self._step_transition(g, t) or self._step_load(g, t, c) or self._remove(g) or self._ftrace_off(g)

    def _step_op(self, g, t, c):
        op = self.op
        if not (t and t["n"] == op.n or c and c["n"] == op.n):
            if op.phase == PREPARED:
                self._take_back(EINTR)
                return True
            return self._wonder("operation %d of '%s' is started here, the journal does not have it" % (op.n, op.name))
        if not t or t["n"] != op.n:
            return False
        if op.phase == PREPARED:
            try:                        # ahead of the step, since others may come in between
                known = self.fingerprints(self._entry(g, op.name))
            except OSError:
                known = None            # said already; it was decided, and what is here this process has looked at itself
            fit(op.patch, known)        # modules that come later are to be those that the others have
            self._start(op, t)
            return True
        if op.phase == STARTED and op.turn != t["turn"]:
            self._turn(op, t)
            self.host.report()
            return True
        if op.phase == STARTED and t["step"] == "finish":
            if not t["forced"] and not op.clean:
                return False        # a look will make it clean; nobody else can have decided this
            self._finish(op, t)
            return True
        return False

    def _take_back(self, errno):
        op, self.op = self.op, None
        op.error = KlpError(errno, "loading '%s' was given up" % op.name)
        self.engine.cancel()
        self.host.changed()

    def _start(self, op, t):
        op.phase, op.dir, op.turn = STARTED, t["dir"], t["turn"]
        self.engine.start(op.dir)
        self.host.changed()
        self.host.report()

    def _turn(self, op, t):
        op.turn, op.clean = t["turn"], False
        if op.dir != t["dir"]:
            op.dir = t["dir"]
            self.engine.reverse()
            self.host.changed()

    def _finish(self, op, t):
        op.phase = FINISHING
        if t["forced"] and not op.clean:
            self.engine.force()
        self.engine.finish(op.dir)
        self.op = None
        self.over = op.n
        self.host.changed()

    def _step_transition(self, g, t):
        """No operation here, the record has a transition."""
        mine = self.modules.patch_of(t["patch"])
        out = t["n"] in self.not_applied
        if t["step"] == "start" and mine is None and not out:
            return self._run_load(Load(t["n"], t["patch"]), self._entry(g, t["patch"]))
        if self.over >= t["n"]:
            return False
        if mine is not None:
            op = self.op = Op(t["n"], t["patch"], mine, STARTED, t["dir"], t["turn"])
            try:
                self.engine.disable(mine, op.dir)
            except OSError as e:
                self.op = None
                return self._wonder("'%s' can't be disabled here: %s" % (op.name, e))
            self.host.changed()
            self.host.report()
            return True
        if t["step"] == "finish":
            self.over = t["n"]
            stay = [p["name"] for p in outcome(g)]
            for patch in list(self.engine.patches):
                if patch.name not in stay:
                    self.engine.drop(patch, self.live)
            self.host.changed()
            return True
        return False

    def _join(self, g, t):
        """What is in force and missing here: an ordinary module, then patches, each at its place."""
        for m in g["modules"]:
            if not m["livepatch"] and m["name"] not in self.modules and m["sha256"] not in self.left_modules:
                return self._run_load(Load(0, m["name"]), m)
        finishing = t and t["step"] == "finish"
        for p in outcome(g) if finishing else g["patches"]:
            if p["n"] in self.not_applied or self.modules.patch_of(p["name"]) is not None:
                continue
            if t and p["name"] == t["patch"]:
                if not finishing or self.over >= t["n"]:
                    continue
                self.over = t["n"]      # with the first thing done, or the next step takes it for a disable
            order = [q["name"] for q in g["patches"]]
            before = order[:order.index(p["name"])]
            position = sum(1 for patch in self.engine.patches if patch.name in before)
            return self._run_load(Load(p["n"], p["name"], position), dict(self._entry(g, p["name"]), **p))
        return False

    def _step_load(self, g, t, c):
        load = self.load
        if load:
            if load.phase != PREPARED or c and c["n"] == load.n:
                return False
            if any(m["name"] == load.name for m in g["modules"]):
                self.load = None        # the ordinary module is in
                self.modules.live(load.module)
                self.host.changed()
            else:
                self._unload(load.module, True)
                self.load = None
                self.host.changed()
            return True
        if c and not (self.refused and self.refused["n"] == c["n"]) and not (self.op and self.op.n == c["n"]):
            self.refused = None
            return self._run_load(Load(c["n"], c["name"]), c)
        return False

    def _remove(self, g):
        names = [m["name"] for m in g["modules"]]
        for module in self.modules.all():
            if module.name not in names and self.modules.patch_of(module.name) is None:
                self._unload(module, True)
                self.host.changed()
                return True
        return False

    def fingerprints(self, entry):
        """{(object, function, position): {hash, ...}} of a patch's entry in the record. KlpError: they can't be had. The lock is
        let go for a moment."""
        known = {}
        if entry.get("fingerprints"):
            data = self.host.content({"name": entry["name"] + ", fingerprints", "sha256": entry["fingerprints"]})
            try:
                rows = parse_fingerprints(data.decode("ascii"))
            except ValueError as e:
                raise KlpError(EIO, "the fingerprints of '%s': %s" % (entry["name"], e)) from None
            for obj, func, position, code in rows:
                known.setdefault((obj, func, position), set()).add(code)
        return known

    def _ftrace_off(self, g):
        """The service takes no patches; decided while it had none, so here are none either, by now."""
        if g["ftrace"] or not self.engine.ftrace_enabled:
            return False
        try:
            self.engine.ftrace_enabled = False
        except OSError as e:
            return self._wonder("kernel.ftrace_enabled can't be 0 here: %s" % e)
        return True

    def _entry(self, g, name):
        """Where a module's content comes from: its `modules` entry, and the patch's own fields."""
        found = {}
        for part in (g["modules"], g["patches"]):
            for e in part:
                if e["name"] == name:
                    found.update(e)
        return found

    # -- loading

    def _run_load(self, load, entry):
        """Load a module to its end: prepared, in, or gone again with the reason told. Runs foreign code. Always True."""
        self.load = load
        self.host.report()
        error = None
        try:
            data = self.host.content(entry)
            load.known = self.fingerprints(entry)
            load.module = self.modules.load(load, entry, data)
            if not load.module.livepatch:
                self.engine.coming(load.name, True, load.module.mod)
                load.module.came = True
            self.host.changed()
            self.modules.init(load.module)
        except OSError as e:
            error = e
        if load.enabled:
            op = self.op
            if op and op.n == load.n:
                # The operation has been started, so what init() says comes too late. (It can't be PREPARED still.)
                if error:
                    self.host.say("init of '%s' failed after its patch was started: %s" % (load.name, error), 4)
                error = None
            elif load.join is None:
                error = error or KlpError(EINTR, "loading '%s' was given up" % load.name)
            elif error:
                self.host.say("init of '%s' failed after its patch was applied: %s" % (load.name, error), 4)
                error = None
        elif not error and load.join is not None:
            error = KlpError(EINVAL, "'%s' did not enable its patch" % load.name)
        if error:
            self._failed(load, error)
        elif load.enabled:
            self.modules.live(load.module)
            self.load = None
        else:
            load.phase = PREPARED
            if load.n == 0:
                self.modules.live(load.module)
                self.load = None
        self.host.changed()
        self.host.report()
        return True

    def _failed(self, load, error):
        if load.module is not None:
            self._unload(load.module, False)
        self.load = None
        t, c = self.goal["transition"], self.goal["change"]
        if load.n == 0 or self._is_loaded(load, self.goal):
            self.left_modules.add(self._entry(self.goal, load.name).get("sha256"))
            self.host.say("'%s' could not be loaded here: %s" % (load.name, error), 4)
        elif load.join is not None or t and t["n"] == load.n:
            self.not_applied.add(load.n)
            self.host.say("'%s' could not be applied here: %s" % (load.name, error), 4)
        else:
            self.refused = {"n": load.n, "errno": error.errno or EINVAL, "text": error.strerror or str(error)}

    def _is_loaded(self, load, g):
        """Whether record g has what is being loaded among its modules: an ordinary module that was decided without this process,
        which was silent. It goes on as in one that joins."""
        return load.join is None and load.module is not None and any(
            not m["livepatch"] and m["name"] == load.name and m["sha256"] == load.module.sha256 for m in g["modules"])

    def given_up(self, n):
        """Whether the newest record does not know operation n any more, and n is still being loaded. Any thread."""
        g, load = self.goal, self.load
        if g is None or load is None or load.n != n:
            return False
        if load.join is not None:
            return n in self.not_applied or all(p["n"] != n for p in g["patches"])      # a joiner takes on what is in force
        t, c = g["transition"], g["change"]
        return not (t and t["n"] == n or c and c["n"] == n or self._is_loaded(load, g))

    def _unload(self, module, exit):
        """exit() if it was initialised, going, and out."""
        self.modules.going(module)
        if exit:
            self.host.changed()
            self.modules.exit(module)
        if not module.livepatch and module.came:
            self.engine.going(module.name)
        self.modules.unload(module)

    # -- what init() calls

    def enable_patch(self, patch):
        """klp_enable_patch() as a livepatch's init() calls it: returns 0 once the operation is started.

        KlpError: EINVAL outside of a load or in a module that is no livepatch, EBUSY while a transition is pending,
        EINTR when it was given up, and all that Engine.enable says.
        """
        load = self.load
        if load is None or load.phase != LOADING or load.module is None:
            raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
        if not load.module.livepatch:
            text = "module %s is not marked as a livepatch module" % load.name
            self.host.say("livepatch: " + text, 3)
            raise KlpError(EINVAL, text)
        fit(patch, load.known)
        if load.join is not None:
            self.engine.join_apply(patch, load.name, load.join, self.live)
            load.enabled = True
            load.module.patch = patch
            self.host.changed()
            return 0
        if self.op is not None or load.enabled:
            raise KlpError(EBUSY, None)
        t = self.goal["transition"]
        if t and t["n"] == load.n and bool(patch.replace) != bool(t["replace"]):      # it was started before anybody had loaded it
            raise KlpError(EINVAL, "'%s' was started as one that %s" % (load.name, "replaces" if t["replace"] else "does not replace"))
        self.engine.enable(patch, load.name)
        load.enabled = True
        load.module.patch = patch
        op = self.op = Op(load.n, load.name, patch, PREPARED)
        self.host.changed()
        self.host.report()
        while op.phase == PREPARED and op.error is None:
            if not self.step():
                self.in_step()
                if not self._decide_alone(op):
                    self.host.wait()
        if op.error is not None:
            raise op.error
        return 0

    def _decide_alone(self, op):
        """The coordinator of the prepared operation is lost: the journal says whether it was started."""
        c = self.goal["change"]
        if not (c and c["n"] == op.n and self.host.lost(c)):
            return False
        g = self.host.journal()
        if g is None:
            return False                # unreadable: never decide without looking
        if g["seq"] > self.goal["seq"]:
            return self.set_goal(g)
        self.refused = {"n": op.n, "errno": EINTR, "text": "the coordinator was lost"}
        self._take_back(EINTR)
        return True

    def _wonder(self, text):
        """Log once what the protocol says cannot be; nothing is done."""
        if self._wondered != text:
            self._wondered = text
            self.host.say(text, 3)
        return False
