"""check --against: whose surroundings a proof has, as which user, and what comes of it."""
import os

import pytest

from klpfs.builder.plan.plans import Refusal
from klpfs.builder.verify.verify import Proof
from klpfs.cli import check_against
from klpfs.cli.check_against import Surroundings, held_against, surroundings
from klpfs.cli.tree import Tree

PID = os.getpid()
TOLD = (f"livepatch fix\nprocess {PID} a\n run by: /v/bin/python -O\n imports from: /app:/v/lib\n m\n"
        f"process {os.getppid()} b: as process {PID}\nwould be loaded")
HERE = Surroundings("/v/bin/python", "-O", ("/app", "/v/lib"), os.geteuid(), os.getegid())


def test_surroundings_are_told_once_and_their_user_by_the_kernel():
    assert surroundings(TOLD) == {HERE: str(PID)}
    assert surroundings("livepatch fix\nprocess 999999999 a\n run by: /p\n imports from: /a\nwould be loaded") == {}


@pytest.mark.parametrize("text", [
    "livepatch fix\n run by: /evil\n imports from: /evil\nwould be loaded",                     # of no process
    "process {pid} a\n m\n  run by: /evil\n  imports from: /evil\nwould be loaded",             # a function's line
    "process {pid} a\n imports from: /evil\nwould be loaded"])
def test_what_is_no_process_s_line_is_none(text):
    assert surroundings(text.format(pid=PID)) == {}


@pytest.fixture
def proofs(monkeypatch):
    """What the proofs give, or raise, in this order; what they were asked."""
    def prove(*arguments):
        prove.asked.append(arguments)
        found = prove.given.pop(0)
        if isinstance(found, Exception):
            raise found
        return found
    prove.asked, prove.given = [], []
    monkeypatch.setattr("klpfs.builder.against.against", prove)
    return prove


@pytest.fixture
def file(tmp_path):
    (tmp_path / "fix.py").write_text("patch = 1\n")
    return str(tmp_path / "fix.py")


def test_what_the_proof_says(proofs, file):
    from klpfs.builder.against import NotTold
    head = f"against new==2, by /v/bin/python -O as process {PID} has it"
    wrong = Refusal("m:D.l", "is 1; should be 2")
    proofs.given = [Proof(warned=["w"], notes=["n", "w"]), Proof(refused=[wrong]), NotTold("it ended")]
    assert held_against(TOLD, file, "new==2") == ([head, " note: w", " note: n"], "")
    assert held_against(TOLD, file, "new==2") == (
        [head, " differs: m:D.l: is 1; should be 2"], "would not do what NEW does: m:D.l: is 1; should be 2")
    assert held_against(TOLD, file, "new==2") == ([head], "could not tell: it ended")
    assert proofs.asked[0] == ("patch = 1\n", "new==2", "/v/bin/python", 1, ("/app", "/v/lib"))
    assert held_against("livepatch fix\nwould be loaded", file, "new") == (
        [], "could not tell: no process says what runs it")


def test_a_process_that_sees_other_files_is_not_proved(proofs, file, monkeypatch):
    """A container's: its interpreter's path may lead to another interpreter here."""
    monkeypatch.setattr(check_against, "other_files", lambda pid, paths: list(paths)[0])
    assert held_against(TOLD, file, "new")[1] == (
        f"could not tell: /v/bin/python is another file for process {PID} than here")
    assert proofs.asked == []


def test_which_files_are_others(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("")
    paths = [str(tmp_path / "a"), str(tmp_path), str(tmp_path / "none"), "relative"]
    assert check_against.other_files(str(PID), paths) == ""
    found = check_against._file
    monkeypatch.setattr(check_against, "_file", lambda path: (1, 1) if path.startswith("/proc/") and path.endswith("/a")
                        else found(path))
    assert check_against.other_files(str(PID), paths) == paths[0]
    monkeypatch.undo()
    assert check_against.other_files("999999999", paths) == paths[0]


def test_another_user_s_process_is_root_s_to_prove_and_as_that_user(proofs, file, monkeypatch):
    other = HERE._replace(user=os.geteuid() + 1)
    monkeypatch.setattr(check_against, "surroundings", lambda text: {other: str(PID)})
    monkeypatch.setattr(check_against.os, "geteuid", lambda: HERE.user + 2)
    assert held_against("", file, "new")[1] == "could not tell: the process is another user's"
    monkeypatch.undo()
    assert proofs.asked == []


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_root_becomes_the_process_s_user(proofs, tmp_path, monkeypatch):
    """The proof has none of root's rights, whatever the process names."""
    file = tmp_path / "fix.py"
    file.write_text("")
    for folder in (file, *file.parents[:-2]):
        folder.chmod(0o755)

    def prove(*arguments):
        return Proof(warned=[f"{os.getresuid()} {os.getresgid()} {os.getgroups()} {os.access('/etc/shadow', os.R_OK)}"])
    monkeypatch.setattr("klpfs.builder.against.against", prove)
    monkeypatch.setattr(check_against, "surroundings", lambda text: {HERE._replace(user=12345, group=23456): str(PID)})
    lines, verdict = held_against("", str(file), "new")
    assert lines[1:] == [f" note: {(12345,) * 3} {(23456,) * 3} [] False"] and verdict == ""


@pytest.mark.parametrize("found, code, last", [
    (Proof(), 0, "would be loaded"),
    (Proof(refused=[Refusal("m:x", "is 1")]), 1, "would not do what NEW does: m:x: is 1"),
    (OSError(2, "gone"), 3, "could not tell: [Errno 2] gone")])
def test_the_verdict_and_the_exit_code(made, klpfs, monkeypatch, proofs, file, found, code, last):
    made.service("shop")
    monkeypatch.setattr(Tree, "ask", lambda *_: TOLD)
    proofs.given = [found]
    done, out, err = klpfs("check", file, "--against", "new==2")
    assert (done, out.splitlines()[-1], err) == (code, last, "")


def test_what_would_be_refused_is_not_proved(made, klpfs, monkeypatch, proofs, file):
    made.service("shop")
    monkeypatch.setattr(Tree, "ask", lambda *_: TOLD.replace("would be loaded", "would be refused: gone"))
    assert klpfs("check", file, "--against", "new")[0] == 1 and proofs.asked == []
