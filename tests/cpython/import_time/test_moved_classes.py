"""A class that comes from another module in the new version: what is alive would stay with the old one."""
import pytest

PROGRAM = """
    class Key: pass
    class Flat(int): __slots__ = ()
    class Base: pass
    class Below(Base): pass
    class Wrong(Exception): pass
    made = []
"""
FIX = """
    def run(klp):
        global NAME
        klp.moves("NAME")
        NAME = type("NAME", (), {"new": True})
"""


def test_a_class_that_nothing_is_made_of_moves(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, FIX.replace("NAME", "Key"))
    patch.enable()
    assert live.Key.new
    patch.disable()
    assert not hasattr(live.Key, "new")


@pytest.mark.parametrize("name, make, why", [
    ("Key", lambda live: live.made.append(live.Key()), "1 objects of it"),
    ("Flat", lambda live: live.made.append(live.Flat(3)), "1 objects of it"), ("Base", lambda live: None, "class Below")])
def test_objects_that_are_alive_refuse_it(module, livepatch, name, make, why):
    live = module(PROGRAM)
    make(live)
    was = vars(live)[name]
    patch = livepatch(live, FIX.replace("NAME", name))
    with pytest.raises(TypeError, match=f"class {name} comes from another module .*: {why}"):
        patch.enable()
    assert vars(live)[name] is was


def test_an_exception_class_moves_whatever_is_alive(module, livepatch):
    live = module(PROGRAM)
    live.made.append(live.Wrong())
    patch = livepatch(live, FIX.replace("NAME", "Wrong"))
    patch.enable()
    assert live.Wrong.new
    patch.disable()
