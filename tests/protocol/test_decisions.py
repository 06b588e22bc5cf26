"""The journal's records as values: what follows from what."""
import copy
import errno

import pytest

from klpfs.protocol import decisions as records
from klpfs.protocol.record_text import dump_fingerprints, idle


def vote(*fingerprints):
    return {"livepatch": True, "replace": False, "uses": [], "fingerprints": dump_fingerprints(fingerprints)}


def test_the_patch_has_the_code_of_all_processes():
    """Each different code once, in the order of the votes; where they differ a line says so."""
    said, stored = [], []
    change = records.insmod(idle(), "lp", "sha", {}, 1, "/lp.py")
    record = records.started(change, [vote(("m", "f", 1, "a"), ("m", "g", 1, "x")),
                                      vote(("m", "f", 1, "b"), ("m", "g", 1, "x"))], said.append,
                             lambda content: stored.append(content) or "hash")
    assert record["patches"][0]["fingerprints"] == "hash" and stored == [b"m f 1 a\nm f 1 b\nm g 1 x\n"]
    assert said == ["klpfs: lp: processes have different code of f in m"]


def test_fingerprints_that_all_agree_on_are_stored_as_they_came():
    """Those of a large patch are not taken apart at each load."""
    stored = []
    change = records.insmod(idle(), "lp", "sha", {}, 1, "/lp.py")
    votes = [dict(vote(), fingerprints="any text") for _ in range(2)]
    assert records.started(change, votes, None,
                           lambda content: stored.append(content) or "hash")["patches"][0]["fingerprints"] == "hash"
    assert stored == [b"any text"]
    with pytest.raises(OSError) as caught:
        records.started(change, votes + [vote()], None, stored.append)
    assert caught.value.errno == errno.EINVAL and len(stored) == 1
    assert records.started(change, [vote()], None, None)["patches"][0]["fingerprints"] == ""


def loaded(*names, **changes):
    """A record with these livepatches loaded and in force."""
    entries = [{"name": name, "sha256": "", "params": {}} for name in names]
    return {**idle(7), "patches": [dict(entry, n=n, fingerprints="") for n, entry in enumerate(entries)],
            "modules": [dict(entry, livepatch=True, path="", uses=[], forced=False) for entry in entries], **changes}


def transition(patch, step, dir=1, replace=False):
    return {"n": 7, "patch": patch, "dir": dir, "turn": 1, "step": step, "replace": replace, "forced": False}


QUIET = loaded("a", "b")
STARTS = loaded("a", "b", transition=transition("b", "start"))
FINISHES = loaded("a", transition=transition("a", "finish"))
USED = {**QUIET, "patches": [], "modules": [QUIET["modules"][0], dict(QUIET["modules"][1], uses=["a"])]}
CHANGES = records.insmod(idle(7), "lp", "", {}, 1, "/lp.py")


@pytest.mark.parametrize("decide, record, args, code", [
    (records.insmod, QUIET, ("a", "", {}, 1, "/a.py"), "EEXIST"),
    (records.insmod, FINISHES, ("c", "", {}, 1, "/c.py"), "EBUSY"),
    (records.rmmod, QUIET, ("c",), "ENOENT"),
    (records.rmmod, QUIET, ("a",), "EBUSY"),
    (records.rmmod, USED, ("a",), "EBUSY"),
    (records.rmmod, {**USED, "modules": [dict(QUIET["modules"][0], forced=True)]}, ("a",), "EBUSY"),
    (records.set_enabled, QUIET, ("c", False), "ENODEV"),
    (records.set_enabled, QUIET, ("a", True), "EINVAL"),
    (records.set_enabled, STARTS, ("b", True), "EINVAL"),
    (records.set_enabled, STARTS, ("a", False), "EBUSY"),
    (records.set_enabled, FINISHES, ("a", False), "EBUSY"),
    (records.force, QUIET, ("a",), "EINVAL"),
    (records.force, STARTS, ("a",), "EINVAL"),
    (records.force, FINISHES, ("a",), "EBUSY"),
    (records.set_param, QUIET, ("c", "x", "1"), "ENODEV"),
    (records.set_ftrace, QUIET, (False,), "EBUSY"),
    (records.set_ftrace, CHANGES, (False,), "EBUSY"),
])
def test_a_write_that_is_refused_has_the_kernel_s_errno(decide, record, args, code):
    with pytest.raises(OSError) as caught:
        decide(record, *args)
    assert errno.errorcode[caught.value.errno] == code


@pytest.mark.parametrize("decide, record, args", [
    (records.insmod, STARTS, ("c", "", {}, 1, "/c.py")),        # an ordinary module may be loaded beside a transition
    (records.rmmod, USED, ("b",)),
    (records.set_enabled, QUIET, ("a", False)),
    (records.set_enabled, STARTS, ("b", False)),
    (records.force, STARTS, ("b",)),
    (records.set_param, QUIET, ("a", "x", "1")),
    (records.set_ftrace, idle(7), (False,)),
    (records.set_ftrace, QUIET, (True,)),
    (records.given_up, CHANGES, ()),
    (records.decided, STARTS, ()),
])
def test_a_decision_makes_a_new_record_whose_seq_is_one_higher(decide, record, args):
    before = copy.deepcopy(record)
    assert decide(record, *args)["seq"] == before["seq"] + 1 and record == before


@pytest.mark.parametrize("dir, replace, forced", [
    (1, False, set()), (1, True, {"a"}), (0, False, {"b"}), (0, True, {"b"})])
def test_a_force_keeps_the_patches_whose_code_may_still_run(dir, replace, forced):
    """They can never be unloaded; the others can."""
    record = records.force(loaded("a", "b", transition=transition("b", "start", dir, replace)), "b")
    assert {module["name"] for module in record["modules"] if module["forced"]} == forced
    assert (record["transition"]["step"], record["transition"]["forced"]) == ("finish", True)


def test_a_reversal_turns_the_direction_and_counts_the_turn():
    record = records.set_enabled(STARTS, "b", False)
    assert (record["transition"]["dir"], record["transition"]["turn"], record["transition"]["n"]) == (0, 2, 7)
    assert not records.enabled(record, "b") and records.enabled(record, "a")
    assert records.set_enabled(record, "b", True)["transition"]["turn"] == 3
