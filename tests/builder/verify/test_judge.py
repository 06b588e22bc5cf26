"""Which differences refuse a livepatch: each mask has one that it is for, and one beside it that counts."""
import pytest

from klpfs.builder.verify.chance import Unsteady
from klpfs.builder.verify.compare import Difference, Trail
from klpfs.builder.verify.judge import judge, judge_back, why_small
from klpfs.builder.verify.readers import Readers


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
    ("p:VERSION[1]", "value", "0", "1", "what the release says of itself"),
    ("p:C.copied_version[1]", "value", "0", "1", "what the release says of itself"),
    ("p:VERSION._release[1]", "value", "0", "1", "what the release says of itself"),
    ("p:VERSION._release[1]", "value", "0", "2", ""),
    ("p:c.table._release[1]", "value", "0", "1", ""),
    ("p:C.__annotations__['x']", "value", "1", "2", "annotations"),
    ("p:c.__dict__", "order", "", "", "the order of objects' attributes"),
    ("p:c.ssl_minimum_version", "value", "771", "772", ""),
    ("p:PROTOCOL_VERSIONS['a']", "value", "1", "2", ""),
    ("p:c.version", "value", "1", "2", ""),
    ("p:c.table_version[1]", "value", "5", "6", ""),
    ("p:c.protocol", "value", "'1.0'", "'1.1'", ""),
    ("p:c.__dict__", "kind", "", "", ""),
    ("p:C.__match_args__", "length", "", "", ""),
    ("p:E._value2member_map_[1]", "identity", "", "", ""),
    ("p:annotations", "missing", "nothing", "instance __future__._Feature",
     "names of __future__, which the compiler alone reads"),
    ("p:c.annotations", "missing", "nothing", "instance __future__._Feature", ""),
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
    assert result.listed == {"what the release says of itself": ["p:__version__"],
                             "values of the moment or chance": ["p:unsteady"]}


READS = """
    import typing
    def f(o): return o.gone, getattr(o, "by_text"), o.__dict__, C.__subclasses__(), typing.get_type_hints(f)
    def g(): return open, f.__doc__.split(), __all__
    """


@pytest.mark.parametrize("path, what", [
    ("p:open", "extra"), ("p:c.gone", "extra"), ("p:c.by_text", "extra"), ("p:C.__eq__", "extra"),
    ("p:C!subclasses[p.D]", "missing"), ("p:c.__dict__", "order"), ("p:f.__doc__", "value"), ("p:__all__", "length"),
    ("p:f.__annotations__['x']", "value"),
])
def test_nothing_is_masked_that_new_code_reads(releases, path, what):
    read = judge([difference(path, what)], Unsteady([]), {"p"}, readers=Readers(releases.write("new", {"p.py": READS})))
    assert read.listed == {} and len(read.refusing + read.telling) == 1
    explains = path.endswith("__doc__") or "__annotations__" in path
    assert bool(read.telling) == explains, "what explains the code is told, and does not refuse"
    if path != "p:C.__eq__":        # the interpreter reads it
        empty = judge([difference(path, what)], Unsteady([]), {"p"},
                      readers=Readers(releases.write("empty", {"p.py": "x = 1\n"})))
        assert list(empty.listed.values()) == [[path]]


@pytest.mark.parametrize("path, added, counts", [
    ("p:C.x", True, False), ("p:C.x", False, True), ("p:T['x']", True, True)])
def test_what_the_livepatch_gives_classes_is_no_difference(releases, path, added, counts):
    readers = Readers(releases.write("new", {"p.py": "def f(o): return o.x\n"}))
    result = judge([difference(path, "extra")], Unsteady([]), {"p"}, readers=readers, is_added=lambda extra: added)
    assert bool(result.refusing) is counts and bool(result.listed) is not counts


def test_masks_say_nothing_of_other_packages():
    assert judge([difference("other:__version__")], Unsteady([]), {"p"}).listed == {}


@pytest.mark.parametrize("path", ["sys:modules['x']", "re:_cache['x']", "typing:_overload_registry['x']",
                                  "warnings:onceregistry['x']", "gc:garbage[0]", "threading:_active[1]"])
def test_book_keeping_is_no_difference(path):
    result = judge([difference(path)], Unsteady([]), {"p"})
    assert (result.refusing, result.telling, result.listed) == ([], [], {})


@pytest.mark.parametrize("path", [
    "sys:excepthook", "sys:meta_path[0]", "sys:getrecursionlimit()", "warnings:filters[0]", "threading:excepthook",
    "copyreg:dispatch_table[p.C]", "p:W._dirty_len", "p:_overload_registry['x']", "p:log.manager.loggerDict['p']",
])
def test_what_a_program_sets_in_the_library_is_a_difference(path):
    result = judge([difference(path)], Unsteady([]), {"p"})
    assert len(result.refusing + result.telling) == 1


def test_variables_of_loops_at_import_are_listed():
    found = [difference("p:each"), difference("p:TABLE")]
    result = judge(found, Unsteady([]), {"p"}, bound_by_loops=lambda module: {"each"} if module == "p" else set())
    assert result.refusing == found[1:] and result.listed == {"variables of loops at import": ["p:each"]}


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
