"""The agent of a process: log, target, engine, follower, worker and server put together, and what they ask of each other."""
from errno import EBUSY, EINVAL, ENOENT
from posix import getpid

from klpfs.agent import proc, service_folder
from klpfs.protocol import record_text
from klpfs.agent.c_functions import allocate_lock, clock_us, get_ident, get_native_id, modules, monotonic
from klpfs.agent.follower import Follower, THERE
from klpfs.agent.modules import Modules
from klpfs.protocol.folder_layout import JOURNAL
from klpfs.agent.server import Server
from klpfs.protocol.wire import VERSION
from klpfs.agent.agent_thread import Worker
from klpfs.engine.core import Engine
from klpfs.engine.data import COMING, LIVE
from klpfs.engine.error import KlpError
from klpfs.engine.log import Log

JOIN = 10.0             # seconds: how long a joiner's program waits until the journal is followed
IMPORT = 2.0            # seconds: how long an import waits for the worker to patch the module
WANT = 5.0              # seconds: how long a content is waited for
CHECK = -1              # the operation number of a dry run
CHECKED = 5000000       # usec: how long a dry run's top level may take
SLOW = 1000000          # usec: foreign code that runs longer is told of


class Agent:
    """Made, registered and started once in a process, by klpfs.agent.start. service, folder, runtime: str; keep: the journal
    outlives the service; bridge: a module or object with what this process is patched through (see bridge.py); group: the
    number of the group whose users may live in the folder, or None."""

    __slots__ = ("service", "folder", "keep", "started", "pid", "main_ident", "log", "target", "engine", "modules", "follower", "worker",
                 "server", "bridge", "blockers", "contents", "_out", "_pending", "_sections", "_report", "_slow", "_told", "_waiter",
                 "_server_ident", "_main_waiter", "ours", "prepared", "_left", "_hangs")

    def __init__(self, service, folder, keep, make_bridge, group=None):
        self.service, self.folder, self.keep = service, folder, keep
        self.started = clock_us()
        self.pid = getpid()
        main = getattr(modules.get("threading"), "_main_thread", None)
        self.main_ident = getattr(main, "ident", None) or get_ident()
        self.log = Log(clock_us, 4096, self._sink)
        self.bridge = make_bridge(self)
        self.target = self.bridge.target
        self.engine = Engine(self.target, self.log)
        self.modules = Modules(self)
        self.follower = Follower(self.engine, self.modules, self)
        self.worker = Worker(self)
        self.server = Server(self, folder, group)
        self._fresh()
        self._sections = {"patches": [], "modules": []}
        self._report = None

    def _fresh(self):
        """What a child starts with anew."""
        self.blockers = []
        self.contents = {}          # sha256 -> bytes that came in answer to `want`
        self._out = allocate_lock()     # held by worker and server only, never while anything waits
        self._pending = []          # log records on their way
        self._slow = None
        self._told = 0              # n of the newest change that its own coordinator has told us
        self._waiter = allocate_lock()      # let go with each report, for who joins
        self._waiter.acquire()
        self._server_ident = 0
        self._main_waiter = allocate_lock()     # let go when the main program's functions have arrived
        self._main_waiter.acquire()
        self.prepared = None        # False: what a load needs was asked for; True: it is there
        self.ours = set()           # native ids of klpfs's threads
        self._hangs = None          # the worker's `working` that an import has waited for in vain
        self._left = set()          # (patch, object) that were said not to be patched here

    # -- start

    def register(self):
        """Bind the socket: from here on the others know of this process."""
        self.server.listen()
        try:
            service_folder.begin(self.folder, self.server.name, self.keep)
        except OSError as e:
            self.say("the service's journal: %s" % e, 3)

    def start(self, running=False):
        """Follow the journal, then let the program run. running: it does already."""
        self.follower.live = running
        self.bridge.install()
        self.target.main_waits = True       # else a joiner's patches would not find what is not there yet
        self.run()
        self.join()
        self.follower.live = True
        self._wait_for_main(running)

    def _wait_for_main(self, running):
        """A joiner has applied patches before its main program had made any function."""
        with self.worker.lock:
            names = self.follower.main_names() if self.bridge.runs_main() and self.follower.wait_for_main() else None
            if names is None:
                self.target.main_waits = False
            elif running or not self.bridge.run_main(names, lambda: self.main_came(names)):
                self.worker.ask_for_main()
        if names is None:
            return
        self.worker.poke()
        if running:
            self._main_waiter.acquire(True, 0.1)        # all may be there already
        if self.follower.main:
            self.say("the main program's functions will be patched when their definitions are there", 6)

    def run(self):
        """Start both threads."""
        self.server.start()
        self.worker.start()

    def join(self):
        """Follow the journal until `seen` is its seq, for JOIN seconds at most."""
        end = monotonic() + JOIN
        last = None
        while True:
            g = self.journal()
            if g is None:
                self.say("the service's journal can't be read: the program goes on without the service's patches", 3)
                break
            if g["seq"] == last and self.follower.seen >= last:
                break
            last = g["seq"]
            self.follower.set_goal(g)
            if not self._at_rest(g):
                self._waiter.acquire(False)
                self.worker.poke()
                while self.follower.seen < last and monotonic() < end:
                    self._waiter.acquire(True, 0.1)         # each report lets us look
            if monotonic() >= end:
                self.say("the journal could not be followed within %d s; the program goes on" % JOIN, 4)
                self.give_up()
                break

    def _at_rest(self, g):
        """Nothing is there and nothing is asked for: followed without waiting for the worker."""
        if g["patches"] or g["modules"] or g["change"] or g["transition"] or not g["ftrace"]:
            return False
        with self.worker.lock:
            f = self.follower
            if f.op or f.load or f.cut or self.modules.table or self.engine.patches or not self.engine.ftrace_enabled:
                return False
            f.in_step(g)
        return True

    def give_up(self):
        """A joiner that has waited too long: what is not done is left out; what hangs is stopped soon (Follower.given_up)."""
        g, working = self.follower.goal, self.worker.working
        hangs = working["n"] if working else 0
        for p in g["patches"] if g else ():
            if self.modules.patch_of(p["name"]) is None or p["n"] == hangs:
                self.follower.not_applied.add(p["n"])

    def main_came(self, names):
        """The main program's thread, between two statements: the functions of `names` are there. It goes on when they are
        patched; or, when somebody is in the way, with dispatchers in their place; or after a bounded time, as it is."""
        try:
            self._main_came(names)
        except Exception as e:      # the program is not to blame
            self.defect(e)

    def _main_came(self, names):
        if getpid() != self.pid:
            self.child(None, 0)     # C forked behind our back: this process registers now

        def came():
            if (self.follower.main_names() or names) <= names:
                self.target.main_waits = False
                self.follower.main_came()
            elif self.follower.main:
                self.worker.ask_for_main()      # a patch that was loaded meanwhile is for more of them
        if not self.follower.main:
            return
        self._by_worker(came)
        end = monotonic() + IMPORT
        while (self.follower.main == THERE or self.engine.arrival is not None) and monotonic() < end:
            self._main_waiter.acquire(True, 0.1)
        if self.follower.main == THERE:
            self.say("the main program goes on unpatched until what is under way is over", 4)
        elif self.engine.arrival is not None:
            self.say("the main program goes on while its functions are in transition", 5)

    def _by_worker(self, function):
        """Have the worker do it, in a program's thread. False: it had no time within IMPORT seconds."""
        done = allocate_lock()
        done.acquire()

        def work():
            try:
                function()
            finally:
                done.release()
        self.worker.requests.append(work)
        self.worker.poke()
        if done.acquire(True, IMPORT):
            return True
        try:
            self.worker.requests.remove(work)
        except ValueError:
            done.acquire(True, IMPORT)      # it has just begun
            return True
        return False

    # -- what the follower asks (follower.py)

    def main_is_there(self):
        names = self.follower.main_names()
        if names is not None and not self.bridge.has_main(names):
            return False
        self.target.main_waits = False
        return True

    def arrived(self):
        self._say_left_out()
        try:
            self._main_waiter.release()
        except RuntimeError:
            pass

    def content(self, entry):
        """The bytes of a module, from the service's folder, else from a coordinator. KlpError(ENOENT)."""
        sha = entry.get("sha256")
        if not sha:
            raise KlpError(ENOENT, "the content of '%s' is not known" % entry.get("name"))
        self.worker.lock.release()
        try:
            data = service_folder.content(self.folder, sha)
            if data is None:
                self.server.post({"t": "want", "sha256": sha})
                waiting = allocate_lock()
                waiting.acquire()
                end = monotonic() + WANT
                while sha not in self.contents and monotonic() < end:
                    waiting.acquire(True, 0.005)
                data = self.contents.pop(sha, None)
        finally:
            self.worker.lock.acquire()
        if not data:
            text = "the content of '%s' can't be had" % entry.get("name")
            self.say(text, 3)
            raise KlpError(ENOENT, text)
        return data

    def changed(self):
        """Send the sections that differ from what was sent last. Worker or server thread."""
        with self._out:
            self._flush()
            found = {"patches": self.engine.describe(), "modules": self.modules.describe()}
            news = {key: value for key, value in found.items() if value != self._sections[key]}
            if news:
                message = dict(news, t="event")
                if "patches" in news:       # only those that differ: all may have 100,000 functions
                    old = {p["name"]: p for p in self._sections["patches"]}
                    message["names"] = [p["name"] for p in news["patches"]]
                    message["patches"] = [p for p in news["patches"] if old.get(p["name"]) != p]
                self._sections.update(news)
                self.server.post(message)

    def report(self):
        """Send a report of what the follower is at. Worker thread."""
        report = self.follower.report()
        self._say_left_out()
        if self.follower.look_key() is None:
            self.blockers = []
            self.bridge.forget_blockers()
        with self._out:
            self._flush()
            self._report = report
            self.server.post(self._full_report())
        try:
            self._waiter.release()
        except RuntimeError:
            pass

    def _full_report(self):
        working = self.worker.working
        return dict(self._report or self.follower.report(), blockers=self.blockers_now(),
                    working={"what": working["what"], "since": working["since"]} if working else None)

    def wait(self):
        self.worker.wait()

    def lost(self, change):
        """Whether the connection over which the change's coordinator has told it has closed, and there is no other. One
        that never connected to us (we have joined, or were forked) is not lost: its successor will tell."""
        if self._told != change["n"]:
            return False
        return not [c for c in list(self.server.connections) if c.open and c.change == change["n"] and c.pid == change["pid"]]

    def journal(self):
        """The journal's record, None if it can't be read."""
        try:
            return record_text.load(self.folder + "/" + JOURNAL)
        except OSError:
            return None

    def say(self, text, priority):
        """A log line of the agent; once a process."""
        self.log.add(text, priority, "agent")

    def defect(self, error):
        """An exception of klpfs's own: a line with its place, for the one who repairs it."""
        tb, place = error.__traceback__, ""
        while tb is not None:
            place, tb = "%s:%d" % (tb.tb_frame.f_code.co_filename, tb.tb_lineno), tb.tb_next
        self.say("klpfs: defect at %s: %s: %s" % (place, type(error).__name__, error), 3)

    # -- what the worker asks

    def looked(self, blockers):
        """The result of a look."""
        was = [(b["kind"], b["task"]) for b in self.blockers]
        self.blockers = [self.bridge.blocker(b) for b in blockers]
        if [(b["kind"], b["task"]) for b in self.blockers] != was and self.blockers:
            with self._out:
                self.server.post(self._full_report())

    def signaling(self):
        """15 s have passed: the kernel's words."""
        self.engine.signal()

    # -- modules.py

    def foreign(self, what, n, function, *args):
        return self.worker.foreign(what, n, function, *args)

    def load(self, name, data, path, params):
        others = self.bridge.interpreters()
        if others:
            self.say("%d sub-interpreters run in this process, their functions are not patched" % others, 4)
        return self.bridge.load(name, data, path, params)

    def unload(self, loaded):
        self.bridge.unload(loaded)

    def set_param(self, loaded, name, text):
        self.bridge.set_param(loaded, name, text)

    def show_param(self, loaded, name):
        return self.bridge.show_param(loaded, name)

    def fingerprint_of(self, func):
        return self.bridge.fingerprint_of(func)

    # -- what livepatch files ask (api.py)

    def enable_patch(self, patch):
        if get_ident() != self.worker.ident:
            raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
        return self.worker.own(self._enable_patch, patch)

    def _enable_patch(self, patch):
        self._all_came(self._put_by_hand())
        if self.follower.main and any(obj.name is None for obj in patch.objects):
            self.target.main_waits = False      # what others wait for may never come: this one finds what is there, or is refused
        return self.follower.enable_patch(patch)

    def pr_info(self, text):
        self.worker.shield(self.log.add, text, 6, "module")

    # -- modules that the program imports

    def coming(self, name):
        """A module's body has run in the calling thread, which imports it: its functions are to be in place before it goes
        on. Done by the worker; when that can't be had in time, the module goes on as it is, with a log line."""
        if getpid() != self.pid:
            self.child(None, 0)     # C forked behind our back: this process registers now
        wanted = self._interesting(name)
        names = ([name] if wanted else []) + self._put_by_hand(name)
        if not names or not wanted and (get_ident() == self._server_ident or self._hangs is not None and self._hangs is self.worker.working):
            return      # what was put by hand has waited in vain for this already, and the server waits for nobody: it is to stop what hangs
        if get_ident() == self.worker.ident:
            if self.worker.inside:
                return self.worker.own(self._all_came, names)
            return self._all_came(names)    # imported by klpfs itself, in a step
        if not self._by_worker(lambda: self._all_came(names)):
            self._hangs = self.worker.working
            self.say("module '%s' was imported while '%s' runs; it goes on unpatched"
                     % (name, (self.worker.working or {"what": "a step"})["what"]), 4)

    def _put_by_hand(self, but=None):
        """Modules that a program has put into sys.modules itself, after exec() of their code, and that patches wait for.
        Nobody tells us of them, so they are looked for with each import and each load."""
        return [obj.name for patch in list(self.engine.patches) for obj in list(patch.objects)
                if obj.name not in (None, but) and not obj.loaded and not obj.left_out and obj.name in modules]

    def _all_came(self, names):
        for name in dict.fromkeys(names):
            if self.target.loaded(name) is not None:
                self._came(name)

    def _came(self, name):
        """Worker: the module is applied to all patches; or, when they have it already, what a reload has made joins."""
        known = any(obj.name == name and obj.loaded for patch in self.engine.patches for obj in patch.objects)
        mod = self.target.loaded(name)
        if known:
            self.target.refresh(name)
        if mod is not None:
            mod.state = COMING
        try:
            self.engine.coming(name, False, mod)
        finally:
            if mod is not None:
                mod.state = LIVE
        self._say_left_out()
        self.changed()

    def _say_left_out(self):
        """Objects that are loaded here and could not be patched are said once, with the process."""
        now = {(patch.name, obj.shown) for patch in self.engine.patches for obj in patch.objects if obj.left_out}
        if now != self._left:
            new, self._left = sorted(now - self._left), now
            for patch, obj in new:
                self.say("'%s' is not patched by '%s' here" % (obj, patch), 4)

    def _interesting(self, name):
        t = self.engine.transition
        patches = list(self.engine.patches) + ([t.patch] if t is not None else [])
        return any(obj.name == name for patch in patches for obj in list(patch.objects))

    # -- log records on their way

    def _sink(self, record):
        self._pending.append((record.seq, record.usec, record.priority, record.kind, record.text))
        ident = get_ident()
        if ident == self._server_ident or ident == self.worker.ident:
            if self._out.acquire(False):        # else who has it sends them, or the next does
                try:
                    self._flush()
                finally:
                    self._out.release()
                return
        self.server.wake()

    def _flush(self):
        if self._pending:
            records, self._pending = self._pending, []
            self.server.post({"t": "event", "log": records})

    # -- the server's side

    def greet(self, connection):
        """A coordinator has connected: from here on it gets all messages; returns the first ones."""
        with self._out:
            self._flush()
            self.server.connections.append(connection)
            log = [(r.seq, r.usec, r.priority, r.kind, r.text) for r in list(self.log.records)]
            found = proc.describe()
            for message in (
                    {"t": "hello", "version": VERSION, "pid": found["pid"], "comm": found["comm"], "cmdline": found["cmdline"],
                     "keep": self.keep, "service": self.service, "python": self.bridge.python, "started": self.started},
                    dict(self._sections, t="event", process=found, log=log), self._full_report()):
                self.server.post(message, connection)
        if self.prepared is None:
            self.prepared = False
            self.worker.requests.append(self._prepare)
            self.worker.poke()

    def _prepare(self):
        """Somebody manages this process, so a load may come: what it needs is imported now, while there is time, and while
        there are descriptors. A program that nobody looks at does not pay for it. Imports may run hooks of the program's, so
        the lock is free; `working` is not marked: a fork waits for the end, or its child had half a module."""
        self.worker.lock.release()
        try:
            self.bridge.prepare()
            self.prepared = True
        except Exception as e:
            self.say("klpfs can't import what loads modules: %s" % e, 4)        # the load tries again
        finally:
            self.worker.lock.acquire()

    def received(self, c, m):
        """A message of a coordinator."""
        t = m["t"]
        if t == "record":
            r = m["r"]
            if record_text.parse(record_text.dump(r))["seq"] != r["seq"]:
                raise ValueError("a record that is none")
            if r["change"]:
                c.change = r["change"]["n"]
                if c.pid == r["change"]["pid"]:
                    self._told = c.change
            self.server.post({"t": "ack", "seq": r["seq"]}, c)
            if self.follower.set_goal(r):
                self._stop_what_is_given_up()
                self.worker.poke()
            else:
                with self._out:
                    self.server.post(self._full_report(), c)
        elif t == "content":
            self.contents[str(m["sha256"])] = bytes(m["data"])
        elif t == "ask":
            self.server.post({"t": "answer", "id": m["id"], "data": self._answer(m["what"], m.get("tid"))}, c)
        elif t == "set":
            errno = 0
            try:
                self.modules.set_param(m["module"], m["param"], m["text"])
            except OSError as e:
                errno = e.errno or EINVAL
            self.changed()
            self.server.post({"t": "done", "id": m["id"], "errno": errno}, c)
        elif t == "check":
            self.worker.requests.append(lambda: self._check(c, m))
            self.worker.poke()
        elif t == "kmsg":
            self.log.add(str(m["text"]), int(m.get("priority", 4)), "user")
        else:
            raise ValueError("message %r" % t)

    def _check(self, c, m):
        """Worker: a dry run of a load. It says nothing in the log and leaves nothing behind."""
        answer = {"errno": 0, "text": "", "found": None}
        if self.follower.load is not None or self.worker.working:
            answer.update(errno=EBUSY, text="a module is being loaded")
        else:
            heard = Log(clock_us, 64)
            try:
                probed = self.worker.foreign("checking '%s'" % m["name"], CHECK, self.bridge.probe, m["name"], m["data"], m["path"],
                                             m["params"], heard)
                if probed is None:
                    answer.update(errno=EINVAL, text="module %s is not marked as a livepatch module" % m["name"])
                else:
                    answer["found"] = self.bridge.survey(probed)
            except OSError as e:
                answer.update(errno=e.errno or EINVAL, text=e.strerror or str(e))
            finally:
                self.bridge.end_probe()
        self.server.post({"t": "answer", "id": m["id"], "data": answer}, c)

    def _stop_what_is_given_up(self):
        """Foreign code of an operation that the newest record does not know any more is asked to stop."""
        working = self.worker.working
        if working and working["n"] and self.follower.given_up(working["n"]):
            self.worker.interrupt(working["n"])

    def disconnected(self):
        self.worker.poke()

    def tick(self):
        """After each round of the server, at least once a second."""
        self._server_ident = self._server_ident or get_ident()
        self.ours.add(get_native_id())
        tid = self.worker.tid       # once: a worker that is being started has 0 there for a moment
        if tid:
            self.ours.add(tid)
        working = self.worker.working
        if self._pending:
            with self._out:
                self._flush()
        if working and clock_us() - working["since"] > SLOW:
            self._stop_what_is_given_up()
            if working["n"] == CHECK and clock_us() - working["since"] > CHECKED:
                self.worker.interrupt(CHECK)
            if self._slow is not working:
                self._slow = working
                with self._out:
                    self.server.post(self._full_report())

    def blockers_now(self):
        """The blockers of the last look, and foreign code that takes long."""
        out = list(self.blockers)
        working = self.worker.working
        if working and clock_us() - working["since"] > SLOW:
            out.append({"kind": "working", "task": self.worker.ident, "name": "working: " + working["what"],
                        "frames": self.bridge.stack_of_ident(self.worker.ident), "since": working["since"]})
        return out

    def _answer(self, what, tid):
        if what == "tasks":
            waiting = allocate_lock()
            waiting.acquire()
            for _ in range(50):             # a worker that was just started says in a moment which thread it is
                if self.worker.tid:
                    break
                waiting.acquire(True, 0.001)
            return proc.tasks(self.ours | {self.worker.tid})
        if what == "blockers":
            return self.blockers_now()
        if what == "status":
            return self._full_report()
        if what == "stack":
            return self.bridge.stack(tid)
        if what == "patch_state":
            return self.bridge.patch_state(tid, self.engine.transition)
        raise ValueError("question %r" % what)

    # -- a fork

    def child(self, bound, inside, by_worker=False):
        """In a forked child: a process of its own from here on. bound: the (socket, name) that its parent made for it;
        inside: how many callbacks of the engine the surviving thread is in; by_worker: it was the worker."""
        self.pid = getpid()
        self.main_ident = get_ident()
        self.started = clock_us()
        self.server.forget()
        self.worker.reset()
        self._fresh()
        self.log.records.clear()            # its parent's lines are its parent's
        self.engine.after_fork(inside)
        self.follower.forked(by_worker)
        try:
            self.server.listen(bound)
        except OSError as e:
            self.server.no_socket(e)
        self.run()
        self.join()
