"""The journal's text: what is written is read, what is damaged is EIO."""
import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.protocol import record_text

name = st.text(st.characters(blacklist_categories=["Cs"]), max_size=6)
number = st.integers(0, 10 ** 6)
params = st.dictionaries(name, name, max_size=2)
patch = st.fixed_dictionaries({"name": name, "n": number, "sha256": name, "params": params,
                               "fingerprints": name})
module = st.fixed_dictionaries({"name": name, "sha256": name, "params": params, "livepatch": st.booleans(),
                                "path": name, "uses": st.lists(name, max_size=2), "forced": st.booleans()})
change = st.fixed_dictionaries({"n": number, "name": name, "sha256": name, "params": params, "livepatch": st.booleans(),
                                "replace": st.booleans(), "pid": number, "path": name})
transition = st.fixed_dictionaries({"n": number, "patch": name, "dir": st.integers(0, 1), "turn": number,
                                    "step": st.sampled_from(["start", "finish"]), "replace": st.booleans(),
                                    "forced": st.booleans()})
record = st.fixed_dictionaries({"seq": number, "patches": st.lists(patch, max_size=3),
                                "modules": st.lists(module, max_size=3), "ftrace": st.booleans(),
                                "change": st.none() | change, "transition": st.none() | transition})


@settings(max_examples=80, deadline=None)
@given(record)
def test_a_record_comes_back(r):
    """Whatever the names hold: blanks, newlines, per cent signs, nothing."""
    assert record_text.parse(record_text.dump(r)) == r


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(name, name, number, name).map(list), max_size=3))
def test_fingerprints_come_back(rows):
    """As a content of their own, whose name the record has."""
    text = record_text.dump_fingerprints(rows)
    assert text.isascii() and record_text.parse_fingerprints(text) == rows


@pytest.mark.parametrize("text", ["m f 1 a", "m f 1\n", "m f x a\n", "m f 1 a b\n", "m f 1 %4\n", "\n"])
def test_fingerprints_that_are_none(text):
    with pytest.raises(ValueError):
        record_text.parse_fingerprints(text)


@settings(max_examples=80, deadline=None)
@given(record, st.data())
def test_half_a_journal_is_damaged(r, data):
    """A journal cut short anywhere is EIO, never a shorter record."""
    text = record_text.dump(r)
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(OSError) as e:
        record_text.parse(text[:cut])
    assert e.value.errno == errno.EIO


@pytest.mark.parametrize("text", [b"", b"klpfs x\nseq 1\nend\n", b"klpfs 1\nend\n", b"klpfs 1\nseq x\nend\n",
                                  b"klpfs 1\nseq 1\nparam a b\nend\n", b"klpfs 1\nseq 1\nwhat 1\nend\n",
                                  b"klpfs 1\nseq 1\ntransition 1 1 1 stop 0 0 p\nend\n",
                                  b"klpfs 1\nseq 1\npatch 1 a b%4\nend\n", b"klpfs 1\nseq 1\nseq 2\nend\n", b"\xff",
                                  b"klpfs 1\nseq 1\npatch 1 a\nend\n", b"klpfs 1\nseq 1\npatch 1 a b c\nend\n",
                                  b"klpfs 1\nseq 1\nuses m\nend\n", b"klpfs 1\nseq 1\npatch 1 a b\nuses m\nend\n",
                                  b"klpfs 1\nseq 1\nmodule a 1 0 b c\nfingerprints f\nend\n",
                                  b"klpfs 1\nseq 1\nmodule a 2 0 b c\nend\n", b"klpfs 1\nseq 1\nftrace 1\nend\n",
                                  b"klpfs 1\nseq 1\nftrace 0\nftrace 0\nend\n", b"klpfs 1\nseq 1\nlast\nend\n",
                                  b"klpfs 1\nseq 1\n_once change\nend\n",
                                  *[b"klpfs 1\nseq 1\n" + 2 * line + b"end\n" for line in (
                                      b"change 2 a 1 0 7 b c\n", b"transition 2 1 1 start 0 0 p\n")]])
def test_a_damaged_journal_is_eio(text):
    with pytest.raises(OSError) as e:
        record_text.parse(text)
    assert e.value.errno == errno.EIO


@pytest.mark.parametrize("text", [b"klpfs 3\nseq 1\nend\n", b"klpfs 3\n", b"klpfs 17 and what it has\nseq 1\n"[:8],
                                  b"klpfs 0\nseq 1\nend\n"])
def test_a_journal_of_another_version_is_named(text):
    """EIO, as for a damaged one: what it says is not guessed, whatever follows its first line."""
    with pytest.raises(record_text.OtherVersion) as e:
        record_text.parse(text)
    assert e.value.errno == errno.EIO
    assert (
        e.value.strerror
        == f"the journal is of version {text[6:8].decode().strip()}, this klpfs reads versions 1 and 2"
    )


def test_no_journal_is_an_idle_service(tmp_path):
    """A service that nobody has patched has none."""
    assert record_text.load(str(tmp_path / "journal")) == record_text.idle()
    (tmp_path / "journal").write_bytes(record_text.dump(record_text.idle(7)))
    assert record_text.load(str(tmp_path / "journal"))["seq"] == 7


def test_a_journal_that_is_not_the_services(tmp_path):
    """In a folder that a group shares anybody may make one: EIO. So are links, and a fifo holds nobody up."""
    path = tmp_path / "journal"
    (tmp_path / "other").write_bytes(record_text.dump(record_text.idle(7)))
    path.symlink_to("other")
    with pytest.raises(OSError):
        record_text.load(str(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError):
        record_text.load(str(path))
    if os.geteuid() == 0:
        path.unlink()
        path.write_bytes(record_text.dump(record_text.idle(7)))
        os.chown(path, 12345, -1)
        with pytest.raises(OSError) as e:
            record_text.load(str(path))
        assert e.value.errno == errno.EIO
        os.chown(tmp_path, 12345, -1)
        assert record_text.load(str(path))["seq"] == 7


def test_what_a_dead_service_leaves():
    """What was prepared is not there; what was started is finished; disabled patches are not loaded, nothing is
    forced."""
    def module(name, livepatch=True):
        return {"name": name, "livepatch": livepatch, "forced": True}
    r = dict(record_text.idle(5), patches=[{"name": "a"}, {"name": "b"}], change={"n": 5},
             modules=[module("a"), module("b"), module("off"), module("m", False)])
    for t, left in ((None, ["a", "b"]), ({"patch": "b", "dir": 1, "replace": False}, ["a", "b"]),
                    ({"patch": "b", "dir": 1, "replace": True}, ["b"]),
                    ({"patch": "a", "dir": 0, "replace": False}, ["b"])):
        found = record_text.ended(dict(r, transition=t))
        assert [p["name"] for p in found["patches"]] == left and [m["name"] for m in found["modules"]] == left + ["m"]
        assert found["change"] is found["transition"] is None and not any(m["forced"] for m in found["modules"])


def test_a_version_of_many_digits_is_damage():
    """The text of a journal is not repeated in the log at any length."""
    with pytest.raises(OSError) as error:
        record_text.parse(b"klpfs 1" + b"0" * 300_000 + b"\nend\n")
    assert not isinstance(error.value, record_text.OtherVersion) and len(str(error.value)) < 200
