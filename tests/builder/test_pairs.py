"""Property: an old module with the built patch behaves as the new one, and as the old one when the patch is out again."""
import pathlib
import shutil
import tempfile

from hypothesis import HealthCheck, given, settings

from klpfs.builder.error import NothingToDo
from tests import strategies
from tests.builder.kit import Upgrade

GONE = object()


def answers(space, probes):
    """What each probe gives, or the kind of error that it raises."""
    found = []
    for probe in probes:
        try:
            found.append(eval(probe, space))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def names(module):
    """The public names of a module that a program could ask for."""
    return {name for name in vars(module) if not name.startswith("__")}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.pairs())
def test_a_patched_old_module_behaves_as_the_new_one(pair):
    """Probes of all functions, classes, constants and closures, also of objects made before the patch, before, with and after it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klp"))
    upgrade = Upgrade(folder)
    try:
        upgrade.write(pair.old_source, pair.new_source)
        old, new = upgrade.module(), upgrade.new_module()
        of_old, of_new = pair.probes(pair.old), pair.probes(pair.new)
        held = [(dict(vars(old), HELD=eval(made, vars(old))), dict(vars(new), HELD=eval(made, vars(new))), then, now)
                for made, then, now in pair.held()]
        was = answers(vars(old), of_old), [answers(space, then) for space, _, then, _ in held], names(old)
        try:
            result = upgrade.build()
        except NothingToDo:
            assert answers(vars(old), of_new) == answers(vars(new), of_new)
            return
        assert not result.refused, result.refused
        patch = upgrade.insmod(result.text)
        assert answers(vars(old), of_new) == answers(vars(new), of_new), result.text
        for space, fresh, _, now in held:
            assert answers(space, now) == answers(fresh, now), result.text
        upgrade.disable(patch)
        assert (answers(vars(old), of_old), [answers(space, then) for space, _, then, _ in held], names(old)) == was, result.text
    finally:
        upgrade.close()
        shutil.rmtree(folder)
