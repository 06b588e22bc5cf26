"""make run: a service of several processes under load, patched with real published fixes through files, and taken back.

Each step prints the command, what it shows, the tree, the log and the requests served and failed meanwhile. Ends with
exit code 1 when anything is not as it says here. KEEP=1 leaves everything running.
"""
import os
import subprocess
import sys

from demo.stage import AIOHTTP, HERE, PROJECT, Failed, Stage, environment


class Demo(Stage):
    def story(self):
        self.step("A service of three processes with two published holes, under load, and the tree")
        self.start()
        if self.command(*self.klpfs, "mount", self.mount, shown=f"klpfs mount {self.mount}").returncode:
            raise Failed("no mount")
        self.command("ls", self.mount)
        self.processes(workers=2)
        self.holes(True, True)
        self.show()

        self.step("The fix of aiohttp 3.9.2, loaded into the running service")
        self.insmod("aiohttp_3_9_2.py")
        self.holes(False, True)
        self.show()

        self.step("A cumulative patch, up to 3.9.4, takes its place atomically")
        self.insmod("aiohttp_3_9_4.py")
        self.holes(False, False)
        self.show()
        if (self.patches / "aiohttp_3_9_2").exists():
            raise Failed("aiohttp_3_9_2 was not replaced")

        self.step(
            "A worker is killed, gunicorn replaces it; one more is added: all run the fix from their first request on"
        )
        killed = self.workers()[0]
        print(
            f"# first the load leaves worker {killed}, as a load balancer makes it: so no request can fail by the kill itself"
        )
        self.load_says(killed)
        self.signal("KILL", killed)
        self.until(lambda: killed not in self.workers(), f"worker {killed} gone from the tree")
        self.load_says("")
        self.processes(workers=2)
        self.signal("TTIN", self.master)
        self.processes(workers=3)
        self.holes(False, False)
        self.show()

        self.step("And back: the code that the service started with")
        self.change(lambda: self.write(self.patches / "aiohttp_3_9_4" / "enabled", 0), "aiohttp_3_9_4", gone=True)
        self.holes(True, True)
        self.show()
        if "Traceback" in self.errors():
            raise Failed(self.errors())

    def hint(self):
        print(f"""
All of it runs on. To try:
    export PATH={PROJECT / ".venv/bin"}:$PATH
    klpfs status; klpfs dmesg -w
    klpfs rmmod aiohttp_3_9_2 aiohttp_3_9_4; klpfs insmod {HERE.relative_to(PROJECT)}/aiohttp_3_9_4.py
    echo 0 > {self.patches}/aiohttp_3_9_4/enabled
    find {self.tree}
    kill -TTIN {self.master}                    # one more worker; TTOU: one less
    curl --path-as-is http://127.0.0.1:{self.port}/static/../secret.txt
To end it: klpfs umount {self.mount}; kill {" ".join(str(child.pid) for child in reversed(self.children))}; rm -r {self.folder}""")



def main():
    keep = os.environ.get("KEEP", "") not in ("", "0")
    sys.stdout.reconfigure(line_buffering=True)
    try:
        server = environment()
    except subprocess.CalledProcessError as e:
        print(f"demo: the environment for gunicorn and aiohttp {AIOHTTP} can't be made: {e}", file=sys.stderr)
        return 2
    demo = Demo(*server)
    try:
        demo.story()
    except (Failed, OSError) as e:
        print(f"demo: FAILED: {e}", file=sys.stderr)
        if demo.has_ended():
            print(f"demo: the service has ended by itself; on its standard error:\n{demo.errors()}", file=sys.stderr)
        demo.end()
        return 1
    except BaseException:
        demo.end()
        raise
    if keep:
        demo.hint()
    else:
        demo.end()
        print("\nAll as it should be: in every process both holes were closed and opened again, not one request lost.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
