"""Fixtures of the whole: a runtime folder, programs under `klpfs run`, a mounted tree. Unexpected output fails a test.

And how the tests are run: in which order, by which process, and which of them may be run once more.
"""
import functools
import os
import pathlib
import shutil
import sys
import threading
import time
import traceback

import pytest
from _pytest.runner import runtestprotocol

from klpfs.protocol import long_waits
from tests import harness
from tests.effort import pytest_runtest_call  # noqa: F401 (a hook)
from tests.silent import Silent

STAYS = 5       # seconds that a thread may take to end after its test
BAD = 4  # log lines of this priority (warning) and worse must have been expected

# The target's tests look at the whole heap and at all threads of their process, so they come first in it. Then what waits longest:
# when the processes of `pytest -n` run out of files, no long one is left.
FIRST = ("cpython", "integration", "faults", "agent", "kernel", "service", "fs", "scripts", "stress", "engine")
MOST = 16           # processes of `-n auto`
RETRIES = pathlib.Path(os.environ.get("RETRIES") or pathlib.Path(__file__).resolve().parents[1] / "test-retries.log")


def layer(nodeid):
    """The name of the folder in tests/ that a test is in."""
    return nodeid.split("/")[1] if nodeid.startswith("tests/") else ""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(layer(item.nodeid)) if layer(item.nodeid) in FIRST else len(FIRST))
    why = harness.why_no_fuse()
    for item in items:
        if why and item.get_closest_marker("fuse"):
            item.add_marker(pytest.mark.skip(reason=f"no FUSE mount: {why}"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """`-n auto`: two processes for each processor, since most of the tests wait."""
    return min(2 * len(os.sched_getaffinity(0)), MOST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A test file is run by one process; all files of the target by the same one, which has run nothing else before."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "cpython" if layer(nodeid) == "cpython" else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_runtest_protocol(item, nextitem):
    """RETRY=1: a test that measures time on the wall's clock is run once more when it fails. No other test ever is."""
    if not os.environ.get("RETRY") or not item.get_closest_marker("timing"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failed = [report for report in reports if report.failed]
    if failed:
        failed[0].outcome = "retried"
        item.ihook.pytest_runtest_logreport(report=failed[0])
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_report_teststatus(report):
    return ("retried", "R", "RETRIED") if report.outcome == "retried" else None


def pytest_terminal_summary(terminalreporter):
    """Each retry is said, and kept in a file."""
    for report in terminalreporter.stats.get("retried", ()):
        terminalreporter.write_line(f"RETRIED {report.nodeid} (kept in {RETRIES.name})")
        with open(RETRIES, "a") as file:
            print(f"{time.strftime('%F %T')} {report.nodeid}\n{report.longreprtext}\n", file=file)


def lasting_threads():
    """Threads that keep this process from ending: it would wait for them for ever, after all has been said."""
    return [thread for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread() and thread.is_alive()]


@functools.cache
def speaks_of_greenlets(path):
    """Whether a test file, or the kit of its folder, has greenlets in its programs."""
    return path.parent.name in ("attacks", "stress") or "greenlet" in path.read_text()


@pytest.fixture(autouse=True)
def greenlets(request, monkeypatch):
    """A program has greenlets where its test file speaks of them, and none elsewhere, whatever this process has
    imported: with them about each look searches the whole heap, which is a large one here."""
    if not speaks_of_greenlets(request.path):
        for name in ("greenlet", "greenlet._greenlet"):
            monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture(autouse=True)
def no_thread_stays():
    """A thread that a test has left behind fails it, with its stack: most often a failure came before its end."""
    before = lasting_threads()
    yield
    for thread in lasting_threads():
        if thread not in before:
            thread.join(STAYS)
            frame = sys._current_frames().get(thread.ident)
            if thread.is_alive() and frame is not None:
                pytest.fail(f"{thread.name} goes on:\n{''.join(traceback.format_stack(frame))}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    session.config.ended_with = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Such a thread does not keep the tests from ending either."""
    if lasting_threads():
        print(f"these threads go on: {', '.join(thread.name for thread in lasting_threads())}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(getattr(config, "ended_with", 1) or 1)


@pytest.fixture(autouse=True)
def watchdog(request, monkeypatch):
    """What of klpfs's own waits longer than 5 s, in a program or daemon that a test has started, fails the test, with
    all stacks (klpfs/protocol/long_waits.py). A test that wants it has the marker `waits`, with what the lines may
    say."""
    folder = harness.short_folder()
    folder.chmod(0o1777)                # for programs that change their user
    monkeypatch.setenv(long_waits.ENVIRON, str(folder))
    yield folder
    expected = [text for marker in request.node.iter_markers("waits") for text in marker.args]
    said = harness.long_waits(folder)
    shutil.rmtree(folder, ignore_errors=True)
    bad = [line for line in said[0] if not any(text in line for text in expected)]
    assert not bad, "\n".join([*bad, *said[1]])


@pytest.fixture
def silent():
    """silent(path, mode): a FUSE file system of a stranger's, mounted on the path, that answers nothing."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse")
    made = []
    yield lambda path, mode: made.append(Silent(path, mode))
    for each in made:
        each.close()


@pytest.fixture
def runtime(monkeypatch):
    """A runtime folder of this test's own."""
    path = harness.short_folder()
    monkeypatch.setenv("KLPFS_RUNTIME_DIR", str(path))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def open_path(tmp_path, tmp_path_factory):
    """tmp_path, which other users can reach."""
    base = tmp_path_factory.getbasetemp()
    for folder in tmp_path, base, *base.parents:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def program(runtime):
    """program(name="prog", ...): a harness.Program, ended with the test."""
    started = []

    def start(name="prog", **more):
        started.append(harness.Program(runtime, name, **more))
        return started[-1]

    yield start
    close_all(started)


@pytest.fixture
def mount(runtime, tmp_path):
    """A mounted tree (harness.Mount), unmounted with the test."""
    found = harness.Mount(runtime, tmp_path / "mnt")
    yield found
    close_all([found])


@pytest.fixture
def live(program, mount):
    """A service of one program and its tree: live.program, live.tree, live.mount.

    Warnings in its log must be expected.
    """
    yield from watched(program("prog"), mount)


class Live:
    def __init__(self, program, mount):
        self.program, self.mount, self.tree = program, mount, mount.service(program.name)
        self.expected = []

    def expect(self, *texts):
        """These texts, or lines holding them, may be warnings or errors in the log."""
        self.expected += texts


def watched(program, mount):
    found = Live(program, mount)
    yield found
    if program.process.poll() is None and mount.process.poll() is None:
        bad = [text for priority, _, _, text in found.tree.records() if priority <= BAD
               and not any(e in text for e in found.expected)]
        assert not bad, f"unexpected log lines: {bad}"


def close_all(things):
    """Close them all, then raise what went wrong first."""
    failed = []
    for thing in reversed(things):
        try:
            thing.close()
        except BaseException as e:
            failed.append(e)
    if failed:
        raise failed[0]


def pytest_report_header():
    return f"python: {sys.executable}; FUSE: {harness.why_no_fuse() or 'can be mounted'}"


@pytest.fixture
def lp(tmp_path):
    """lp("lp1", ...): the path of a livepatch file, made by harness.livepatch, or holding `text`."""

    def make(name, *functions, text=None, **more):
        path = tmp_path / f"{name}.py"
        path.write_text(harness.livepatch(name, *functions, **more) if text is None else text)
        return path

    return make
