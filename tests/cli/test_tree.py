"""Finding the tree, and reading it."""
import threading

import pytest

from klpfs.cli import tree


def test_the_newest_mount_is_the_first(monkeypatch):
    monkeypatch.setattr(tree, "klpfs_mounts", lambda: ["/mnt/a", "/mnt/b"])
    assert tree.mounts() == ["/mnt/b", "/mnt/a"]


def test_the_only_service_is_the_default(made):
    made.service("shop")
    assert tree.find(mount=made.path).name == "shop"


def test_one_of_several_services_must_be_chosen(made):
    made.service("shop")
    made.service("web")
    with pytest.raises(tree.CommandError, match="choose one with -s: shop, web"):
        tree.find(mount=made.path)
    assert tree.find("web", made.path).name == "web"


def test_one_of_several_mounts_must_be_chosen(made, monkeypatch, tmp_path):
    """A service of that name may be in each: nothing is guessed."""
    made.service("shop")
    (tmp_path / "other" / "shop").mkdir(parents=True)
    monkeypatch.setattr(tree, "mounts", lambda: [str(made.path), str(tmp_path / "other")])
    with pytest.raises(tree.CommandError, match="choose one with -m: .*mnt .*other"):
        tree.find("shop")
    assert tree.find("shop", made.path).path == str(made.path / "shop")


def test_an_unknown_service_is_answered_with_those_there_are(made):
    made.service("shop")
    with pytest.raises(tree.CommandError, match="no service nope .* running: shop"):
        tree.find("nope", made.path)


def test_nothing_mounted_says_how_to_mount(monkeypatch):
    monkeypatch.setattr(tree, "mounts", lambda: [])
    with pytest.raises(tree.CommandError, match="klpfs mount MOUNTPOINT"):
        tree.find()


def test_no_service_says_how_to_start_one(made):
    with pytest.raises(tree.CommandError, match="klpfs run -- COMMAND"):
        tree.find(mount=made.path)


def test_a_mount_whose_daemon_is_gone_says_so(tmp_path):
    """A dead mount answers ENOTCONN; here the folder is simply missing."""
    with pytest.raises(tree.CommandError, match="Mount it again: klpfs mount"):
        tree.find(mount=tmp_path / "gone")


def test_a_dead_mount_does_not_hide_a_living_one(made, monkeypatch, tmp_path):
    made.service("shop")
    monkeypatch.setattr(tree, "mounts", lambda: [str(tmp_path / "gone"), str(made.path)])
    assert tree.find().name == "shop"


def test_patches_are_in_stack_order(made):
    top = made.service("shop")
    made.patch(top, "a", order="2")
    made.patch(top, "b", order="1", objects={"vmlinux": ("0", []), "m": ("1", ["C.f,1", "g,2"])})
    found = tree.find(mount=made.path).patches()
    assert [patch.name for patch in found] == ["b", "a"]
    assert found[0].objects == {"m": (True, ["C.f,1", "g,2"]), "vmlinux": (False, [])}


def test_the_patch_in_transition(made):
    top = made.service("shop")
    made.patch(top, "a")
    assert tree.pending(tree.find(mount=made.path)) is None
    made.patch(top, "b", transition="1", order="2")
    assert tree.pending(tree.find(mount=made.path)) == "b"


def test_a_mount_that_does_not_answer_is_left_out(made, monkeypatch, capsys):
    """Somebody's daemon is stopped: the kernel waits for it without end. It is named, and hinders nobody."""
    made.service("shop")
    gate = threading.Lock()
    gate.acquire()
    listed = tree.services

    def services(place):
        if place == "/stopped":
            gate.acquire()
        return listed(place)
    monkeypatch.setattr(tree, "services", services)
    monkeypatch.setattr(tree, "ANSWER_S", 0.05)
    monkeypatch.setattr(tree, "mounts", lambda: ["/stopped", str(made.path)])
    assert tree.find().path == str(made.path / "shop")
    assert capsys.readouterr().err == "klpfs: /stopped: its daemon does not answer (is it stopped?); left out\n"
    monkeypatch.setattr(tree, "mounts", lambda: ["/stopped"])
    with pytest.raises(tree.CommandError, match="/stopped: its daemon does not answer"):
        tree.find()
    gate.release()
