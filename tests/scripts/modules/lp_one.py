"""The program's greeting."""
from klpfs import Func, Object, Patch

__license__ = "GPL"


def greeting():
    return "hello by lp_one"


patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting)])])
