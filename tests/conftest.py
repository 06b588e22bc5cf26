"""Fixtures of the whole: a runtime folder, programs under `klpfs run`, a mounted tree. Unexpected output fails a test."""
import shutil
import sys

import pytest

from tests import harness

BAD = 4  # log lines of this priority (warning) and worse must have been expected


def pytest_collection_modifyitems(items):
    why = harness.why_no_fuse()
    for item in items:
        if why and item.get_closest_marker("fuse"):
            item.add_marker(pytest.mark.skip(reason=f"no FUSE mount: {why}"))


@pytest.fixture
def runtime(monkeypatch):
    """A runtime folder of this test's own."""
    path = harness.short_folder()
    monkeypatch.setenv("KLPFS_RUNTIME_DIR", str(path))
    yield path
    shutil.rmtree(path, ignore_errors=True)


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
    """A service of one program and its tree: live.program, live.tree, live.mount. Warnings in its log must be expected."""
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
        bad = [text for priority, _, _, text in found.tree.records() if priority <= BAD and not any(e in text for e in found.expected)]
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
