"""The function that target_mod's task sits in, with callbacks. stay=1: the new one stays as well, until stay is 0."""
import time

from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info

stay = module_param("stay", bool, False)


def pre_patch(obj):
    pr_info("lp_busy: pre_patch %s" % obj.name)


def post_patch(obj):
    pr_info("lp_busy: post_patch %s" % obj.name)


def pre_unpatch(obj):
    pr_info("lp_busy: pre_unpatch %s" % obj.name)


def post_unpatch(obj):
    pr_info("lp_busy: post_unpatch %s" % obj.name)


def answer():
    return "target by lp_busy"


def sit():
    while stay:
        time.sleep(0.02)


patch = Patch(objects=[Object("target_mod", funcs=[Func("answer", answer), Func("sit", sit)],
                              callbacks=Callbacks(pre_patch, post_patch, pre_unpatch, post_unpatch))])
