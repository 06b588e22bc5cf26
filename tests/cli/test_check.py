"""check: the answer of the tree's file, and an exit code."""
import pytest

from klpfs.cli.tree import Tree


@pytest.fixture
def answers(monkeypatch):
    """What the file answers; what it was asked."""
    asked = []

    def ask(self, question, *parts):
        asked.append((question, *parts))
        if isinstance(asked[0], OSError):
            raise asked[0]
        return ask.text
    ask.asked = asked
    monkeypatch.setattr(Tree, "ask", ask)
    return ask


def test_the_answer_and_its_verdict(made, klpfs, answers):
    made.service("shop")
    answers.text = "livepatch fix\nwould be loaded"
    assert klpfs("check", "a b.py", "x=1") == (0, "livepatch fix\nwould be loaded\n", "")
    assert answers.asked == [("'a b.py' x=1", "check")]
    answers.text = "livepatch fix\nwould be refused: symbol 'f' not found in symbol table"
    assert klpfs("check", "fix.py")[0] == 1
    answers.text = "livepatch fix\nno process\ncould not tell: no process has looked at it"
    assert klpfs("check", "fix.py")[0] == 3
    answers.text = "livepatch fix\nwhat no klpfs says"
    assert klpfs("check", "fix.py")[0] == 1


def test_a_file_that_can_not_be_read(made, klpfs, monkeypatch):
    made.service("shop")

    def ask(self, question, *parts):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(Tree, "ask", ask)
    assert klpfs("check", "fix.py") == (1, "", "klpfs check: fix.py: Permission denied; klpfs dmesg says more\n")


NOTED = '''"""old -> new, by klpfs build.

Functions change together.

- data file a.txt: not carried
- annotations that differ are not carried:
  m.py:3 C (x)
"""
- no note = 1
'''


@pytest.mark.parametrize("text, notes", [
    (NOTED, [" note: data file a.txt: not carried", " note: annotations that differ are not carried: m.py:3 C (x)"]),
    (NOTED.replace("by klpfs build", "by hand"), []), ('"""x, by klpfs build.\n- no end', []), ("", []),
    ("x = 1\n" + NOTED, []),
])
def test_what_a_built_livepatch_leaves_as_it_is_is_said(made, klpfs, answers, tmp_path, text, notes):
    """By the head of its file; behind the first line of the answer, whose last is the verdict."""
    made.service("shop")
    (tmp_path / "fix.py").write_text(text)
    answers.text = "livepatch fix\nwould be loaded"
    code, out, err = klpfs("check", str(tmp_path / "fix.py"))
    assert (code, out.splitlines(), err) == (0, ["livepatch fix", *notes, "would be loaded"], "")
