"""The journal's text: from and to the record that wire.py describes. No I/O here but `load`.

Lines `kind words...`; a word has its blanks, control characters, non-ASCII bytes and '%' as %XX, the empty word is '%'.
param, uses and fingerprints lines belong to the patch, module or change above them. The last line says that the file is
whole.

A patch's fingerprints, thousands maybe, are a content of their own beside the journal, so that the record, which is
written and sent at each step, stays small: lines `OBJECT FUNCTION POSITION HASH`.

    klpfs 2
    seq 12
    service NAME                            (version 1 has no such line)
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

from errno import EFBIG, EIO
from posix import close

from klpfs.protocol.folder import Folder
from klpfs.protocol.phases import FINISH, START
from klpfs.protocol.reading import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    Record = dict[str, Any]             # wire.py, RECORD
    Fingerprint = Any                   # [object, function, position, hash]

VERSION = 2                 # of the text; the first line names it in every version
FIRST_LINE, LAST_LINE = f"klpfs {VERSION}", "end"
READ = ("klpfs 1", FIRST_LINE)      # first lines of what is read: version 1 does not say whose journal it is
VERSIONS = " and ".join(line.partition(" ")[2] for line in READ)        # the same, for people
MAX_JOURNAL_BYTES = 16 << 20

_PLAIN = frozenset(range(0x21, 0x7F)) - {0x25}
_HEX = "0123456789ABCDEFabcdef"


class OtherVersion(OSError):
    """The journal's text is of another version: EIO. It is left as it is, as a damaged one; nothing is guessed."""


class OtherService(OSError):
    """The journal, or a record, is another service's: EIO. Nobody obeys it."""


def check_service(record: Record, service: str) -> Record:
    """Return `record`, a journal's, if it is that of `service`, or of a klpfs that did not say whose. OtherService: it
    is another's."""
    if record.get("service", service) != service:
        raise OtherService(EIO, f"the journal is of service '{record['service']}', not of '{service}'")
    return record


def idle(seq: int = 0, service: str | None = None) -> Record:
    """The record of a service without patches, modules and operations; None: it does not say of which."""
    record: Record = {"seq": seq, "patches": [], "modules": [], "ftrace": True, "change": None, "transition": None}
    return record if service is None else {**record, "service": service}


def outcome(record: Record) -> list[dict[str, Any]]:
    """The entries of `patches` that stand once the record's transition is over."""
    transition, patches = record["transition"], list(record["patches"])
    if not transition:
        return patches
    if not transition["dir"]:
        return [patch for patch in patches if patch["name"] != transition["patch"]]
    return [patch for patch in patches if patch["name"] == transition["patch"] or not transition["replace"]]


def ended(record: Record) -> Record:
    """The record of a service none of whose processes is left: what was prepared is gone, what was started is finished,
    disabled patches are not loaded, and no module is kept by a force any more."""
    patches = outcome(record)
    names = [p["name"] for p in patches]
    return dict(record, patches=patches, change=None, transition=None,
                modules=[dict(m, forced=False) for m in record["modules"] if not m["livepatch"] or m["name"] in names])


def dump_fingerprints(rows: Iterable[Fingerprint]) -> str:
    """The content's text for [[object, function, position, hash], ...]; '' without any."""
    return "".join([f"{_word(obj)} {_word(func)} {position} {_word(code)}\n" for obj, func, position, code in rows])


def parse_fingerprints(text: str) -> list[Fingerprint]:
    """The rows in a content's text. ValueError: the text is no such content."""
    if text and text[-1] != "\n":
        raise ValueError("not whole")
    rows = []
    for line in text.split("\n")[:-1]:
        obj, func, position, code = line.split(" ")
        rows.append([_unword(obj), _unword(func), int(position), _unword(code)])
    return rows


def _word(text: str) -> str:
    if text.isascii() and text.replace("_", "a").replace(".", "a").isalnum():       # nearly all are
        return text
    data = text.encode("utf-8", "surrogateescape")
    return "".join([chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data]) or "%"


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


class _Field:
    """A word of a line: the entry's key that it stands for, how its value is written, and how the word is read."""

    __slots__ = ("key", "write", "read")

    def __init__(self, key: str, write: Callable[[Any], str], read: Callable[[str], Any]) -> None:
        self.key, self.write, self.read = key, write, read


def _flag(word: str) -> bool:
    return {"0": False, "1": True}[word]


def _step(word: str) -> str:
    if word not in (START, FINISH):
        raise ValueError(f"step {word!r}")
    return word


def _text(key: str) -> _Field:
    return _Field(key, _word, _unword)


def _number(key: str) -> _Field:
    return _Field(key, str, int)


def _bit(key: str) -> _Field:
    return _Field(key, lambda value: "1" if value else "0", _flag)


# The words of each line that begins an entry of the record, in their order; dump and parse both go by them.
_LINES = {
    "patch": (_number("n"), _text("sha256"), _text("name")),
    "module": (_text("sha256"), _bit("livepatch"), _bit("forced"), _text("name"), _text("path")),
    "change": (_number("n"), _text("sha256"), _bit("livepatch"), _bit("replace"), _number("pid"), _text("name"),
               _text("path")),
    "transition": (_number("n"), _Field("dir", _bit("dir").write, lambda word: int(_flag(word))), _number("turn"),
                   _Field("step", str, _step), _bit("replace"), _bit("forced"), _text("patch")),
}


def _line(kind: str, entry: dict[str, Any]) -> str:
    return " ".join([kind] + [field.write(entry[field.key]) for field in _LINES[kind]])


def _entry(kind: str, words: list[str], **more: Any) -> dict[str, Any]:
    fields = _LINES[kind]
    if len(words) != len(fields):
        raise ValueError(f"line {' '.join([kind, *words])!r}")
    return {**{field.key: field.read(word) for field, word in zip(fields, words)}, **more}


def dump(record: Record) -> bytes:
    """The journal's bytes for `record`. Its reverse is parse."""
    out = [FIRST_LINE, f"seq {record['seq']}"]
    if "service" in record:
        out.append(f"service {_word(record['service'])}")

    def params(entry: dict[str, Any]) -> None:
        for name, value in entry["params"].items():
            out.append(f"param {_word(name)}" if value is None else f"param {_word(name)} {_word(value)}")
    for patch in record["patches"]:
        out.append(_line("patch", patch))
        if patch["fingerprints"]:
            out.append(f"fingerprints {_word(patch['fingerprints'])}")
        params(patch)
    for module in record["modules"]:
        out.append(_line("module", module))
        params(module)
        out += [f"uses {_word(name)}" for name in module["uses"]]
    if not record["ftrace"]:
        out.append("ftrace 0")
    if record["change"]:
        out.append(_line("change", record["change"]))
        params(record["change"])
    if record["transition"]:
        out.append(_line("transition", record["transition"]))
    out.append(LAST_LINE + "\n")
    return "\n".join(out).encode("ascii")


def parse(data: bytes) -> Record:
    """The record in the journal's bytes. OSError(EIO): damaged, or OtherVersion; nothing is guessed. Its reverse is
    dump."""
    word, _, version = data.partition(b"\n")[0].partition(b" ")
    if (word == b"klpfs" and version.isdigit() and len(version) < 10
            and data.partition(b"\n")[0].decode("ascii") not in READ):
        text = f"the journal is of version {version.decode('ascii')}, this klpfs reads versions {VERSIONS}"
        raise OtherVersion(EIO, text)
    try:
        lines = data.decode("ascii").split("\n")
        if lines[0] not in READ or lines[-2:] != [LAST_LINE, ""]:
            raise ValueError("not whole")
        reader = _Reader()
        for line in lines[1:-2]:
            kind, *words = line.split(" ")
            if kind not in reader.PARSERS:
                raise ValueError(f"line {line!r}")
            reader.PARSERS[kind](reader, words)
        if reader.record["seq"] < 0:
            raise ValueError("no seq")
        return reader.record
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise OSError(EIO, f"the journal is damaged: {error}") from None


class _Reader:
    """Makes a record of lines, each by the parser of its kind. last: the entry that param, uses and fingerprints lines
    belong to, {} before the first. ValueError, KeyError and TypeError: a line that does not belong where it
    stands."""

    __slots__ = ("record", "last")

    def __init__(self) -> None:
        self.record = idle(-1)
        self.last: dict[str, Any] = {}

    def seq(self, words: list[str]) -> None:
        if self.last or self.record["seq"] >= 0:
            raise ValueError("seq twice, or late")
        (seq,) = words
        self.record["seq"] = int(seq)

    def service(self, words: list[str]) -> None:
        if self.last or self.record["seq"] < 0 or "service" in self.record:
            raise ValueError("service twice, or late")
        (name,) = words
        self.record["service"] = _unword(name)

    def patch(self, words: list[str]) -> None:
        self.last = _entry("patch", words, params={}, fingerprints="")
        self.record["patches"].append(self.last)

    def fingerprints(self, words: list[str]) -> None:
        if self.last["fingerprints"]:
            raise ValueError("fingerprints twice")
        (sha256,) = words
        self.last["fingerprints"] = _unword(sha256)

    def param(self, words: list[str]) -> None:
        name, *value = words
        self.last["params"][_unword(name)] = _unword(*value) if value else None

    def module(self, words: list[str]) -> None:
        self.last = _entry("module", words, params={}, uses=[])
        self.record["modules"].append(self.last)

    def uses(self, words: list[str]) -> None:
        (name,) = words
        self.last["uses"].append(_unword(name))

    def ftrace(self, words: list[str]) -> None:
        if words != ["0"] or not self.record["ftrace"]:
            raise ValueError("ftrace twice, or not 0")
        self.record["ftrace"] = False

    def change(self, words: list[str]) -> None:
        self._once("change")
        self.last = self.record["change"] = _entry("change", words, params={})

    def transition(self, words: list[str]) -> None:
        self._once("transition")
        self.record["transition"] = _entry("transition", words)

    def _once(self, kind: str) -> None:
        if self.record[kind] is not None:
            raise ValueError(f"{kind} twice")

    PARSERS = {parser.__name__: parser for parser in (
        seq, service, patch, fingerprints, param, module, uses, ftrace, change, transition)}


def read_record(fd: int) -> Record:
    """The record in an open journal. OSError as parse and read(2); EIO, too, for a file that no journal can be."""
    try:
        data = read_whole(fd, MAX_JOURNAL_BYTES)
    except OSError as error:
        if error.errno == EFBIG:
            raise OSError(EIO, "the journal is damaged: too large") from None
        raise
    return parse(data)


def load(path: str) -> Record:
    """The record in the journal `path` of a service's folder; idle (seq 0) when the folder has none. OSError: EIO
    damaged, or not written by the folder's owner or root, or no regular file; OtherVersion, OtherService; or as open
    and read."""
    place, _, name = path.rpartition("/")
    folder = Folder(place)
    try:
        fd = folder.open(name, None)            # what is too large is damaged: read_record
    except FileNotFoundError:
        return idle()
    try:
        return check_service(read_record(fd), folder.service)
    finally:
        close(fd)


def forks(name: str) -> str:
    """The text of the refusal, EDEADLK, of a child that the load of a module has forked. A child may end before its log
    is read, so whoever answers the load says so."""
    return f"the load of '{name}' forks"
