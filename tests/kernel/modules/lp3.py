"""The program alone, without callbacks."""
from klpfs import Func, Object, Patch, pr_info


def cmdline_proc_show():
    return "cmdline by lp3"


def exit():
    pr_info("lp3: exit")


patch = Patch(
    objects=[
        Object(None, funcs=[Func("cmdline_proc_show", cmdline_proc_show)]),
    ],
)
