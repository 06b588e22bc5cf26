"""Callbacks for the program and two modules, one of which may keep it pending."""
from klpfs import Callbacks, Func, Object, Patch, pr_info


def say(what, obj):
    of = "" if obj.mod is None else " -> " + str(obj.mod.state)
    pr_info("lp_pending: %s %s%s" % (what, obj.name or "vmlinux", of))


def pre_patch(obj):
    say("pre_patch", obj)


def post_patch(obj):
    say("post_patch", obj)


def pre_unpatch(obj):
    say("pre_unpatch", obj)


def post_unpatch(obj):
    say("post_unpatch", obj)


def sit():
    pass


def other():
    return "other by lp_pending"


callbacks = Callbacks(pre_patch, post_patch, pre_unpatch, post_unpatch)
patch = Patch(objects=[
    Object(None, callbacks=callbacks),
    Object("target_mod", funcs=[Func("sit", sit)], callbacks=callbacks),
    Object("other_mod", funcs=[Func("other", other)], callbacks=callbacks),
])
