"""Collection held off, and put right after whatever cuts it off."""
import gc

from klpfs.cpython import no_collection


def test_a_pair():
    assert gc.isenabled() and no_collection.hold() and not gc.isenabled()
    assert not no_collection.hold(), "the outer one lets go"
    no_collection.let_go()
    assert gc.isenabled()


def test_what_the_program_has_turned_off_stays_off():
    gc.disable()
    try:
        assert not no_collection.hold()
        no_collection.restore()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_hold_that_was_cut_off_is_let_go():
    no_collection.hold()
    no_collection.restore()
    assert gc.isenabled()
    no_collection.restore()
    assert gc.isenabled()
