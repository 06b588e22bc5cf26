"""What a livepatch is made of: types are checked at the border."""
import functools

import pytest

from klpfs import COMING, LIVE, Callbacks, Func, KlpError, Mod, Object, Patch, State
from klpfs.engine.core import Engine
from klpfs.engine.data import freeze
from klpfs.engine.log import Log
from klpfs.testing import ManualClock, PuppetTarget
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


class Odd(str):
    """A text whose every use is foreign code."""

    def raises(self, *_):
        raise ZeroDivisionError

    __str__ = __repr__ = __format__ = __hash__ = __eq__ = raises


def test_names_are_plain_from_the_beginning():
    """A subclass of str could run code wherever klpfs compares or sends a name, and can't be sent at all."""
    func, obj, state = Func(Odd("f"), new_code, fingerprint=Odd("x")), Object(Odd("m")), State(True + 1, version=2)
    assert [type(value) for value in (func.old_name, func.fingerprint, obj.name, Mod(Odd("m")).name)] == [str] * 4
    assert (func.old_name, obj.name, state.id) == ("f", "m", 2)


def test_an_object_that_only_says_that_it_is_a_text_is_none():
    class Liar:
        __class__ = str
    with pytest.raises(TypeError):
        Object(Liar())


@pytest.mark.parametrize("change", [
    lambda patch: setattr(patch, "objects", 5), lambda patch: setattr(patch.objects[0], "name", b"m"),
    lambda patch: setattr(patch.objects[0], "funcs", [1]), lambda patch: setattr(patch.objects[0], "callbacks", 1),
    lambda patch: setattr(patch.objects[0].funcs[0], "old_name", None), lambda patch: patch.objects.append(None),
    lambda patch: setattr(patch.objects[0].funcs[0], "new_func", len), lambda patch: delattr(patch, "states"),
    lambda patch: setattr(patch.objects[0].funcs[0], "old_sympos", 1.0)])
def test_what_is_set_later_is_checked_again(change):
    """When the patch is enabled: refused with one line, and nothing is left."""
    log = Log(ManualClock())
    engine = Engine(PuppetTarget({"m": ["f"]}), log)
    patch = Patch([Object("m", [Func("f", new_code)])])
    change(patch)
    with pytest.raises(KlpError) as caught:
        engine.enable(patch, "lp")
    assert caught.value.errno == 22 and len(log.texts()) == 1 and "the patch of 'lp' can't be used" in log.texts()[0]
    assert not engine.patches and engine.transition is None


def test_what_is_set_later_is_made_plain():
    patch = Patch([Object("m", [Func("f", new_code)])])
    patch.objects[0].name = Odd("m")
    freeze(patch)
    assert type(patch.objects[0].name) is str


CHANGES = [
    lambda patch: setattr(patch, "objects", None), lambda patch: setattr(patch, "replace", True),
    lambda patch: setattr(patch, "states", ()), lambda patch: setattr(patch, "name", "x"),
    lambda patch: setattr(patch, "mod", None), lambda patch: delattr(patch, "objects"),
    lambda patch: patch.objects.append(None), lambda patch: setattr(patch.objects[0], "name", "x"),
    lambda patch: setattr(patch.objects[0], "funcs", []), lambda patch: setattr(patch.objects[0], "callbacks", None),
    lambda patch: patch.objects[0].funcs.clear(), lambda patch: setattr(patch.objects[0], "patch", None),
    lambda patch: setattr(patch.objects[0].funcs[0], "old_name", "g"),
    lambda patch: setattr(patch.objects[0].funcs[0], "new_func", new_code),
    lambda patch: setattr(patch.objects[0].funcs[0], "old_sympos", 2),
    lambda patch: setattr(patch.objects[0].funcs[0], "obj", None),
    lambda patch: setattr(patch.states[0], "id", "x"), lambda patch: setattr(patch.states[0], "version", None)]


def enabled():
    """An engine, and a patch that it has enabled; transitions are followed to their end by the caller."""
    engine = Engine(PuppetTarget({"m": ["f"]}), Log(ManualClock()))
    patch = Patch([Object("m", [Func("f", new_code)], Callbacks(post_patch=lambda obj: None))], states=[State(1)])
    engine.enable(patch, "lp")
    engine.start()
    return engine, patch


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_of_a_patch_can_be_changed_once_it_is_enabled(change):
    """Refused in the livepatch's own code; the patch comes to its end as if nobody had tried, and goes."""
    engine, patch = enabled()
    was = engine.describe()
    with pytest.raises(AttributeError):
        change(patch)
    assert engine.describe() == was
    assert engine.look() == []
    engine.finish()
    engine.disable(patch)
    assert engine.look() == []
    engine.finish()
    assert engine.patches == [] and engine.log.texts()[-1] == "livepatch: 'lp': unpatching complete"


def test_a_list_that_a_patch_was_made_of_is_the_authors():
    objects, funcs = [], [Func("f", new_code)]
    objects.append(Object("m", funcs))
    patch = Patch(objects)
    engine = Engine(PuppetTarget({"m": ["f"]}), Log(ManualClock()))
    mine, his = patch.objects, patch.objects[0].funcs       # what the author may keep
    engine.enable(patch, "lp")
    for values in (objects, funcs, mine, his):
        values.clear()
    assert [obj["funcs"] for obj in engine.describe()[0]["objects"]] == ["f,1"]


def test_a_patch_that_is_out_of_force_may_be_changed_again():
    """Also one that was refused: its init() may try another one."""
    engine, patch = enabled()
    engine.look()
    engine.finish()
    engine.disable(patch)
    engine.look()
    engine.finish()
    patch.objects[0].funcs[0].old_name = "nowhere"
    with pytest.raises(KlpError):
        engine.enable(patch, "lp")
    patch.objects[0].funcs[0].old_name = "f"
    engine.enable(patch, "lp")


def test_a_part_of_an_enabled_patch_is_no_part_of_another():
    """Its module is not loaded, or its functions told so; refused, and it stays as it is for the first."""
    engine, patch = enabled()
    engine.look()
    engine.finish()
    shared = Object("later", [Func("f", new_code)])
    engine.enable(Patch([shared]), "one")
    engine.start()
    engine.look()
    engine.finish()
    for other in (Patch([shared]), Patch([Object("else", shared.funcs)])):
        with pytest.raises(KlpError) as caught:
            engine.enable(other, "two")
        assert caught.value.errno == 22 and "of a patch that is enabled already" in engine.log.texts()[-1]
        with pytest.raises(AttributeError):
            shared.name = "x"
    assert shared.patch.name == "one"


def test_a_state_and_callbacks_may_be_of_two_patches():
    """Neither belongs to one patch."""
    engine, patch = enabled()
    engine.look()
    engine.finish()
    engine.enable(Patch([Object("later", callbacks=patch.objects[0].callbacks)], states=patch.states), "two")
    engine.start()
    engine.look()
    engine.finish()
    assert [each.name for each in engine.patches] == ["lp", "two"]


def test_callbacks_that_are_deleted_later_are_none():
    """What the functions of a Callbacks are may change: the engine asks each time."""
    engine, patch = enabled()
    del patch.objects[0].callbacks.post_patch
    engine.look()
    engine.finish()
    assert engine.transition is None and patch.objects[0].stage == "post_patch"
