"""What the tests of the whole use: programs started by `klpfs run`, a mounted tree, waits by condition.

Nothing here imports klpfs: services are started by the command and met through files, as a user does it.
"""
import ast
import contextlib
import errno
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE / "integration" / "program.py"
SECONDS = 30  # how long a condition may take before it counts as never; a loaded machine must not fail a test


def why_no_fuse():
    """Why there can be no FUSE mount here (str), or None."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        return f"/dev/fuse: {e.strerror}"
    if os.geteuid() == 0:
        effective = re.search(r"^CapEff:\s*(\w+)", pathlib.Path("/proc/self/status").read_text(), re.M)
        if not int(effective[1], 16) >> 21 & 1:
            return "no right to mount here (CAP_SYS_ADMIN)"
    elif not shutil.which("fusermount3") and not shutil.which("fusermount"):
        return "no fusermount3 here, and not root"
    return None


def until(condition, what, seconds=SECONDS):
    """What `condition()` returns, as soon as it is true.

    An OSError in it counts as not yet; AssertionError after `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except OSError as e:
            found, seen = None, e
        else:
            seen = found
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what} (last seen: {seen!r})")
        time.sleep(0.005)


def read(path):
    """The text of a tree's file, in one read."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 20).decode()
    finally:
        os.close(fd)


def write(path, text):
    """One write(2) of `text`, as echo does it; OSError as it comes."""
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, text.encode())
    finally:
        os.close(fd)


class Process:
    """A process that runs each line it is sent in its main thread and says the value (integration/program.py).

    asks, says: descriptors of ours to send lines to and to read answers from.
    """

    def __init__(self, name, asks, says):
        self.name, self.asks, self.says, self.pending, self.pid = name, asks, says, b"", 0

    def line(self, seconds=SECONDS):
        """The next line that it said; AssertionError when none comes in time."""
        while b"\n" not in self.pending:
            if not select.select([self.says], [], [], seconds)[0]:
                raise AssertionError(f"{self.name} did not answer within {seconds} s")
            data = os.read(self.says, 65536)
            if not data:
                raise AssertionError(f"{self.name} ended: {self.ended()}")
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def send(self, code):
        """Give it a line of Python to run in its main thread, and don't wait."""
        os.write(self.asks, code.replace("\n", "\x01").encode() + b"\n")

    def answer(self, seconds=SECONDS):
        """What the earliest code sent and not answered gave: a plain value; AssertionError with the program's own
        error."""
        kind, _, rest = self.line(seconds).partition(" ")
        rest = rest.replace("\x01", "\n")
        if kind != "=":
            raise AssertionError(f"in {self.name}: {rest}")
        return ast.literal_eval(rest)

    def do(self, code, seconds=SECONDS):
        """Run `code` in its main thread, on a stack with nothing of its functions; an expression's value."""
        self.send(code)
        return self.answer(seconds)

    def ended(self):
        """What is known about why it has ended."""
        return ""

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def stop(self):
        """SIGSTOP, and wait until it has stopped; kill(signal.SIGCONT) lets it go on."""
        self.kill(signal.SIGSTOP)
        until(lambda: pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T",
              "the program to stop")


class Program(Process):
    """A Python program under `klpfs run`, which does what lines on its standard input tell it (integration/program.py).

    `processes`: how many of it there are: `each` has them all, the first is itself, the others are its children, each
    met over a socket of its own. `wrap`: a command to start it with (prlimit ...). `options`: of `klpfs run`. `flags`:
    of Python, for `klpfs run` and for the program. stderr goes to a file; what is in it at the end fails the test
    unless expected.
    """

    def __init__(self, runtime, name="prog", program=PROGRAM, arguments=(), python=sys.executable, wrap=(),
                 environ=None, keep=False, processes=1, options=(), flags=()):
        self.stderr = tempfile.TemporaryFile("w+")
        self.expected = []  # patterns of lines that may be on stderr
        ends = [socket.socketpair() for _ in range(processes - 1)]
        theirs = [end.fileno() for _, end in ends]
        command = [*wrap, sys.executable, *flags, "-m", "klpfs", "run", "-s", name, *(["--keep"] if keep else []),
                   *options, "--", python, *flags, str(program), *arguments, *map(str, theirs)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
                                        pass_fds=theirs, env={**os.environ, "KLPFS_RUNTIME_DIR": str(runtime),
                                                              **(environ or {})}, bufsize=0, cwd=HERE.parent)
        super().__init__(name, self.process.stdin.fileno(), self.process.stdout.fileno())
        self.pid = self.process.pid  # klpfs run becomes the command
        if self.line() != "ready":
            raise AssertionError(f"program did not start: {self.errors()}")
        self.sockets, self.each = [own for own, _ in ends], [self]
        for number, (own, its) in enumerate(ends, 1):
            its.close()
            worker = Process(f"worker {number} of {name}", own.fileno(), own.fileno())
            worker.pid = int(worker.line().partition(" ")[2])
            self.each.append(worker)

    def ended(self):
        return f"({self.process.wait()}): {self.errors()}"

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def close(self):
        """End the program; what it wrote to stderr and nobody expected is an AssertionError."""
        with contextlib.suppress(OSError):
            for worker in self.each[1:]:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill(signal.SIGCONT)
            self.process.send_signal(signal.SIGCONT)
            self.process.stdin.close()
        for own in self.sockets:
            own.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        for worker in self.each[1:]:
            with contextlib.suppress(ProcessLookupError):
                gone(worker.pid)
        left = [line for line in self.errors().splitlines() if not any(re.search(p, line) for p in self.expected)]
        self.stderr.close()
        assert not left, f"{self.name} wrote to stderr: {left}"


def gone(pid, seconds=10):
    """Wait until a process that is not our child has ended; kill it when it does not by itself.

    ProcessLookupError: it has.
    """
    fd = os.pidfd_open(pid)
    try:
        if not select.select([fd], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(fd)


class Mount:
    """`klpfs mount` in the foreground, on a folder of its own. `root`: the mount point; wrap: a command that runs it;
    command: what stands for klpfs, as python's arguments."""

    def __init__(self, runtime, root, wrap=(), options=(), command=("-m", "klpfs")):
        self.runtime, self.root, self.wrap, self.options, self.command = (
            runtime,
            pathlib.Path(root),
            wrap,
            options,
            command,
        )
        self.expected = []
        self.root.mkdir(exist_ok=True)
        self.start()

    def start(self):
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*self.wrap, sys.executable, *self.command, "mount", "-f", *self.options,
                                         str(self.root)], stdin=subprocess.DEVNULL,
                                        stdout=self.stderr, stderr=self.stderr,
                                        cwd=HERE.parent, env={**os.environ, "KLPFS_RUNTIME_DIR": str(self.runtime)})
        until(self.serves, f"mount of {self.root}")

    def serves(self):
        assert self.process.poll() is None, f"klpfs mount ended: {self.process.returncode} {self.errors()}"
        return os.path.ismount(self.root) and os.listdir(self.root) is not None

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def kill(self):
        """kill -9 of the daemon."""
        self.process.kill()
        self.process.wait()

    def service(self, name):
        """The root of a service's tree, once it is there."""
        path = self.root / name
        until(lambda: (path / "proc" / "modules").exists(), f"service {name} in {self.root}")
        return Tree(path)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("klpfs mount did not end on SIGTERM")
        finally:
            subprocess.run(["umount", "-l", str(self.root)], stderr=subprocess.DEVNULL)
        left = [line for line in self.errors().splitlines() if not any(re.search(p, line) for p in self.expected)]
        self.stderr.close()
        assert not left, f"klpfs mount wrote: {left}"


class Tree:
    """One service's tree, by plain file I/O. Paths of patches are relative to sys/kernel/livepatch."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.livepatch = self.path / "sys/kernel/livepatch"
        self.seen = 0  # log records that lines() gave already

    def insmod(self, path, parameters=""):
        write(self.path / "insmod", f"{path} {parameters}".strip())

    def rmmod(self, name):
        write(self.path / "rmmod", name)

    def patches(self):
        return sorted(os.listdir(self.livepatch))

    def get(self, path):
        """An attribute's value, without its newline."""
        return read(self.livepatch / path).rstrip("\n")

    def set(self, path, text):
        write(self.livepatch / path, text)

    def settled(self):
        """True when no transition is pending."""
        for patch in self.patches():
            with contextlib.suppress(FileNotFoundError):
                if (self.get(f"{patch}/transition")) == "1":
                    return False
        return True

    def settle(self):
        until(self.settled, "all transitions complete")

    def modules(self):
        return sorted(line.split()[0] for line in read(self.path / "proc/modules").splitlines())

    def records(self):
        """All records of the log now: (priority, sequence, microseconds, text)."""
        fd, found = os.open(self.path / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK), []
        try:
            while True:
                try:
                    record = os.read(fd, 8192).decode()
                except BlockingIOError:
                    return found
                except BrokenPipeError:  # fell behind: the next read goes on with the oldest that is left
                    continue
                head, _, text = record.partition(";")
                priority, sequence, when = head.split(",")[:3]
                found.append((int(priority) & 7, int(sequence), int(when), text.partition("\n")[0]))
        finally:
            os.close(fd)

    def lines(self):
        """The log's lines since the last call."""
        new = [record for record in self.records() if record[1] >= self.seen]
        if new:
            self.seen = new[-1][1] + 1
        return [record[3] for record in new]


def livepatch(name, *functions, module=None, replace=False, extra="", callbacks=""):
    """A livepatch's text. Each function of `functions` answers '<function> by <name>'; default: one() of the main
    program.

    `extra`: lines before the patch; `callbacks`: the arguments of a Callbacks.
    """
    functions = functions or ("one",)
    takes = {"hold": "held"}  # the originals' parameters
    bodies = "".join(f"def {each}({takes.get(each, '')}):\n    return '{each} by {name}'\n\n" for each in functions)
    funcs = ", ".join(f"Func({each!r}, {each})" for each in functions)
    with_callbacks = f", callbacks=Callbacks({callbacks})" if callbacks else ""
    return (f"from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info\n{extra}\n\n{bodies}"
            f"patch = Patch(objects=[Object({module!r}, funcs=[{funcs}]{with_callbacks})], replace={replace})\n")


def fails(number, do, *arguments):
    """True when do(*arguments) fails with this errno; AssertionError when it fails with another, or not at all."""
    try:
        do(*arguments)
    except OSError as e:
        assert e.errno == number, f"{errno.errorcode.get(e.errno)} instead of {errno.errorcode[number]}"
        return True
    raise AssertionError(f"no error instead of {errno.errorcode[number]}")


def in_background(do, *arguments):
    """A writer in a process of its own, that a signal can reach: (pid, wait for its errno)."""
    pid = os.fork()
    if not pid:
        code = 0
        os.closerange(3, 65536)  # the programs' standard input must end when the test closes it
        try:
            signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(OSError(errno.EINTR, "signal")))
            do(*arguments)
        except OSError as e:
            code = e.errno
        except BaseException:
            code = 255
        os._exit(code)
    return pid, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def long_waits(folder):
    """What a watchdog has written to a folder (klpfs/protocol/long_waits.py): (lines of what waited, all stacks)."""
    stacks = [f"== {path.name}\n{path.read_text()}" for path in sorted(folder.iterdir()) if path.stat().st_size]
    lines = [line for text in stacks for line in text.splitlines()
             if line.startswith("klpfs waits: ") or re.match(r"Timeout \(\d:\d\d", line)]
    return lines, stacks


class Watchdog:
    """The watchdog's folder of a world, whose processes live longer than a test."""

    def __init__(self, folder):
        self.folder, self.seen, self.environ = folder / "waits", [], os.environ.get("KLPFS_WATCHDOG")
        self.folder.mkdir()
        self.folder.chmod(0o1777)
        self.watch()

    def watch(self):
        """What is started from now on takes part. Counterpart: end."""
        os.environ["KLPFS_WATCHDOG"] = str(self.folder)

    def end(self):
        if os.environ.get("KLPFS_WATCHDOG") == str(self.folder):
            os.environ.pop("KLPFS_WATCHDOG")
            if self.environ is not None:
                os.environ["KLPFS_WATCHDOG"] = self.environ

    def check(self, *expected):
        """AssertionError, with all stacks: something of klpfs's has waited since the last look; expected: patterns of
        lines that may be."""
        lines, stacks = long_waits(self.folder)
        new, self.seen = [line for line in lines if line not in self.seen], lines
        bad = [line for line in new if not any(re.search(each, line) for each in expected)]
        assert not bad, "\n".join([*bad, *stacks])


def short_folder():
    """A folder with a short path (a socket's address has 108 bytes)."""
    return pathlib.Path(tempfile.mkdtemp(prefix="klp", dir="/tmp"))
