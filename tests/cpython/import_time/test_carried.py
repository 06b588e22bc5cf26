"""Values of live objects that are put in place, and taken back."""
import pytest

from klpfs.cpython.import_time.carried import CodeOf, Keys, Named, Own
from klpfs.cpython.import_time.overlays import ABSENT

OLD = """
class C:
    shown = 1
    __slots__ = ("slot", "__dict__")
    def __init__(self):
        self.l, self.slot = 1, "s"
    @property
    def p(self): raise AssertionError("nothing of the program is asked")
    def __getattribute__(self, name): raise AssertionError("nothing of the program is asked")
    def __setattr__(self, name, value): object.__setattr__(self, name, value)
    def __eq__(self, other): raise AssertionError("nothing of the program is asked")
    __hash__ = object.__hash__
class K: pass
D = C()
T = {"a": [D, (1, [2])], ("b", 1): {"x"}}
R = {"/": 1, "/admin": 2}
N = 5
"""


@pytest.fixture
def live(module):
    return module(OLD)


def own(obj, name):
    return Own(obj, name).get()


@pytest.fixture
def patch(live, livepatch):
    """patch(carried ...): the livepatch, in force."""
    def make(*carried):
        made = livepatch(live)
        made.callbacks.carried = carried
        made.enable()
        return made
    return make


def test_attributes_items_lists_sets_orders_and_names(live, patch, log):
    found = patch(("D.l", 1, 2), ("D.slot", "s", "t"), ("D.new", ABSENT, (1,)), ("T['a'][1][1]", [2], [2, 3]),
                  ("T[('b', 1)]", {"x"}, {"y"}), ("R", Keys("/", "/admin"), Keys("/admin", "/")), ("N", 5, 6),
                  ("C.shown", 1, 3), ("T['c']", ABSENT, Named(f"{live.__name__}:K")), ("D.p", ABSENT, 4),
                  ("D.__dict__['early-hints']", ABSENT, 103))
    assert own(live.D, "early-hints") == 103
    assert (own(live.D, "l"), own(live.D, "slot"), own(live.D, "new"), live.C.shown) == (2, "t", (1,), 3)
    assert own(live.D, "p") == 4
    assert live.T["a"][1] == (1, [2, 3]) and live.T["b", 1] == {"y"} and live.T["c"] is live.K
    assert list(live.R) == ["/admin", "/"] and live.N == 6
    found.disable()
    assert (own(live.D, "l"), own(live.D, "slot"), own(live.D, "new"), live.C.shown) == (1, "s", ABSENT, 1)
    assert own(live.D, "p") is own(live.D, "early-hints") is ABSENT
    assert live.T["a"][1] == (1, [2]) and list(live.T) == ["a", ("b", 1)] and live.T["b", 1] == {"x"}
    assert list(live.R) == ["/", "/admin"] and live.N == 5
    assert [record.text for record in log.records] == []


@pytest.mark.parametrize("change, carried", [
    (lambda live: object.__setattr__(live.D, "l", 7), ("D.l", 1, 2)),
    (lambda live: live.T.pop("a"), ("T['a'][0].l", 1, 2)),
    (lambda live: live.T["a"].clear(), ("T['a'][0].l", 1, 2)),
    (lambda live: setattr(live, "D", 1), ("D.l", 1, 2)),
    (lambda live: delattr(live, "N"), ("N", 5, 6)),
    (lambda live: setattr(live, "R", {"/admin": 2, "/": 1}), ("R", Keys("/", "/admin"), Keys("/admin", "/"))),
    (lambda live: setattr(live, "N", True), ("N", 1, 2)),
])
def test_what_the_program_has_changed_is_its_own(live, patch, log, change, carried):
    change(live)
    before = repr((dict(live.T), live.R, getattr(live, "N", None)))
    found = patch(carried)
    assert repr((dict(live.T), live.R, getattr(live, "N", None))) == before
    assert [record.text for record in log.records] == [
        f"livepatch: '{carried[0]}' of '{live.__name__}' is not what it was in the old version: it stays as it is"]
    found.disable()
    assert repr((dict(live.T), live.R, getattr(live, "N", None))) == before


def test_what_the_program_sets_while_patched_stays(live, patch, log):
    found = patch(("D.l", 1, 2), ("T[('b', 1)]", {"x"}, {"y"}))
    object.__setattr__(live.D, "l", 9)
    live.T["b", 1].add("mine")
    found.disable()
    assert own(live.D, "l") == 9 and live.T["b", 1] == {"x", "mine"}


def test_a_value_that_can_not_be_set_refuses_the_patch_by_its_path(live, patch, log):
    object.__setattr__(live.D, "part", slice(1, 3))
    with pytest.raises(AttributeError, match=r"'D.part.start' of '\w+' can't be set"):
        patch(("D.part.start", 1, 2))


def test_a_name_that_is_not_there_refuses_the_patch(live, patch, log):
    with pytest.raises(NameError, match="nothing is not there"):
        patch(("N", 5, 6), ("T['c']", ABSENT, Named(f"{live.__name__}:nothing")))
    assert live.N == 5 and "c" not in live.T


def test_a_set_of_codes_has_the_new_code_when_the_transition_is_complete(module, livepatch):
    live = module("def f(): return 1\ndef g(): return 2\nclass C:\n    def m(self): pass\n"
                  "internal = {f.__code__, C.m.__code__, 'other'}\n")
    old, new = live.f.__code__, (lambda: 3).__code__
    made = livepatch(live)
    made.callbacks.carried = [("internal", ABSENT, CodeOf(f"{live.__name__}:{name}")) for name in ("f", "g", "C.m")]
    made.callbacks.pre_patch(made.obj)
    live.f.__code__ = new
    made.callbacks.post_patch(made.obj)
    assert live.internal == {new, live.C.m.__code__, "other"}
    made.callbacks.pre_unpatch(made.obj)
    assert live.internal == {old, live.C.m.__code__, "other"}
    made.callbacks.post_unpatch(made.obj)


def test_another_name_of_the_same_object_is_no_change_of_the_programs(live, livepatch, log):
    live.E = live.D
    first, second = livepatch(live), livepatch(live)
    changes = [("{}.l", 1, 2), ("T['a'][1][1]", [2], [3]), ("T[('b', 1)]", {"x"}, {"y"}),
               ("R", Keys("/", "/admin"), Keys("/admin", "/"))]
    first.callbacks.carried = [(path.format("D"), *values) for path, *values in changes]
    second.callbacks.carried = [(path.format("E"), *values) for path, *values in changes]
    first.enable()
    second.enable()
    assert [record.text for record in log.records] == []
    second.disable()
    assert own(live.D, "l") == 2 and list(live.R) == ["/admin", "/"]
    first.disable()
    assert own(live.D, "l") == 1 and list(live.R) == ["/", "/admin"] and live.T["b", 1] == {"x"}


def test_a_later_patch_goes_by_what_the_program_has_not_by_the_earlier_patch(live, livepatch, log):
    first, second = livepatch(live), livepatch(live)
    order = ("R", Keys("/", "/admin"), Keys("/admin", "/"))
    first.callbacks.carried = [("D.l", 1, 2), ("T['a'][1][1]", [2], [3]), order]
    second.callbacks.carried = [("D.l", 1, 3), ("T['a'][1][1]", [2], [4]), order]
    first.enable()
    second.enable()
    first.replaced()
    assert own(live.D, "l") == 3 and live.T["a"][1] == (1, [4]) and list(live.R) == ["/admin", "/"]
    second.disable()
    assert own(live.D, "l") == 1 and live.T["a"][1] == (1, [2]) and list(live.R) == ["/", "/admin"]
    assert [record.text for record in log.records] == []


def test_what_the_livepatch_itself_has_put_there_is_no_value_of_the_programs(module, livepatch):
    live = module("class C:\n    desc = 'old'\n")
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                desc = "  new"
    """, carried="[('C.desc', '  new', 'new')]")
    patch.enable()
    assert live.C.desc == "new"
    patch.disable()
    assert live.C.desc == "old"
