"""Shapes of messages: every message that the protocol knows fits, and no longer does when a key is missing or of
another type."""
import copy

import pytest

from klpfs.protocol import record_text, shapes

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
