"""Long walks at random through larger worlds than can be explored; Hypothesis makes what fails small."""
import hypothesis
from hypothesis import given

from klpfs import Func, KlpError, Object, Patch
from tests import strategies
from tests.engine.kit import Kit, new_code


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@given(strategies.scenarios(), strategies.choices())
def test_walk(scenario, choices):
    """Whatever is done in whatever order, the model of tests/engine/world.py holds after every step."""
    world = scenario.world()
    for choice in choices:
        ops = list(scenario.ops(world))
        world.do(ops[choice % len(ops)])


@hypothesis.settings(max_examples=100, deadline=None)
@given(strategies.names(), strategies.names(), strategies.names())
def test_names(patch_name, obj_name, func_name):
    """Names that the tree can show are taken, and shown as they are."""
    kit = Kit(**{obj_name: [func_name]})
    hypothesis.assume(len(("%s,1" % func_name).encode()) <= 255 and obj_name != "vmlinux")
    try:
        kit.load(patch_name, Patch([Object(obj_name, [Func(func_name, new_code)])]))
    except KlpError as error:
        raise AssertionError("refused: %s" % error)
    assert kit.tree() == {patch_name: {obj_name: ["%s,1" % func_name]}}
