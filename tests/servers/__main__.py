"""make servers: real servers under load, patched, replaced, reversed and reverted. No request may fail, nothing may
grow.

    python -m tests.servers [-c CYCLES] [-p PYTHON] [NAME ...]        rows whose name contains one of NAME; exit code 1
                                                                      when a row fails

What is patched are functions of the server or framework together with those of the application, as they are installed:
each new function checks that no other version is on its stack, each answer names the version that gave it. PYTHON runs
the servers, which have an environment for each of its versions; klpfs's own by default, and for the rows of aiohttp,
where that is older than 3.12, the newest CPython that is here: aiohttp begins its tasks eagerly from 3.12 on.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from klpfs.protocol import long_waits
from tests import harness
from tests.pythons import MINORS, find
from tests.servers import rows, trial

PROJECT = pathlib.Path(__file__).resolve().parents[2]
# packaging: gunicorn's gevent worker and kombu import it, and not every release of theirs asks for it
PACKAGES = ("gunicorn", "gevent", "aiohttp", "uvicorn", "uvloop", "waitress", "django", "celery", "redis", "packaging")
MODULES = ("gunicorn.workers.sync", "gunicorn.workers.gthread", "gunicorn.workers.ggevent", "aiohttp.worker", "uvicorn.protocols.http.h11_impl", "uvloop",
           "waitress", "django.core.wsgi", "celery.app.trace", "celery.bin.celery", "kombu.transport.redis")      # what the rows load
BROKER = "redis-server"


def environment(base):
    """The servers' own environment of the interpreter `base`, made once; its interpreter's path."""
    version = subprocess.run([base, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True,
                             text=True, check=True).stdout.strip()
    folder = PROJECT / ".venvs" / f"servers-{version}"
    python = folder / "bin" / "python"
    check = [python, "-c", "import " + ", ".join(MODULES)]
    if not python.exists() or subprocess.run(check, capture_output=True).returncode:
        print(f"making {folder.relative_to(PROJECT)} with {', '.join(PACKAGES)} ...", flush=True)
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
        subprocess.run(check, check=True)
    return python


def newest():
    """The interpreter of the newest CPython with eager tasks that klpfs supports and this machine has; None."""
    return next(filter(None, map(find, reversed(range(12, MINORS[-1] + 1)))), None)


def pythons_of(chosen, python):
    """{row's name: the interpreter of its servers}; python: None, or what the user wants for all."""
    own, eager = python or sys.executable, None
    if python is None and sys.version_info < (3, 12) and any("aiohttp" in row.name for row in chosen):
        eager = newest()
        print(f"the rows of aiohttp run on {eager}: it begins tasks eagerly there" if eager else
              "no CPython from 3.12 on is here: no task of the rows of aiohttp begins eagerly", flush=True)
    made = {base: environment(base) for base in {eager if eager and "aiohttp" in row.name else own for row in chosen}}
    return {row.name: made[eager if eager and "aiohttp" in row.name else own] for row in chosen}


def line(*cells):
    print("{:<34}{:>6}{:>9}{:>7}{:>16}{:>18}{:>26}".format(*cells), flush=True)


def one(row, cycles, mount, python, waits):
    """Run a row, print its line; True when it is as it should be. waits: the folder of the watchdog."""
    before = harness.long_waits(waits)[0]
    good = run(row, cycles, mount, python)
    long, stacks = harness.long_waits(waits)
    if long == before:
        return good
    print("    " + "\n    ".join([*long[len(before):], *stacks]))
    return False


def run(row, cycles, mount, python):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klps", dir="/tmp"))
    try:
        with trial.Trial(row, folder, mount, python) as it:
            try:
                result = it.hold() if row.held else it.run(cycles)
            except (trial.Failed, OSError, AssertionError) as e:
                line(row.name, "", "", "FAILED", "", "", "")
                print(f"    {e}\n    " + "\n    ".join(it.story()))
                return False
        if row.held:
            line(row.name, result.processes, result.requests, result.failed, "", "", "")
            print(f"    {result.what}")
        else:
            line(row.name, result.processes, result.requests, result.failed,
                 f"{trial.median(result.finish):.0f} / {max(result.finish):.0f}",
                 f"{result.patching:.0f} / {result.alone:.0f} = {result.patching / result.alone:.1f}",
                 "{0:+d} KiB {3:+d} {1:+d} {2:+d}".format(*result.growth))
        for error in result.errors:
            print(f"    {error}")
        return not result.failed and not result.errors
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="make servers", description=__doc__.split("\n\n")[0])
    parser.add_argument("-c", "--cycles", type=int, default=8)
    parser.add_argument("-p", "--python")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    why = harness.why_no_fuse()
    if why:
        print(f"servers: no FUSE mount here: {why}", file=sys.stderr)
        return 2
    chosen = [row for row in rows.ROWS if not options.names or any(name in row.name for name in options.names)]
    pythons = pythons_of(chosen, options.python)
    folder, failed = harness.short_folder(), []
    waits = folder / "waits"
    waits.mkdir()
    os.environ[long_waits.ENVIRON] = str(waits)
    if any(row.broker for row in chosen):
        subprocess.run([PROJECT / "scripts" / "system", "redis"])          # says what is missing, and the row fails
    mount = harness.Mount(folder / "run", folder / "mnt")
    try:
        line("server", "proc.", "requests", "failed", "insmod to finish", "longest response", "growth of one")
        line("", "", "", "", "median/worst ms", "patching/alone ms", "memory blocks fds threads")
        for row in chosen:
            if row.broker and not shutil.which(BROKER):
                failed.append(row.name)
                print(f"{row.name}: not run, it needs {BROKER}")
            elif not one(row, options.cycles, mount, pythons[row.name], waits):
                failed.append(row.name)
    finally:
        mount.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} rows as they should be"
          + (f"; not: {', '.join(failed)}" if failed else ""))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
