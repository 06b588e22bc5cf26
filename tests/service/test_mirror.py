"""The mirror: what journal and agents' events amount to; and what it costs."""
import time

from klpfs.protocol import record_text as text
from klpfs.service.log_merge import LogMerge
from klpfs.service.log_ring import LogView
from klpfs.service.mirror import Mirror
from klpfs.service.snapshots import ObjectView, ParamView


class Peer:
    name, hello, user, is_of_service, is_foreign = "process 7 (python3)", {"started": 0}, 0, True, False

    def __init__(self, key, pid):
        self.key = self.agent = key
        self.pid, self.state, self.report = pid, None, {"not_applied": []}


class World:
    def __init__(self):
        self.changes = []
        self.mirror = Mirror(lambda kind, key: self.changes.append((kind, key)), LogMerge(LogView(), lambda: 0))
        self.seq = 0

    def record(self, *patches, transition=None, modules=(), **more):
        self.seq += 1
        names = [p for p in patches]
        self.mirror.take_record({
            **text.idle(self.seq), "transition": transition,
            "patches": [{"name": name, "n": n + 1, "sha256": "", "params": {}, "fingerprints": ""}
                        for n, name in enumerate(names)],
            "modules": [{"name": name, "sha256": "", "params": {},
                         "livepatch": name in names or name in more.get("livepatch", ()), "path": "",
                         "uses": more.get("uses", {}).get(name, []), "forced": name in more.get("forced", ())}
                        for name in (*names, *modules)]})

    def tell(self, peer, **event):
        self.mirror.take_event(peer, event)


def obj(name="m", patched=True, loaded=True, funcs=(("f", 1),), dynamic=False):
    return {"name": name, "patched": patched, "loaded": loaded, "dynamic": dynamic,
            "funcs": "\n".join(f"{func},{at}" for func, at in funcs)}


def patch(name="p", *objects, replace=False):
    return {"name": name, "enabled": True, "transition": False, "replace": replace, "forced": False,
            "objects": list(objects)}


def module(name, **more):
    return {"name": name, "size": 100, "refcnt": 0, "livepatch": False, "state": "Live", "holders": [], "params": [],
            "forced": False, **more}


T = {"n": 1, "patch": "p", "dir": 1, "turn": 1, "step": "start", "replace": False, "forced": False}


def test_a_patch_is_there_while_the_journal_has_it():
    """Whatever agents say."""
    world, a = World(), Peer("a", 1)
    world.tell(a, patches=[patch("p", obj())])
    assert world.mirror.patches == {}
    world.record("p")
    assert list(world.mirror.patches) == ["p"] and world.changes[-2:] == [("patch", "p"), ("module", "p")]
    assert world.mirror.patches["p"].objects == (ObjectView("m", True, (("f", 1),)),)
    world.record()
    assert world.mirror.patches == {} and ("patch", "p") in world.changes[-2:]


def test_enabled_and_transition_are_the_journals():
    """After a written 0 `enabled` reads 0 at once."""
    world = World()
    world.record("o", "p", transition=T)
    p = world.mirror.patches["p"]
    assert (p.enabled, p.transition, p.stack_order) == (True, True, 2)
    assert not world.mirror.patches["o"].transition
    world.record("o", "p", transition={**T, "dir": 0, "turn": 2})
    assert not world.mirror.patches["p"].enabled
    world.record("p")
    assert (world.mirror.patches["p"].transition, world.mirror.patches["p"].stack_order) == (False, 1)


def test_patched_is_of_all_processes():
    """1 when a process has the object patched and none has it loaded unpatched."""
    world, a, b = World(), Peer("a", 1), Peer("b", 2)
    world.record("p")

    def patched():
        return world.mirror.patches["p"].objects[0].patched
    world.tell(a, patches=[patch("p", obj(patched=False, loaded=False))])
    assert not patched()
    world.tell(b, patches=[patch("p", obj())])
    assert patched()
    world.tell(a, patches=[patch("p", obj(patched=False))])
    assert not patched()
    world.mirror.left(a)
    assert patched()
    b.report["not_applied"] = [1]
    world.mirror.take_report(b)
    assert not patched()


def test_a_joiner_that_has_nothing_yet_does_not_count():
    world, a, b = World(), Peer("a", 1), Peer("b", 2)
    world.record("p")
    world.tell(a, patches=[patch("p", obj())])
    world.tell(b, patches=[])
    assert world.mirror.patches["p"].objects[0].patched


def test_objects_of_all_processes():
    """Dynamic ones that only one process has are listed; the main program is vmlinux; what no directory can be called
    is not."""
    world, a, b = World(), Peer("a", 1), Peer("b", 2)
    world.record("p")
    world.tell(a, patches=[patch("p", obj(None), obj("../x"),
                                 obj("n", funcs=[("g", 1), ("a/b", 1), ("", 1), ("x", -1), ("y", "1²"), ("z", "")]))])
    world.tell(b, patches=[patch("p", obj("vmlinux"), obj("n", funcs=[("h", 1)]))])
    assert [(o.name, o.funcs)
            for o in world.mirror.patches["p"].objects] == [("vmlinux", (("f", 1),)), ("n", (("g", 1), ("h", 1)))]


def test_only_what_differs_is_told():
    """An event that says the same again, or of another patch, changes nothing here."""
    world, a = World(), Peer("a", 1)
    world.record("p", "q")
    world.tell(a, patches=[patch("p", obj()), patch("q", obj())])
    world.changes.clear()
    world.tell(a, patches=[patch("p", obj()), patch("q", obj())])
    assert world.changes == []
    world.tell(a, patches=[patch("p", obj()), patch("q", obj(patched=False))])
    assert world.changes == [("patch", "q")]


def test_only_what_differs_is_sent():
    """With the names of all: what is not among them is gone, what is and was not sent is as it was."""
    world, a = World(), Peer("a", 1)
    world.record("p", "q")
    world.tell(a, patches=[patch("p", obj()), patch("q", obj())])
    world.tell(a, patches=[patch("q", obj(patched=False))], names=["p", "q"])
    views = world.mirror.patches
    assert views["p"].objects[0].patched and not views["q"].objects[0].patched
    world.tell(a, patches=[], names=["q", "unknown"])
    assert views["p"].objects == () and views["q"].objects


def test_modules():
    """Use counts: of a patch from the journal, of others the sum over the processes; parameters; holders."""
    world, a, b = World(), Peer("a", 1), Peer("b", 2)
    world.record("p", modules=["m", "u", "old"], uses={"u": ["m"]}, livepatch=["old"], forced=["old"])
    for peer in (a, b):
        world.tell(peer, modules=[module("p", refcnt=7),
                                  module("m", refcnt=1, params=[("x", "int", "3", 0o644), ("/", "int", "", 0)])])
    m = world.mirror.modules
    assert list(m) == ["p", "m", "u", "old"]
    assert (m["p"].refcnt, m["p"].livepatch, m["m"].refcnt, m["u"].refcnt, m["old"].refcnt) == (1, True, 2, 0, 1)
    assert m["m"].holders == ("u",) and m["m"].params == {"x": ParamView("int", "3", 0o644)} and m["m"].size == 100
    world.record("p")
    assert list(world.mirror.modules) == ["p"]


def test_processes():
    world, a = World(), Peer("a", 1)
    world.tell(a, process={"pid": 99, "comm": "x", "cmdline": ["x", "y"]})
    assert world.mirror.processes[1].cmdline == ("x", "y")
    world.mirror.left(a)
    assert world.mirror.processes == {}


def test_ftrace_enabled_is_the_journals():
    world = World()
    world.mirror.take_record({**text.idle(1), "ftrace": False})
    assert not world.mirror.ftrace_enabled and world.changes == [("flag", "ftrace_enabled")]
    world.mirror.take_record(text.idle(2))
    assert world.mirror.ftrace_enabled


def test_a_large_service_is_cheap():
    """100 patches of 1,000 functions: an event in which one patch differs costs a comparison, not 100,000 objects."""
    world, a = World(), Peer("a", 1)
    names = [f"p{i}" for i in range(100)]
    world.record(*names)

    def event(last):
        return [patch(n, *(obj(f"o{k}", funcs=[(f"f{j}", 1) for j in range(100)]) for k in range(10)))
                for n in names[:-1]] + [
            patch(names[-1], obj(patched=last))]
    events = [event(True), event(False), event(True), event(False)]
    world.tell(a, patches=events[0])
    world.changes.clear()
    begin = time.process_time()
    for each in events[1:]:
        world.tell(a, patches=each)
    assert world.changes == [("patch", "p99")] * 3
    assert time.process_time() - begin < 0.6             # about 0.02


def foreign_peer(key, pid):
    """An agent of a user who is not the service's; what it was cut off for is in `dropped`."""
    peer = Peer(key, pid)
    peer.is_of_service, peer.is_foreign, peer.user, peer.kept = False, True, 65534, []
    peer.keep = lambda kind, size: peer.kept.append((kind, size))
    return peer


def test_what_a_patch_has_is_said_by_processes_of_the_service():
    """A foreign worker says whether it is patched itself, and nothing about names, parameters and sizes."""
    world, own, other = World(), Peer("a", 1), foreign_peer("f", 2)
    world.record("p", modules=["n"])
    world.tell(other, patches=[patch("p", obj(funcs=[("g", 1)]), obj("evil"), replace=True)],
               modules=[module("p", size=10 ** 9, params=[("y", "int", "1", 0o644)])])
    assert [view.name for view in world.mirror.patches["p"].objects] == ["m", "evil"]       # nobody says otherwise
    world.tell(own, patches=[patch("p", obj())], modules=[module("p", params=[("x", "int", "1", 0o644)])])
    view = world.mirror.patches["p"]
    assert view.objects == (ObjectView("m", True, (("f", 1),)),) and not view.replace
    assert list(world.mirror.modules["p"].params) == ["x"] and world.mirror.modules["p"].size == 100
    world.tell(other, patches=[patch("p", obj(patched=False))])
    assert not world.mirror.patches["p"].objects[0].patched


def test_how_much_a_foreign_process_has_said_is_counted():
    """Also by events that each add a little."""
    world, other = World(), foreign_peer("f", 2)
    world.tell(other, patches=[patch("p", obj(funcs=[("f" * 1000, 1)]))])
    world.tell(other, patches=[patch("q", obj(funcs=[("f" * 1000, 1)]))], names=["p", "q"])
    (first, one), (second, two) = other.kept
    assert first == second == "patches" and 1000 < one < 2000 < two < 4000


def test_functions_of_an_object_are_so_many(monkeypatch):
    from klpfs.service import mirror
    monkeypatch.setattr(mirror, "MAX_FUNCS", 10)
    world, a = World(), Peer("a", 1)
    world.record("p")
    world.tell(a, patches=[patch("p", obj(funcs=[(f"f{i}", 1) for i in range(50)]))])
    assert len(world.mirror.patches["p"].objects[0].funcs) == 10


def test_a_record_makes_only_those_modules_anew_of_which_it_says_otherwise(monkeypatch):
    """So a load upon n patches costs n looks, not n times n."""
    world, made = World(), []
    real = Mirror._module
    monkeypatch.setattr(Mirror, "_module", lambda self, name: made.append(name) or real(self, name))
    names = [f"p{n}" for n in range(50)]
    world.record(*names)
    assert made == names
    made.clear()
    world.record(*names, transition=None)
    assert made == []
    world.record(*names, "new")
    assert made == ["new"]
    made.clear()
    world.record(*names, "new", uses={"new": ["p7"]})
    assert made == ["p7"] and world.mirror.modules["p7"].holders == ("new",)
    made.clear()
    world.record(*names, uses={}, forced=["p9"])
    assert sorted(made) == ["p7", "p9"]


def test_a_patch_that_is_loaded_again_is_another(monkeypatch):
    """The record has another number for it: what it has is asked of the processes' words anew."""
    world, a = World(), Peer("a", 1)
    world.record("p", "q")
    world.tell(a, patches=[patch("q", obj())])
    before = world.mirror.patches["q"]
    world.record("q")                           # its number is 1 now, it was 2
    assert world.mirror.patches["q"].objects == before.objects and world.mirror.patches["q"].stack_order == 1
