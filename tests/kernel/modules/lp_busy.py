"""klp_tgt's tgt_a and the function that its task sits in."""
from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info

pre_ret = module_param("pre_ret", int, 0)


def line(what, obj):
    pr_info(f"lp_busy: {what} {obj.name or 'vmlinux'}")


def pre_patch(obj):
    line("pre_patch", obj)
    return pre_ret


def post_patch(obj):
    line("post_patch", obj)


def pre_unpatch(obj):
    line("pre_unpatch", obj)


def post_unpatch(obj):
    line("post_unpatch", obj)


callbacks = Callbacks(pre_patch, post_patch, pre_unpatch, post_unpatch)


def tgt_a():
    return "a by lp_busy"


def tgt_busy():
    pr_info("lp_busy: new busy")


def exit():
    pr_info("lp_busy: exit")


patch = Patch(
    objects=[
        Object("klp_tgt", funcs=[Func("tgt_a", tgt_a), Func("tgt_busy", tgt_busy)], callbacks=callbacks),
    ],
)
