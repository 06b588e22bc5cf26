"""A hostile worker: python hostile.py FOLDER USER GROUP. It becomes that user, and runs the lines of its standard
input, as tests/integration/program.py does. What it can say is in this module's names.

It plays an agent of the service in FOLDER that obeys the protocol except where it is told not to.
"""
import hashlib  # noqa: F401  for the lines that it is sent: later it can't import
import os
import pathlib
import random
import re  # noqa: F401
import resource  # noqa: F401
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from klpfs.protocol import wire  # noqa: E402
from tests.attacks import mutate  # noqa: E402
from tests.integration.program import serve  # noqa: E402

FOLDER = sys.argv[1]
HELLO = {"t": "hello", "version": wire.VERSION, "pid": os.getpid(), "comm": "x", "cmdline": ["x"], "keep": False,
         "service": os.path.basename(FOLDER), "python": "3", "started": 1}
EVENT = {"t": "event", "patches": [], "modules": []}
REPORT = {"t": "report", "seen": -1, "n": 0, "phase": "", "dir": 0, "turn": 0, "clean": True, "over": 0, "refused": None,
          "not_applied": [], "prepared": None, "working": None, "blockers": []}
heard, kept, made = [], [], []
greeted = threading.Event()


def listen(name="evil.sock"):
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{FOLDER}/.{name}")
    s.listen(64)
    os.rename(f"{FOLDER}/.{name}", f"{FOLDER}/{name}")  # found before it listens, it would be a dead process's
    made.append(f"{FOLDER}/{name}")
    return s


def send(c, message):
    c.sendall(wire.encode(message))


def raw(c, body):
    c.sendall(struct.pack("<I", len(body)) + body)


def serving(behave, name="evil.sock"):
    """behave(connection) runs in a thread for each connection to a socket of ours."""
    s = listen(name)
    kept.append(s)

    def one(c):
        try:
            behave(c)
        except (OSError, ValueError):
            greeted.set()               # it is sent away in the middle: it was met all the same

    def accept():
        while True:
            try:
                c = s.accept()[0]
            except OSError:
                return
            kept.append(c)
            threading.Thread(target=one, args=[c], daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def messages(c):
    reader = wire.Reader()
    while True:
        data = c.recv(1 << 18)
        if not data:
            return
        for message in reader.feed(data):
            heard.append(message["t"])
            yield message


def follows(r):
    """The report of an agent that has followed the record `r`, whatever it says."""
    t = r["transition"]
    report = dict(REPORT, seen=r["seq"], over=max([p["n"] for p in r["patches"]] or [0]))
    if t:
        report.update(n=t["n"], phase="started" if t["step"] == "start" else "finishing", dir=t["dir"], turn=t["turn"])
    return report


def greet(c, hello=(), event=(), report=()):
    send(c, dict(HELLO, **dict(hello)))
    send(c, dict(EVENT, **dict(event)))
    send(c, dict(REPORT, **dict(report)))
    greeted.set()


def agent(hello=(), event=(), report=(), then=None, refuse=None, name="evil.sock", **answers):
    """Play an agent. hello, event, report: keys that differ in its first messages. then(c): runs after them. refuse:
    what `refused` says of each change, but for its number. answers: {kind of message: function(message) to the messages
    that answer it}."""
    def behave(c):
        greet(c, hello, event, report)
        if then:
            then(c)
        for m in messages(c):
            if m["t"] in answers:
                for answer in answers[m["t"]](m):
                    send(c, answer)
            elif m["t"] == "record":
                r = m["r"]
                send(c, {"t": "ack", "seq": r["seq"]})
                if refuse is None and r["change"]:
                    continue            # nothing more of a load: it is passed over as silent, after 2 s
                found = follows(r)
                if refuse is not None and r["change"]:
                    found["refused"] = dict({"n": r["change"]["n"], "text": "no"}, **refuse)
                send(c, found)
    serving(behave, name)


def says(*bodies, times=1):
    """An agent that says after its greeting what is already marshalled."""
    def then(c):
        for _ in range(times):
            for body in bodies:
                raw(c, body)
    agent(then=then)


def met():
    return greeted.is_set()


BLOCKER = {"kind": "thread", "task": 1, "name": "x", "frames": ["f.py:1 f"], "since": 1}
SURVEY = {"livepatch": True, "replace": False, "refused": "", "objects": [{"name": "vmlinux", "loaded": True, "funcs": [
    {"name": "one", "refused": "", "warnings": ["w"], "where": "f.py:1", "count": 1, "fingerprint": "0" * 64,
     "inside": [("thread", 1, "x", ["f.py:1 f"])]}]}]}
LEGAL = [
    HELLO, REPORT, EVENT, {"t": "ack", "seq": 0}, {"t": "want", "sha256": "a" * 64}, {"t": "done", "id": 1, "errno": 0},
    dict(REPORT, n=1, phase="started", dir=1, turn=1, clean=False, blockers=[BLOCKER, BLOCKER], working={"what": "init of lp1", "since": 1},
         not_applied=[1], refused={"n": 1, "errno": 22, "text": "no"},
         prepared={"n": 1, "livepatch": True, "replace": False, "size": 1, "uses": ["x"], "fingerprints": ""}),
    dict(EVENT, names=["lp1", "good"], process={"pid": os.getpid(), "comm": "x", "cmdline": ["x", "y"]},
         patches=[{"name": "lp1", "enabled": True, "transition": False, "replace": False, "forced": False, "objects": [
             {"name": "vmlinux", "patched": True, "loaded": True, "dynamic": False, "funcs": "one,1\ntwo,1"}]}],
         modules=[{"name": "lp1", "size": 1, "refcnt": 1, "livepatch": True, "state": "Live", "holders": ["x"], "forced": False,
                   "params": [("level", "int", "3", 420)]}],
         log=[(1, 1, 6, "module", "a line"), (2, 2, 4, "engine", "another"), (3, 3, 6, "user", "a third")]),
    {"t": "answer", "id": 1, "data": [BLOCKER]}, {"t": "answer", "id": 1, "data": [(1, "x")]},
    {"t": "answer", "id": 1, "data": {"errno": 0, "text": "", "found": SURVEY}}]


def fuzz(seed):
    """An agent that says random things: a seed says the same again. Returns in words what it will do."""
    rng = random.Random(seed)
    first = [rng.random() < 0.1 and mutate.mutated(rng, message) or message for message in (HELLO, EVENT, REPORT)]
    bodies, said = [], []
    for _ in range(rng.choice((1, 3, 20))):
        how = rng.choice(("mutated", "mutated", "mutated", "damaged", "marshalled", "nested", "flood"))
        legal = rng.choice(LEGAL)
        if how == "mutated":
            bodies.append(encoded(mutate.mutated(rng, legal)))
        elif how == "damaged":
            bodies.append(mutate.damaged(rng, encoded(legal)))
        elif how == "marshalled":
            bodies.append(event_of(mutate.marshalled(rng)))
        elif how == "nested":
            bodies.append(event_of(mutate.nested(rng)))
        else:
            bodies += [encoded(mutate.mutated(rng, legal) if rng.random() < 0.5 else legal)] * rng.choice((100, 3000))
        said.append(f"{how} {legal['t']}")

    def lie(m):
        """An answer to a message of the daemon's: mutated, as it should be, or none."""
        kind = m["t"]
        legal = {"record": lambda: [{"t": "ack", "seq": m["r"]["seq"]}, follows(m["r"])],
                 "ask": lambda: [{"t": "answer", "id": m["id"], "data": [BLOCKER] if m["what"] == "blockers" else None}],
                 "set": lambda: [{"t": "done", "id": m["id"], "errno": rng.choice((0, 22, 600, -1, 2 ** 40))}],
                 "check": lambda: [{"t": "answer", "id": m["id"], "data": {"errno": 0, "text": "", "found": SURVEY}}]}.get(kind)
        if legal is None or rng.random() < 0.1:
            return []
        if kind == "record" and m["r"]["change"] and rng.random() < 0.3:
            return [dict(follows(m["r"]), refused={"n": m["r"]["change"]["n"], "errno": rng.choice((1, 600, -1)), "text": "no"})]
        return [mutate.mutated(rng, answer) if rng.random() < 0.4 else answer for answer in legal()]

    def behave(c):
        for message in first:
            raw(c, encoded(message))
        for body in bodies:
            raw(c, body)
        greeted.set()
        for m in messages(c):
            for answer in lie(m):
                raw(c, encoded(answer))
    serving(behave, f"fuzz{seed}.sock")
    return said


def encoded(message):
    """A message's marshal, also where encode() would refuse it."""
    return wire._dumps(message, 2)


NAMES = ["keep", "journal", "lock", "journal.tmp", ".journal", "x.tmp", "x.sock", "y.sock", ".z.sock", "a" * 64, "b" * 64, "\udcff",
         "x" * 250, "litter"]
TARGETS = ["/etc/passwd", "/dev/zero", "/dev/null", ".", "..", "journal", "lock", "keep", "x.sock", "/nowhere", "../bank", "/proc/self/mem"]
stop = []


def litter(seed, *more):
    """Put, move and take away things of all kinds in the folder, at random moments, until `stop`. more: other names.

    An agent comes once: one that says hello and acknowledges again and again is never silent, and may hold up a load as
    any worker may (fuzz_messages has those)."""
    rng, names, agents = random.Random(seed), NAMES + list(more), ["agent"]

    def run():
        while not stop:
            path = f"{FOLDER}/{rng.choice(names)}"
            how = rng.choice(("fifo", "link", "link", "hard link", "folder", "socket", "sparse", "file", "unlink", "unlink", "rename",
                              "chmod", *agents))
            try:
                if how == "sparse":
                    with open(path, "wb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                        file.truncate(rng.choice((10, 10 ** 7, 6 * 10 ** 9)))
                elif how == "file":
                    with open(path, "wb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                        file.write(rng.choice((b"", b"klpfs journal 1\n", b"{}", b"\xff" * 5000)))
                elif how == "unlink":
                    os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
                elif how == "rename":
                    os.rename(path, f"{FOLDER}/{rng.choice(names)}")
                elif how == "chmod":
                    os.chmod(path, rng.choice((0, 0o600, 0o666, 0o4777)))
                elif how == "agent":
                    agents.clear()
                    agent(hello={"keep": rng.random() < 0.5}, then=lambda c: send(c, {"t": "want", "sha256": rng.choice("ab") * 64}))
                else:
                    put(os.path.basename(path), how, rng.choice(TARGETS) if how == "link" else f"{FOLDER}/{rng.choice(names)}")
                    if how == "socket":
                        kept[-1].listen(1) if rng.random() < 0.5 else kept.pop().close()
            except OSError:
                pass
            made.append(path)
            del made[:-300]
            while len(kept) > 60:
                kept.pop(0).close()
            time.sleep(rng.random() * rng.choice((0.001, 0.01)))
        greeted.set()
    threading.Thread(target=run, daemon=True).start()


def number(value):
    """A number's marshal, however large."""
    digits = []
    while value:
        digits.append(value & 0x7fff)
        value >>= 15
    return b"l" + struct.pack("<i", len(digits)) + b"".join(struct.pack("<H", digit) for digit in digits)


def event_of(value):
    """The body of an event whose key x is `value`, which is marshalled already."""
    return b"{u\1\0\0\0tu\5\0\0\0eventu\1\0\0\0x" + value + b"0"


def leave():
    """All sockets of this worker's are gone, as if it had ended."""
    while kept:
        s = kept.pop()
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()
    for name in os.listdir(FOLDER):
        if name.endswith(".sock"):
            os.unlink(f"{FOLDER}/{name}")
    greeted.clear()


def fill(name, size):
    """A file of `size` bytes that has no blocks."""
    with open(f"{FOLDER}/{name}", "wb") as file:
        file.truncate(size)
    made.append(f"{FOLDER}/{name}")


def put(name, how, to=""):
    """Something that is no regular file in the folder: 'fifo', 'link' (to `to`), 'folder', 'socket', 'hard link'."""
    path = f"{FOLDER}/{name}"
    if how == "fifo":
        os.mkfifo(path)
    elif how == "link":
        os.symlink(to, path)
    elif how == "hard link":
        os.link(to, path)
    elif how == "folder":
        os.mkdir(path)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        kept.append(s)
    made.append(path)


def end():
    """Take away what this worker has made."""
    stop.append(True)
    for path in made + [f"{FOLDER}/{name}" for name in NAMES]:
        try:
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        except OSError:
            pass


def main():
    user, group = map(int, sys.argv[2:4])
    os.chdir("/")
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    time.sleep(0)
    print("ready", flush=True)
    serve(sys.stdin, sys.stdout, globals())


if __name__ == "__main__":
    main()
