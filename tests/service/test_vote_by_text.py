"""What a file's text says when no process can be asked."""
import pytest

from klpfs.service.vote_by_text import MAX_TEXT_BYTES, foresee

HEAD = b"import helpers\nfrom klpfs import Func, Object, Patch\n"


@pytest.mark.parametrize("text, replace", [
    (b"patch = Patch([])", False),
    (b"patch = Patch([], True)", True),
    (b"patch = Patch(objects=[], replace=True)", True),
    (b"import klpfs\nif 1:\n    patch: object = klpfs.Patch([], replace=0)", False),
])
def test_a_livepatch(text, replace):
    found = foresee(HEAD + text)
    assert (found["livepatch"], found["replace"], found["fingerprints"]) == (True, replace, "")
    assert found["uses"] == ["helpers", "klpfs"], "those that are loaded modules are taken of these"


@pytest.mark.parametrize("text", [
    b"x = 1",
    b"patch = make()",
    b"patch = Patch([], replace=cumulative)",
    b"patch = Patch([], **options)",
    b"patch = Patch(*both)",
    b"patch = Patch([])\npatch = Patch([], replace=True)",
    b"patch = Patch([]",
    b"patch = Patch([])\0",
    b"(" * 5000,
    b"patch = Patch([])" + b"#" * MAX_TEXT_BYTES,
], ids=str)
def test_what_can_not_be_told(text):
    """No livepatch, or one of which only its run tells whether it replaces: None, never a guess."""
    text = text if text.startswith(b"(") else b"from klpfs import Patch\n" + text
    assert foresee(text) is None
