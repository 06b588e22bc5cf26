"""Attacks on whoever reads: long lines, texts that can't be encoded, control characters on a terminal (B2, B6)."""
import re
import time

from tests.attacks.table import attack
from tests.attacks.timing import BOUND
from tests.harness import until, write

RAW = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")      # all control characters but tab and newline


@attack("B2", quick=True)
def long_error(world):
    """an exception's text of 9 KB in a livepatch is cut in the log; every reader goes on"""
    world.refused(world.patch("lp1", text="raise ValueError('x' * 9000)\n"), "EINVAL")
    world.refused(world.patch("lp1", text="raise ValueError(repr(dict.fromkeys(range(100000))))\n"), "EINVAL")
    dmesg(world)


@attack("B2")
def long_path(world):
    """a path of 8 KB written to insmod, rmmod or check is refused, and its line is cut"""
    for file in "insmod", "rmmod", "check":
        world.timed(f"{file} of a long path", write, world.tree().path / file, "/" + "x" * 4000)
        world.timed(f"{file} of a longer path", write, world.tree().path / file, "/x" * 4095)
    dmesg(world)


@attack("B2", quick=True)
def surrogate_in_the_log(world):
    """a text that no file can hold is escaped in the log; every reader goes on"""
    world.refused(world.patch("lp1", text="raise ValueError('\\ud800 \\udcff')\n"), "EINVAL")
    world.insmod(world.patch("lp1", text="from klpfs import pr_info\npr_info('\\ud800')\n"))
    dmesg(world)
    world.clear()


@attack("B2")
def log_of_long_lines(world):
    """4,096 lines of 9 KB leave a log that is read, and a new daemon has the whole state"""
    path = world.patch("lp1", extra="for i in range(4200): pr_info('x' * 9000)\n")
    found = world.insmod(path, bound=BOUND * 5)
    world.expect(found == "ok None", f"insmod: {found}")
    world.tree().settle()
    dmesg(world)
    world.mount.kill()
    world.mount.start()
    for name in "shop", "bank":
        world.mount.service(name)
    world.before.pop("daemon", None)
    until(lambda: world.tree().get("lp1/vmlinux/patched") == "1", "the patch's objects in a new daemon")
    dmesg(world)
    world.clear()
    world.before = world.usage()        # a full log


def dmesg(world):
    world.log()
    code, said = world.command("dmesg", "-m", world.mount.root, "-s", "shop")
    world.expect(not code, f"klpfs dmesg: {code} {said[-200:]}")
    world.expect(b"ended" not in said[-200:].rpartition(b"]")[2], f"klpfs dmesg: {said[-200:]}")


ESCAPES = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\r\\x08\\x00"


@attack("B6", quick=True)
def escapes(world):
    """no command writes a control character of a program, a patch or a log to the terminal"""
    world.ask("shop", f"held = Held('t{ESCAPES}')")
    world.ask("shop", "__import__('ctypes').CDLL(None).prctl(15, b'x\\x1b[2J\\x07', 0, 0, 0)")
    path = world.patch("lp1", "one", "hold", text=(
        f"'''Text {ESCAPES.replace(chr(92) + 'x00', '')}'''\nfrom klpfs import *\n__version__ = '1 {ESCAPES}'\n"
        f"x = module_param('x', str, '{ESCAPES}', description='{ESCAPES}')\n"
        f"pr_info('line {ESCAPES}')\n"
        "def one(): return 'one by lp1'\ndef hold(held): return 1\n"
        "patch = Patch(objects=[Object(None, funcs=[Func('one', one), Func('hold', hold)])])\n"))
    found = world.insmod(path)
    if found != "ok None":              # what is refused prints nothing; the rest can be printed still
        path = world.patch("lp1", "one", "hold", extra=f"pr_info('line {ESCAPES}')\n")
        world.expect(world.insmod(path) == "ok None", f"insmod: {found}")
    where = ("-m", world.mount.root, "-s", "shop")
    try:
        time.sleep(0.2)
        commands = (("dmesg", *where), ("status", *where), ("blockers", *where), ("lsmod", *where),
                    ("wait", *where, "lp1", "-t", "0.2"), ("check", *where, path),
                    ("modinfo", path), ("exec", *where[:2], "shop", "--", "dmesg"),
                    ("exec", *where[:2], "shop", "--", "modinfo", path))
        for command in commands[::2] if world.few else commands:
            code, said = world.command(*command, bound=BOUND + 5)
            own = command[0] == "exec" and command[-1] == "dmesg"   # the machine's util-linux prints: what isspace(3) is, stays
            raw = [each for each in RAW.findall(said) if not own or each not in (b"\r", b"\v", b"\f")]
            world.expect(not raw, f"klpfs {command[0]} prints {raw[:5]}: {said[:200]!r}")
    finally:
        world.ask("shop", "held.let_go()")
        world.clear()
        world.ask("shop", "__import__('ctypes').CDLL(None).prctl(15, b'python', 0, 0, 0)")
