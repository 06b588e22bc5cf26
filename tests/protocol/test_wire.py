"""Frames and messages: what is encoded comes back, what is no message is refused before marshal sees it."""
import errno
import marshal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.protocol import wire

plain = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())
                     | st.binary(), lambda x: st.lists(x, max_size=4) | st.tuples(x, x)
                     | st.dictionaries(st.text(max_size=4), x, max_size=4), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), plain, max_size=4), min_size=1, max_size=3), st.integers(1, 9))
def test_messages_come_back_however_the_bytes_are_cut(messages, step):
    """Any dict of plain types survives, in order, whatever the pieces that the stream arrives in."""
    for m in messages:
        m["t"] = "x"
    data = b"".join(map(wire.encode, messages))
    reader, out = wire.Reader(), []
    for at in range(0, len(data), step):
        out += reader.feed(data[at:at + step])
    assert out == messages and not reader.pending


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_random_bytes_are_a_wire_error_or_a_message(body):
    """Hostile bytes never reach marshal unchecked: either a dict with 't' or WireError(EPROTO), nothing else."""
    try:
        assert type(wire.decode(body)["t"]) is str
    except wire.WireError as e:
        assert e.errno == errno.EPROTO


@pytest.mark.parametrize("body", [
    marshal.dumps({"t": compile("1", "f", "eval")}, 2),     # code
    marshal.dumps({"t": "x", "k": {1, 2}}, 2),              # a set
    marshal.dumps({"t": "xx"}, 4),                          # references
    b"[\xff\xff\xff\x7f" + b"N" * 10,                       # a list longer than the message
    b"{" * 100, b"(\x01\x00\x00\x00" * 100, b"", b"{", b"{u\x01\x00\x00\x00t0",
    marshal.dumps({"t": "x"}, 2) + b"N", marshal.dumps([1], 2), marshal.dumps({"x": 1}, 2), marshal.dumps({"t": 1}, 2),
])
def test_what_is_no_plain_message_is_refused(body):
    """Code objects, references, sets, false lengths, deep nesting, trailing bytes, no 't': EPROTO."""
    with pytest.raises(wire.WireError) as e:
        wire.decode(body)
    assert e.value.errno == errno.EPROTO


def test_a_frame_over_the_limit_is_refused_at_its_announcement():
    """Nothing of it is stored: EMSGSIZE as soon as the length is read."""
    with pytest.raises(wire.WireError) as e:
        wire.Reader().feed((wire.MAX_MESSAGE + 1).to_bytes(4, "little"))
    assert e.value.errno == errno.EMSGSIZE


def test_pending_tells_of_a_frame_under_way():
    """The owner of the socket measures a slow peer by it."""
    reader = wire.Reader()
    frame = wire.encode({"t": "x"})
    assert not reader.pending
    reader.feed(frame[:5])
    assert reader.pending
    assert reader.feed(frame[5:]) == [{"t": "x"}] and not reader.pending
