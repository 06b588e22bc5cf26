"""What the demonstration stands on: the service and its load, the mount, each step's commands and what they show."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent
ENVIRONMENT = PROJECT / ".venvs" / f"demo-{sys.version_info[0]}.{sys.version_info[1]}"
AIOHTTP = "3.9.1"
NEEDED = f"import aiohttp, gunicorn; assert aiohttp.__version__ == '{AIOHTTP}'; print(gunicorn.__version__)"
SECRET = "the secret outside the static folder\n"
SECONDS = 30    # how long something may take before it counts as never
TRIES = 500     # how many requests may all go to other workers than the one that is to be asked
MARKUP = "<img src=x onerror=alert(1)>.txt"
SERVICE = "shop"


class Failed(Exception):
    """Something is not as this demonstration says."""


def environment():
    """The server's own environment, made once; its interpreter's path, gunicorn's version.

    It holds nothing of klpfs.
    """
    python = ENVIRONMENT / "bin" / "python"
    check = [python, "-c", NEEDED]
    if not python.exists() or subprocess.run(check, capture_output=True).returncode:
        print(f"making {ENVIRONMENT.relative_to(PROJECT)} with aiohttp {AIOHTTP} and gunicorn ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        # Where there is no wheel of it (CPython 3.13 and later), its pure Python part does. No two of its releases have
        # wheels for CPython 3.9 to 3.15: 3.14.4 is the first for 3.15, 3.13.5 the last for 3.9.
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"aiohttp=={AIOHTTP}",
                        "gunicorn>=20.1"], check=True,
                       env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"})
    return python, subprocess.run(check, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Stage:
    def __init__(self, python, gunicorn):
        self.python, self.gunicorn = python, gunicorn
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="klpfs-demo-"))
        self.mount = self.folder / "klp"
        self.tree = self.mount / SERVICE
        self.patches = self.tree / "sys/kernel/livepatch"
        self.environ = {**os.environ, "KLPFS_RUNTIME_DIR": str(self.folder / "run")}
        self.klpfs = [sys.executable, "-m", "klpfs"]
        self.children = []
        self.lines = self.steps = 0

    def start(self):
        static = self.folder / "static"
        static.mkdir()
        self.mount.mkdir()
        (static / "page.txt").write_text("a page\n")
        (static / MARKUP).write_text("a file with a name\n")
        (self.folder / "secret.txt").write_text(SECRET)
        # -m: a script's first line would hold this folder's path, which may be too long for it, or another by now
        server = self.child([*self.klpfs, "run", "-s", SERVICE, "--", str(self.python), "-m", "gunicorn", "-c",
                             str(HERE / "gunicorn_conf.py"), "--chdir", str(HERE), f"server:application('{static}')"])
        print("$ klpfs run -s shop -- gunicorn -c gunicorn_conf.py \"server:application('static')\" &")
        self.master, line = server.pid, server.stdout.readline()
        if not line:
            raise Failed("the server did not start: " + self.errors())
        self.port = int(line)
        self.load = self.child([sys.executable, str(HERE / "load.py"), str(self.port)])
        version = subprocess.run([self.python, "-c", "import sys; print(*sys.version_info[:3], sep='.')"],
                                 capture_output=True, text=True).stdout.strip()
        print(
            f"gunicorn {self.gunicorn}, aiohttp {AIOHTTP}, CPython {version}: http://127.0.0.1:{self.port}/static/, with 8 busy connections"
        )

    def child(self, argv):
        # not ours: who reads our output must see its end, also with KEEP
        with open(self.folder / "stderr", "a") as errors:
            self.children.append(subprocess.Popen(argv, env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                  stderr=errors, text=True, start_new_session=True))
        return self.children[-1]

    def has_ended(self):
        """Whether the service, the first child, is gone, or ends within a second."""
        try:
            return bool(self.children) and self.children[0].wait(1) is not None
        except subprocess.TimeoutExpired:
            return False

    def errors(self):
        return (self.folder / "stderr").read_text()

    def command(self, *argv, shown=None, **more):
        print(f"$ {shown or ' '.join(map(str, argv))}", flush=True)
        return subprocess.run([*map(str, argv)], env=self.environ, stdin=subprocess.DEVNULL, text=True, **more)

    def step(self, title):
        self.steps += 1
        print(f"\n== {self.steps}. {title}", flush=True)

    def processes(self, workers):
        """The service's processes, as its tree has them: the master, and so many workers once they are there."""
        def there():
            return len(os.listdir(self.tree / "proc")) and len(self.workers()) == workers
        self.until(there, f"{workers} workers")
        self.command("ls", self.tree / "proc")
        print(f"  {self.master} is the master, its workers are {', '.join(map(str, self.workers()))}")

    def workers(self):
        return [int(pid) for pid in sorted(os.listdir(self.tree / "proc")) if pid.isdigit() and int(pid) != self.master]

    def curl(self, path):
        """What each worker answers to `path`: {pid: (status, body)}.

        Asks until each has answered, and all that one says must be alike.
        """
        url = f"http://127.0.0.1:{self.port}{path}"
        print(f"$ curl --path-as-is {url}          # until each worker has answered")
        answers, workers = {}, set(self.workers())
        for _ in range(TRIES):
            done = subprocess.run(["curl", "-s", "-i", "--path-as-is", url], env=self.environ, stdin=subprocess.DEVNULL,
                                  capture_output=True)
            head, _, body = done.stdout.decode().partition("\r\n\r\n")
            found = re.search(r"^HTTP/1.1 (\d+).*^X-Worker: (\d+)", head, re.M | re.S)
            if not found:
                raise Failed(f"curl: {done.returncode} {head!r}")
            answer, pid = (found[1], body), int(found[2])
            if answers.setdefault(pid, answer) != answer:
                raise Failed(f"worker {pid} answered {answers[pid]}, then {answer}")
            if workers <= answers.keys():
                return answers
        raise Failed(f"workers {sorted(workers - answers.keys())} never answered")

    def holes(self, traversal, markup):
        """Try both at each worker; each argument: is that hole expected to be open."""
        for pid, (status, body) in self.curl("/static/../secret.txt").items():
            print(f"  worker {pid}: {status} {body.splitlines()[0]}")
            if (status == "200" and body == SECRET) != traversal or (not traversal and status != "404"):
                raise Failed(f"CVE-2024-23334: {status} {body!r}")
        print(f"  CVE-2024-23334 is {'OPEN: that file lies outside the folder' if traversal else 'closed'}")
        for pid, (status, body) in self.curl("/static/").items():
            print(f"  worker {pid}: {status} {' '.join(line for line in body.splitlines() if 'onerror' in line)[:140]}")
            if status != "200" or (MARKUP in body) != markup or (not markup and "&lt;img src=x" not in body):
                raise Failed(f"CVE-2024-27306: {status} {body!r}")
        print(f"  CVE-2024-27306 is {'OPEN: a file name is markup in the index' if markup else 'closed'}")

    def until(self, condition, what):
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"not within {SECONDS} s: {what}")
            time.sleep(0.0005)

    def change(self, do, name, gone):
        """Do a change of the service, wait for its end, show the time of both."""
        begun = time.perf_counter()
        do()
        answered = time.perf_counter()
        try:
            self.until(lambda: self.complete(name, gone), f"{name} complete")
        except Failed as e:
            raise Failed(f"{e}; blockers: {(self.tree / 'blockers').read_text()}") from None
        ended = time.perf_counter()
        print(
            f"  the write returned after {(answered - begun) * 1000:.1f} ms, the transition was complete after {(ended - begun) * 1000:.1f} ms"
        )

    def complete(self, name, gone):
        """True when the patch's transition is complete; `gone`: its folder goes with it."""
        try:
            return (self.patches / name / "transition").read_text() == "0\n" and not gone
        except OSError:
            if gone and not (self.patches / name).exists():
                return True
            if gone:
                return False
            raise

    def write(self, path, text):
        """echo TEXT > PATH"""
        print(f"$ echo {text} > {path}", flush=True)
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, f"{text}\n".encode())
        except OSError as e:
            raise Failed(f"{e.strerror}\n{self.log()}") from None
        finally:
            os.close(fd)

    def insmod(self, file):
        path = HERE / file
        self.change(lambda: self.write(self.tree / "insmod", path), path.stem, gone=False)

    def show(self):
        """The tree of patches, the log's new lines, the requests."""
        for path in sorted(self.patches.rglob("*")):
            relative = path.relative_to(self.patches)
            if path.is_dir() and "," in path.name:
                print(f"  {relative}/")
            elif path.is_file():
                try:
                    print(f"  {relative} {path.read_text().strip()}")
                except OSError:  # force can only be written
                    print(f"  {relative}")
        if not any(self.patches.iterdir()):
            print(f"  (no patch in {self.patches.relative_to(self.mount)})")
        for line in self.log().splitlines()[self.lines:]:
            print(f"  {line}")
            self.lines += 1
        self.load_says("")

    def log(self):
        return subprocess.run([*self.klpfs, "dmesg", "-m", str(self.mount)], env=self.environ, capture_output=True,
                              text=True).stdout

    def load_says(self, request):
        """Show the requests so far; see load.py."""
        self.load.stdin.write(f"{request}\n")
        self.load.stdin.flush()
        line = self.load.stdout.readline()
        if not line:
            raise Failed("the load ended: " + self.errors())
        served, failed, worst, *workers = line.split()
        print(
            f"  requests so far: {served} served ({' '.join(workers)}), {failed} failed; the slowest of late took {worst} ms"
        )
        if failed != "0" or served == "0":
            raise Failed(f"requests failed: {failed} (served: {served})\n" + self.errors())

    def signal(self, name, pid):
        print(f"$ kill -{name} {pid}")
        os.kill(pid, signal.Signals[f"SIG{name}"])

    def end(self):
        subprocess.run([*self.klpfs, "umount", str(self.mount)], env=self.environ, capture_output=True)
        for child in reversed(self.children):  # the load first, so that the server has nobody to wait for
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if os.path.ismount(self.mount):
            print(f"still mounted: {self.mount}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
