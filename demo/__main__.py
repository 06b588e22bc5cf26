"""make run: a web server under load, patched with real published fixes through files, and taken back.

Each step prints the command, what it shows, the tree, the log and the requests served and failed meanwhile. Ends with
exit code 1 when anything is not as it says here. KEEP=1 leaves everything running.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent
ENVIRONMENT = PROJECT / ".venvs" / "demo"
AIOHTTP = "3.9.1"
SECRET = "the secret outside the static folder\n"
MARKUP = "<img src=x onerror=alert(1)>.txt"
SERVICE = "shop"


class Failed(Exception):
    """Something is not as this demonstration says."""


def environment():
    """The server's own environment, made once; its interpreter's path. It holds nothing of klpfs."""
    python = ENVIRONMENT / "bin" / "python"
    check = [python, "-c", f"import aiohttp; assert aiohttp.__version__ == '{AIOHTTP}'"]
    if not python.exists() or subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
        print(f"making {ENVIRONMENT.relative_to(PROJECT)} with aiohttp {AIOHTTP} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        # where there is no wheel of it (CPython 3.13 and later), its pure Python part does
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"aiohttp=={AIOHTTP}"], check=True,
                       env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"})
        subprocess.run(check, check=True)
    return python


class Demo:
    def __init__(self, python):
        self.python = python
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
        server = self.child([*self.klpfs, "run", "-s", SERVICE, "--", str(self.python), str(HERE / "server.py"), str(static)])
        self.pid, line = server.pid, server.stdout.readline()
        if not line:
            raise Failed("the server did not start: " + (self.folder / "stderr").read_text())
        self.port = int(line)
        self.load = self.child([sys.executable, str(HERE / "load.py"), str(self.port)])
        version = subprocess.run([self.python, "-c", "import sys; print(*sys.version_info[:3], sep='.')"], capture_output=True, text=True).stdout.strip()
        print(f"aiohttp {AIOHTTP} on CPython {version}, pid {self.pid}, http://127.0.0.1:{self.port}/static/, with 8 busy connections")

    def child(self, argv):
        with open(self.folder / "stderr", "a") as errors:  # not ours: who reads our output must see its end, also with KEEP
            self.children.append(subprocess.Popen(argv, env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                                  text=True, start_new_session=True))
        return self.children[-1]

    def command(self, *argv, shown=None, **more):
        print(f"$ {shown or ' '.join(map(str, argv))}", flush=True)
        return subprocess.run([*map(str, argv)], env=self.environ, stdin=subprocess.DEVNULL, text=True, **more)

    def step(self, title):
        self.steps += 1
        print(f"\n== {self.steps}. {title}", flush=True)

    def curl(self, path, says):
        """What the server answers to `path`: (status, body)."""
        url = f"http://127.0.0.1:{self.port}{path}"
        done = self.command("curl", "-s", "--path-as-is", "-w", "%{http_code}", url, shown=f"curl --path-as-is {url}", capture_output=True)
        status, body = done.stdout[-3:], done.stdout[:-3]
        if says:
            found = [line for line in body.splitlines() if says in line] or body.splitlines()[:1]
            print(f"  {status} {' '.join(found)[:140]}")
        return status, body

    def holes(self, traversal, markup):
        """Try both; each argument: is that hole expected to be open."""
        status, body = self.curl("/static/../secret.txt", "secret")
        if (status == "200" and body == SECRET) != traversal or (not traversal and status != "404"):
            raise Failed(f"CVE-2024-23334: {status} {body!r}")
        print(f"  CVE-2024-23334 is {'OPEN: that file lies outside the folder' if traversal else 'closed'}")
        status, body = self.curl("/static/", "onerror")
        if status != "200" or (MARKUP in body) != markup or (not markup and "&lt;img src=x" not in body):
            raise Failed(f"CVE-2024-27306: {status} {body!r}")
        print(f"  CVE-2024-27306 is {'OPEN: a file name is markup in the index' if markup else 'closed'}")

    def change(self, do, name, gone):
        """Do a change of the service, wait for its end, show the time of both."""
        begun = time.perf_counter()
        do()
        answered = time.perf_counter()
        while not self.complete(name, gone):
            if time.perf_counter() - begun > 30:
                raise Failed(f"{name} is still pending: {(self.tree / 'blockers').read_text()}")
            time.sleep(0.0005)
        ended = time.perf_counter()
        print(f"  the write returned after {(answered - begun) * 1000:.1f} ms, the transition was complete after {(ended - begun) * 1000:.1f} ms")

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
        self.count()

    def log(self):
        return subprocess.run([*self.klpfs, "dmesg", "-m", str(self.mount)], env=self.environ, capture_output=True, text=True).stdout

    def count(self):
        self.load.stdin.write("\n")
        self.load.stdin.flush()
        served, failed, worst = self.load.stdout.readline().split()
        print(f"  requests so far: {served} served, {failed} failed; the slowest of late took {worst} ms")
        if failed != "0" or served == "0":
            raise Failed(f"requests failed: {failed} (served: {served})")

    def story(self):
        self.step("A server with two published holes, under load, and the tree")
        self.start()
        if self.command(*self.klpfs, "mount", self.mount, shown=f"klpfs mount {self.mount}").returncode:
            raise Failed("no mount")
        self.command("ls", self.mount)
        self.holes(True, True)
        self.show()

        self.step("The fix of aiohttp 3.9.2, loaded into the running server")
        self.insmod("aiohttp_3_9_2.py")
        self.holes(False, True)
        self.show()

        self.step("A cumulative patch, up to 3.9.4, takes its place atomically")
        self.insmod("aiohttp_3_9_4.py")
        self.holes(False, False)
        self.show()
        if (self.patches / "aiohttp_3_9_2").exists():
            raise Failed("aiohttp_3_9_2 was not replaced")

        self.step("And back: the code that the server started with")
        self.change(lambda: self.write(self.patches / "aiohttp_3_9_4" / "enabled", 0), "aiohttp_3_9_4", gone=True)
        self.holes(True, True)
        self.show()

    def hint(self):
        print(f"""
All of it runs on. To try:
    export PATH={PROJECT / '.venv/bin'}:$PATH
    klpfs status; klpfs dmesg -w
    klpfs rmmod aiohttp_3_9_2 aiohttp_3_9_4; klpfs insmod {HERE.relative_to(PROJECT)}/aiohttp_3_9_4.py
    echo 0 > {self.patches}/aiohttp_3_9_4/enabled
    find {self.tree}
    curl --path-as-is http://127.0.0.1:{self.port}/static/../secret.txt
To end it: klpfs umount {self.mount}; kill {' '.join(str(child.pid) for child in self.children)}; rm -r {self.folder}""")

    def end(self):
        subprocess.run([*self.klpfs, "umount", str(self.mount)], env=self.environ, capture_output=True)
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if os.path.ismount(self.mount):
            print(f"still mounted: {self.mount}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def main():
    keep = os.environ.get("KEEP", "") not in ("", "0")
    sys.stdout.reconfigure(line_buffering=True)
    try:
        python = environment()
    except subprocess.CalledProcessError as e:
        print(f"demo: the environment for aiohttp {AIOHTTP} can't be made: {e}", file=sys.stderr)
        return 2
    demo = Demo(python)
    try:
        demo.story()
    except (Failed, OSError) as e:
        print(f"demo: FAILED: {e}", file=sys.stderr)
        demo.end()
        return 1
    except BaseException:
        demo.end()
        raise
    if keep:
        demo.hint()
    else:
        demo.end()
        print("\nAll as it should be: both holes closed and opened again, not one request lost.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
