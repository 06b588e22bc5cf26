"""A table that statements make anew is the one that the program has, wherever they put it."""
import types

import pytest

from klpfs.cpython.import_time.one_table import put_in_place_of

PROGRAM = """
    class R: pass
    class Kept: pass
    kept = Kept()
    A = {}
    kept.t = R.t = A
    T = {{"a": A}}
"""


@pytest.mark.parametrize("old, new", [("[1]", "[1, 2]"), ("{'x': 1}", "{'x': 1, 'y': 2}"), ("{1}", "{1, 2}")])
def test_what_runs_again_gives_every_place_the_same_table(module, livepatch, old, new):
    live = module(PROGRAM.format(old))
    table, before = live.A, list(live.A)
    patch = livepatch(live, f"""
        def run(klp):
            global A, T
            A = {new}
            kept.t = A
            R.t = A
            T = {{"a": A}}
    """, watch="['kept', 'R']")
    patch.enable()
    assert live.A is table is live.kept.t is live.R.t is live.T["a"] and len(table) == 2
    patch.disable()
    assert live.A is table is live.kept.t is live.R.t is live.T["a"] and list(table) == before


def test_attributes_that_a_statement_gives_a_class_go_again(module, livepatch):
    live = module("class R:\n    x = 1\n")
    patch = livepatch(live, "def run(klp):\n    R.x = 2\n    R.y = [3]\n", watch="['R']")
    patch.enable()
    assert (live.R.x, live.R.y) == (2, [3])
    patch.disable()
    assert live.R.x == 1 and not hasattr(live.R, "y")


def test_whoever_holds_it():
    old, new = [1], [2]
    obj = types.SimpleNamespace(a=new)
    in_list, in_dict, in_tuple = [new], {"k": new}, (new,)

    def closure():
        return cell
    cell = new
    put_in_place_of(new, old)
    assert obj.a is in_list[0] is in_dict["k"] is closure() is old and in_tuple[0] == [2]
