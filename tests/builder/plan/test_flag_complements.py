"""Members of a Flag whose values follow from the members beside them."""
import sys

import pytest

from klpfs.builder.plan.flag_complements import any_inverts
from tests.builder.kit import there_and_back

OLD = "import enum\nclass P(enum.IntFlag):\n    A = 1\n    NOT = ~1\n    B = 2\n"


@pytest.fixture
def later(tmp_path):
    """A stand-in for a CPython 3.99."""
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho hello 3 1; echo klpfs asks:; echo 3 99\n")
    path.chmod(0o755)
    return str(path)


def test_interpreters_that_make_complements(later):
    assert any_inverts([sys.executable]) == (sys.version_info >= (3, 15))
    assert any_inverts([sys.executable, "/no/such/python", later])


@pytest.mark.parametrize("new, refused", [
    (OLD + "    C = 4\n", True), (OLD.replace("B = 2", "B = 2\n    def f(self): pass"), False),
    (OLD.replace("NOT = ~1\n", "NOT = 6\n") + "    C = 4\n", False)])
def test_a_new_member_beside_a_complement_is_refused_where_it_changes_that(upgrade, monkeypatch, new, refused):
    from klpfs.builder.plan import package_plan
    monkeypatch.setattr(package_plan, "any_inverts", lambda pythons: True)
    upgrade.write(OLD, new)
    found = [each for each in upgrade.build(allow=True).refused if "negative" in each.what]
    assert bool(found) == refused and all(each.what.startswith("P.NOT ") for each in found)


def test_it_is_carried_where_it_does_not(upgrade, monkeypatch):
    if sys.version_info >= (3, 15):
        pytest.skip("here it does")
    there_and_back(upgrade, OLD, OLD + "    C = 4\n", "list(P.__members__)")
