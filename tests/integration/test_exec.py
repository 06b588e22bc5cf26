"""klpfs exec: an unmodified command sees the service where a kernel is; nothing else of its world is different.

Each way in has its test: as root, as root without CAP_SYS_ADMIN, as a plain user with fusermount3, and where none is
left.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from tests.harness import until
from tests.integration.rooms import NOBODY, TOP, room

pytestmark = pytest.mark.fuse
root = pytest.mark.skipif(os.geteuid() != 0, reason="root only")
KLPFS = (sys.executable, "-m", "klpfs")


def inside(live, *command, before=(), options=(), **more):
    """What a command does in the service; `before`: a command that runs klpfs."""
    argv = [*before, *KLPFS, "exec", "-m", live.mount.root, *options, live.program.name, "--", *command]
    return subprocess.run([str(each) for each in argv],
                          **{"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60, **more})


def sh(live, script, **more):
    done = inside(live, "bash", "-c", script, **more)
    assert done.stderr == "", done.stderr
    return done.stdout


def outside():
    return {path: os.path.exists(path) and sorted(os.listdir(path)) for path in ("/sys/kernel", "/sys/module")}


# -- the command

def test_the_command_is_the_caller_s_in_all_but_what_it_sees(live, tmp_path):
    done = inside(live, "sh", "-c", "cat; pwd; echo $FLAVOUR; echo error >&2; exit 7", stdin=None, input="in\n",
                  cwd=tmp_path, env={**os.environ, "FLAVOUR": "plum", "PYTHONPATH": str(TOP)})
    assert (done.returncode, done.stdout, done.stderr) == (7, f"in\n{tmp_path}\nplum\n", "error\n")


def test_a_signal_ends_it_as_it_would_alone(live):
    assert inside(live, "sh", "-c", "kill -TERM $$").returncode == -15
    # SIGPIPE is not ignored
    assert inside(live, "bash", "-c", "yes | head -n 1; echo ${PIPESTATUS[0]}").stdout == "y\n141\n"


def test_what_can_t_be_run_says_so_as_a_shell_does(live, tmp_path):
    done = inside(live, "no-such-command")
    assert (done.returncode, done.stderr) == (127, "klpfs exec: no-such-command: No such file or directory\n")
    (tmp_path / "plain").write_text("x")
    assert inside(live, tmp_path / "plain").returncode == 126
    done = inside(live)
    assert done.returncode == 2 and "no command" in done.stderr
    assert "no service nope" in subprocess.run([*KLPFS, "exec", "-m", live.mount.root, "nope", "--", "true"],
                                               capture_output=True, text=True).stderr


def test_a_script_without_a_first_line_is_a_shell_s(live, tmp_path):
    path = tmp_path / "script"
    path.write_text("echo run by $0 with $1\n")
    path.chmod(0o755)
    assert inside(live, path, "x").stdout == f"run by {path} with x\n"


# -- what it sees

def test_nothing_outside_is_different(live, lp):
    before = outside()
    assert sh(live, f"insmod {lp('lp1')}; ls /sys/kernel/livepatch") == "lp1\n" and live.tree.patches() == ["lp1"]
    assert outside() == before and "/proc/.klpfs" not in pathlib.Path("/proc/self/mounts").read_text()


@root
def test_the_machine_s_own_debugfs_and_tracefs_are_out_of_reach(live, tmp_path):
    """Scripts for livepatches switch the dynamic debug and the tracers of what they take for the kernel's."""
    elsewhere = tmp_path / "trace"
    elsewhere.mkdir()
    script = """
        mount -t debugfs none /sys/kernel/debug || exit 77
        mount -t tracefs none /sys/kernel/tracing; mount -t tracefs none "$1"; mkdir -p /sys/kernel/debug/tracing
        was=$(cat /sys/kernel/tracing/tracing_on "$1/current_tracer")
        shift
        "$@" -- bash -c '
            for file in /sys/kernel/tracing/tracing_on /sys/kernel/debug/tracing/tracing_on '"$0"'/current_tracer; do
                (echo 0 > $file) 2>/dev/null && echo "written: $file"
            done
            ls /sys/kernel/tracing '"$0"'; ls /sys/kernel/debug
            echo "file kernel/livepatch/* +p" > /sys/kernel/debug/dynamic_debug/control && echo accepted
            cat /sys/kernel/debug/dynamic_debug/control'
        [ "$was" = "$(cat /sys/kernel/tracing/tracing_on "$0/current_tracer")" ] && echo as it was"""
    done = subprocess.run(["unshare", "-m", "bash", "-c", script, elsewhere, elsewhere, *KLPFS, "exec", "-m",
                           str(live.mount.root), live.program.name], capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip(f"no debugfs: {done.stderr}")
    assert done.stdout == f"/sys/kernel/tracing:\n\n{elsewhere}:\ndynamic_debug\naccepted\nas it was\n", done.stderr


def test_debug_lines_can_be_asked_for_without_a_debugfs(live):
    """As the kernel's own tests do; klpfs logs them always."""
    assert sh(live, "echo 'file kernel/livepatch/* +p' > /sys/kernel/debug/dynamic_debug/control; "
                    "grep -c . /sys/kernel/debug/dynamic_debug/control; true") == "0\n"


def test_each_service_is_a_machine_of_its_own(live, program, lp):
    other = program("other")
    live.mount.service("other")
    live.tree.insmod(lp("lp1"))
    names = (
        "ls /sys/kernel/livepatch /sys/module; cat /proc/modules; for f in /proc/[0-9]*/patch_state; do echo $f; done"
    )
    mine = sh(live, names)
    theirs = subprocess.run([*KLPFS, "exec", "-m", live.mount.root, "other", "--", "bash", "-c", names],
                            capture_output=True, text=True).stdout
    assert "lp1" in mine and f"/proc/{live.program.pid}/patch_state" in mine and str(other.pid) not in mine
    assert "lp1" not in theirs and f"/proc/{other.pid}/patch_state" in theirs and str(live.program.pid) not in theirs


def test_the_rest_of_proc_is_the_machine_s(live):
    """Links of /proc that are more than text work too: /proc/self, descriptors, namespaces; ps and sysctl find their
    way."""
    told = sh(
        live,
        "cat /proc/self/comm; readlink /proc/self/ns/pid; diff <(echo a) <(echo a) && echo same; cat /proc/$$/comm; "
        "sysctl -n kernel.ostype; test -e /proc/1/status && echo one; cat < /dev/stdin; ls /proc/999999999 2>/dev/null || echo none; "
        f"tr '\\0' ' ' < /proc/{live.program.pid}/cmdline",
    )
    lines = told.splitlines()
    assert lines[:8] == ["cat", os.readlink("/proc/self/ns/pid"), "same", "bash", "Linux", "one", "none", lines[7]]
    assert "program.py" in lines[7]


def test_a_session_outlives_its_service(live):
    shell = subprocess.Popen([*KLPFS, "exec", "-m", str(live.mount.root), live.program.name, "--", "bash", "-i"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             bufsize=1)

    def ask(command):
        shell.stdin.write(f"{command}; echo .\n")
        return "".join(iter(shell.stdout.readline, ".\n"))
    states = "ls -d /proc/[0-9]*/patch_state 2>/dev/null"
    assert ask(states) == f"/proc/{live.program.pid}/patch_state\n"
    live.program.kill()
    live.program.process.wait()
    until(lambda: not (live.mount.root / live.program.name).exists(), "the service's end")
    assert ask(states) == "" and ask("cat /proc/self/comm") == "cat\n"  # the session goes on, without the service
    assert ask("ls /sys/kernel/livepatch") == ""
    shell.stdin.close()
    shell.stdout.close()
    shell.wait(30)


COMMANDS = ("insmod /etc/hostname", "rmmod x", "modprobe x", "modprobe -r x", "lsmod", "modinfo x", "dmesg", "dmesg -C", "kmod list", "sysctl kernel.ftrace_enabled")


@pytest.mark.parametrize("machine", [(), ("insmod", "rmmod", "modprobe", "lsmod", "modinfo", "dmesg", "kmod")], ids=["has_none_of_them", "has_kmod"])
def test_when_the_daemon_dies_the_commands_say_so_and_don_t_turn_to_the_machine(live, tmp_path, machine):
    """Killed and started again, it serves a new mount; a session has the old one. A machine without kmod has nothing to cover."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("sh", "bash", "env"):
        (path / name).symlink_to(shutil.which(name))
    for name in machine:
        (path / name).write_text("#!/bin/sh\necho the machine\n")
        (path / name).chmod(0o755)
    shell = subprocess.Popen([*KLPFS, "exec", "-m", str(live.mount.root), live.program.name, "--", "bash", "-c",
                              "echo ready; read go; exec 2>&1; for c in " + " ".join(f"'{c}'" for c in COMMANDS) + "; do echo \"# $c\"; $c; echo = $?; done"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": str(path), "PYTHONPATH": str(TOP)})
    assert shell.stdout.readline() == "ready\n"
    live.mount.kill()
    answers = shell.communicate("go\n", timeout=60)[0].split("# ")[1:]
    live.mount.start()
    assert [answer.partition("\n")[0] for answer in answers] == [*COMMANDS]
    for answer in answers:
        assert "Transport endpoint is not connected" in answer and answer.endswith("\n= 1\n") and "Traceback" not in answer, answer
        assert "the machine" not in answer, answer


def test_one_in_the_other(live, lp):
    live.tree.insmod(lp("lp1"))
    here = " ".join(map(str, [*KLPFS, "exec", "-m", live.mount.root, live.program.name, "--"]))
    assert sh(live, f"{here} sh -c 'cat /proc/self/comm; ls /sys/kernel/livepatch; lsmod'").split()[:2] == [
        "cat",
        "lp1",
    ]


def test_one_in_the_other_has_every_command(live, tmp_path):
    """A machine without sysctl: the inner session must not take the outer one's for the machine's."""
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    argv = [*KLPFS, "exec", "-m", live.mount.root, live.program.name, "--"]
    done = inside(live, *argv, "sysctl", "-n", "kernel.ftrace_enabled", env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(TOP)})
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_klpfs_s_own_commands_work_inside(live, lp):
    live.tree.insmod(lp("lp1"))
    told = sh(live, f"{' '.join(KLPFS)} lsmod -m {live.mount.root} -s {live.program.name}")
    assert "lp1" in told


# -- the stand-ins, beside the real ones

def test_modules_are_found_by_name(live, lp, tmp_path):
    lp("lp1"), lp("lp2", "two")
    assert sh(live, "modprobe lp1; ls /sys/kernel/livepatch", cwd=tmp_path) == "lp1\n"  # where it was started
    assert sh(live, "cd /; modprobe lp2; ls /sys/kernel/livepatch | sort", options=("-M", tmp_path)) == "lp1\nlp2\n"
    done = inside(live, "bash", "-c", "modprobe lp3", cwd="/", env={**os.environ, "KLPFS_MODULE_PATH": str(tmp_path)})
    assert (
        done.stderr.startswith("modprobe: FATAL: Module lp3 not found in directory ")
        and str(tmp_path) in done.stderr
        and done.returncode == 1
    )


def test_a_script_s_modules_lie_beside_it(live, lp, tmp_path):
    lp("lp1")
    script = tmp_path / "test.sh"
    script.write_text("#!/bin/sh\nmodprobe lp1 && cat /sys/kernel/livepatch/lp1/enabled\n")
    script.chmod(0o755)
    assert inside(live, script, cwd="/").stdout == "1\n"
    assert inside(live, "sh", script, cwd="/").stdout == "1\n"


def test_they_stand_in_by_path_as_well(live):
    for name in ("insmod", "modprobe", "dmesg"):
        path = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
        if path:
            assert sh(live, f"env -i PATH=/usr/bin:/bin {path} --help").startswith(("Usage:", "\nUsage:"))


@pytest.mark.skipif(not os.path.exists("/usr/bin/kmod") and not os.path.exists("/bin/kmod"),
                    reason="kmod is not installed")
def test_kmod_s_own_lsmod_says_the_same(live, lp, tmp_path):
    """It reads /proc/modules and /sys/module, as the tree shows them."""
    live.tree.insmod(lp("lp1"))
    (tmp_path / "base.py").write_text("x = 1\n")
    (tmp_path / "user.py").write_text("import base\n")
    told = sh(live, "modprobe user; lsmod; exec -a lsmod /proc/.klpfs/real/kmod", cwd=tmp_path)
    half = len(told) // 2
    assert told[:half] == told[half:] and "base" in told
    commands = ("rmmod lp1", "rmmod base", "rmmod nope", "rmmod no-pe", "rmmod", "rmmod -x", "insmod", "insmod /no.ko",
                "insmod --bogus", "modprobe", "modprobe -x", "modprobe -r nope", "modprobe -q nope", "modinfo",
                "modinfo nope", "modinfo -F", "modinfo -x", "lsmod x")
    both = (
        'exec 2>&1; both() { "$@"; echo $?; echo ---; (name=$1; shift; exec -a $name /proc/.klpfs/real/kmod "$@"); echo $?; echo ---; }\n'
        + "".join(f"both {command}\n" for command in commands)
    )
    said = sh(live, both).split("---\n")[:-1]
    assert len(said) == 2 * len(commands)
    for command, ours, real in zip(commands, said[::2], said[1::2]):
        assert ours == real, command


def test_dmesg_prints_as_util_linux_and_clears_the_service_s_log_only(live):
    live.expect("before", "after")
    live.tree.path.joinpath("dev/kmsg").write_text("<3>before")
    assert sh(live, "dmesg -t | tail -n 1; dmesg -C; dmesg; echo after > /dev/kmsg; dmesg -t") == "before\nafter\n"
    assert sh(live, "dmesg -t; dmesg -x | cut -d[ -f1") == "after\nuser  :warn  : \n"  # in another namespace as well
    assert "before" in read_all(live)


def test_dmesg_without_util_linux(live):
    """The same lines, by the stand-in alone."""
    live.expect("one", "two")
    live.tree.path.joinpath("dev/kmsg").write_text("<3>one")
    live.tree.path.joinpath("dev/kmsg").write_text("two")
    code = "import sys; from klpfs.cli.standin import dmesg; dmesg.REAL = '/nonexistent'; sys.exit(dmesg.run(sys.argv[1:], []))"
    chosen = ("", "-t", "-x", "-l err", "-u -t", "-k", "-T", "-l bogus")
    script = (
        f'exec 2>&1; both() {{ {sys.executable} -c "$CODE" $1; echo $?; echo ---; dmesg $1; echo $?; echo ---; }}; '
        + "".join(f"both '{o}'; " for o in chosen)
    )
    said = sh(live, script, env={**os.environ, "CODE": code, "PYTHONPATH": str(TOP)}).split("---\n")[:-1]
    assert len(said) == 2 * len(chosen)
    for options, ours, real in zip(chosen, said[::2], said[1::2]):
        # some versions of util-linux add up whole seconds only, so that a record is a second earlier at times
        if options == "-T":
            ours, real = split_dates(ours), split_dates(real)
            assert all(a - b in (0, 1) for a, b in zip(ours.pop(), real.pop()))
        assert ours == real, options


def split_dates(text):
    """The lines without their dates; last, a list of the dates in seconds."""
    parts = [line.rpartition("] ") for line in text.splitlines()]
    return [*(line for _, _, line in parts),
            [time.mktime(time.strptime(date, "[%a %b %d %H:%M:%S %Y")) for date, _, _ in parts if date]]


def read_all(live):
    return "\n".join(record[3] for record in live.tree.records())


# -- ways in

@root
def test_root_without_the_right_to_mount_takes_a_user_namespace(live):
    done = inside(live, "sh", "-c", "id -u; ls -d /sys/kernel/livepatch",
                  before=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"))
    if "No space" in done.stderr or "not permitted" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    assert done.stdout == "0\n/sys/kernel/livepatch\n"


@root
def test_where_no_namespace_can_be_had_it_says_what_to_do(live):
    """A container without CAP_SYS_ADMIN and without user namespaces."""
    script = (
        'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin --inh-caps=-all "$@"'
    )
    done = inside(live, "true", before=("unshare", "-U", "--map-root-user", "sh", "-c", script, "sh"))
    assert done.returncode == 1 and done.stderr.startswith(
        "klpfs exec: no mount namespace of one's own can be had here: "
    )
    assert "CAP_SYS_ADMIN" in done.stderr and f"klpfs insmod -s {live.program.name}" in done.stderr


@root
@pytest.mark.parametrize("lacks", ["mount -t tmpfs x /sys",
                                   "mount -o remount,ro,bind /sys || mount --bind -o ro /sys /sys",
                                   "mount -t tmpfs x /proc/sys/kernel", "mount --bind /dev/null /dev/kmsg"])
def test_a_machine_that_lacks_what_a_kernel_has(live, lacks):
    """No /sys, a read-only one, no ftrace, no log: it is there all the same."""
    live.expect("x")
    done = inside(
        live,
        "sh",
        "-c",
        "ls -d /sys/kernel/livepatch /sys/module; cat /proc/sys/kernel/ftrace_enabled; echo x > /dev/kmsg; dmesg -t",
        before=("unshare", "-m", "sh", "-c", f'{lacks}; exec "$@"', "sh"),
    )
    assert done.stdout.startswith("/sys/kernel/livepatch\n/sys/module\n1\n") and done.stdout.endswith("x\n"), (
        done.stderr
    )


@root
def test_without_any_right_and_without_fusermount3_in_a_user_namespace(runtime, lp):
    """As the message of a mount that can't be says: unshare -Urm, and mount in there. The program is outside."""
    runtime.chmod(0o755)
    shutil.copy(lp("lp1"), runtime)
    script = f"""
        mkdir "$1/mnt" "$1/run"; chown 65534 "$1/mnt" "$1/run" "$5"; chmod 755 "$1"; mkfifo "$1/in"; cd /
        export KLPFS_RUNTIME_DIR=$1/run; klpfs="$3 -m klpfs"
        for each in fusermount3 fusermount; do path=$(command -v $each) && mount --bind /bin/false "$path"; done
        {NOBODY} $klpfs run -s web -- "$3" "$4" < "$1/in" > /dev/null & exec 9> "$1/in"
        for i in $(seq 200); do ls "$1"/run/web/*.sock 2>/dev/null && break; sleep .05; done > /dev/null
        {NOBODY} $klpfs mount "$1/mnt" 2>&1 | grep -o 'unshare -Urm'
        {NOBODY} unshare -Urm sh -c "$klpfs mount $1/mnt && $klpfs exec web -- sh -c 'insmod $5 && cat /sys/kernel/livepatch/lp1/enabled'; $klpfs umount $1/mnt"
        exec 9>&-; wait
    """
    done = room(runtime / "room", script, sys.executable, pathlib.Path(__file__).with_name("program.py"),
                runtime / "lp1.py")
    assert done.stdout == "unshare -Urm\n1\n", done.stderr


AS_USER = """
cd "$1"; mkdir run mnt; export KLPFS_RUNTIME_DIR=$1/run; klpfs="$2 -m klpfs"
mkfifo in; $klpfs run -s mine -- "$2" "$3" < in > out & exec 9> in
$klpfs mount mnt || exit 1
for i in $(seq 200); do [ -e mnt/mine ] && break; sleep .05; done
$klpfs exec -m mnt mine -- bash -c '
    id -u; insmod ./lp1.py; cat /sys/kernel/livepatch/lp1/enabled; lsmod | tail -n 1 | cut -d" " -f1; dmesg -t | tail -n 1
    for f in /proc/*/task/*/patch_state; do cat $f; done; dmesg -C; dmesg; echo 0 > /sys/kernel/livepatch/lp1/enabled
    while [ -e /sys/kernel/livepatch/lp1 ]; do sleep .1; done; rmmod lp1; sysctl -n kernel.ftrace_enabled; cat /proc/self/comm'
$klpfs umount mnt
exec 9>&-; wait
"""


@root
@pytest.mark.skipif(not shutil.which("fusermount3"), reason="no fusermount3 here")
def test_a_plain_user_with_fusermount3(runtime, lp, tmp_path):
    """All of it without any right: run, mount, exec. Inside, the user is root, as the tools expect it."""
    folder = runtime / "user"
    folder.mkdir()
    runtime.chmod(0o755)
    shutil.copy(lp("lp1"), folder)
    done = room(folder, f'chmod 1777 "$1"; exec {NOBODY} sh -c "$3" sh "$1" "$4" "$5"', AS_USER, sys.executable,
                pathlib.Path(__file__).with_name("program.py"))
    assert done.stdout.splitlines() == ["0", "1", "lp1", "livepatch: 'lp1': patching complete", "-1", "1", "cat"], (
        done.stderr
    )
