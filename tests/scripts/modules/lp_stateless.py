"""Replaces all, and knows no state."""
from klpfs import Func, Object, Patch


def greeting():
    return "hello by lp_stateless"


patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting)])], replace=True)
