"""Parts of kmod's library, for the commands and the stand-ins of `klpfs exec`: the module list, files of modules, words
for an errno, and quotes for what is written to the tree's files."""
from __future__ import annotations

import errno
import os
from typing import NamedTuple

MEANING = {  # kmod's mod_strerror(): what init_module's errno means for a module
    errno.ENOEXEC: "Invalid module format",
    errno.ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)",
    errno.ESRCH: "Module has wrong symbol version",
    errno.EINVAL: "Invalid parameters",
}
HEADER = "Module                  Size  Used by"


# without annotations, for which typing imports Python's parser from 3.14 on
class Module(NamedTuple("Module", [("name", str), ("size", int), ("refcnt", int), ("holders", tuple[str, ...]),
                                   ("state", str), ("taints", str)])):
    """A line of proc/modules. size: bytes. holders: the modules that use it. taints: letters, as in `(OEK)`; K: it is a
    livepatch."""

    __slots__ = ()

    @classmethod
    def parse(cls, line: str) -> Module:
        """A module of its line: `lp1 16384 1 a,b, Live 0x0000000000000000 (OE K)`. A name may have blanks."""
        head, _, taints = line.rpartition(" (") if line.endswith(")") else (line, "", "")
        words = head.split(" ")
        at = next(at for at in range(1, len(words)) if words[at].isdigit() and words[at + 1].isdigit())
        holders = " ".join(words[at + 2:-2]).split(",")
        return cls(" ".join(words[:at]), int(words[at]), int(words[at + 1]),
                   tuple(holder for holder in holders if holder not in ("", "-")), words[-2],
                   taints.rstrip(")").replace(" ", ""))

    @property
    def livepatch(self) -> bool:
        """Whether the module is a livepatch."""
        return "K" in self.taints

    def __str__(self) -> str:
        """The module's line as lsmod prints it."""
        return f"{self.name:<19} {self.size:>8}  {self.refcnt}" + (f" {','.join(self.holders)}" if self.holders else "")


def parse_modules(text: str) -> list[Module]:
    """The modules of proc/modules's text, in its order."""
    return [Module.parse(line) for line in text.split("\n") if line]


def file_of(path: str) -> str:
    """The file that `path` means: NAME.ko is NAME.py beside it when there is no NAME.ko."""
    if path.endswith(".ko") and not os.path.lexists(path) and os.path.exists(path[:-3] + ".py"):
        return path[:-3] + ".py"
    return path


def quoted(word: str) -> str:
    """A word as the tree's files take it: quotes around what needs them."""
    if word and not set(word) & set(" \t\r\n\v\f'\""):
        return word
    if '"' not in word:
        return f'"{word}"'
    return "\"'\"".join(f"'{part}'" for part in word.split("'"))
