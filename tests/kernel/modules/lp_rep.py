"""Replaces all others: the program alone."""
from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info

pre_ret = module_param("pre_ret", int, 0)


def line(what, obj):
    pr_info(f"lp_rep: {what} {obj.name or 'vmlinux'}")


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


def cmdline_proc_show():
    return "cmdline by lp_rep"


def exit():
    pr_info("lp_rep: exit")


patch = Patch(
    objects=[
        Object(None, funcs=[Func("cmdline_proc_show", cmdline_proc_show)], callbacks=callbacks),
    ],
    replace=True,
)
