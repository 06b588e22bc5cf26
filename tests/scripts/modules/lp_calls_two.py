"""Callbacks for the program, for target_mod, and for a module that never comes. pre_ret: what pre_patch answers."""
from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info

pre_ret = module_param("pre_ret", int, 0)


def say(what, obj):
    of = "" if obj.mod is None else " -> " + str(obj.mod.state)
    pr_info("lp_calls_two: %s %s%s" % (what, obj.name or "vmlinux", of))


def pre_patch(obj):
    say("pre_patch", obj)
    return pre_ret


def post_patch(obj):
    say("post_patch", obj)


def pre_unpatch(obj):
    say("pre_unpatch", obj)


def post_unpatch(obj):
    say("post_unpatch", obj)


def answer():
    return "target by lp_calls_two"


def exit():
    pr_info("lp_calls_two: exit")


callbacks = Callbacks(pre_patch, post_patch, pre_unpatch, post_unpatch)
patch = Patch(objects=[
    Object(None, callbacks=callbacks),
    Object("target_mod", funcs=[Func("answer", answer)], callbacks=callbacks),
    Object("never_mod", callbacks=callbacks),
], replace=True)
