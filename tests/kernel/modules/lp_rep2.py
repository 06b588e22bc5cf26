"""Replaces all others: klp_tgt alone."""
from klpfs import Callbacks, Func, Object, Patch, module_param, pr_info

pre_ret = module_param("pre_ret", int, 0)


def line(what, obj):
    pr_info(f"lp_rep2: {what} {obj.name or 'vmlinux'}")


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
    return "a by lp_rep2"


def tgt_b():
    return "b by lp_rep2"


def exit():
    pr_info("lp_rep2: exit")


patch = Patch(
    objects=[
        Object("klp_tgt", funcs=[Func("tgt_a", tgt_a), Func("tgt_b", tgt_b)], callbacks=callbacks),
    ],
    replace=True,
)
