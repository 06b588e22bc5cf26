"""A patch with a system state, which it makes, hands on, or takes back. version: of the state."""
from klpfs import Callbacks, Func, Object, Patch, State, enable_patch, get_prev_state, get_state, module_param, pr_info

VOLUME = 1

version = module_param("version", int, 2)


def pre_patch(obj):
    mine, before = get_state(patch, VOLUME), get_prev_state(VOLUME)
    if before is not None:
        pr_info("lp_state_two: takes over %s of version %d" % (before.data, before.version))
        mine.data = before.data
    else:
        mine.data = "the volume"
        pr_info("lp_state_two: makes %s" % mine.data)


def post_unpatch(obj):
    if get_prev_state(VOLUME) is None:
        pr_info("lp_state_two: takes back %s" % get_state(patch, VOLUME).data)


def greeting():
    return "hello by lp_state_two"


state = State(VOLUME, 2)
patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting)],
                              callbacks=Callbacks(pre_patch, None, None, post_unpatch))],
              states=[state], replace=True)


def init():
    state.version = version
    return enable_patch(patch)
