"""One rule for a module's name, for a name that the tree can show, for a service's: every border has the same."""
import errno
import os
import shutil

import pytest
from hypothesis import example, given, settings

from klpfs import Func, Object, Patch
from klpfs.agent import run_command
from klpfs.cli.standin import module as standin
from klpfs.cpython.load.modinfo import modinfo
from klpfs.fs.nodes import Table
from klpfs.fs.tree import Tree
from klpfs.protocol import names
from klpfs.service import insmod_text
from klpfs.service.loop import Loop
from klpfs.service.manager import Manager
from klpfs.service.snapshots import ObjectView, ParamView
from tests.engine.kit import Kit, new_code
from tests.fs.fake import FakeManager
from tests.service import test_mirror
from tests.strategies import any_names


def refusal(use, *arguments):
    """The errno of a refusal, or 0."""
    try:
        use(*arguments)
    except OSError as e:
        return e.errno
    return 0


# -- a name that the tree can show

def in_engine(patch, name, function="f"):
    """The engine takes the name, or says EINVAL and a line."""
    kit = Kit(vmlinux=[function])
    code = refusal(kit.engine.enable, patch, name)
    assert code != errno.EINVAL or len(kit.log.texts()) == 1
    return code != errno.EINVAL


def in_mirror(name):
    """The service shows patches, modules, parameters, objects and functions of this name, or none of them."""
    world, peer = test_mirror.World(), test_mirror.Peer("a", 1)
    world.record("ok", name, modules=["m"])
    world.tell(peer, patches=[test_mirror.patch("ok", test_mirror.obj("m", funcs=()), test_mirror.obj(name, funcs=()))],
               modules=[test_mirror.module("m", params=[["ok", "int", "1", 0o644], [name, "int", "1", 0o644]])])
    mirror = world.mirror
    shown = {name in mirror.patches, name in mirror.modules, name in mirror.modules["m"].params,
             name in [view.name for view in mirror.patches["ok"].objects]}
    assert len(shown) == 1
    return shown.pop()


def shown_in(node, *path):
    """The names in a folder; not by its list, which leaves out names with a dot at their start, the tree's own."""
    for name in path:
        node = node.lookup(os.fsencode(name))
    return [child.name for child in node.children.values()]


def in_tree(name):
    """The tree shows the same, or none of them, whatever a service says."""
    loop, table = Loop(), Table()
    try:
        manager = FakeManager(loop)
        Tree(table, manager)
        shop = manager.put("shop")
        shop.add("ok")
        shop.change("ok", objects=(ObjectView("m", True, ()), ObjectView(name, True, ())))
        shop.add(name)
        shop.module("m", params={"ok": ParamView("int", "1", 0o644), name: ParamView("int", "1", 0o644)})
        shop.module(name)
        shown = {name in shown_in(table.root, "shop", *path) for path in (
            ("sys", "kernel", "livepatch"), ("sys", "kernel", "livepatch", "ok"), ("sys", "module"),
            ("sys", "module", "m", "parameters"))}
        assert len(shown) == 1
        return shown.pop()
    finally:
        loop.close()


ATTRIBUTES = ("enabled", "transition", "force", "replace", "stack_order", "patched", "ok", "m")


@settings(deadline=None)
@given(any_names())
@example("a\x85b")
@example("a\nb")
@example("a\x7fb")
@example("x" * 256)
@example("\ud800")
@example("a b")
@example("a,b")
def test_what_the_tree_can_show_is_the_same_at_every_border(name):
    """docs/DESIGN.md#3; C3 of the review: five rules, unequal at control characters, NUL and lengths."""
    can = names.showable(name)
    assert in_engine(Patch([]), name) == can
    if name not in ATTRIBUTES:
        assert in_engine(Patch([Object(name)]), "p") == can
        assert in_mirror(name) == can
        assert in_tree(name) == can
    if name == names.module_name(name):
        columns = any(c == "," or c.isspace() for c in name)
        assert refusal(names.check_module, name) == (0 if can and not columns else errno.EINVAL)


@settings(deadline=None)
@given(any_names())
@example("x" * 253)
@example("x" * 254)
def test_functions_are_shown_with_their_position(name):
    can = names.showable(f"{name},1") and name != ""
    if name:
        assert in_engine(Patch([Object(None, [Func(name, new_code)])]), "p", name) == can
    if "\n" in name:                           # separates functions in an agent's text
        return
    world, peer = test_mirror.World(), test_mirror.Peer("a", 1)
    world.record("p")
    world.tell(peer, patches=[test_mirror.patch("p", test_mirror.obj("m", funcs=((name, 1),)))])
    assert world.mirror.patches["p"].objects[0].funcs == (((name, 1),) if can else ())


@pytest.mark.parametrize("name", ["enabled", "transition", "force", "replace", "stack_order"])
def test_an_object_can_not_have_the_name_of_an_attribute(name):
    assert not in_engine(Patch([Object(name)]), "p") and in_engine(Patch([]), name)


# -- a service's name

@settings(deadline=None)
@given(any_names())
@example(".exec")
@example("a\x85b")
def test_a_service_s_name_is_the_same_at_every_border(tmp_path_factory, name):
    """The agent refuses what the daemon would not show."""
    can = names.showable(name) and not name.startswith(".")
    assert names.is_service(name) == can
    if name:
        assert refusal(run_command.environment, ["x"], name) == (0 if can else errno.EINVAL)
    loop, table = Loop(), Table()
    try:
        manager = FakeManager(loop)
        Tree(table, manager)
        before = shown_in(table.root)
        manager.put(name)
        assert shown_in(table.root) == before + [name] * can
        if names.showable(name):               # so that there can be such a folder
            folder = tmp_path_factory.mktemp("runtime")
            (folder / name).mkdir()
            real = Manager(loop, str(folder))
            real.start()
            real.settle()
            assert (name in real._places) == can
            real.close()
            shutil.rmtree(folder)
    finally:
        loop.close()


# -- a module's name, of its file's

@pytest.mark.parametrize("path, name", [
    ("/x/a-b.py", "a_b"), ("a.b.py", "a"), ("a", "a"), ("./CVE-2025-27516.py", "CVE_2025_27516"),
    ("/a/b/fix-1.py", "fix_1"), ("/a/fix", "fix"), ("us_er.ko.xz", "us_er"), ("x/lp-1.py", "lp_1"),
])
def test_the_name_of_a_module(path, name):
    """As kmod makes it of a file's name."""
    assert names.module_name(path) == name


@pytest.mark.parametrize("path", ["", "/", ".py", "a/", "a\nb.py", "a\x85b.py", "x" * 256, "x" * 256 + ".py", "x y.py",
                                  " x.py", "x .py", "x\ty.py", "x\xa0y.py", "x\u2028y.py", "x,y.py"])
def test_no_name_of_a_module(path):
    """White space and commas would break the columns of proc/modules."""
    with pytest.raises(OSError) as e:
        names.check_module(names.module_name(path))
    assert e.value.errno == errno.EINVAL


@settings(deadline=None)
@given(any_names())
@example("a.b.py")
@example("CVE-1.py")
def test_a_file_has_one_module_name(path):
    """insmod, rmmod, modinfo and the stand-ins give it the same; to make it of a name changes nothing."""
    name = names.module_name(path)
    assert names.module_name(name) == name
    if names.showable(path):
        assert dict(modinfo(path, b""))["name"] == name
    if path and "/" not in path and not any(c.isspace() or c in "'\"\0" for c in path):
        try:
            text = os.fsencode(path)
        except UnicodeEncodeError:
            return
        code = refusal(names.check_module, name)
        assert refusal(insmod_text.rmmod_text, text) == code
        assert code or insmod_text.rmmod_text(text) == name


def test_modprobe_finds_a_file_by_the_name_that_its_module_will_have(tmp_path):
    (tmp_path / "a-1.b.py").write_text("")
    for name in ("a-1", "a_1", "a_1.b", "a-1.b.py"):
        assert standin.look_for(name, [str(tmp_path)]) == str(tmp_path / "a-1.b.py")
