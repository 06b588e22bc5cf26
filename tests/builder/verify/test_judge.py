"""Which differences refuse a livepatch: each mask has one that it is for, and one beside it that counts."""
import pytest

from klpfs.builder.verify.compare import Difference, Trail
from klpfs.builder.verify.judge import Unsteady, judge, judge_back, why_small


def difference(path, what="value", mine="1", wanted="2"):
    return Difference(path, what, mine, wanted)


@pytest.mark.parametrize("path, what, mine, wanted, reason", [
    ("p:C!subclasses[p.D]", "missing", "nothing", "'p.D'", "lists of subclasses"),
    ("p:__doc__", "value", "'a'", "'b'", "docstrings and lists of names"),
    ("p:C.__doc__", "value", "'a'", "'b'", "docstrings and lists of names"),
    ("p:__all__", "length", "", "", "docstrings and lists of names"),
    ("p:__version__", "value", "'1'", "'2'", "what the release says of itself"),
    ("p:version_tuple[1]", "value", "1", "2", "what the release says of itself"),
    ("p:AGENT", "value", "'p/1.0 (x)'", "'p/1.1 (x)'", "what the release says of itself"),
    ("p:C.__annotations__['x']", "value", "1", "2", "annotations"),
    ("p:gone", "extra", "1", "nothing", "names of the old version that stay"),
    ("p:C.gone", "extra", "1", "nothing", "names of the old version that stay"),
    ("p:AGENT", "value", "'p/1.0 (x)'", "'p/1.1 (y)'", ""),
    ("p:T['gone']", "extra", "1", "nothing", ""),
    ("p:f<x>", "extra", "1", "nothing", ""),
    ("p:C.x", "value", "1", "2", ""),
    ("p:f!code", "code", "", "", ""),
])
def test_small_differences_are_of_a_kind(path, what, mine, wanted, reason):
    assert why_small(Difference(path, what, mine, wanted), ("1.0", "1.1")) == reason


def test_a_difference_of_the_package_refuses_others_are_told():
    found = [difference("p.a:x"), difference("other:x"), difference("p:__version__"), difference("p:unsteady")]
    result = judge(found, Unsteady([difference("p:unsteady")]), {"p"})
    assert result.refusing == found[:1] and result.telling == found[1:2]
    assert result.listed == {"what the release says of itself": 1, "values of the machine, the moment or chance": 1}


@pytest.mark.parametrize("path", ["sys:modules['x']", "enum:E._value2member_map_[3]", "re:_cache['x']",
                                  "p:W._dirty_len", "typing:_overload_registry['x']", "p:__warningregistry__['x']"])
def test_book_keeping_is_no_difference(path):
    result = judge([difference(path)], Unsteady([]), {"p"})
    assert (result.refusing, result.telling, result.listed) == ([], [], {})


def test_variables_of_loops_at_import_are_listed():
    found = [difference("p:each"), difference("p:TABLE")]
    result = judge(found, Unsteady([]), {"p"}, bound_by_loops=lambda module: {"each"} if module == "p" else set())
    assert result.refusing == found[1:] and result.listed == {"variables of loops at import": 1}


def test_a_module_that_was_imported_meanwhile_stays():
    found = [difference("sys.modules['p.new']", "extra"), difference("p:new", "extra", "module p.new", "nothing"),
             difference("p:T['x']", "extra"), difference("p:C!subclasses[p.D]", "extra")]
    assert judge_back(found, Unsteady([])) == found[2:3]


def test_what_is_in_an_object_that_another_package_has_by_name_is_that_packages():
    module = Trail(None, "p", 0, 0, "p:")
    mine, others = (module.to(name, node, node, f"p:{name}").to(".x", 1, 2, f"p:{name}.x")
                    for name, node in (("mine", 7), ("reactor", 8)))
    found = [Difference(trail.path, "value", "1", "2", trail) for trail in (mine, others)]
    result = judge(found, Unsteady([]), {"p"}, of_others={8})
    assert (result.refusing, result.telling) == (found[:1], found[1:])
    whole = Difference("p:reactor", "value", "1", "2", others.up)
    refusing = judge([whole], Unsteady([]), {"p"}, of_others={8}).refusing
    assert refusing == [whole], "which of them it is, is the package's"


def test_chance_is_another_value_of_the_same_type():
    steady = Unsteady([difference("p:x"), difference("p:T['a']", "missing")])
    assert steady.covers(difference("p:x")) and steady.covers(difference("p:T['a']", "extra"))
    assert steady.covers(difference("p:x", mine="b'%s...500" % ("a" * 9), wanted="b'b'"))
    assert not steady.covers(difference("p:x", mine="None", wanted="'a'"))
    assert not steady.covers(difference("p:x", "missing")) and not steady.covers(difference("p:y"))
