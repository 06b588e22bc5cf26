"""Random messages: legal ones with something changed, bodies with bytes changed, bytes of marshal's types, floods.

All comes of a random.Random, so that a seed says it again. It runs in the hostile worker, which has the standard
library and klpfs's wire.
"""
import copy
import struct

ODD = [None, True, -1, 0, 1, 511, 512, 2 ** 31, -2 ** 31, 2 ** 62, 2 ** 63 - 1, 2 ** 63, -2 ** 63, 2 ** 64, 10 ** 30, 10 ** 400,
       10 ** 5000, -10 ** 5000, 0.0, float("nan"), float("inf"), "", "x", "vmlinux", "lp1", "one", "../x", "a/b", ".", "..", "\0",
       "\n", "\x1b[2J", "\ud800", "\udcff", "x" * 300, "x" * 70000, "é" * 5000, b"", b"x", b"\xff" * 1000, [], {}, (), [[]], [{}],
       {"": None}, {"x" * 5000: 1}, ["x"] * 3000, [0] * 100000, {str(key): key for key in range(5000)},
       "hello", "report", "event", "journal", "prepared", "started", "finishing", "loading", "Live", "engine", "module", "user"]


def places(value, path=()):
    """The paths of all members of a message, however deep, but its 't'."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, member in members:
        if path or key != "t":
            yield (*path, key)
            yield from places(member, (*path, key))


def lists(value):
    """The same with lists for tuples, so that members can be changed."""
    if isinstance(value, dict):
        return {key: lists(member) for key, member in value.items()}
    return [lists(member) for member in value] if isinstance(value, (list, tuple)) else value


def mutated(rng, message):
    """A message with one to three members that are odd, or away, or many."""
    message = lists(copy.deepcopy(message))
    for _ in range(rng.randint(1, 3)):
        found = list(places(message))
        if not found:
            break
        *path, last = rng.choice(found)
        inside = message
        for key in path:
            inside = inside[key]
        how = rng.random()
        if how < 0.75:
            inside[last] = copy.deepcopy(rng.choice(ODD))
        elif how < 0.85:
            del inside[last]
        elif isinstance(inside, list) and inside:
            inside *= rng.choice((2, 100, 3000))
        else:
            inside[last] = [inside[last]] * rng.choice((1, 2, 1000))
    return message


def damaged(rng, body):
    """A body with some bytes changed, cut or put twice."""
    body = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(body))
        how = rng.randrange(4)
        if how == 0:
            body[at] = rng.randrange(256)
        elif how == 1:
            body[at:at + 4] = struct.pack("<i", rng.choice((0, -1, 1 << 30, -1 << 31, 5)))[:max(len(body) - at, 1)]
        elif how == 2 and len(body) > 8:
            del body[at:at + rng.randint(1, 8)]
        else:
            body[at:at] = body[at:at + rng.randint(1, 40)]
        if not body:
            break
    return bytes(body) or b"0"


def marshalled(rng, depth=0):
    """Marshal of random types, all of its kinds, hostile ones too."""
    kind = rng.choice(b"NTFSi.gIlsutzZaA([{<>crRyYx0f?\x80" if depth < 20 else b"NTFi")
    size = struct.pack("<i", rng.choice((0, 1, 3, 70, -1, 1 << 30, 1 << 20)))
    head = bytes([kind])
    if kind in b"NTFS.0":
        return head
    if kind == ord("i"):
        return head + rng.randbytes(4) if hasattr(rng, "randbytes") else head + b"\1\2\3\4"
    if kind == ord("g"):
        return head + struct.pack("<d", rng.random())
    if kind in b"(<>[":
        count = rng.choice((0, 1, 2, 5))
        return head + struct.pack("<i", count) + b"".join(marshalled(rng, depth + 1) for _ in range(count))
    if kind == ord("{"):
        return head + b"".join(marshalled(rng, depth + 1) for _ in range(2 * rng.randint(0, 4))) + b"0"
    return head + size + bytes(rng.randrange(256) for _ in range(rng.choice((0, 2, 20))))


def nested(rng):
    return b"[\1\0\0\0" * rng.choice((5, 17, 1000, 100000)) + b"N"
