"""What the agent asks of klpfs/cpython: the target, loading, import hooks, and names and stacks of tasks."""
import sys
from errno import EINVAL
from posix import environ, getpid

from klpfs.agent.c_functions import clock_us
from klpfs.agent.proc import cmdline
from klpfs.engine.error import KlpError
from klpfs.engine.target import Target

CALLBACKS = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")


class AgentTarget(Target):
    """The Python target, made when the first livepatch comes: what it imports costs as much as all the rest of an agent.
    Callbacks run as all foreign code of an agent does."""

    __slots__ = ("agent", "main", "ripe", "_main_waits", "_real")

    def __init__(self, agent, main):
        self.agent, self.main = agent, main
        self._main_waits = False
        self.ripe = {}          # import_hooks.py's, the real target's from the beginning
        self._real = None

    @property
    def real(self):
        if self._real is None:
            from klpfs.cpython.target import PythonTarget
            from klpfs.cpython.switch.switching import breathe
            real = PythonTarget(self.agent.log, self.main)
            real.breathe = breathe      # lets the program in between slices of long work
            real.ripe = self.ripe
            real.main_waits = self._main_waits
            self._real = real
        return self._real

    @property
    def main_waits(self):
        """As PythonTarget's."""
        return self._main_waits

    @main_waits.setter
    def main_waits(self, value):
        self._main_waits = value
        if self._real is not None:
            self._real.main_waits = value

    def loaded(self, name):
        return self.real.loaded(name)

    def resolve(self, obj, func):
        self.real.resolve(obj, func)

    def resolve_nop(self, obj, func, like):
        self.real.resolve_nop(obj, func, like)

    def release(self, func):
        self.real.release(func)

    def begin(self, changes):
        return self.real.begin(changes)

    def apply(self, changes):
        self.real.apply(changes)

    def revert(self, changes):
        self.real.revert(changes)

    def refresh(self, name):
        """A module's body ran again: its new functions join their definitions."""
        self.real.refresh(name)

    def call(self, callback, obj):
        """As Target.call; -EINTR when it was stopped."""
        agent, cbs = self.agent, obj.callbacks
        name = next((each for each in CALLBACKS if getattr(cbs, each, None) is callback), "callback")
        load = agent.follower.load
        try:
            return agent.foreign("%s of '%s'" % (name, obj.patch.name if obj.patch is not None else "?"), load.n if load else 0,
                                 self.real.call, callback, obj)
        except KlpError as e:
            return -(e.errno or EINVAL)


class Bridge:
    """agent: agent.py's Agent; its log is there already."""

    __slots__ = ("agent", "target", "since")

    python = "%d.%d.%d" % sys.version_info[:3]

    def __init__(self, agent):
        self.agent = agent
        main = environ.get(b"KLPFS_MAIN")
        self.target = AgentTarget(agent, main.decode("utf-8", "surrogateescape") if main else None)
        self.since = {}         # (kind, task) of blockers -> usec when it was seen first

    def install(self):
        """Hook imports: Agent.coming is told of each module before the importing code goes on."""
        from klpfs.cpython.program import import_hooks
        import_hooks.install(self.agent.coming, self.target)

    def runs_main(self):
        """Whether this process's program is, or will be, the service's main one; multiprocessing may run it anew."""
        main = self.target.main
        base = (main or "").rpartition("/")[2]
        return not main or any(word in (main, "--multiprocessing-fork") or word.rpartition("/")[2] == base for word in cmdline())

    def run_main(self, names, call):
        """Before the program's first line: see that call() comes in its thread as soon as the functions of these names
        are there, between its statements. False: it can't be seen to; then ask has_main now and then."""
        from klpfs.agent import run_main as program
        return program.arrange(names, call)

    def has_main(self, names):
        """Whether the functions of these names are there, in a main program that nobody has told to say so."""
        from klpfs.cpython.program import between_statements
        namespace = self.target.real.main_namespace()
        return namespace is not None and between_statements.passed(names, self.agent.main_ident, namespace)

    # -- modules

    def prepare(self):
        """Import what a load needs. Foreign code, as it may run the program's import hooks."""
        from klpfs.cpython.load import loader as loading
        from klpfs.cpython import target  # noqa: F401
        loading.prepare()

    def interpreters(self):
        """How many sub-interpreters run in this process."""
        from klpfs.cpython.looks.interpreters import interpreters
        return interpreters()

    def load(self, name, data, path, params):
        from klpfs.cpython.load import loader as loading
        return loading.load(name, data, path, params, log=self.agent.log, breathe=self.target.real.breathe,
                            enable_patch=self.agent.enable_patch)

    def unload(self, loaded):
        from klpfs.cpython.load import loader as loading
        loading.unload(loaded)

    def probe(self, name, data, path, params, log):
        """Run a livepatch's top level only to look at it; None: it is no livepatch. Ended by end_probe()."""
        from klpfs.cpython.load import loader as loading
        return loading.probe(name, data, path, params, log)

    def survey(self, probed):
        """What a load of it would find here (cpython/looks/dry_run.py)."""
        from klpfs.cpython.looks.dry_run import survey
        return survey(self.target.real, probed)

    def end_probe(self):
        from klpfs.cpython.load import loader as loading
        loading.end_probe()

    def set_param(self, loaded, name, text):
        from klpfs.cpython.load import loader as loading
        loading.set_param(loaded, name, text)

    def show_param(self, loaded, name):
        """(name, type, text, mode) of a parameter."""
        p = loaded.params[name]
        return (name, p.type.__name__, p.text, p.mode)

    def fingerprint_of(self, func):
        """The fingerprint of what a Func replaces, str, None while its object is not loaded."""
        return None if func.fingerprint is not None and ":" in func.fingerprint else func.fingerprint

    # -- tasks

    def blocker(self, b):
        """A Blocker as plain data; `since` is kept over looks."""
        key = (b.kind, b.task)
        since = self.since.get(key)
        if since is None:
            since = self.since[key] = b.since or clock_us()
        return {"kind": b.kind, "task": int(b.task or 0), "name": str(b.name), "frames": [str(f) for f in b.frames], "since": since}

    def forget_blockers(self):
        self.since.clear()

    def stack_of_ident(self, ident):
        """Lines 'file:line function' of a thread, innermost first."""
        from klpfs.cpython.looks import names_for_people
        return names_for_people.stacks().get(ident, [])

    def _ident(self, tid):
        """The ident of a native thread id: the main thread's, ours, or one that threading knows; None for others."""
        agent = self.agent
        if tid is None or tid == getpid():
            return agent.main_ident
        from klpfs.cpython.looks import names_for_people
        for ident, (native, _) in names_for_people.thread_names().items():
            if native == tid:
                return ident
        return agent.worker.ident if tid == agent.worker.tid else None

    def stack(self, tid):
        """The stack of a task, None if it is not known."""
        ident = self._ident(tid)
        return None if ident is None else self.stack_of_ident(ident)

    def patch_state(self, tid, transition):
        """-1 outside a transition; else 0 unpatched, 1 patched; of the main thread for tid None."""
        core = getattr(getattr(transition, "target", None), "switching", None)
        if core is None:
            return -1
        from klpfs.cpython.looks import names_for_people
        states, ident = names_for_people.task_states(core), self._ident(tid)
        if not states:
            return -1
        version = states.get(ident, core.goal)      # without a Python frame: nothing of it can be dirty
        return version if transition.kind else 1 - version
