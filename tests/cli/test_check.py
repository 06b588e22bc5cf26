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
    answers.text = "livepatch fix\nno process\nwould be loaded unseen: no process has looked at it"
    assert klpfs("check", "fix.py")[0] == 1


def test_a_file_that_can_not_be_read(made, klpfs, monkeypatch):
    made.service("shop")

    def ask(self, question, *parts):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(Tree, "ask", ask)
    assert klpfs("check", "fix.py") == (1, "", "klpfs check: fix.py: Permission denied; klpfs dmesg says more\n")
