"""Frames and messages: what is encoded comes back, what is no message is refused before marshal sees it."""
import errno
import marshal
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.protocol import wire
from tests.protocol.test_shapes import KNOWN
from tests.strategies import plain_values, wire_bodies

NUMBER = struct.Struct("<i")


def list_body(count, member):
    """The body of a list of `count` members of these bytes, inside a message."""
    return b"{u\1\0\0\0tu\1\0\0\0xu\1\0\0\0y[" + NUMBER.pack(count) + member * count + b"0"


def digits(value):
    """A number as marshal writes long ones."""
    parts = []
    while value:
        parts.append(value & 0x7FFF)
        value >>= 15
    return b"l" + NUMBER.pack(len(parts)) + b"".join(struct.pack("<H", part) for part in parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), plain_values(), max_size=4), min_size=1, max_size=3),
       st.integers(1, 9))
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


@settings(max_examples=400, deadline=None)
@given(wire_bodies([message for _, message in KNOWN]))
def test_any_marshal_data_is_a_message_or_one_error(body):
    """Whatever a hostile sender writes: a message of plain types with str keys, or one WireError; and the way there is
    linear: so many lines of code for each byte, none of them marshal's own before all is checked."""
    lines = 0

    def count(frame, event, argument):
        nonlocal lines
        lines += 1
        return count if frame.f_globals is vars(wire) else None
    before = sys.gettrace()
    sys.settrace(count)
    try:
        message = wire.decode(body)
    except wire.WireError as error:
        assert error.errno in (errno.EPROTO, errno.EMSGSIZE)
    else:
        assert type(message["t"]) is str and is_plain(message)
    finally:
        sys.settrace(before)
    assert lines < 60 * (len(body) + 2)


def is_plain(value):
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(member) for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes) and (
        type(value) is not int or abs(value) < 2 ** 75)


@pytest.mark.parametrize("key", [digits(2 ** 61 - 1), b"i\1\0\0\0", b"s\1\0\0\0a", b"N", b"T", b"(\0\0\0\0",
                                 b"g" + bytes(8)])
def test_a_key_is_a_str(key):
    """Marshal hashes keys as it reads them, and the sender of an int chooses its hash: 40,000 of one hash took a
    minute. Such a key never gets there."""
    with pytest.raises(wire.WireError) as e:
        wire.decode(b"{u\1\0\0\0tu\1\0\0\0x" + key + b"N0")
    assert e.value.errno == errno.EPROTO and "key of type" in e.value.strerror


def test_what_is_a_key_is_known_inside_of_values():
    """A value of a key may be a dict or a list; after it a key comes, in the dict around it."""
    message = {"t": "x", "a": {"b": {}, "c": [{}, {"d": 1}]}, "e": (), "f": {"g": ()}}
    assert wire.decode(wire.encode(message)[4:]) == message
    with pytest.raises(wire.WireError):
        wire.decode(marshal.dumps({"t": "x", "a": {"b": {"c": {1: 2}}}}, 2))


def test_a_dict_has_so_many_keys():
    """Who knows the hashes (PYTHONHASHSEED is set) can't make a dict slow either."""
    fits = {"t": "x", "y": {str(i): None for i in range(wire.MAX_KEYS)}}
    assert wire.decode(wire.encode(fits)[4:]) == fits
    fits["y"]["more"] = None
    with pytest.raises(wire.WireError) as e:
        wire.decode(wire.encode(fits)[4:])
    assert "keys" in e.value.strerror


@pytest.mark.parametrize("value, good", [(2 ** 63 - 1, True), (-2 ** 63, True), (2 ** 75 - 1, True), (2 ** 75, False),
                                         (-2 ** 75, False), (10 ** 5000, False)],
                         ids=["int64", "-int64", "75 bits", "76 bits", "-76 bits", "5,000 digits"])
def test_numbers_have_few_digits(value, good):
    """A number of 5,000 digits raises wherever it is shown, long after it came."""
    body = marshal.dumps({"t": "x", "n": value}, 2)
    if good:
        assert wire.decode(body)["n"] == value
    else:
        with pytest.raises(wire.WireError):
            wire.decode(body)


def test_so_many_objects_make_a_message():
    """Of 32 MB of None nothing is made: the count ends it. A foreign sender has less."""
    with pytest.raises(wire.WireError) as e:
        wire.decode(list_body(wire.MAX_OBJECTS, b"N"))
    assert e.value.errno == errno.EMSGSIZE
    body = list_body(1000, b"N")
    assert len(wire.decode(body, 1006)["y"]) == 1000
    with pytest.raises(wire.WireError):
        wire.decode(body, 1005)
    with pytest.raises(wire.WireError):
        wire.Reader(objects=1005).feed(NUMBER.pack(len(body)) + body)
