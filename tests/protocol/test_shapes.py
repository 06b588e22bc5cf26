"""Shapes of messages: every message that the protocol knows fits, and no longer does when a key is missing or of
another type."""
import copy

import pytest
from hypothesis import given, settings

from klpfs.protocol import record_text, shapes, wire
from tests.strategies import wire_bodies

PATCH = {"name": "p", "n": 3, "sha256": "ab", "params": {"x": "1", "y": None}, "fingerprints": ""}
MODULE = {"name": "p", "sha256": "ab", "params": {}, "livepatch": True, "path": "/p.py", "uses": ["base"],
          "forced": False}
CHANGE = {"n": 4, "name": "q", "sha256": "cd", "params": {}, "livepatch": False, "replace": False, "pid": 7,
          "path": "/q.py"}
TRANSITION = {"n": 3, "patch": "p", "dir": 1, "turn": 1, "step": "start", "replace": False, "forced": False}
RECORD = {"seq": 5, "patches": [PATCH], "modules": [MODULE], "ftrace": True, "change": CHANGE, "transition": TRANSITION}
BLOCKER = {"kind": "thread", "task": 9, "name": "main", "frames": ["a.py:1 f"], "since": 10}
FUNC = {"name": "f", "refused": "", "warnings": [], "where": "a.py:1", "count": 1, "fingerprint": "ab",
        "inside": [["thread", 9, "main", ["a.py:1 f"]]]}
CHECKED = {"errno": 0, "text": "", "found": {"livepatch": True, "replace": False, "refused": "", "objects": [
    {"name": "a", "loaded": True, "funcs": [FUNC]}]}}
TO_AGENT = {
    "record": {"r": RECORD}, "content": {"sha256": "ab", "data": b"x"}, "ask": {"id": 1, "what": "stack", "tid": 9},
    "set": {"id": 1, "module": "p", "param": "x", "text": "2"},
    "check": {"id": 1, "name": "p", "path": "/p.py", "data": b"", "params": {"x": None}},
    "kmsg": {"text": "hello", "priority": 4},
}
FROM_AGENT = {
    "hello": {"version": 1, "pid": 7, "comm": "python3", "cmdline": ["python3"], "keep": False, "started": 1},
    "ack": {"seq": 5},
    "report": {"seen": 5, "n": 3, "phase": "started", "dir": 1, "turn": 1, "clean": False, "over": 2,
               "not_applied": [1], "refused": {"n": 2, "errno": 22, "text": "no"}, "blockers": [BLOCKER],
               "working": {"what": "init of p", "since": 1},
               "prepared": {"n": 3, "livepatch": True, "replace": False, "uses": ["base"], "fingerprints": ""}},
    "want": {"sha256": "ab"}, "answer": {"id": 1, "data": None}, "done": {"id": 1, "errno": 0},
    "event": {"patches": [{"name": "p", "replace": False, "objects": [
                  {"name": "a", "patched": True, "loaded": True, "funcs": "f,1"}]}],
              "names": ["p"], "modules": [{"name": "p", "size": 1, "refcnt": 0, "params": [("x", "int", "1", 0o644)]}],
              "process": {"pid": 7, "comm": "python3", "cmdline": []}, "log": [(1, 2, 6, "engine", "text")]},
}
KNOWN = ([(shapes.TO_AGENT, dict(message, t=kind)) for kind, message in TO_AGENT.items()]
         + [(shapes.FROM_AGENT, dict(message, t=kind)) for kind, message in FROM_AGENT.items()])


def places(value, path=()):
    """The paths to all keys and members inside a message."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, member in members:
        if path or key != "t":
            yield (*path, key)
            yield from places(member, (*path, key))


def changed(message, path, change):
    """A copy of the message with change(container, key) done at the path."""
    def thaw(value):
        if isinstance(value, dict):
            return {key: thaw(member) for key, member in value.items()}
        return [thaw(member) for member in value] if isinstance(value, (list, tuple)) else value
    copied = thaw(copy.deepcopy(message))
    container = copied
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return copied


def put(value):
    def change(container, key):
        container[key] = value
    return change


def take(container, key):
    del container[key]


def is_free(message, path):
    """Whether any value may stand at the path: an answer's data, which has shapes of its own."""
    return path == ("data",) and message["t"] == "answer"


@pytest.mark.parametrize("table, message", KNOWN, ids=[message["t"] for _, message in KNOWN])
def test_what_the_protocol_knows_fits(table, message):
    assert shapes.fits(table, message)
    assert shapes.fits(table, dict(message, newer="a key that this version does not know"))


@pytest.mark.parametrize("table, message", KNOWN, ids=[message["t"] for _, message in KNOWN])
def test_a_value_of_another_type_does_not_fit(table, message):
    for path in places(message):
        if not is_free(message, path):
            for wrong in (1.5, {1: 2}, object):
                assert not shapes.fits(table, changed(message, path, put(wrong))), (path, wrong)


@pytest.mark.parametrize("table, message", KNOWN, ids=[message["t"] for _, message in KNOWN])
def test_a_key_that_is_missing_does_not_fit(table, message):
    for path in places(message):
        is_member = isinstance(path[-1], int)                       # of a list, which may be shorter
        is_section = message["t"] == "event" and len(path) == 1
        is_parameter = path[-2:-1] == ("params",)
        if not (is_member or is_section or is_parameter or is_free(message, path)):
            assert not shapes.fits(table, changed(message, path, take)), path


def test_an_unknown_kind_does_not_fit():
    assert not shapes.fits(shapes.FROM_AGENT, {"t": "record", "r": RECORD})
    assert not shapes.fits(shapes.TO_AGENT, {"t": "report"})


def test_the_journals_record_has_the_shape_that_is_sent():
    """What the journal's text can say is what an agent takes, and nothing is lost between the two."""
    assert shapes.RECORD(record_text.idle()) and shapes.RECORD(RECORD)
    assert record_text.parse(record_text.dump(RECORD)) == RECORD


@pytest.mark.parametrize("path, wrong", [(("transition", "step"), "begin"), (("transition", "dir"), 2),
                                         (("transition", "dir"), True), (("change", "pid"), True), (("seq",), "5")],
                         ids=str)
def test_a_record_that_no_journal_holds_does_not_fit(path, wrong):
    assert not shapes.RECORD(changed(RECORD, path, put(wrong)))


@pytest.mark.parametrize("what, data", [("tasks", [(9, "main")]), ("patch_state", None), ("patch_state", -1),
                                        ("stack", ["a.py:1 f"]), ("stack", None), ("blockers", [BLOCKER]),
                                        ("status", {})], ids=str)
def test_the_data_of_answers(what, data):
    assert shapes.ANSWERS[what](data) and not shapes.ANSWERS[what]("text")


def test_what_a_dry_run_answers():
    assert shapes.CHECKED(CHECKED)
    for path in places(CHECKED):
        assert not shapes.CHECKED(changed(CHECKED, path, put(1.5))), path


# ---- bounds

@pytest.mark.parametrize("table, message", KNOWN, ids=[message["t"] for _, message in KNOWN])
def test_a_number_that_64_bits_do_not_hold_does_not_fit(table, message):
    for path in places(message):
        if not is_free(message, path):
            for wrong in (2 ** 63, -2 ** 63 - 1, 10 ** 5000):
                assert not shapes.fits(table, changed(message, path, put(wrong))), (path, wrong)


NAMES = [("record", ("r", "patches", 0, "name")), ("record", ("r", "modules", 0, "path")), ("set", ("param",)),
         ("check", ("path",)), ("event", ("patches", 0, "name")), ("event", ("patches", 0, "objects", 0, "name")),
         ("event", ("modules", 0, "name")), ("event", ("modules", 0, "params", 0, 0)), ("event", ("names", 0)),
         ("report", ("prepared", "uses", 0))]


@pytest.mark.parametrize("kind, path", NAMES, ids=str)
def test_a_name_can_be_bytes(kind, path):
    """A surrogate that stands for a byte is good, another can't be shown: it raised in the tree, long after it came."""
    table, message = next((table, message) for table, message in KNOWN if message["t"] == kind)
    for good in ("é", "\udc80", "x" * shapes.MAX_NAME):
        assert shapes.fits(table, changed(message, path, put(good)))
    for wrong in ("\ud800", "a\udfff", "x" * (shapes.MAX_NAME + 1)):
        assert not shapes.fits(table, changed(message, path, put(wrong)))


@pytest.mark.parametrize("kind, path, wrong", [
    ("hello", ("comm",), "x" * 65), ("hello", ("pid",), 0), ("hello", ("pid",), 2 ** 31), ("hello", ("version",), -1),
    ("report", ("phase",), "unheard of"), ("report", ("dir",), 2), ("report", ("seen",), -2), ("report", ("over",), -1),
    ("report", ("clean",), 2), ("ack", ("seq",), -1), ("want", ("sha256",), "a" * 65),
    ("event", ("log", 0, 0), -1), ("event", ("log", 0, 3), "x" * 65), ("event", ("modules", 0, "size"), 2 ** 62)],
    ids=str)
def test_values_that_nothing_means(kind, path, wrong):
    message = dict(FROM_AGENT[kind], t=kind)
    assert shapes.fits(shapes.FROM_AGENT, message)
    assert not shapes.fits(shapes.FROM_AGENT, changed(message, path, put(wrong)))


@pytest.mark.parametrize("kind, path", [("set", ("text",)), ("record", ("r", "change", "params", "x")),
                                        ("hello", ("cmdline", 0)), ("report", ("prepared", "fingerprints"))], ids=str)
def test_a_text_that_is_written_down_can_be_bytes(kind, path):
    """It raised where the journal was written, with the lock in hand."""
    table, message = next((table, message) for table, message in KNOWN if message["t"] == kind)
    message = changed(message, path[:-1], put({"x": "1"})) if path[-1] == "x" else message
    assert shapes.fits(table, changed(message, path, put("good")))
    assert not shapes.fits(table, changed(message, path, put("\ud800")))


def test_lists_have_an_end():
    assert shapes.list_of(shapes.flag, 3)([True] * 3) and not shapes.list_of(shapes.flag, 3)([True] * 4)
    assert not shapes.fits(shapes.FROM_AGENT, {"t": "event", "names": ["x"] * 4097})
    assert not shapes.fits(shapes.FROM_AGENT, {"t": "event", "log": [(1, 1, 1, "", "")] * (shapes.MAX_LIST + 1)})


def test_what_was_looked_at_is_there():
    """errno 0 has its SURVEY; `klpfs check` had no answer."""
    assert shapes.CHECKED({"errno": 22, "text": "no", "found": None})
    assert not shapes.CHECKED({**CHECKED, "found": None})
    assert not shapes.CHECKED({**CHECKED, "errno": 22})


@pytest.mark.parametrize("code, plain", [(1, 1), (511, 511), (0, 22), (512, 22), (-5, 22), (2 ** 40, 22), (True, 22),
                                         ("5", 22), (None, 22)])
def test_an_errno_is_made_one_that_the_kernel_takes(code, plain):
    assert shapes.settled({"t": "report", "refused": {"errno": code}})["refused"]["errno"] == plain


def test_settled():
    """Each errno of a message, and 0 where it means success."""
    def settled(kind, **more):
        return shapes.settled({**copy.deepcopy(FROM_AGENT[kind]), "t": kind, **more})
    assert settled("done", errno=600)["errno"] == 22 and settled("done", errno=0)["errno"] == 0
    assert settled("report", refused={"n": 1, "errno": 0, "text": None})["refused"]["errno"] == 22
    assert settled("report", refused=None)["refused"] is None
    assert settled("answer", data={"errno": "x", "text": "", "found": None})["data"]["errno"] == 22
    for data in ({"errno": 0}, None, [1], {}):
        assert settled("answer", data=data)["data"] == data


@settings(max_examples=300, deadline=None)
@given(wire_bodies([message for _, message in KNOWN]))
def test_any_message_fits_or_does_not(body):
    """No value that the wire lets through makes a shape raise, and what fits can be sent, shown and stored."""
    try:
        message = wire.decode(body)
    except wire.WireError:
        return
    for table in (shapes.TO_AGENT, shapes.FROM_AGENT):
        if shapes.fits(table, message):
            assert wire.decode(wire.encode(shapes.settled(message))[4:]) == message
            repr(message)
            if message["t"] == "record":
                record_text.dump(message["r"])
    for shape in (*shapes.ANSWERS.values(), shapes.CHECKED):
        assert shape(message.get("data")) in (True, False)
