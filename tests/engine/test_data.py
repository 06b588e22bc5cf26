"""What a livepatch is made of: types are checked at the border."""
import functools

import pytest

from klpfs import COMING, LIVE, Callbacks, Func, KlpError, Mod, Object, Patch, State
from tests.engine.kit import new_code


def test_defaults():
    """Only what has to be said has to be said."""
    func = Func("f", new_code)
    assert (func.old_sympos, func.fingerprint, func.nop, func.patched, func.definition) == (0, None, False, False, None)
    obj = Object("m")
    assert (obj.funcs, obj.callbacks, obj.mod, obj.patched, obj.shown) == ([], None, None, False, "m")
    assert Object(None).shown == "vmlinux"
    patch = Patch([])
    assert (patch.objects, patch.replace, patch.states, patch.name, patch.enabled, patch.forced) == (
        [], False, (), None, False, False)
    assert (State(1).version, State(1).data) == (0, None)
    assert Mod("m", COMING).state == COMING and Mod("m").state == LIVE


@pytest.mark.parametrize("wrong", [
    len, functools.partial(new_code), staticmethod(new_code), property(new_code), functools.lru_cache(new_code), str, 5,
    None, Mod("m").__repr__,
])
def test_new_func_is_a_plain_function(wrong):
    """Nothing that only wraps or looks like a function is taken."""
    with pytest.raises(TypeError, match="plain function"):
        Func("f", wrong)


@pytest.mark.parametrize("make", [
    lambda: Func(None, new_code), lambda: Func(b"f", new_code), lambda: Func("f", new_code, "1"),
    lambda: Func("f", new_code, True), lambda: Func("f", new_code, 0, b"hash"), lambda: Object(5),
    lambda: Object("m", new_code),
    lambda: Object("m", [new_code]), lambda: Object("m", "fg"), lambda: Object("m", [], new_code), lambda: Callbacks(5),
    lambda: Callbacks(post_unpatch="f"), lambda: Patch(None), lambda: Patch([Func("f", new_code)]),
    lambda: Patch([], "yes"), lambda: Patch([], False, [1]), lambda: State("1"), lambda: State(1, 1.5),
    lambda: Mod(None),
])
def test_wrong_types(make):
    """TypeError, which names class and field."""
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize("make", [
    lambda: Func("f", new_code, -1), lambda: Mod("m", "live"),
    lambda: Object("m", [Func("f", new_code)] * 2), lambda: Patch([Object("m")] * 2),
])
def test_wrong_values(make):
    """ValueError for what has the right type and cannot be."""
    with pytest.raises(ValueError):
        make()


def test_containers_are_the_patchs_own():
    """A list that was given may be changed afterwards."""
    funcs = [Func("f", new_code)]
    obj = Object("m", funcs)
    funcs.clear()
    assert len(obj.funcs) == 1


def test_a_nop_stands_for_a_function():
    """It has that function's name and position, and no code of its own."""
    nop = Func.make_nop(Func("C.m", new_code, 2))
    assert (nop.old_name, nop.old_sympos, nop.new_func, nop.nop) == ("C.m", 2, None, True)


def test_error_is_an_oserror():
    """With errno, the line that was logged, and the function at fault."""
    error = KlpError(2, "symbol 'x' not found")
    assert isinstance(error, OSError) and type(error) is KlpError
    assert (error.errno, error.strerror, error.func) == (2, "symbol 'x' not found", None)
    assert str(error) == "ENOENT: symbol 'x' not found" and str(KlpError(16)) == "EBUSY"


def test_public_names():
    """What a livepatch file imports comes from klpfs itself; what the agent gives comes with the agent."""
    import klpfs
    assert klpfs.shadow.get(Mod("m"), 1) is None
    with pytest.raises(AttributeError, match="no_such"):
        klpfs.no_such
