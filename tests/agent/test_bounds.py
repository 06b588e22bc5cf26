"""Every bound of a message from an agent, against the agent that makes it: what an honest process says always fits, or
it is cut, or refused at its beginning. Else its service could not be written to while it lives."""
import errno
import functools
import sys
import threading
from types import SimpleNamespace

import pytest

from klpfs.agent import load, modules, outbox, proc, server, tasks
from klpfs.cpython.load.parameters import Declared
from klpfs.cpython.looks import dry_run, names_for_people
from klpfs.engine import bounds
from klpfs.engine.data import Func, Object, Patch
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import check_names
from klpfs.engine.log import LINE_BYTES, Log
from klpfs.engine.names import MAX_NAME_BYTES
from klpfs.engine.plain import MAX_TEXT
from klpfs.engine.target import Blocker
from klpfs.protocol import decisions, shapes, wire
from klpfs.protocol.record_text import idle
from klpfs.service.insmod_text import insmod_text
from klpfs.service.mirror import Mirror

COMM = 15                   # characters of a process's name in Linux
HASH = 64                   # of a content's name
PIECE_MEMBERS = outbox.PIECE // outbox.MEMBER_SIZE
# What the makers keep to: members of a list or characters of a text, by the place in a message.
KEEPS = {
    "hello.comm": COMM, "hello.cmdline": bounds.MAX_ENTRIES, "want.sha256": HASH,
    "report.not_applied": bounds.MAX_ENTRIES, "report.blockers": bounds.MAX_BLOCKERS,
    "report.blockers[].kind": 64, "report.blockers[].frames": bounds.MAX_FRAMES,
    "report.prepared.uses": bounds.MAX_ENTRIES, "report.prepared.uses[]": MAX_NAME_BYTES,
    "event.patches": PIECE_MEMBERS, "event.patches[].name": MAX_NAME_BYTES,
    "event.patches[].objects": bounds.MAX_OBJECTS, "event.patches[].objects[].name": MAX_NAME_BYTES,
    "event.names": bounds.MAX_ENTRIES, "event.names[]": MAX_NAME_BYTES,
    "event.module_names": bounds.MAX_ENTRIES, "event.module_names[]": MAX_NAME_BYTES,
    "event.modules": PIECE_MEMBERS, "event.modules[].name": MAX_NAME_BYTES,
    "event.modules[].params": bounds.MAX_ENTRIES, "event.modules[].params[][0]": MAX_NAME_BYTES,
    "event.modules[].params[][1]": len("float"),
    "event.process.comm": COMM, "event.process.cmdline": bounds.MAX_ENTRIES,
    "event.log": PIECE_MEMBERS, "event.log[][3]": len("engine"),
    "tasks": bounds.MAX_TASKS, "stack": bounds.MAX_FRAMES,
    "blockers": bounds.MAX_BLOCKERS, "blockers[].kind": 64, "blockers[].frames": bounds.MAX_FRAMES,
    "check.found.python.path": bounds.MAX_PATHS,
    "check.found.objects": bounds.MAX_OBJECTS, "check.found.objects[].funcs": bounds.MAX_SURVEYED + 1,
    "check.found.objects[].funcs[].warnings": 64,            # of a log of 64 lines
    "check.found.objects[].funcs[].inside": bounds.MAX_INSIDE,
    "check.found.objects[].funcs[].inside[][3]": bounds.MAX_FRAMES,
}


def walk(shape, path=""):
    """(path, bound) of each list and text in a shape, from what its functions have closed over."""
    held = dict(zip(shape.__code__.co_freevars, [cell.cell_contents for cell in shape.__closure__ or ()]))
    kind = shape.__qualname__.partition(".")[0]
    if kind == "name":
        yield path, shapes.MAX_NAME
    elif kind == "text":
        yield path, held["most"]
    elif kind == "list_of":
        yield path, held["most"]
        yield from walk(held["shape"], path + "[]")
    elif kind in ("has", "may_have"):
        for key, inner in held["shapes"].items():
            yield from walk(inner, f"{path}.{key}")
    elif kind == "row":
        for place, inner in enumerate(held["shapes"]):
            yield from walk(inner, f"{path}[{place}]")
    elif kind in ("maybe", "table_of"):
        yield from walk(held["shape"], path)
    elif kind in ("either", "both"):
        yield from walk(held["one"], path)
        yield from walk(held["other"], path)
    else:
        assert kind in ("is_", "whole", "words", "plain", "flag", "one_of", "<lambda>"), kind


def all_bounds():
    for kind, shape in [*shapes.FROM_AGENT.items(), *shapes.ANSWERS.items(), ("check", shapes.CHECKED)]:
        yield from walk(shape, kind)


def test_each_bound_has_its_maker():
    """A new bound of a shape needs somebody who keeps it, here by name; and none is narrower than what is said."""
    found = dict(all_bounds())
    assert set(found) == set(KEEPS)
    assert {path: (KEEPS[path], most) for path, most in found.items() if KEEPS[path] > most} == {}


def fits(message, limit=wire.FOREIGN_MESSAGE, objects=wire.FOREIGN_OBJECTS):
    """Whether a daemon of another user understands it."""
    body = wire.encode(message)[4:]
    return len(body) <= min(limit, shapes.MOST_BYTES.get(message["t"], limit)) and shapes.fits(
        shapes.FROM_AGENT, wire.decode(body, objects))


REPORT = {"t": "report", "seen": 1, "n": 1, "phase": "started", "dir": 1, "turn": 1, "clean": False, "over": 0,
          "refused": {"n": 1, "errno": 22, "text": "\U0001f40d" * MAX_TEXT}, "not_applied": [], "prepared": None,
          "working": {"what": "init of " + "x" * MAX_NAME_BYTES, "since": 1}}


# ---- stacks and blockers

def test_a_deep_recursion():
    """Of 3,000 frames the innermost and the outermost are told, and how many are between."""
    there, go = threading.Event(), threading.Event()

    def down(n):
        if n:
            return down(n - 1)
        there.set()
        return go.wait()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    threading.stack_size(256 << 20)
    thread = threading.Thread(target=down, args=(3000,))
    try:
        thread.start()
        there.wait()
        lines = names_for_people.stacks()[thread.ident]
        assert names_for_people.thread(thread.ident).frames == lines
    finally:
        go.set()
        thread.join()
        threading.stack_size(0)
        sys.setrecursionlimit(limit)
    assert len(lines) == bounds.MAX_FRAMES and "wait" in lines[0] and "bootstrap" in lines[-1]
    more, = [line for line in lines if line.endswith(" more)")]
    assert int(more[1:].split()[0]) + len(lines) - 1 > 3000
    assert shapes.ANSWERS["stack"](lines)


def test_a_frames_line_has_a_bound():
    code = compile("x", "/" + "f" * 5000, "exec")
    assert len(names_for_people.frame(code, 1)) == bounds.MAX_FRAME_CHARS


def test_very_many_blockers_with_deep_stacks():
    """All are named up to a bound, the rest is counted; frames as long as there is room."""
    made = tasks.Tasks(SimpleNamespace(
        thread=SimpleNamespace(stuck=None), outbox=SimpleNamespace(post_report=lambda: None),
        foreign=SimpleNamespace(working=None)))
    frame = "\U0001f40d" * bounds.MAX_FRAME_CHARS
    made.looked([Blocker("thread", n, "\U0001f40d" * 5000, [frame] * bounds.MAX_FRAMES) for n in range(5000)])
    told = made.blockers_now()
    assert len(told) == bounds.MAX_BLOCKERS and told[-1]["name"] == f"{5000 - bounds.MAX_BLOCKERS + 1} more"
    assert told[0]["frames"] and not told[5]["frames"] and shapes.ANSWERS["blockers"](told)
    assert fits({**REPORT, "blockers": told})
    made.looked([Blocker("thread", 1, "a", ["a.py:1 f"])] * 3)
    assert [blocker["frames"] for blocker in made.blockers_now()] == [["a.py:1 f"]] * 3


# ---- the process

@pytest.mark.parametrize("line", ["\0" * (1 << 16), "a\0" * (1 << 15), "\udcff" * (1 << 16)])
def test_a_long_command_line(monkeypatch, line):
    monkeypatch.setattr(proc, "_text", lambda path: line[:proc.MAX_PROC_BYTES] if "cmdline" in path else "x" * COMM)
    process = proc.describe()
    assert fits({"t": "hello", "version": 1, "keep": False, "started": 1, **process})
    assert fits({"t": "event", "process": process})


def test_very_many_threads(monkeypatch):
    monkeypatch.setattr(proc, "listdir", lambda path: list(map(str, range(2, 70_000))))
    monkeypatch.setattr(proc, "_text", lambda path: "x" * 100)
    assert shapes.ANSWERS["tasks"](proc.tasks())


def test_patches_that_a_process_goes_without():
    """Those of long ago are not told for ever."""
    from klpfs.agent.follower import Follower
    told = functools.partial(Follower._told_not_applied)
    goal = {"patches": [{"n": 5}, {"n": 7}]}
    assert told(SimpleNamespace(not_applied={5, 6}, goal=goal)) == [5, 6]
    assert told(SimpleNamespace(not_applied=set(range(6, 9000)), goal=goal)) == [7]


# ---- modules and their parameters

class Lines(Declared):
    """Notes what it logs."""

    __slots__ = ("lines",)

    def __init__(self):
        self.lines = []
        super().__init__("m", {}, {}, lambda name: None, self._note)

    def _note(self, text):
        self.lines.append(text)
        return text


def refused(call, *arguments):
    with pytest.raises(KlpError) as caught:
        call(*arguments)
    return caught.value.errno


def test_parameters_that_cant_be_told():
    """EINVAL and one line: for a name that no file can have, for too many, for too long ones."""
    made = Lines()
    assert refused(made.declare, "a" * 5000, int, 1, 0o644) == errno.EINVAL
    assert made.lines == [f"m: parameter name '{'a' * 80}' is longer than 255 bytes"]
    for n in range(bounds.MAX_ENTRIES):
        made.declare(f"p{n}", int, 1, 0o644)
    assert refused(made.declare, "more", int, 1, 0o644) == errno.EINVAL
    assert made.lines[1:] == ["m: more than 4096 parameters"]
    made = Lines()
    for n in range(bounds.MAX_PARAM_CHARS // MAX_TEXT):
        made.declare(f"p{n}", str, "x" * MAX_TEXT, 0o644)
    assert refused(made.declare, "more", str, "x" * MAX_TEXT, 0o644) == errno.EINVAL
    assert made.lines == ["m: the texts of its parameters have more than 262144 characters"]


def test_parameters_that_have_grown():
    """A module may make its variables as long as it likes: what does not fit is not told."""
    params = {"p%04d" % n + "\U0001f40d" * 60: SimpleNamespace(type=float, text="\U0001f40d" * MAX_TEXT, mode=0o644)
              for n in range(bounds.MAX_ENTRIES)}
    rows = modules._params_of(SimpleNamespace(loaded=SimpleNamespace(params=params)))
    assert rows[0][2] == "\U0001f40d" * MAX_TEXT and rows[-1][2] == modules.TOO_LONG and len(rows) == len(params)
    module = {"name": "m", "size": 4096, "refcnt": 0, "livepatch": False, "state": "Live", "forced": False,
              "holders": ["\U0001f40d" * 63] * bounds.MAX_ENTRIES, "params": rows}
    assert fits({"t": "event", "modules": [module]})


def test_very_many_modules_are_refused():
    record = dict(idle(3), modules=[{"name": f"m{n}"} for n in range(bounds.MAX_ENTRIES)])
    with pytest.raises(OSError, match="more than 4096 modules") as caught:
        decisions.insmod(record, "m", "", {}, 0, "")
    assert caught.value.errno == errno.EINVAL


def test_very_many_parameters_on_a_line_are_refused():
    with pytest.raises(OSError, match="more than 4096 parameters"):
        insmod_text(b"/m.py " + b" ".join(b"p%d" % n for n in range(4200)))


# ---- patches

def f():
    pass


def test_a_patch_of_very_many_objects_or_long_names():
    """EINVAL and one line, before anything is done for it."""
    log = Log(lambda: 0)
    many = Patch([Object(f"m{n}", [Func("f", f)]) for n in range(bounds.MAX_OBJECTS + 1)])
    assert refused(check_names, log, many, "p") == errno.EINVAL
    long = Patch([Object(None, [Func("f" * 200 + str(n), f) for n in range(20_000)])])
    assert refused(check_names, log, long, "p") == errno.EINVAL
    assert [record.text for record in log.records] == ["livepatch: patch 'p' has more than 4096 objects",
                                                       "livepatch: the names of patch 'p' are more than 2560 kB"]
    check_names(log, Patch([Object(None, [Func(f"f{n}", f) for n in range(100_000)])]), "p")


def test_the_largest_patch_fits_a_message():
    names = ["%04d" % n + "\U0001f40d" * 62 for n in range(bounds.MAX_OBJECTS)]
    left = bounds.MAX_PATCH_BYTES - sum(len(name.encode()) for name in names)
    objects = [{"name": name, "patched": True, "loaded": True, "dynamic": False, "funcs": "f" * (left // len(names))}
               for name in names]
    assert fits({"t": "event", "patches": [{"name": "p" * 255, "enabled": True, "transition": False, "replace": False,
                                            "forced": False, "objects": objects}], "names": ["p" * 255] * 4096})


@pytest.mark.parametrize("limit, functions, code", [(wire.FOREIGN_MESSAGE, 10_000, 0),
                                                    (wire.FOREIGN_MESSAGE, 30_000, errno.EINVAL),
                                                    (wire.MAX_MESSAGE, 100_000, 0)])
def test_fingerprints_that_no_report_can_hold(limit, functions, code):
    """The load is refused by name. root's daemon takes in more of root's."""
    lines = []
    host = SimpleNamespace(server=SimpleNamespace(connections=[SimpleNamespace(limit=limit)]),
                           outbox=SimpleNamespace(say=lambda text, priority: lines.append(text)))
    patch = SimpleNamespace(objects=[SimpleNamespace(shown="vmlinux", funcs=[
        SimpleNamespace(old_name=f"function{n}") for n in range(functions)])])
    check = functools.partial(load._check_size, SimpleNamespace(host=host), SimpleNamespace(name="p"), patch)
    if code:
        assert refused(check) == code and lines == ["p: the fingerprints of its functions are more than the 4 MB of a "
                                                    "message"]
    else:
        check()
        text = "".join(f"vmlinux function{n} 1 {'0' * 64}\n" for n in range(functions))
        prepared = {"n": 1, "livepatch": True, "replace": False, "uses": [], "fingerprints": text}
        assert fits({**REPORT, "blockers": [], "prepared": prepared}, limit)


# ---- sections in pieces

class Heard:
    """An outbox's agent, and what its daemon understands."""

    def __init__(self):
        self.sent, self.modules = [], []
        self.agent = SimpleNamespace(engine=SimpleNamespace(describe=lambda: self.patches),
                                     modules=SimpleNamespace(describe=lambda: self.modules),
                                     server=SimpleNamespace(post=self.post, connections=[]))
        self.outbox, self.patches = outbox.Outbox(self.agent), []

    def post(self, message, connection=None):
        if message["t"] == "event":
            assert fits(message)
            self.sent.append(message)

    def said(self):
        """The sections as a daemon's mirror has them."""
        said = Sections()
        for message in self.sent:
            said.take(message)
        return said.patches, said.modules


class Sections:
    """A mirror that has one peer."""

    def __init__(self):
        self.mirror = Mirror(lambda kind, key: None, SimpleNamespace(take=lambda *more: None))
        self.peer = SimpleNamespace(key="a", is_of_service=True, is_foreign=False, pid=1)

    def take(self, message):
        self.mirror.take_event(self.peer, {key: value for key, value in message.items()
                                          if key not in ("process", "log")})

    @property
    def patches(self):
        return list(self.mirror._sections["a"].patches.values())

    @property
    def modules(self):
        return list(self.mirror._sections["a"].modules.values())


def patch_of(name, n):
    return {"name": name, "replace": False, "objects": [
        {"name": f"m{i}", "patched": True, "loaded": True, "funcs": "f,1\n" * 500} for i in range(n)]}


def module_of(name, size, text="x"):
    return {"name": name, "size": size, "refcnt": 0, "holders": [],
            "params": [(f"p{n}", "str", text * 4000, 0o644) for n in range(60)]}


def test_changes_of_much_come_in_pieces():
    """Large patches and modules, all at once and then one of them: together the messages say all, and each fits."""
    heard = Heard()
    heard.patches = [patch_of(f"p{n}", 500) for n in range(6)]
    heard.modules = [module_of(f"m{n}", 1) for n in range(30)]
    heard.outbox.changed()
    assert heard.said() == (heard.patches, heard.modules) and len(heard.sent) >= 30
    before = len(heard.sent)
    heard.patches, heard.modules = heard.patches[1:], [*heard.modules[:7], module_of("m7", 2), *heard.modules[8:29]]
    heard.outbox.changed()
    assert heard.said() == (heard.patches, heard.modules) and len(heard.sent) == before + 1
    assert [module["name"] for module in heard.sent[-1]["modules"]] == ["m7"]
    heard.modules = heard.modules[:1]           # few: all of them, as a daemon that knows no pieces takes it
    heard.outbox.changed()
    assert heard.said() == (heard.patches, heard.modules) and "module_names" not in heard.sent[-1]


def test_a_greeting_of_many_modules_comes_in_pieces(monkeypatch):
    heard = Heard()
    heard.modules = [module_of(f"m{n}", 1, "\U0001f40d") for n in range(20)]
    heard.outbox.changed()
    heard.agent.log = SimpleNamespace(records=[])
    heard.sent.clear()
    monkeypatch.setattr(outbox.Outbox, "full_report", lambda outbox: {"t": "report"})
    heard.outbox.greet(None, {"t": "hello"}, {"pid": 1, "comm": "x", "cmdline": []})
    assert heard.said() == ([], heard.modules) and len(heard.sent) >= 20


def test_the_longest_log_lines_come_in_pieces():
    rows = [(n, n, 6, "engine", "\U0001f40d" * (LINE_BYTES // 4)) for n in range(10_000)]
    pieces = outbox._pieces(rows, outbox._size_of_row)
    assert sum(map(len, pieces)) == len(rows) and all(fits({"t": "event", "log": piece}) for piece in pieces)


# ---- and what nobody has thought of

class Link:
    def __init__(self, limit):
        self.limit, self.got = limit, []

    def send(self, frame):
        self.got += wire.Reader().feed(frame)


@pytest.mark.parametrize("data, instead", [
    ({"errno": 0, "text": "", "found": {"x": "y" * (5 << 20)}},
     {"errno": errno.EMSGSIZE, "text": "there is more to be said than a message holds", "found": None}),
    (["y" * (5 << 20)], []), ({"x": "y" * (5 << 20)}, {})])
@pytest.mark.parametrize("size", [1, 8])
def test_what_no_daemon_takes_in_is_not_sent(data, instead, size):
    """Who has asked is answered all the same; a line says what was left out, once."""
    lines = []
    made = server.Server(SimpleNamespace(own_tids=set(), outbox=SimpleNamespace(
        say=lambda text, priority: lines.append(text))), "/x")
    large, small = Link(wire.MAX_MESSAGE), Link(wire.FOREIGN_MESSAGE)
    made.connections = [large, small]
    data = ["y" * (5 << 20)] * size if type(data) is list else data
    for _ in range(2):
        made.post({"t": "answer", "id": 3, "data": data})
    whole = type(data) is not list or size == 1
    assert small.got == [{"t": "answer", "id": 3, "data": instead}] * 2
    assert large.got == ([{"t": "answer", "id": 3, "data": data}] * 2 if whole else small.got) and len(lines) == 1
    made.post({"t": "event", "log": ["y" * (33 << 20)]})
    assert len(large.got) == 2 and len(lines) == 2 and "'event'" in lines[1] and "is not sent" in lines[1]


def test_what_a_dry_run_tells_of_a_function():
    row = {"inside": [["thread", n, "t", []] for n in range(100)]}
    dry_run._cut_inside(row)
    assert len(row["inside"]) == bounds.MAX_INSIDE and row["inside"][-1] == ["thread", 0, "37 more", []]


def func(n, refused=""):
    return {"name": f"f{n},1", "refused": refused, "warnings": [], "where": "/a.py:1", "count": 1,
            "fingerprint": "matches", "inside": [["thread", 1, "t", ["/a.py:1 f"] * 3]] * 3}


LONG = [["thread", 1, "\U0001f40d" * 2000, []]]


@pytest.mark.parametrize("funcs", [[func(n) for n in range(20_000)], [dict(func(n), inside=LONG) for n in range(900)]])
def test_a_dry_run_of_very_many_functions(funcs):
    """Those that are not told are counted, and a refusal among them is told."""
    objects = [{"name": "m", "loaded": True, "funcs": funcs[:10]}, {"name": "n", "loaded": True, "funcs": funcs[10:]}]
    funcs[-1]["refused"] = "no such thing"
    dry_run._cut(objects)
    last = objects[1]["funcs"][-1]
    assert last["name"] == f"{len(funcs) - 10 - len(objects[1]['funcs']) + 1} more"
    assert last["refused"] == f"{funcs[-1]['name']}: no such thing"
    answer = {"errno": 0, "text": "", "found": {"livepatch": True, "replace": False, "refused": "", "objects": objects}}
    assert shapes.CHECKED(answer) and fits({"t": "answer", "id": 1, "data": answer})
    few = [{"name": "m", "loaded": True, "funcs": funcs[:3]}]
    dry_run._cut(few)
    assert few[0]["funcs"] == funcs[:3]
