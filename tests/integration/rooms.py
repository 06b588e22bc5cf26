"""A mount namespace in which a plain user can reach this Python and /dev/fuse, for the tests that need one.

As root only.
"""
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all"

# $1: a folder of the test's own; $2: where Python is. That, the environment and the project may lie in root's home: what hides them is
# covered, and they are mounted again in the cover.
REACHABLE = """
set -e
mkdir -p "$1/kept"
mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse
for folder in "$2" "$ROOM_ENVIRONMENT" "$ROOM_PROJECT"; do
    hides= path=$folder
    while [ "$path" != / ]; do
        setpriv --reuid=65534 --clear-groups test -x "$path" || hides=$path
        path=$(dirname "$path")
    done
    [ "$hides" ] || continue
    for each in "$2" "$ROOM_ENVIRONMENT" "$ROOM_PROJECT"; do
        case "$each/" in "$hides"/*) mkdir -p "$1/kept$each"; mount --bind "$each" "$1/kept$each" ;; esac
    done
    mount -t tmpfs -o mode=755 x "$hides"
    for each in "$2" "$ROOM_ENVIRONMENT" "$ROOM_PROJECT"; do
        case "$each/" in "$hides"/*) mkdir -p "$each"; mount --bind "$1/kept$each" "$each" ;; esac
    done
done
set +e
"""


def room(folder, script, *arguments, **environ):
    """What the shell script says there; its $1 is `folder`, $3 and so on the arguments."""
    return subprocess.run(["unshare", "-m", "sh", "-c", REACHABLE + script, "sh", folder, sys.base_prefix, *arguments], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "PYTHONPATH": str(TOP), "ROOM_PROJECT": str(TOP), "ROOM_ENVIRONMENT": sys.prefix, **environ})
