"""The journal's records as values: what follows from what."""
from klpfs.agent.journal import idle
from klpfs.service import record as records


def vote(*fingerprints):
    return {"livepatch": True, "replace": False, "uses": [], "fingerprints": [list(each) for each in fingerprints]}


def test_the_patch_has_the_code_of_all_processes():
    """Each different code once, in the order of the votes; where they differ a line says so."""
    said = []
    change = records.insmod(idle(), "lp", "sha", {}, 1, "/lp.py")
    record = records.started(change, [vote(("m", "f", 1, "a"), ("m", "g", 1, "x")), vote(("m", "f", 1, "b"), ("m", "g", 1, "x"))], said.append)
    assert record["patches"][0]["fingerprints"] == [["m", "f", 1, "a"], ["m", "f", 1, "b"], ["m", "g", 1, "x"]]
    assert said == ["klpfs: lp: processes have different code of f in m"]
