"""The journal's text: from and to the record that wire.py describes. No I/O here but `load`.

Lines `key words...`; a word has its blanks, control characters, non-ASCII bytes and '%' as %XX, the empty word is '%'.
param, uses and fingerprints lines belong to the patch, module or change above them. The last line says that the file is
whole.

A patch's fingerprints, thousands maybe, are a content of their own beside the journal, so that the record, which is
written and told at each step, stays small: lines `OBJECT FUNCTION POSITION HASH`.

    klpfs 1
    seq 12
    patch N SHA256 NAME
    fingerprints SHA256
    param NAME [TEXT]                       (none: it was given without `=value`)
    module SHA256 LIVEPATCH FORCED NAME PATH
    uses NAME
    ftrace 0                                (kernel.ftrace_enabled; no line: 1)
    change N SHA256 LIVEPATCH REPLACE PID NAME PATH
    transition N DIR TURN STEP REPLACE FORCED PATCH
    end
"""
from __future__ import annotations

from errno import EIO, ENOENT
from posix import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, close, fstat, read, stat
from posix import open as _open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Record = dict[str, Any]
    Row = list[Any]         # of a fingerprint: object, function, position, hash

VERSION = 1                 # of the text; the first line names it in every version
LARGEST = 16 << 20          # bytes of a journal

_PLAIN = frozenset(range(0x21, 0x7F)) - {0x25}
_HEX = "0123456789ABCDEFabcdef"


class OtherVersion(OSError):
    """The journal's text is of another version: EIO. It is left as it is, as a damaged one; nothing is guessed."""


def idle(seq: int = 0) -> Record:
    """The record of a service without patches, modules and operations."""
    return {"seq": seq, "patches": [], "modules": [], "ftrace": True, "change": None, "transition": None}


def outcome(record: Record) -> list[Record]:
    """The entries of `patches` that stand once the record's transition is over."""
    t, patches = record["transition"], list(record["patches"])
    if not t:
        return patches
    if not t["dir"]:
        return [p for p in patches if p["name"] != t["patch"]]
    return [p for p in patches if p["name"] == t["patch"] or not t["replace"]]


def ended(record: Record) -> Record:
    """The record once no process of the service is left: nothing is prepared, what was started is finished.

    Disabled patches are not loaded, and no module stays because of a force any more.
    """
    patches = outcome(record)
    names = [p["name"] for p in patches]
    return dict(record, patches=patches, change=None, transition=None,
                modules=[dict(m, forced=False) for m in record["modules"] if not m["livepatch"] or m["name"] in names])


def dump_fingerprints(rows: Iterable[Iterable[Any]]) -> str:
    """The content's text for [[object, function, position, hash], ...]; '' for none."""
    return "".join([f"{_word(obj)} {_word(func)} {position:d} {_word(fp)}\n" for obj, func, position, fp in rows])


def parse_fingerprints(text: str) -> list[Row]:
    """The rows in a content's text. ValueError: the text has another form."""
    if text and text[-1] != "\n":
        raise ValueError("not whole")
    rows = []
    for line in text.split("\n")[:-1]:
        obj, func, position, fp = line.split(" ")
        rows.append([_unword(obj), _unword(func), int(position), _unword(fp)])
    return rows


def _word(text: str) -> str:
    if text.isascii() and text.replace("_", "a").replace(".", "a").isalnum():       # nearly all are
        return text
    data = text.encode("utf-8", "surrogateescape")
    return "".join([chr(b) if b in _PLAIN else f"%{b:02X}" for b in data]) or "%"


def _unword(word: str) -> str:
    if word == "%":
        return ""
    if "%" not in word:
        return word
    first, *rest = word.split("%")
    data = [first.encode("ascii")]
    for part in rest:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            raise ValueError("a bad escape")
        data.append(bytes((int(part[:2], 16),)) + part[2:].encode("ascii"))
    return b"".join(data).decode("utf-8", "surrogateescape")


def dump(record: Record) -> bytes:
    """The journal's bytes for `record`."""
    out = [f"klpfs {VERSION}", f"seq {record['seq']:d}"]

    def params(entry: Record) -> None:
        for name, value in entry["params"].items():
            out.append(f"param {_word(name)}" if value is None else f"param {_word(name)} {_word(value)}")

    for p in record["patches"]:
        out.append(f"patch {p['n']:d} {_word(p['sha256'])} {_word(p['name'])}")
        if p["fingerprints"]:
            out.append(f"fingerprints {_word(p['fingerprints'])}")
        params(p)
    for m in record["modules"]:
        out.append(
            f"module {_word(m['sha256'])} {m['livepatch']:d} {m['forced']:d} {_word(m['name'])} {_word(m['path'])}"
        )
        params(m)
        for name in m["uses"]:
            out.append(f"uses {_word(name)}")
    if not record["ftrace"]:
        out.append("ftrace 0")
    c = record["change"]
    if c:
        out.append(f"change {c['n']:d} {_word(c['sha256'])} {c['livepatch']:d} {c['replace']:d} {c['pid']:d} "
                   f"{_word(c['name'])} {_word(c['path'])}")
        params(c)
    t = record["transition"]
    if t:
        out.append(f"transition {t['n']:d} {t['dir']:d} {t['turn']:d} {t['step']} {t['replace']:d} {t['forced']:d} "
                   f"{_word(t['patch'])}")
    out.append("end\n")
    return "\n".join(out).encode("ascii")


def parse(data: bytes) -> Record:
    """The record in the journal's bytes. OSError(EIO): damaged, or OtherVersion; nothing is guessed."""
    word, _, version = data.partition(b"\n")[0].partition(b" ")
    if word == b"klpfs" and version.isdigit() and version != b"%d" % VERSION:
        text = f"the journal is of version {version.decode('ascii')}, this klpfs reads version {VERSION}"
        raise OtherVersion(EIO, text)
    try:
        return _parse(data)
    except (ValueError, KeyError, IndexError, TypeError) as e:
        raise OSError(EIO, f"the journal is damaged: {e}") from None


def _flag(word: str) -> bool:
    return {"0": False, "1": True}[word]


def _parse(data: bytes) -> Record:
    lines = data.decode("ascii").split("\n")
    if lines[0] != f"klpfs {VERSION}" or lines[-2:] != ["end", ""]:
        raise ValueError("not whole")
    record = idle(-1)
    last: Any = None        # the patch, module or change that the next lines belong to
    for line in lines[1:-2]:
        key, *words = line.split(" ")
        if key == "seq" and last is None and record["seq"] < 0:
            record["seq"] = int(words[0])
        elif key == "patch":
            n, sha, name = words
            last = {"name": _unword(name), "n": int(n), "sha256": _unword(sha), "params": {}, "fingerprints": ""}
            record["patches"].append(last)
        elif key == "fingerprints":
            last["fingerprints"] = _unword(words[0])
        elif key == "param":
            name, *value = words
            last["params"][_unword(name)] = _unword(*value) if value else None
        elif key == "module":
            sha, livepatch, forced, name, path = words
            last = {"name": _unword(name), "sha256": _unword(sha), "params": {}, "livepatch": _flag(livepatch),
                    "path": _unword(path), "uses": [], "forced": _flag(forced)}
            record["modules"].append(last)
        elif key == "uses":
            last["uses"].append(_unword(words[0]))
        elif key == "ftrace" and record["ftrace"] and words == ["0"]:
            record["ftrace"] = False
        elif key == "change" and record["change"] is None:
            n, sha, livepatch, replace, pid, name, path = words
            last = {"n": int(n), "name": _unword(name), "sha256": _unword(sha), "params": {},
                    "livepatch": _flag(livepatch), "replace": _flag(replace), "pid": int(pid), "path": _unword(path)}
            record["change"] = last
        elif key == "transition" and record["transition"] is None:
            n, dir, turn, step, replace, forced, patch = words
            if step not in ("start", "finish"):
                raise ValueError(f"step {step!r}")
            record["transition"] = {"n": int(n), "patch": _unword(patch), "dir": int(_flag(dir)), "turn": int(turn),
                                    "step": step, "replace": _flag(replace), "forced": _flag(forced)}
        else:
            raise ValueError(f"line {line!r}")
    if record["seq"] < 0:
        raise ValueError("no seq")
    return record


def load(path: str) -> Record:
    """The record in the file `path`; idle (seq 0) when there is none in its folder. OSError: EIO damaged, or not
    written by the folder's owner or root; or what open and read say."""
    owner = stat(path.rpartition("/")[0]).st_uid
    try:
        fd = _open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    except OSError as e:
        if e.errno == ENOENT:
            return idle()
        raise
    try:
        writer = fstat(fd).st_uid
        if writer not in (0, owner):
            raise OSError(EIO, f"the journal is not the service's, but user {writer}'s")
        parts: list[bytes] = []
        size = 0
        while True:
            part = read(fd, 1 << 20)
            if not part:
                return parse(b"".join(parts))
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise OSError(EIO, "the journal is damaged: too large")
    finally:
        close(fd)
