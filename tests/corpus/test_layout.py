"""Where an entry's program and its two releases come from."""
import pathlib

import pytest

from tests.corpus import layout

HERE = {(3, 8): "py38", (3, 9): "py39", (3, 11): "py311", (3, 13): "py313"}


def entry(**more):
    return layout.Entry(**{**dict(id="x-1", package="x", old="0", new="1", imports=["x"], python="3.11",
                                  requirements=[], env={}, kind="a"), **more})


@pytest.mark.parametrize("wanted, given", [("3.11", "py311"), ("3.9", "py39"), ("3.13", "py313")])
def test_an_entry_runs_on_its_own_python(wanted, given):
    assert layout.python_for(entry(python=wanted), HERE) == given


@pytest.mark.parametrize("wanted, given", [("3.8", "py39"), ("3.10", "py311"), ("3.14", "py313")])
def test_or_on_the_nearest_that_klpfs_runs_on(wanted, given):
    assert layout.python_for(entry(python=wanted), HERE) == given


def test_no_python_is_said():
    with pytest.raises(layout.NotThere, match="no CPython"):
        layout.python_for(entry(), {(3, 8): "py38"})


def test_the_list_of_releases_lies_beside_the_project(monkeypatch):
    monkeypatch.setattr(layout, "SHARED", pathlib.Path("/nonexistent"))
    with pytest.raises(layout.NotThere, match="lies beside the project"):
        layout.entries()


def test_the_releases_of_2025_and_2026_are_60_at_least_each_once():
    found = layout.releases()
    assert len({each.id for each in found}) == len(found) >= 60
    assert all(each.imports and each.kind and each.old != each.new for each in found)


def test_each_listed_entry_has_a_witness():
    if not layout.SHARED.exists():
        pytest.skip(f"{layout.SHARED} is not there")
    assert all(each.witness.exists() for each in layout.entries())
