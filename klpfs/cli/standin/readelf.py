"""readelf(1): the name that a module's file has for itself, which kpatch asks for (`readelf -p
.gnu.linkonce.this_module FILE`). A Python file has that name, and nothing else of an ELF file; all other questions, and
all other files, are the machine's own readelf's.
"""
from __future__ import annotations

import os

from klpfs.cli.kmod import file_of
from klpfs.cli.standin import REAL, options, say
from klpfs.cli.terminal import printable, put
from klpfs.protocol.names import module_name

SECTION = ".gnu.linkonce.this_module"
OFFSET = 0x18               # of the name in struct module


def run(words: list[str], folders: list[str]) -> int:
    try:
        found, files = options.parse(words, {"string-dump": options.ONE, "wide": options.NONE},
                                     {"p": "string-dump", "W": "wide"})
    except options.Wrong:
        return by_real(words)
    sections = [value for name, value in found if name == "string-dump"]
    if not sections or not files or not all(is_python(file_of(file)) for file in files):
        return by_real(words)
    for file in files:
        if len(files) > 1:
            put(f"\nFile: {printable(file)}")
        for section in sections:
            if section == SECTION:
                put(f"\nString dump of section '{SECTION}':\n  [{OFFSET:6x}]  {printable(module_name(file))}\n")
            else:
                say(f"readelf: Warning: Section '{section}' was not dumped because it does not exist")
    return 0


def is_python(path: str) -> bool:
    """Whether a file is a text, as a livepatch's is. A name that is not there, or can't be read, is not."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError:
        return False
    return start[:4] != b"\x7fELF" and b"\0" not in start


def by_real(words: list[str]) -> int:
    """Become the machine's own readelf. Returns only where there is none."""
    for folder in [REAL, *os.environ.get("PATH", os.defpath).split(":")]:
        path = f"{folder}/readelf"
        if os.access(path, os.X_OK) and not is_python(path):
            os.execv(path, ["readelf", *words])
    say(f"readelf: this machine has none; a Python file answers to -p {SECTION} alone")
    return 1
