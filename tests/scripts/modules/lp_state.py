"""A patch with a system state, which it makes, hands on, or takes back. version: of the state."""
from klpfs import Callbacks, Func, Object, Patch, State, enable_patch, get_prev_state, get_state, module_param, pr_info

VOLUME = 1

version = module_param("version", int, 1)


def pre_patch(obj):
    mine, before = get_state(patch, VOLUME), get_prev_state(VOLUME)
    if before is not None:
        pr_info("lp_state: takes over %s of version %d" % (before.data, before.version))
        mine.data = before.data
    else:
        mine.data = "the volume"
        pr_info("lp_state: makes %s" % mine.data)


def post_unpatch(obj):
    if get_prev_state(VOLUME) is None:
        pr_info("lp_state: takes back %s" % get_state(patch, VOLUME).data)


def greeting():
    return "hello by lp_state"


state = State(VOLUME, 1)
patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting)],
                              callbacks=Callbacks(pre_patch, None, None, post_unpatch))],
              states=[state], replace=True)


def init():
    state.version = version
    return enable_patch(patch)
