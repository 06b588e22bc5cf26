"""The journal's records as values: what follows from what."""
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
