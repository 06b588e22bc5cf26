"""What is of chance, by two runs of the same code; what a release has made otherwise is told from it by its form."""
import pytest

from klpfs.builder.verify.chance import Unsteady, alike
from klpfs.builder.verify.compare import Difference, Trail


def difference(path, what="value", mine="1", wanted="2", table=None):
    trail = Trail(Trail(None, "p", 0, 0, table), "", 0, 0, path) if table else None
    return Difference(path, what, mine, wanted, trail)


@pytest.mark.parametrize("mine, again, wanted", [
    ("'5f3a9c01'", "'77aa0c1b'", "'00ffd2e4'"),
    ("'/tmp/a1b2/x'", "'/tmp/c3d4/x'", "'/tmp/e5f6/x'"),
    ("1764000000.25", "1764000001.5", "1764000002.75"),
    ("'m.M:93942346500912'", "'m.M:94205497825440'", "'m.M:94201234567440'"),     # an id: digits alike by chance
    ("12", "77", "3"), ("b'\\x01abc'", "b'\\x77abq'", "b'\\x03abz'"),
    ("'2026-12-01 10:00:01'", "'2026-12-01 10:00:07'", "'2026-12-01 10:00:09'"),
    (f"'aaa...500 {'1' * 20}", f"'bbb...500 {'2' * 20}", f"'ccc...500 {'3' * 20}"),
])
def test_values_of_one_form(mine, again, wanted):
    assert alike(mine, again, wanted)


@pytest.mark.parametrize("mine, again, wanted", [
    ("'5f3a9c01'", "'77aa0c1b77aa0c1b'", "'00ffd2e400ffd2e4'"),
    ("'/tmp/a1b2'", "'/tmp/c3d4/x'", "'/tmp/e5f6/x'"),
    ("'old-a1b2'", "'token-c3d4'", "'token-e5f6'"),
    ("12", "71230000001", "71230000077"), ("None", "'a'", "'b'"), ("True", "False", "True"), ("'1'", "2", "3"),
])
def test_values_of_a_form_that_the_release_has_changed(mine, again, wanted):
    assert not alike(mine, again, wanted)


def test_what_comes_and_goes_in_new_as_well():
    steady = Unsteady([difference("p:x"), difference("p:T['a']", "missing"), difference("p:o", "order")])
    assert steady.covers(difference("p:x", mine="7")) and steady.covers(difference("p:T['a']", "extra"))
    assert steady.covers(difference("p:o", "order"))
    assert not steady.covers(difference("p:x", mine="None")) and not steady.covers(difference("p:x", "missing"))
    assert not steady.covers(difference("p:y")) and not steady.covers(difference("p:T['a']"))
    assert not steady.covers(difference("p:o", "identity"))


def test_keys_of_chance_are_as_many_and_of_their_form():
    def keys(**names):
        return [difference(f"p:T['{name}']", what, table="p:T") for name, what in names.items()]
    steady = Unsteady(keys(ab12="extra", cd34="missing"))
    assert len(steady.covered(keys(cd34="missing", ef56="extra"))) == 2
    assert len(steady.covered(keys(cd34="missing", ef56="extra", gh78="extra"))) == 1
    assert len(steady.covered(keys(cd34="missing", another="extra"))) == 1
    assert len(steady.covered(keys(ef56="extra"))) == 0
