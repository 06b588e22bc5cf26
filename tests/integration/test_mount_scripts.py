"""mount_scripts: mount -t klpfs and /etc/fstab by the real mount(8), the systemd units, an installed klpfs."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.integration import rooms

pytestmark = pytest.mark.fuse
SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "mount_scripts"
root = pytest.mark.skipif(os.geteuid() != 0, reason="root only")

# in a mount namespace of its own /sbin has the helper, and /etc/fstab is the test's
ROOM = """
set -e
mkdir "$1/sbin" "$1/etc"; cp -P /sbin/. "$1/sbin" -r 2>/dev/null || cp -rP /sbin/* "$1/sbin"
ln -sf "$2" "$1/sbin/mount.klpfs"; printf '%s\\n' "$3" > "$1/fstab"
mount --bind "$1/sbin" "$(readlink -f /sbin)"; [ -e /etc/fstab ] || touch /etc/fstab; mount --bind "$1/fstab" /etc/fstab
shift 3
exec "$@"
"""


@pytest.fixture
def helper(tmp_path):
    """A link to mount.klpfs that has this test's klpfs beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(SCRIPTS / "mount.klpfs", folder)
    (folder / "klpfs").write_text(f"#!/bin/sh\nexec {sys.executable} -m klpfs \"$@\"\n")
    (folder / "klpfs").chmod(0o755)
    return folder / "mount.klpfs"


def shell(runtime, helper, script, fstab="", **more):
    """What a shell says in which mount(8) knows klpfs and fstab's line."""
    folder = runtime / "room"
    folder.mkdir(exist_ok=True)
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}
    return subprocess.run(["unshare", "-m", "sh", "-c", ROOM, "sh", folder, helper, fstab, "sh", "-c", script],
                          env=environ, capture_output=True, text=True, timeout=60, **more)


@root
def test_mount_and_umount_by_the_real_mount(runtime, helper, program, tmp_path):
    program("shop")
    point = tmp_path / "mnt"
    point.mkdir()
    done = shell(
        runtime,
        helper,
        f"mount -t klpfs klpfs {point} && ls {point} && findmnt -n -o FSTYPE {point} && umount {point} && ls {point}",
    )
    assert (done.stdout, done.stderr) == ("shop\nfuse.klpfs\n", "")


@root
def test_fstab(runtime, helper, program, lp, tmp_path):
    """With its own options: the runtime folder, an older kernel's attributes."""
    program("shop")
    point = tmp_path / "mnt"
    point.mkdir()
    line = f"klpfs {point} klpfs defaults,nofail,kernel=6.1,runtime_dir={runtime} 0 0"
    done = shell(runtime, helper,
                 f"unset KLPFS_RUNTIME_DIR; mount {point} && echo {lp('lp1')} > {point}/shop/insmod && "
                                 f"ls {point}/shop/sys/kernel/livepatch/lp1; umount {point}", line)
    assert (done.stdout, done.stderr) == ("enabled\nforce\ntransition\nvmlinux\n", "")


@root
def test_read_only(runtime, helper, program, tmp_path):
    program("shop")
    point = tmp_path / "mnt"
    point.mkdir()
    done = shell(
        runtime,
        helper,
        f"mount -t klpfs -o ro klpfs {point}; cat {point}/shop/proc/sys/kernel/ftrace_enabled; echo x > {point}/shop/insmod; umount {point}",
    )
    assert done.stdout == "1\n" and "Read-only file system" in done.stderr


@root
@pytest.mark.skipif(not shutil.which("fusermount3"), reason="no fusermount3 here")
def test_a_user_s_line_in_fstab(runtime, helper):
    """The option `user`: mount(8) runs the helper as that user, who may unmount it too."""
    runtime.chmod(0o755)
    helper.parent.joinpath("klpfs").chmod(0o755)
    shutil.copytree(helper.parent, runtime / "bin")
    script = f"""
        mkdir "$1/mnt" "$1/run"; chown 65534 "$1/mnt" "$1/run"; chmod 755 "$1"
        mkdir "$1/sbin"; cp -rP /sbin/. "$1/sbin"; ln -sf "$3" "$1/sbin/mount.klpfs"; mount --bind "$1/sbin" "$(readlink -f /sbin)"
        echo "klpfs $1/mnt klpfs noauto,user,runtime_dir=$1/run 0 0" > "$1/fstab"; mount --bind "$1/fstab" /etc/fstab; cd /
        {rooms.NOBODY} mount "$1/mnt" && findmnt -n -o FSTYPE,OPTIONS "$1/mnt"; {rooms.NOBODY} umount "$1/mnt" && findmnt "$1/mnt" || echo gone
    """
    done = rooms.room(runtime / "room", script, runtime / "bin/mount.klpfs")
    assert (
        done.stdout.startswith("fuse.klpfs ") and "user_id=65534" in done.stdout and done.stdout.endswith("gone\n")
    ), done.stderr


@root
def test_what_mount_is_told_wrong(runtime, helper, tmp_path):
    """mount(8)'s exit codes, and its own words after the helper's."""
    point = tmp_path / "mnt"
    point.mkdir()
    done = shell(runtime, helper, f"mount -t klpfs -o nonsense=1 klpfs {point}")
    assert done.returncode == 1 and done.stderr.startswith("mount.klpfs: unknown option nonsense=1\n")
    for arguments, code in (([str(point), "-o", "kernel=x"], 32), ([str(tmp_path / "no")], 32), ([], 1),
                            ([str(point), "-f"], 0), ([str(point), "-s", "-f", "-o", "odd"], 0)):
        done = subprocess.run([helper, "klpfs", *arguments], capture_output=True, text=True)
        assert done.returncode == code and bool(done.stderr) == bool(code), arguments


@root
def test_a_unit_with_a_user_is_in_root_s_tree(runtime, lp, tmp_path):
    """As klpfs-run.conf has it: the runtime folder is root's, 0755; the service's in it is its user's, 0700."""
    runtime.chmod(0o755)
    script = f"""
        klpfs="$3 -m klpfs"; mkdir "$1/run" "$1/run/web" "$1/mnt"; chmod 755 "$1" "$1/run"; chmod 700 "$1/run/web"; chown 65534 "$1/run/web"
        export KLPFS_RUNTIME_DIR=$1/run; cd /
        mkfifo "$1/in"; {rooms.NOBODY} $klpfs run -s web -- "$3" "$4" < "$1/in" > /dev/null & exec 9> "$1/in"
        $klpfs mount "$1/mnt" && for i in $(seq 200); do [ -e "$1/mnt/web" ] && break; sleep .05; done
        echo "$5" > "$1/mnt/web/insmod"; cat "$1/mnt/web/sys/kernel/livepatch/lp1/enabled"; stat -c %u "$1/run/web/journal"
        $klpfs umount "$1/mnt"; exec 9>&-; wait
    """
    done = rooms.room(runtime / "room", script, sys.executable, pathlib.Path(__file__).with_name("program.py"),
                      lp("lp1"))
    assert done.stdout == "1\n65534\n", done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_the_units_are_sound(tmp_path):
    command = tmp_path / "klpfs"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for name in ("klpfs.service", "web.service.d/klpfs.conf"):
        text = (SCRIPTS / ("klpfs.service" if "web" not in name else "klpfs-run.conf")).read_text()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace("/usr/local/bin/klpfs",
                                                  str(command)).replace("COMMAND", "/bin/sleep 1"))
    (tmp_path / "web.service").write_text("[Service]\nType=notify\nUser=daemon\nExecStart=/bin/sleep 1\n")
    for unit in ("klpfs.service", "web.service"):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / unit], capture_output=True,
                              text=True)
        ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
        assert done.returncode == 0 and not ours, done.stderr
