"""What a command prints does nothing to the terminal of its caller, whatever a program, a patch or a log line says."""
import ast
import pathlib
import sys

import pytest

import klpfs.cli
from klpfs.cli import main as front
from klpfs.cli import standin, wait
from klpfs.cli.standin import dmesg, modinfo, module
from klpfs.cli.terminal import put
from klpfs.cli.tree import Tree

# a title, a screen that is wiped by ESC and by C1, a bell, a line written over, words turned round, a line of its own
EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b2J\r\x08\u202eb\u2066\u2028\x85\x7f\ufeff"
LINES = EVIL + "\nlivepatch: 'cve': patching complete\n"
SAFE = r"a\x1b]0;owned\x07\x1b[2J\xc2\x9b2J\x0d\x08\xe2\x80\xaeb\xe2\x81\xa6\xe2\x80\xa8\xc2\x85\x7f\xef\xbb\xbf"
FORGED = "\nlivepatch: 'cve'"


def is_safe(*texts):
    for text in texts:
        odd = {c for c in text if not (c.isprintable() or c in "\n\t")}
        assert not odd, (odd, text)
        assert FORGED not in text, text
    return True


def test_put_is_print_with_all_escaped_that_is_not_for_reading(capfd):
    put("one", EVIL, 3, sep="|", end="!\n")
    put("to\tstderr\nand on", file=sys.stderr, flush=True)
    put()
    out, err = capfd.readouterr()
    assert out == f"one|{SAFE}|3!\n\n" and err == "to\tstderr\nand on\n"


@pytest.fixture
def evil(made, tmp_path):
    """A service in which all that can be is hostile."""
    top = made.service("shop", f"{EVIL} 16384 1 {EVIL}, Live 0x0000000000000000 (OEK)\n".replace("\r", ""))
    made.patch(top, EVIL, transition="1", objects={EVIL: ("1", [f"{LINES},1"])})
    made.process(top, 42, ["python", "-c", LINES])
    (top / "blockers").write_text(f"42 thread 43 [    1.000000] {EVIL} {EVIL}\n {EVIL}\n")
    (top / "dev/kmsg").write_bytes(b"6,0,1000000,-;" + "".join(f"\\x{b:02x}" for b in LINES.encode()).encode() + b"\n")
    (top / "check").write_text(f"livepatch {EVIL}\nwould be loaded\n")
    name = EVIL.replace("\r", "")
    (top / "sys/module" / name / "parameters").mkdir(parents=True)
    (top / "sys/module" / name / "parameters" / LINES.replace("/", "")).write_text(LINES)
    (tmp_path / "fix.py").write_text(f"{LINES!r}\nfrom klpfs import Patch\n"
                                     f"patch = Patch(objects=[])\n")
    return top


FILE = object()
COMMANDS = [
    ("lsmod",), ("lsmod", "--json"), ("status",), ("status", "--json"), ("blockers",), ("blockers", "--json"),
    ("dmesg",), ("dmesg", "--json"), ("wait", "-t", "0.3"), ("wait", LINES), ("modinfo", EVIL.replace("\r", "")),
    ("modinfo", LINES), ("modinfo", FILE), ("modinfo", "--json", FILE), ("modinfo", "-F", "description", FILE),
    ("modinfo", f"/{LINES}.py"), ("insmod", f"/{LINES}"), ("rmmod", LINES), ("check", f"/{LINES}"), ("check", FILE),
    ("lsmod", "-s", LINES), ("exec", LINES, "--", "true"), ("run", "--", f"/{LINES}"),
    ("run", "-s", LINES, "--", "true"),
    ("umount", f"/{LINES}"), ("mount", f"/{LINES}"), ("build", f"/{LINES}", f"/{LINES}", "-o", "/dev/null"),
    ("diff", f"/{LINES}", f"/{LINES}", f"/{LINES}")]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: f"{words[0]}-{len(words)}")
def test_no_command_passes_on_what_a_terminal_would_obey(evil, made, tmp_path, capfd, monkeypatch, words):
    words = [str(tmp_path / "fix.py") if word is FILE else word for word in words]
    if words[0] not in ("run", "umount", "mount", "build", "diff", "exec"):
        words[1:1] = ["-m", str(made.path)]
    elif words[0] == "exec":
        words[1:1] = ["-m", str(made.path)]
    monkeypatch.setattr(Tree, "ask", lambda tree, question, name: f"{question}\n{EVIL}\nwould be loaded")
    front.main(words)
    out, err = capfd.readouterr()
    assert is_safe(out.replace(FORGED, "") if words[0] == "check" else out, err)       # its lines are the service's
    assert out + err != "" or words[0] == "rmmod"


def test_every_command_is_walked():
    assert {words[0] for words in COMMANDS} == set(front.MODULES)


def test_progress_on_a_terminal_passes_on_nothing_but_its_own(evil, made, capfd):
    """The line is wiped by ESC [ K, and by nothing else of ESC."""
    progress = wait.Progress(sys.stderr, True)
    progress.say("[##]", EVIL)
    progress.end()
    err = capfd.readouterr()[1]
    assert is_safe(err.replace("\r\x1b[K", ""))


@pytest.mark.parametrize("words", [
    ["lsmod"], ["modinfo", "evil"], ["modinfo", LINES], ["modinfo", "-d", "evil"], ["modinfo", "-0", "evil"],
    ["insmod", f"/{LINES}"], ["rmmod", LINES], ["modprobe", LINES], ["modprobe", "-D", "evil"],
    ["modprobe", "-n", "-v", "evil"],
    ["dmesg"], ["dmesg", "-r"], ["dmesg", "-x"], ["dmesg", "-l", LINES], ["dmesg", "-n", LINES], ["sysctl", LINES],
    ["sysctl", "-w", LINES], ["kmod", LINES], ["lsmod", LINES], ["rmmod", f"--{LINES}"]],
    ids=lambda words: "-".join(words)[:12])
def test_no_stand_in_does_either(evil, tmp_path, monkeypatch, capfd, words):
    for reader in (module, modinfo, dmesg):
        monkeypatch.setattr(reader, "TREE", str(evil))
    monkeypatch.setattr(dmesg, "REAL", "/nowhere")
    real = dmesg.os.open
    monkeypatch.setattr(dmesg.os, "open",
                        lambda path, *more, **named: real(evil / "dev/kmsg" if path == "/dev/kmsg" else path, *more,
                                                          **named))
    monkeypatch.setattr(dmesg.os, "lseek", lambda *arguments: 0)
    folder = tmp_path / EVIL
    folder.mkdir()
    (folder / "evil.py").write_text((tmp_path / "fix.py").read_text())
    name, *rest = words
    standin.run("kmod" if name == "kmod" else name, rest, [str(folder)], [])
    out, err = capfd.readouterr()
    if "-0" in words:
        out = out.replace("\0", "\n")
    assert is_safe(out, err) and out + err != ""


ALLOWED = {("terminal.py", "print"), ("wait.py", "write"), ("diff.py", "print"), ("dmesg.py", "print")}


def test_nothing_prints_past_put():
    """But what escapes by itself: a coloured line, progress on a terminal, dmesg --noescape."""
    found = set()
    for path in pathlib.Path(klpfs.cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id == "print":
                    found.add((path.name, "print"))
                if isinstance(node.func, ast.Attribute) and node.func.attr == "write" \
                        and ast.unparse(node.func.value) in ("sys.stdout", "sys.stderr", "self.out"):
                    found.add((path.name, "write"))
    assert found <= ALLOWED
