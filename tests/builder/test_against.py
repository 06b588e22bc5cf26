"""A livepatch held against its release where a program imports from."""
import sys

import pytest

from klpfs.builder.against import NotTold, against, on_path
from klpfs.builder.build import build
from klpfs.builder.error import BuildError
from klpfs.builder.read.sources import of_folder

TEXT = "import other\n\n\ndef f():\n    return {}, other.X\n"


@pytest.fixture
def world(tmp_path):
    """Folders: site (a service's: OLD beside other packages), new."""
    for path, text in (("site/pkg/__init__.py", TEXT.format(1)), ("site/pkg/tests/test_a.py", ""),
                       ("site/other.py", "X = 1\n"), ("site/pkg-1.0.dist-info/METADATA", "Name: pkg\nVersion: 1.0\n"),
                       ("new/pkg/__init__.py", TEXT.format(2))):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_old_is_what_lies_on_the_path(world):
    found = on_path(of_folder(str(world / "new"), "new"), ["/nowhere", str(world / "site"), str(world / "new")])
    assert found.files == {"pkg/__init__.py": str(world / "site/pkg/__init__.py")} and found.label == "pkg==1.0"
    with pytest.raises(BuildError, match="the service imports nothing of new: looked in /nowhere"):
        on_path(of_folder(str(world / "new"), "new"), ["/nowhere"])


def test_a_proof_by_the_service_s_modules(world):
    """The right livepatch; one that leaves something; what can't be shown."""
    site, new = str(world / "site"), str(world / "new")
    result = build(of_folder(site, "pkg==1.0"), of_folder(new, "new"), [sys.executable])
    assert against(result.text, new, sys.executable, 0, [site]).refused == []
    wrong = result.text.replace("return 2, other.X", "return 3, other.X")
    found = against(wrong, new, sys.executable, 0, [site])
    assert [(each.what, each.why) for each in found.refused] == [("pkg:f!code", "its code is not NEW's")]
    for text, place, words in ((result.text, "/nowhere", "the service imports nothing of"),
                               ("patch = Patch([Object(None)])", site, "it patches the main program"),
                               ("patch = Patch([Object(name=None)])", site, "it patches the main program")):
        with pytest.raises(NotTold, match=words):
            against(text, new, sys.executable, 0, [place])
    with pytest.raises(NotTold, match="no such folder or file"):
        against(result.text, "./none", sys.executable, 0, [site])
    with pytest.raises(NotTold, match="/none/python"):
        against(result.text, new, "/none/python", 0, [site])
