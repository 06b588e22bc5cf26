"""What a patch must have to be enabled: names that the tree can show, functions that are there."""
import errno

import pytest

from klpfs import Object, Patch
from tests.engine.kit import Kit, clean, refused


@pytest.fixture
def kit():
    return Kit(vmlinux=["f", "g", "twice", "twice"], m=["h", "i"])


@pytest.mark.parametrize("objects, sympos, text", [
    (dict(vmlinux=["nope"]), 0, "symbol 'nope' not found in symbol table"),
    (dict(vmlinux=["twice"]), 0, "unresolvable ambiguity for symbol 'twice' in object '(null)'"),
    (dict(vmlinux=["twice"]), 3, "symbol position 3 for symbol 'twice' in object 'vmlinux' not found"),
    (dict(m=["h"], vmlinux=["nope"]), 0, "symbol 'nope' not found in symbol table"),
])
def test_function_that_is_not_there(kit, objects, sympos, text):
    """EINVAL, before 'enabling patch' and before any callback."""
    patch = kit.patch("p", **objects)
    patch.objects[-1].funcs[0].old_sympos = sympos
    assert refused(errno.EINVAL, kit.engine.enable, patch, "p").strerror == text
    assert clean(kit) and kit.lines() == []


def test_positions_choose_among_functions_of_one_name(kit):
    """The n-th of that name in source order."""
    patch = kit.patch("p", vmlinux=["twice"])
    patch.objects[0].funcs[0].old_sympos = 2
    kit.load("p", patch)
    assert kit.tree() == {"p": {"vmlinux": ["twice,2"]}}
    assert kit.target.value("twice", position=1) == "twice original"
    assert kit.target.value("twice", position=2) == "twice by p"


def test_names(kit):
    """What the tree cannot show is refused, with one line; what it would show twice too."""
    for name in ("a/b", "", ".", "..", "new\nline", "x" * 256, "\x7f", "\x85", "\ud800"):
        refused(errno.EINVAL, kit.engine.enable, kit.patch("p"), name)
        assert len(kit.lines()) == 1
    for name in ("enabled", "transition", "force", "replace", "stack_order", "a/b", "x" * 256, "\u20ac" * 86):
        refused(errno.EINVAL, kit.engine.enable, Patch([Object(name)]), "p")
        assert len(kit.lines()) == 1
    for name in ("a/b", "tab\t", "x" * 254):
        refused(errno.EINVAL, kit.engine.enable, kit.patch("p", vmlinux=[name]), "p")
        assert len(kit.lines()) == 1
    refused(errno.EEXIST, kit.engine.enable, Patch(kit.patch("p", m=[]).objects + kit.patch("p", m=[]).objects), "p")
    same = kit.patch("p", vmlinux=["f", "f"])
    same.objects[0].funcs[1].old_sympos = 1  # 0 and 1 are one name in the tree
    refused(errno.EEXIST, kit.engine.enable, same, "p")
    assert len(kit.lines()) == 2 and clean(kit)
    kit.load("x" * 255)
