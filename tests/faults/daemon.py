"""`klpfs mount` whose coordinator can be held at each step of an operation: daemon.py GATES SILENT [mount's arguments].

Held means: a file `GATES/daemon STEP` is there when it comes to STEP; it makes `daemon STEP.at` of its process id (the
first daemon that comes there does) and goes on once the file is gone. A STEP is 'before X', 'written X' (nobody has
been told) or 'told one X' (one agent of several has), X being what is written to the journal: change, start, finish,
idle.
"""
import os
import sys
import time

from klpfs.cli.main import main
from klpfs.service import journal, peers
from klpfs.service.limits import LIMITS

GATES = sys.argv[1]


def gate(step):
    path = f"{GATES}/daemon {step}"
    try:
        if not os.path.exists(path):
            return
        os.symlink(str(os.getpid()), path + ".at")       # needs no descriptor and no space, and only one can
    except FileExistsError:
        return
    while os.path.exists(path):
        time.sleep(0.001)


def what(record):
    """What a record of the journal says."""
    return "change" if record["change"] else record["transition"]["step"] if record["transition"] else "idle"


def write(self, record, real=journal.Journal.write):
    gate(f"before {what(record)}")
    real(self, record)
    gate(f"written {what(record)}")


def tell(self, record, real=peers.Peer.tell, told={}):
    if told.get("seq") == record["seq"]:
        gate(f"told one {what(record)}")
    told["seq"] = record["seq"]
    real(self, record)


journal.Journal.write, peers.Peer.tell = write, tell
LIMITS.silent = float(sys.argv[2])
LIMITS.ask_after = LIMITS.silent / 2
sys.exit(main(sys.argv[3:]))
