"""The surroundings in which a release is imported for its proof: no network, files that can be read alone, limits.

A release's code runs when it is imported, as it does when pip installs an sdist; here it may not reach anything. This
keeps mistakes and habits of packages in (sockets, files in the temporary folder, processes that stay), not an attacker
who knows it: root in a namespace can undo what root has set up there.
"""
from __future__ import annotations

import functools
import os
import subprocess

_FLAGS = ("--net", "--mount", "--pid", "--uts", "--fork", "--kill-child")
# $0: the folder that may be written to. What a mount has of these options it must keep: in a namespace of a user's
# nobody may take them away. What does not let itself be remounted (/proc, /sys) stays as it is.
_SCRIPT = r"""
mount --make-rprivate /
echo "$HOSTNAME" 2>/dev/null >/proc/sys/kernel/hostname
mount -t tmpfs klpfs "$0" || exit 125
while read -r what place kind options rest; do
    place=$(printf '%b' "$place")
    kept=ro
    for option in $(IFS=,; echo $options); do
        case $option in nosuid|nodev|noexec|noatime|nodiratime|relatime) kept=$kept,$option ;; esac
    done
    [ "$place" = "$0" ] || mount -o "remount,bind,$kept" "$place" 2>/dev/null
done </proc/self/mounts
mount -t proc proc /proc 2>/dev/null
[ "$HOSTNAME" = host0 ] || for number in 1 2 3 4 5; do (:); done      # another process has another number
cd "$0" && "$@"
"""


@functools.cache
def why_not() -> str:
    """Why nothing can be isolated here; '': it can. Asked once."""
    try:
        done = subprocess.run(wrapped(["true"], os.path.realpath("/tmp")), capture_output=True, timeout=30, check=False,
                              stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.decode(errors="replace").strip().splitlines()[-1] if done.returncode else ""


def wrapped(command: list[str], folder: str) -> list[str]:
    """A command, to be run isolated. folder: the only one that it may write to; empty, and gone with the command."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *root, *_FLAGS, "--", "sh", "-c", _SCRIPT, folder, *command]


def environment(folder: str, another: bool) -> dict[str, str]:
    """The environment of a release that is imported: nothing of the caller's but PATH. another: all is otherwise that a
    release may make its values of; what differs then is of the machine, and is no part of the release."""
    number = int(another)
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "TMPDIR": folder, "PYTHON_JIT": "0",
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": str(number), "LANG": ("C.UTF-8", "C")[number],
            "TZ": ("UTC", "XYZ-5:45")[number], "USER": f"user{number}", "LOGNAME": f"user{number}",
            "HOSTNAME": f"host{number}", "PYTHON_CPU_COUNT": str(3 + number)}
