"""Forks at each phase of an operation: whole steps, both sides serve on, the child is known before its parent is
clean."""
import json
import os
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROLOGUE = (
    """
import json, os, sys, threading, time
sys.path.insert(0, %r)
from tests.agent.client import Coordinator, running_agent
from klpfs.agent.fork import Forks
forks = Forks()
forks.hooks(os.register_at_fork)
shown = {}

def in_child(f):
    '''Forks; what f() returns in the child.'''
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = f()
        except BaseException as e:
            said = repr(e)
        os.write(w, json.dumps(said).encode())
        os._exit(0)
    os.close(w)
    data = b""
    while True:
        part = os.read(r, 1 << 16)
        if not part:
            break
        data += part
    os.waitpid(pid, 0)
    return json.loads(data)

def state():
    f = agent.follower
    return {"phase": f.report()["phase"], "clean": f.report()["clean"], "seen": f.seen, "over": f.last_finished, "value": agent.target.value("f"),
            "running": agent.thread.running.locked() and agent.server.running.locked(), "modules": [m.name for m in agent.modules.all()],
            "calls": agent.parts.shared.get("calls")}
"""
    % ROOT
)

LP = """
from klpfs import Callbacks
calls = shared.setdefault("calls", [])
patch = Patch([Object(None, [Func("f", lambda: None)], Callbacks(*[(lambda what: lambda obj: calls.append(what))(w) for w in
        ("pre", "post", "preun", "postun")]))])
"""


def fork(tmp_path, body, own_threads=False):
    """own_threads: the program has threads of its own, so Python warns of its forks (an error from 3.15 on)."""
    (tmp_path / "lp.py").write_text(LP)
    text = (
        PROLOGUE
        + "with open(%r) as file: LP = file.read()\nwith running_agent(%r) as agent:\n    c = Coordinator(agent.folder, agent.server.name)\n"
        % (str(tmp_path / "lp.py"), str(tmp_path))
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\n    print(json.dumps(shown))\n"
    )
    options = ["-W", f"{'ignore' if own_threads else 'error'}::DeprecationWarning",
               "-W", "ignore::ResourceWarning"]        # which debug builds show
    done = subprocess.run([sys.executable, *options, "-c", text], capture_output=True, text=True, timeout=25)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)


def test_idle(tmp_path):
    """A socket of its own, connected by nobody but through the folder; the parent's connections go on."""
    shown = fork(
        tmp_path,
        """
        name = agent.server.name
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until(lambda c: len(c.messages) >= 3)
            return [c2.messages[0]["pid"] == os.getpid(), agent.server.name != name, len(agent.server.connections) == 1, state()]
        shown["child"] = in_child(child)
        shown["answer"] = c.ask("patch_state")
        shown["parent"] = state()
    """,
    )
    assert shown["child"][:3] == [True, True, True] and shown["child"][3]["running"] and shown["child"][3]["seen"] == 0
    assert shown["answer"] == -1 and shown["parent"]["running"]


def test_in_force(tmp_path):
    """A patch in force is in force in the child; its callbacks run no second time; disabling works on."""
    shown = fork(tmp_path, """
        c.insmod("lp", LP)
        shown["child"] = in_child(state)
        shown["parent"] = state()
    """)
    for side in ("child", "parent"):
        assert (
            shown[side]["value"] == "f by lp" and shown[side]["calls"] == ["pre", "post"] and shown[side]["seen"] == 4
        )


def test_prepared(tmp_path):
    """Dropped in the child, post_unpatch where pre_patch succeeded; then, as a joiner, it follows the journal and
    prepares for itself. The parent's init() waits on."""
    shown = fork(tmp_path, """
        n = c.change("lp", LP)
        c.until_report(phase="prepared")
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until_report(phase="prepared", n=n)
            return state()
        shown["child"] = in_child(child)
        shown["before"] = state()
        c.start(n)
        c.until_report(clean=True)
        shown["parent"] = state()
    """)
    assert shown["child"]["calls"] == ["pre", "postun", "pre"] and shown["child"]["modules"] == ["lp"]
    assert shown["before"]["phase"] == "prepared" and shown["before"]["running"]
    assert shown["parent"]["value"] == "f by lp" and shown["parent"]["calls"] == ["pre"]


def test_started(tmp_path):
    """Goes on from the marks: in the same transition, clean when it is seen clean, finished by the record."""
    shown = fork(
        tmp_path,
        """
        task = agent.target.spawn()
        agent.target.call_function(task, "f")
        n = c.change("lp", LP)
        c.until_report(phase="prepared")
        c.start(n)
        c.until_report(phase="started")
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until_report(phase="started", seen=c.record["seq"])
            was = c2.report["clean"]
            agent.target.leave(task)
            c2.until_report(clean=True)
            c2.record = c.record
            c2.send(t="record", r=dict(c.record, seq=c.record["seq"] + 1, transition=dict(c.record["transition"], step="finish")))
            c2.until_report(over=n)
            return [was, state()]
        shown["child"] = in_child(child)
        shown["parent"] = state()
        agent.target.leave(task)
        c.until_report(clean=True)
    """,
    )
    assert (
        shown["child"][0] is False
        and shown["child"][1]["value"] == "f by lp"
        and shown["child"][1]["calls"] == ["pre", "post"]
    )
    assert (
        shown["parent"]["phase"] == "started" and not shown["parent"]["clean"] and shown["parent"]["calls"] == ["pre"]
    )


def test_between_its_parents_last_look_and_the_finish(tmp_path):
    """The child comes to the end of the record of `finish` before its own first look, and finishes after it. Its
    coordinator hears of that: it waited for ever, once (gunicorn's workers, forked anew in the middle of a
    transition)."""
    shown = fork(
        tmp_path,
        """
        n = c.change("lp", LP)
        c.until_report(phase="prepared", n=n)
        c.start(n)
        c.until_report(clean=True)
        send, c.send = c.send, lambda **message: None       # the parent does not hear of it yet
        c.write(transition=dict(c.record["transition"], step="finish"))
        from klpfs.agent.agent_thread import AgentThread
        look = AgentThread._look        # not before the record is followed to its end, as it may be
        AgentThread._look = lambda self: look(self) if agent.follower.seen == c.record["seq"] else 0.001
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until_report(over=n, seen=c.record["seq"])
            return state()
        shown["child"] = in_child(child)
        send(t="record", r=c.record)
        c.until_report(over=n, seen=c.record["seq"])
    """,
    )
    assert shown["child"]["over"] and shown["child"]["phase"] == "" and shown["child"]["calls"] == ["pre", "post"]


def test_in_a_function_whose_transition_keeps_the_child_from_following(tmp_path):
    """The main program's functions have come late, and a thread that is in one of them forks: nothing begins in the
    child before it has left, so the fork does not wait for it, as it did for 10 s."""
    shown = fork(
        tmp_path,
        """
        agent.target.waiting.add(None)
        c.insmod("lp", LP)
        def came():
            agent.follower.wait_for_main()
            agent.target.call_function(agent.target.spawn("early"), "f")
            agent.target.waiting.clear()
            agent.follower.main_came()
        assert agent.thread.have_done(came, 5) and agent.engine.arrival is not None
        agent.limits.join = 1000
        def child():
            return [agent.engine.arrival is not None, agent.follower.seen, agent.joining.joins, agent.follower.goal["seq"]]
        shown["child"] = in_child(child)
        shown["seq"] = c.record["seq"]
    """,
    )
    assert shown["child"] == [True, -1, 0, shown["seq"]]


def test_while_foreign_code_runs(tmp_path):
    """A callback that takes its time does not hold up a fork; half run, it counts as failed in the child."""
    shown = fork(
        tmp_path,
        """
        gate = threading.Lock()
        gate.acquire()
        agent.parts.shared.update(gate=gate, pid=os.getpid(), os=os)
        text = LP.replace("patch =", "def slow(obj):\\n    calls.append('pre')\\n    if os.getpid() == pid: shared['gate'].acquire()\\npatch =", 1)
        text = "import os\\npid = shared['pid']\\n" + text + "patch.objects[0].callbacks.pre_patch = slow\\n"
        n = c.change("lp", text)
        c.until(lambda c: agent.parts.shared.get("calls"))
        begun = time.monotonic()
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until_report(phase="prepared", n=n)
            return state()
        shown["child"] = in_child(child)
        shown["time"] = time.monotonic() - begun
        gate.release()
        c.until_report(phase="prepared")
        c.write(change=None)
        c.until_report(seen=c.record["seq"])
        shown["parent"] = state()
    """,
    )
    assert shown["child"]["calls"] == ["pre", "pre"] and shown["child"]["phase"] == "prepared"
    assert shown["parent"]["calls"] == ["pre", "postun"] and shown["parent"]["modules"] == []


def test_while_a_top_level_runs(tmp_path):
    """The child's module is not known to the agent yet: the loader is told to take it back, else its name stays taken
    in the child, and no later insmod would be accepted by the service."""
    shown = fork(
        tmp_path,
        """
        gate = threading.Lock()
        gate.acquire()
        agent.parts.shared.update(gate=gate, pid=os.getpid())
        text = "import os\\nif os.getpid() == shared['pid']:\\n  shared['inside'] = 1\\n  shared['gate'].acquire()"
        n = c.change("m", text)
        c.until(lambda c: agent.parts.shared.get("inside"))
        def child():
            c2 = Coordinator(agent.folder, agent.server.name)
            c2.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
            return agent.parts.shared["abandoned"]
        shown["child"] = in_child(child)
        gate.release()
        c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
        shown["parent"] = agent.parts.shared.get("abandoned")
    """,
    )
    assert shown == {"child": ["m"], "parent": None}


def test_a_fork_by_the_livepatch_itself(tmp_path):
    """The agent's own thread forks, in init(). The child does not load the module again, or it would fork for ever; it
    refuses. The parent goes on."""
    shown = fork(
        tmp_path,
        """
        agent.parts.shared["agent"] = agent
        text = "import os\\nagent = shared['agent']\\ndef init():\\n  shared['pid'] = os.fork()\\n  if not shared['pid']: os._exit((agent.follower.refused or {}).get('errno', 1))\\n  shared['status'] = os.waitpid(shared['pid'], 0)[1]\\n"
        n = c.change("m", text)
        c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
        shown["status"] = agent.parts.shared["status"] >> 8
        shown["parent"] = state()
    """,
    )
    assert shown["status"] == 35 and shown["parent"]["running"] and shown["parent"]["modules"] == ["m"]


def test_threads_that_do_not_stop_in_time(tmp_path):
    """On a busy machine a thread may not get to its end before the fork: it goes on, none is lost and none is
    doubled."""
    shown = fork(tmp_path, """
        agent.limits.stop = agent.limits.gone = 0
        shown["children"] = [in_child(state)["running"] for i in range(10)]
        shown["answer"] = c.ask("patch_state")
        c.insmod("lp", LP)
        shown["parent"] = state()
        shown["threads"] = len(os.listdir("/proc/self/task"))
    """)
    assert shown["children"] == [True] * 10 and shown["answer"] == -1 and shown["threads"] == 3
    assert shown["parent"]["value"] == "f by lp"


def test_a_fork_waits_for_the_threads_imports(tmp_path):
    """A child of half an import would have the module's lock, held by nobody who could let it go."""
    shown = fork(tmp_path, """
        begun, ended = threading.Event(), []
        def slow():
            begun.set()
            time.sleep(0.3)
            ended.append(1)
        agent.parts.prepare = slow
        agent.prepared = False
        agent.thread.request(agent.messages.prepare)
        begun.wait()
        shown["child"] = in_child(lambda: ended)
    """)
    assert set(shown["child"]) == {1}


def test_a_signal_handler_that_forks_within_a_fork(tmp_path):
    """The hooks nest: no lock is waited for that the same thread holds."""
    shown = fork(tmp_path, """
        import signal
        import klpfs.agent.fork as module
        def handler(*a):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            shown.setdefault("inner", []).append(os.waitpid(pid, 0)[1])
        signal.signal(signal.SIGUSR1, handler)
        was = module.bind
        def bind(folder):
            if "inner" not in shown:
                handler()                                   # of a signal that another thread has got
                signal.raise_signal(signal.SIGUSR1)         # to this thread: held back until the fork is over
                shown["held"] = len(shown["inner"]) == 1
            return was(folder)
        module.bind = bind
        shown["child"] = in_child(lambda: 5)
        shown["answer"] = c.ask("patch_state")
        shown["parent"] = state()
    """)
    assert shown["inner"] == [0, 0] and shown["held"] and shown["child"] == 5 and shown["answer"] == -1 and shown["parent"]["running"]


def test_many_threads_fork_at_once(tmp_path):
    """Forks beside each other and beside operations."""
    shown = fork(tmp_path, """
        import _thread
        done, bad = [], []
        def forker():
            for i in range(5):
                pid = os.fork()
                if pid == 0:
                    os._exit(0 if agent.server.running.locked() else 9)
                bad.append(os.waitpid(pid, 0)[1])
            done.append(1)
        for i in range(3):
            _thread.start_new_thread(forker, ())
        c.insmod("lp", LP)
        while len(done) < 3:
            time.sleep(0.01)
        shown["bad"] = bad
        shown["parent"] = state()
        shown["answer"] = c.ask("patch_state")
    """, own_threads=True)
    assert shown["bad"] == [0] * 15 and shown["parent"]["value"] == "f by lp" and shown["answer"] == -1


FORKS = "import os, time\\nfor i in range(%d):\\n  pid = os.fork()\\n  if not pid: os._exit(0)\\n  os.waitpid(pid, 0)\\n"


FORKS_ALL_THE_SAME = (
    "import os\\nfor i in range(%d):\\n  pid = -1\\n  try:\\n    pid = os.fork()\\n  except BaseException as error:\\n"
    "    shared['caught'].append(type(error).__name__)\\n  if not pid: os._exit(0)\\n  os.wait()\\n")


def test_a_module_that_forks_again_and_again_while_it_loads(tmp_path):
    """Every hook runs to its end, though the load is asked to stop in each, before the fork and behind it; behind each
    fork it stops, and what takes no notice goes on: the agent lives, the program forks."""
    shown = fork(tmp_path, """
        import klpfs.agent.fork as module
        from klpfs.agent.server import Server
        bind, start, asked = module.bind, Server.start, []
        def ask(where):
            if agent.foreign.working:
                agent.foreign.interrupt(agent.foreign.working["n"])
                asked.append(where)
        module.bind = lambda folder: (ask("before"), bind(folder))[1]
        Server.start = lambda self: (ask("behind"), start(self))[1]
        forked = agent.parts.shared["forked"] = threading.Event()
        caught = agent.parts.shared["caught"] = []
        n = c.change("m", "%s" + "shared['forked'].set()\\nwhile True: pass")
        c.until(lambda c: forked.is_set())
        shown["asked"], shown["caught"] = asked[:], caught
        def refused(c):
            agent.foreign.interrupt(n)
            return (c.report.get("refused") or {}).get("n") == n
        c.until(refused)
        shown["refused"] = c.report["refused"]
        c.write(change=None)
        c.until_report(seen=c.record["seq"])
        shown["child"] = in_child(lambda: 5)
        c.insmod("lp", LP)
        shown["parent"] = state()
        shown["defects"] = [line for line in c.lines if "defect" in line]
    """ % (FORKS_ALL_THE_SAME % 20))
    assert shown["asked"] == ["before", "behind"] * 20 and shown["caught"] == ["Stopped"] * 20
    assert shown["refused"]["errno"] == 4 and shown["child"] == 5 and not shown["defects"]
    assert shown["parent"]["value"] == "f by lp" and shown["parent"]["running"]


def test_a_stop_comes_behind_the_fork_in_whose_hooks_it_was_asked_for(tmp_path):
    """Not at the server's next round: of one that forks again and again that round may never come outside of a fork."""
    shown = fork(tmp_path, """
        from klpfs.agent.server import Server
        start, asked = Server.start, []
        def ask(self):
            if agent.foreign.working:
                agent.foreign.interrupt(agent.foreign.working["n"])
                asked.append(agent.foreign.inside)
            start(self)
        Server.start = ask
        n = c.change("m", "%s")
        c.until(lambda c: (c.report.get("refused") or {}).get("n") == n)
        c.write(change=None)
        c.until_report(seen=c.record["seq"], phase="")
        shown["asked"], shown["parent"] = asked, state()
    """ % (FORKS % 100000))
    assert shown["asked"] == [False]
    assert shown["parent"]["modules"] == [] and shown["parent"]["running"]


def test_a_module_that_forks_without_end_is_stopped(tmp_path):
    """Its operation is given up; it is the server's thread that asks, whose first round does not wait."""
    shown = fork(tmp_path, """
        agent.limits.slow = 0
        n = c.change("m", "%s")
        c.until(lambda c: agent.foreign.working)
        c.write(change=None)
        c.until_report(seen=c.record["seq"], phase="")
        shown["parent"] = state()
    """ % (FORKS % 100000))
    assert shown["parent"]["modules"] == [] and shown["parent"]["running"]


def test_a_fork_behind_the_back_of_before(tmp_path):
    """`before` was cut off by a stop: the child is a process of its own all the same."""
    shown = fork(tmp_path, """
        Forks._before = lambda self, agent, caller: None
        shown["child"] = in_child(state)
        shown["answer"] = c.ask("patch_state")
    """)
    assert shown["child"]["running"] and shown["answer"] == -1


def test_without_a_thread_left_the_program_forks_all_the_same(tmp_path):
    """The system starts no thread for us: said in the log, and no lock is left."""
    shown = fork(tmp_path, """
        import klpfs.agent.quiet_thread as module
        was = module.start_quiet_thread
        module.start_quiet_thread = chr         # which raises, in C as the system's refusal does
        shown["child"] = in_child(lambda: 5)
        module.start_quiet_thread = was
        shown["second"] = in_child(lambda: 6)
        shown["answer"] = c.ask("patch_state")
        shown["defects"] = len([line for line in c.lines if "defect" in line])
        shown["parent"] = state()
    """)
    assert (shown["child"], shown["second"], shown["answer"]) == (5, 6, -1)
    assert shown["parent"]["running"]


def test_a_callback_that_forks_and_returns_in_the_child(tmp_path):
    """The child ends with the thread that forked, as without klpfs. As long as the callback runs there, a load is
    refused by name."""
    shown = fork(tmp_path, """
        agent.parts.shared["os"] = os
        text = "from klpfs import Callbacks\\npatch = Patch([Object(None, [Func('f', lambda: None)], Callbacks(pre_patch=lambda obj: shared.setdefault('pids', []).append(shared['os'].fork()) and None))])"
        c.insmod("lp", text)
        pid = agent.parts.shared["pids"][0]
        shown["status"] = os.waitpid(pid, 0)[1]
        shown["parent"] = state()
    """)
    assert shown["status"] == 0 and shown["parent"]["value"] == "f by lp" and shown["parent"]["running"]
