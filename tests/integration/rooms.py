"""A mount namespace in which a plain user can reach this Python and /dev/fuse, for the tests that need one.

As root only.
"""
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all"

# $1: a folder of the test's own; $2: where Python is, in root's home perhaps
REACHABLE = """
set -e
mkdir -p "$1/python"
mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse
if ! setpriv --reuid=65534 --clear-groups test -x "$2/bin"; then
    mount --bind "$2" "$1/python"; mount -t tmpfs -o mode=755 x "/$(echo "$2" | cut -d/ -f2)"
    mkdir -p "$2"; mount --bind "$1/python" "$2"
fi
set +e
"""


def room(folder, script, *arguments, **environ):
    """What the shell script says there; its $1 is `folder`, $3 and so on the arguments."""
    return subprocess.run(["unshare", "-m", "sh", "-c", REACHABLE + script, "sh", folder, sys.base_prefix, *arguments],
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(TOP), **environ})
