"""wait: until complete, with a name for who blocks; timeouts; --or-reverse."""
import io
import threading

import pytest

from klpfs.cli import wait
from klpfs.cli.tree import Tree


@pytest.fixture
def pending(made):
    top = made.service("shop")
    folder = made.patch(top, "lp1", transition="1")
    made.process(top, 12, ["python3", "app.py"], tasks=[(12, 1), (13, 0)])
    (top / "blockers").write_text("12 thread worker-1 app.py:10 f\n13 thread worker-2 app.py:10 f\n")
    return folder


def test_nothing_pending_is_done_at_once(made, klpfs):
    made.patch(made.service("shop"), "lp1")
    assert klpfs("wait") == (0, "", "")


def test_it_ends_when_the_transition_does(klpfs, pending):
    threading.Timer(0.1, (pending / "transition").write_text, ["0\n"]).start()
    assert klpfs("wait", "lp1") == (0, "", "")


def test_it_ends_when_the_folder_goes(klpfs, pending):
    threading.Timer(0.1, pending.rename, [pending.parents[3] / "gone"]).start()
    assert klpfs("wait", "lp1")[0] == 0


def test_a_timeout_names_who_blocks_and_what_to_do(klpfs, pending):
    code, out, err = klpfs("wait", "-t", "0.05")
    assert (code, out) == (wait.PENDING, "")
    assert "lp1 is still pending, waiting for 12 thread worker-1 app.py:10 f and 1 more" in err
    assert f"echo 0 > {pending / 'enabled'}" in err and f"echo 1 > {pending / 'force'}" in err


def test_a_pipe_gets_plain_lines(klpfs, pending):
    _, _, err = klpfs("wait", "-t", "0.5")
    assert (
        err.startswith("lp1: patching, waiting for 12 thread worker-1 app.py:10 f and 1 more\n")
        and "\r" not in err
        and "\x1b" not in err
    )


def test_or_reverse_writes_the_opposite_and_waits_for_it(klpfs, pending, monkeypatch):
    plain = Tree.write

    def reversed_at_once(self, text, *parts):
        plain(self, text, *parts)
        (pending / "transition").write_text("0\n")

    monkeypatch.setattr(Tree, "write", reversed_at_once)
    code, _, err = klpfs("wait", "--or-reverse", "-t", "0.05")
    assert code == wait.REVERSED and err.endswith("lp1 was reversed\n")
    assert (pending / "enabled").read_text().startswith("0")


def test_or_reverse_without_a_terminal_needs_a_timeout(klpfs, pending):
    code, _, err = klpfs("wait", "--or-reverse")
    assert code == 2 and "--timeout" in err


def test_an_unknown_patch(klpfs, pending):
    assert klpfs("wait", "nope") == (1, "", "klpfs wait: no patch nope; in this service: lp1\n")


def test_a_terminal_gets_one_line_that_is_written_over(made, pending):
    out = io.StringIO()
    waiter = wait.Waiter(Tree(made.path / "shop"), "lp1", wait.Progress(out, True))
    assert waiter.pending()
    waiter.report()
    assert out.getvalue().startswith("\r\x1b[K[##########..........] 1/2 lp1: patching, waiting for 12 ")
    waiter.progress.end()
    assert out.getvalue().endswith("\r\x1b[K")
