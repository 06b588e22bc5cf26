"""make cases: small pairs of releases, each of a kind that klpfs was once wrong about; each must be carried and taken
back as it should be, or be refused by place and reason.

    python -m tests.cases [--pythons 3.N ...] [--environments FOLDER] [--seed N] [--count N] [NAME ...]

NAME: cases whose name contains it. 3.N: CPythons of the programs; all that are here by default. FOLDER: where the
programs' environments are made, .venvs by default. Three groups: what was tried once, in
../shared/cases/build/cases.py: {name: (files of OLD, files of NEW, an expression that tells them apart)}, by the
commands and a mounted tree; others of each kind (kinds/), in a program of their own; count random pairs of all kinds.
Exit code 1 when a case is wrong, or refused though it must be carried.
"""
import argparse
import collections
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from tests import harness
from tests.cases.judging import NEEDLESS, WRONG, batches, judged
from tests.cases.kinds import KINDS
from tests.cases.random_kinds import random_kinds
from tests.pythons import MINORS, find

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CASES = PROJECT.parent / "shared" / "cases" / "build" / "cases.py"
PACKAGES = {"pydantic": "pydantic", "fastapi": "fastapi", "httpx": "httpx", "attr": "attrs", "click": "click",
            "marshmallow": "marshmallow", "google.protobuf": "protobuf", "sqlalchemy": "sqlalchemy",
            "django": "django"}         # what some cases import, and how an index calls it
TOGETHER = 20                           # pairs in one release
PROGRAM = '''import sys
sys.path.insert(0, sys.argv[1])
modules = {name.partition(".")[0]: __import__(name) for name in sys.argv[2:]}
print("ready", flush=True)
for line in sys.stdin:
    try:
        said = repr(eval(line, dict(modules)))
    except BaseException as error:
        said = f"raises {type(error).__name__}"
    print(said, flush=True)
'''


class Wrong(Exception):
    """What klpfs has done wrong."""


def environment(base, parent):
    """The programs' own environment of an interpreter, made once in a folder: (its interpreter's path, what of PACKAGES
    it can import)."""
    version = subprocess.run([base, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    folder = parent / f"cases-{version}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making {folder} with {', '.join(PACKAGES.values())} ...", flush=True)
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        for package in PACKAGES.values():       # a release may have nothing for the newest interpreter
            subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:",
                            package], stderr=subprocess.DEVNULL, check=False)
        (folder / "ready").touch()
    return str(python), {name for name in PACKAGES if not subprocess.run(
        [python, "-c", f"import {name}"], capture_output=True, check=False).returncode}


class Case:
    """A case in a folder of its own, for programs of one interpreter."""

    def __init__(self, folder, python, old, new, ask):
        self.folder, self.python, self.ask = folder, python, ask
        for version, files in (("old", old), ("new", new)):
            for path, text in files.items():
                where = folder / version / path
                where.parent.mkdir(parents=True, exist_ok=True)
                where.write_text(text)
        (folder / "program.py").write_text(PROGRAM)
        self.modules = [path[:-len(".py")].replace("/", ".") for path in old if not path.endswith("__init__.py")]

    def says(self, version):
        """What the program says with a version alone."""
        done = subprocess.run([self.python, self.folder / "program.py", self.folder / version, *self.modules],
                              input=self.ask + "\n", capture_output=True, text=True)
        lines = done.stdout.splitlines()
        return lines[1] if lines[:1] == ["ready"] else None

    def build(self):
        """(exit code, what was said) of klpfs build."""
        done = subprocess.run([sys.executable, "-m", "klpfs", "build", self.folder / "old", self.folder / "new", "-o",
                               self.folder / "fix.py", "--python", self.python], capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).replace(str(self.folder), "").strip()

    def judge(self):
        """What became of it, in a line. Wrong."""
        old, new = self.says("old"), self.says("new")
        if old is None or new is None:
            return "not run: the program does not start on this Python"
        code, said = self.build()
        if code == 3 and old != new:
            raise Wrong(f"nothing to do, it says, and OLD says {old}, NEW {new}: {said}")
        if code:
            first = said.splitlines()[0]
            if first.count(": ") < 2 or "Traceback" in said:
                raise Wrong(f"refused without a place and a reason: {said}")
            return f"refused: {first.partition(': ')[2][:150]}"
        return self.loaded(old, new, said)

    def loaded(self, old, new, said):
        """What became of it in a running program."""
        runtime = self.folder / "run"
        mount = harness.Mount(runtime, self.folder / "mnt")
        program = subprocess.Popen(
            [sys.executable, "-m", "klpfs", "run", "-s", "case", "--", self.python, self.folder / "program.py",
             self.folder / "old", *self.modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "KLPFS_RUNTIME_DIR": str(runtime)})

        def asked():
            program.stdin.write(self.ask + "\n")
            program.stdin.flush()
            return program.stdout.readline().strip()
        try:
            program.stdout.readline()
            tree = mount.service("case")
            before = asked()
            try:
                tree.insmod(self.folder / "fix.py")
            except OSError as error:
                raise Wrong(f"built, and not loaded: {error}: {[text for *_, text in tree.records()][-2:]}") from None
            harness.until(tree.settled, "the patch")
            patched = asked()
            tree.set("fix/enabled", "0")
            harness.until(lambda: "fix" not in tree.patches(), "the patch gone")
            after = asked()
        finally:
            program.stdin.close()
            program.kill()
            program.wait()
            program.stdout.close()
            mount.close()
        if patched != new:
            raise Wrong(f"OLD says {before}, patched {patched}, NEW {new}")
        if after == before:
            return "right, and taken back"
        if "is not taken back" not in said:
            raise Wrong(f"not taken back, without a word: before {before}, after {after}")
        return "right, not taken back, as the build says"


def tried(python, cases):
    """What became of the cases that were tried once. Gives how many are wrong."""
    wrong = 0
    for name, case in cases.items():
        folder = pathlib.Path(tempfile.mkdtemp(prefix="klpc", dir="/tmp"))
        try:
            what = Case(folder, python, *case).judge()
        except (Wrong, AssertionError, OSError) as error:
            wrong += 1
            what = f"WRONG: {error}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"    {name:<66} {what}", flush=True)
    return wrong


def of_kinds(python, minor, here, kinds):
    """What became of pairs of kinds; here: packages that can be imported. Gives how many are wrong."""
    chosen = [kind for kind in kinds if kind.since <= minor and here.issuperset(kind.needs)]
    for kind in kinds:
        if kind not in chosen:
            print(f"    {kind.name:<66} not run: needs {', '.join(kind.needs) or f'3.{kind.since}'}")
    counts = collections.Counter()
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda each: list(judged(each, python)), batches(chosen, TOGETHER)):
            for verdict in found:
                counts[verdict.what] += 1
                print(f"    {verdict.kind.name:<66} {verdict.what}: {verdict.words[:300]}", flush=True)
    print(f"    {len(chosen)} pairs: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    return counts[WRONG] + counts[NEEDLESS]


def main():
    parser = argparse.ArgumentParser(prog="make cases", description=__doc__.split("\n\n")[0])
    parser.add_argument("--pythons", nargs="+", default=[f"3.{minor}" for minor in MINORS])
    parser.add_argument("--environments", type=pathlib.Path, default=PROJECT / ".venvs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    why = harness.why_no_fuse()
    if why or not CASES.exists():
        print(f"cases: {why or f'{CASES} is not there'}", file=sys.stderr)
        return 2

    def chosen(table):
        return {name: case for name, case in table.items()
                if not options.names or any(each in name for each in options.names)}
    wrong = 0
    for version in options.pythons:
        minor = int(version.partition(".")[2])
        base = find(minor)
        if base is None:
            print(f"CPython {version}: not here")
            continue
        python, here = environment(base, options.environments)
        print(f"CPython {version} ({python}):", flush=True)
        wrong += tried(python, chosen(runpy.run_path(str(CASES))["CASES"]))
        wrong += of_kinds(python, minor, here, list(chosen(KINDS).values()))
        wrong += of_kinds(python, minor, here, list(chosen(random_kinds(options.seed, options.count)).values()))
    print(f"{wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
